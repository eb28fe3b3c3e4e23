"""What chance decides in a micro-batch, restated with one generator; a bank's entries have their own."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from diffusion.plain import Plain, grey

from harness.diffusion.backbones.conditioning import LatentDistribution
from harness.diffusion.bank import Bank, FromBank
from harness.diffusion.draws import MicroBatch, stream, with_bank
from harness.diffusion.examples import Example, TrainingSet

SUBJECT = [Example(grey(level), (f"sks {level}", f"a sks {level}")) for level in (0, 51, 102)]
CLASS = [Example(grey(level), (f"dog {level}",)) for level in (204, 255)]


def prepared(plain, examples):
    return TrainingSet.prepare(plain, examples, None, torch.Generator())


def restated(levels, captions, order, generator):
    """Latents and captions of two examples, the caption drawn where there are two, and what is left."""
    taken, order = order[:2], order[2:]
    words = [
        captions[i][int(torch.randint(len(captions[i]), (), generator=generator))]
        if len(captions[i]) > 1
        else captions[i][0]
        for i in taken
    ]
    mean = torch.tensor([[levels[i] / 255, 2 * levels[i] / 255] for i in taken])[:, :, None, None]
    return mean + 0.1 * torch.randn((2, 2, 4, 4), generator=generator), words, order


@pytest.mark.parametrize("beside", [False, True])
def test_one_generator_gives_subject_then_class_then_noise_then_timesteps(tmp_path, beside):
    plain = Plain(tmp_path, spread=0.1)
    generator = torch.Generator().manual_seed(11)
    of_class = prepared(plain, CLASS) if beside else None
    found = next(stream(plain, prepared(plain, SUBJECT), of_class, batch=2, generator=generator))
    again = torch.Generator().manual_seed(11)
    order = torch.randperm(3, generator=again).tolist()
    captions = [example.captions for example in SUBJECT]
    latents, words, _ = restated((0, 51, 102), captions, order, again)
    if beside:
        order = torch.randperm(2, generator=again).tolist()
        more, more_words, _ = restated((204, 255), [example.captions for example in CLASS], order, again)
        latents, words = torch.cat([latents, more]), words + more_words
    torch.testing.assert_close(found.latents, latents)
    assert found.captions == words
    assert torch.equal(found.noise, torch.randn(latents.shape, generator=again))
    assert torch.equal(found.timesteps, torch.randint(1000, (len(latents),), generator=again))
    assert found.subject == 2 and found.masks is None and found.base is None


def test_masks_come_with_the_subject_s_examples(tmp_path):
    plain = Plain(tmp_path)
    subject = prepared(plain, SUBJECT)
    subject.masks = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    batches = stream(plain, subject, prepared(plain, CLASS), batch=3, generator=torch.Generator())
    for drawn in islice(batches, 3):
        assert (drawn.masks * 51 / 255 - drawn.latents[:3, :1]).abs().max() < 1e-6
        assert drawn.outlines is None


def test_outlines_come_with_the_subject_s_examples_and_stay_beside_a_bank(tmp_path):
    plain = Plain(tmp_path)
    subject = prepared(plain, SUBJECT)
    subject.outlines = torch.tensor([0, 51, 102], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 16, 16)
    beside = prepared(plain, CLASS)
    beside.outlines = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    batches = stream(plain, subject, beside, batch=3, generator=torch.Generator())
    for drawn in islice(batches, 3):
        assert torch.equal(drawn.outlines[:, :, :4, :4] / 255, drawn.latents[:3, :1])
    alone = stream(plain, subject, None, batch=3, generator=torch.Generator())
    for drawn in islice(with_bank(alone, FromBank(bank(), 0.5), batch=2, seed=4), 3):
        assert torch.equal(drawn.outlines[:, :, :4, :4] / 255, drawn.latents[:3, :1])


def test_noise_is_drawn_in_float32_and_is_of_the_latents_type(tmp_path):
    plain = Plain(tmp_path)
    subject = prepared(plain, SUBJECT)
    subject.latents = LatentDistribution(subject.latents.mean.double(), subject.latents.std.double())
    drawn = next(stream(plain, subject, None, batch=2, generator=torch.Generator()))
    assert drawn.latents.dtype == drawn.noise.dtype == torch.float64
    assert torch.equal(drawn.noise, drawn.noise.float().double())


def bank():
    """Two prompts at two timesteps each; the prediction of entry i is i."""
    numbers = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 4, 4)
    return Bank(
        ("a cat", "a mug"),
        torch.stack([torch.full((2, 4, 4), 0.3), torch.full((2, 4, 4), 0.6)]),
        10 + numbers,
        torch.tensor([100, 200, 300, 400]),
        numbers,
        0.0,
    )


def own(n):
    for i in range(n):
        yield MicroBatch(
            torch.full((2, 2, 4, 4), float(i)),
            ["x", "y"],
            torch.full((2, 2, 4, 4), -1.0),
            torch.tensor([7, 8]),
            2,
            torch.ones(2, 1, 4, 4),
        )


@pytest.mark.parametrize(("goal", "asked", "taken"), [("base", None, 2), ("base", 3, 3), ("noise", 1, 1)])
def test_a_bank_s_entries_follow_the_subject_s_examples(goal, asked, taken):
    learned = FromBank(bank(), 0.5, goal, asked)
    rounds = learned.bank.rounds(taken, seed=4)
    found = list(with_bank(own(3), learned, batch=2, seed=4))
    assert len(found) == 3
    for i, drawn in enumerate(found):
        more = next(rounds)
        assert torch.equal(drawn.latents, torch.cat([torch.full((2, 2, 4, 4), float(i)), more.latents]))
        assert torch.equal(drawn.noise, torch.cat([torch.full((2, 2, 4, 4), -1.0), more.noise]))
        assert drawn.timesteps.tolist() == [7, 8, *more.timesteps.tolist()]
        assert drawn.captions == ["x", "y", *more.captions]
        assert drawn.subject == 2 and drawn.masks.shape == (2, 1, 4, 4)
        if goal == "base":
            assert torch.equal(drawn.base, more.base)
        else:
            assert drawn.base is None


def test_a_bank_is_dealt_on_the_device_of_the_latents():
    asked = []

    def rounds(n, *, seed, device):
        asked.append((n, seed, device))
        return bank().rounds(n, seed=seed)

    learned = FromBank(SimpleNamespace(rounds=rounds), 1.0)
    list(with_bank(own(3), learned, batch=2, seed=9))
    assert asked == [(2, 9, torch.device("cpu"))]
