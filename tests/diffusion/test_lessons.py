"""What a run learns from: how much of it at once, in which words, with what weight."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from diffusion.plain import Plain, grey

from harness.diffusion.augment import Augment
from harness.diffusion.bank import Bank, FromBank
from harness.diffusion.examples import Example, Prior, TrainingSet
from harness.diffusion.lessons import Lessons

SUBJECT = [Example(grey(0), ("a sks dog",)), Example(grey(51), ("a sks dog", "the sks dog"))]
CLASS = [Example(grey(204), ("a dog",)), Example(grey(255), ("a dog",))]


@pytest.fixture
def plain(tmp_path):
    return Plain(tmp_path)


def bank():
    numbers = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 4, 4)
    return Bank(("a cat", "a mug"), torch.zeros(2, 2, 4, 4), numbers, torch.arange(4), numbers, 0.0)


def lessons(plain, prior=None, augment=None, seed=0):
    return Lessons.prepare(plain, SUBJECT, augment, prior, torch.Generator().manual_seed(seed))


def of_bank(weight=0.3, batch=None):
    return FromBank(bank(), weight, "base", batch)


@pytest.mark.parametrize("prior", [None, Prior(CLASS, 0.0), of_bank(0.0)])
def test_a_prior_of_weight_zero_is_none(plain, prior):
    made = lessons(plain, prior)
    assert made.of_class is made.bank is None and made.weight == 0.0
    assert made.backbone is plain
    assert made.captions == ["a sks dog", "the sks dog"]
    assert made.at_once(3) == 3
    assert [image.getpixel((0, 0))[0] for image in plain.encoded] == [0, 51]
    (drawn,) = islice(made.batches(batch=2, generator=torch.Generator(), seed=0), 1)
    assert len(drawn.latents) == drawn.subject == 2


def test_images_of_the_class_are_learnt_one_for_one(plain):
    made = lessons(plain, Prior(CLASS, 0.7))
    assert made.weight == 0.7 and made.bank is None and made.backbone is plain
    assert made.captions == ["a sks dog", "the sks dog", "a dog"]
    assert made.at_once(3) == 6
    for drawn in islice(made.batches(batch=2, generator=torch.Generator(), seed=0), 3):
        levels = (drawn.latents[:, 0, 0, 0] * 255).round().tolist()
        assert sorted(levels[:2]) == [0, 51] and sorted(levels[2:]) == [204, 255]
        assert drawn.subject == 2


@pytest.mark.parametrize(("asked", "taken"), [(None, 3), (5, 5)])
def test_entries_of_a_bank_are_as_many_as_it_says(plain, asked, taken):
    made = lessons(plain, of_bank(batch=asked))
    assert made.weight == 0.3 and made.of_class is None and made.backbone is plain
    assert made.captions == ["a sks dog", "the sks dog", "a cat", "a mug"]
    assert made.at_once(3) == 3 + taken
    rounds = bank().rounds(taken, seed=6)
    for drawn in islice(made.batches(batch=3, generator=torch.Generator(), seed=6), 4):
        assert torch.equal(drawn.noise[3:], next(rounds).noise)
        assert len(drawn.latents) == 3 + taken and drawn.subject == 3


def test_the_subject_alone_is_augmented_by_the_same_generator(plain):
    augment = Augment(flip=True, scale=True, variants=4)
    made = lessons(plain, Prior(CLASS, 1.0), augment, seed=3)
    expected = TrainingSet.prepare(plain, SUBJECT, augment, torch.Generator().manual_seed(3))
    assert torch.equal(made.subject.latents.mean, expected.latents.mean)
    assert made.subject.captions == expected.captions and torch.equal(made.subject.masks, expected.masks)
    assert made.of_class.masks is None and len(made.of_class.latents) == 2


def test_all_but_the_bank_s_entries_is_the_generator_s(plain):
    states = []
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(8)
        (drawn,) = islice(lessons(plain, of_bank()).batches(batch=2, generator=generator, seed=seed), 1)
        states.append((drawn.noise[:2], drawn.timesteps[:2]))
    assert all(torch.equal(one, other) for one, other in zip(*states))
