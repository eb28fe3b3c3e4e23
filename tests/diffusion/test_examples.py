"""Examples as a training set: which variant, caption and mask comes up, and how often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from harness.api import Subject
from harness.diffusion.augment import Augment
from harness.diffusion.examples import Example, Prior, TrainingSet, examples_of


@dataclass
class Numbers:
    """Latents that are their own numbers; says from which generator they were sampled."""

    values: torch.Tensor
    given: list

    def __getitem__(self, index):
        return Numbers(self.values[index], self.given)

    def sample(self, *, generator):
        self.given.append(generator)
        return self.values


def numbered(examples, variants, *, captions=2):
    n = examples * variants
    words = [tuple(f"{i}{'abc'[c]}" for c in range(captions)) for i in range(n)]
    masks = torch.arange(n).view(n, 1, 1, 1).float()
    return TrainingSet(Numbers(torch.arange(n), []), words, masks, variants)


@pytest.mark.parametrize(("examples", "variants", "captions"), [(3, 4, 2), (5, 1, 1), (4, 2, 3), (1, 3, 1)])
def test_every_example_comes_up_once_a_round_with_any_variant_and_any_caption(examples, variants, captions):
    drawn, generator = numbered(examples, variants, captions=captions), torch.Generator().manual_seed(0)
    seen, said, orders = Counter(), Counter(), set()
    for _ in range(300):
        latents, texts, masks, outlines = drawn.draw(examples, generator)
        assert outlines is None
        assert sorted(latents // variants) == list(range(examples))
        assert masks.flatten().tolist() == latents.tolist()
        assert [int(text[:-1]) for text in texts] == latents.tolist()
        seen.update(latents.tolist())
        said.update(text[-1] for text in texts)
        orders.add(tuple(latents.tolist()))
    share = 300 / variants
    assert set(seen) == set(range(examples * variants))
    assert all(abs(count - share) < 5 * share**0.5 for count in seen.values())
    assert set(said) == set("abc"[:captions])
    assert len(orders) > 1 or examples * variants == 1
    assert set(drawn.latents.given) == {generator}


def test_a_round_goes_on_in_the_next_batch():
    drawn, generator = numbered(5, 1), torch.Generator().manual_seed(0)
    numbers = [int(i) for size in (2, 2, 1, 3, 2) for i in drawn.draw(size, generator)[0]]
    assert sorted(numbers[:5]) == sorted(numbers[5:]) == [0, 1, 2, 3, 4]


def test_draws_are_the_generator_s_alone():
    found = []
    for _ in range(2):
        torch.rand(())
        drawn, generator = numbered(4, 3), torch.Generator().manual_seed(7)
        found.append([drawn.draw(3, generator)[1] for _ in range(5)])
    assert found[0] == found[1]


def test_without_masks_none_are_given():
    plain = TrainingSet(Numbers(torch.arange(2), []), [("a",), ("b",)], None, 1)
    assert plain.draw(2, torch.Generator())[2] is None


def test_captions_are_listed_once_in_their_order():
    drawn = TrainingSet(Numbers(torch.arange(2), []), [("b", "a"), ("a", "c")], None, 1)
    assert drawn.every_caption == ["b", "a", "c"]


def test_a_class_example_weighs_one_unless_said():
    assert Prior([]).weight == 1.0


WHITE = Image.new("RGB", (16, 16), "white")


class Encoder:
    """A backbone of 16 pixels and 4 × 4 latents that keeps what it is given."""

    resolution, latent_shape, device = 16, (4, 4, 4), "cpu"

    def __init__(self):
        self.images = []

    def latents(self, images):
        self.images += images
        return Numbers(torch.arange(len(images)), [])


@pytest.mark.parametrize("augment", [None, Augment(), Augment(variants=9, named=False)])
def test_without_augmentation_each_image_is_encoded_once_as_it_is(augment):
    backbone, images = Encoder(), [WHITE, WHITE.resize((8, 8))]
    made = TrainingSet.prepare(backbone, [Example(i, ("x", "y")) for i in images], augment, torch.Generator())
    assert backbone.images == images and made.variants == 1
    assert made.masks is None and made.captions == [("x", "y")] * 2


@pytest.mark.parametrize("augment", [Augment(scale=True, variants=30), Augment(flip=True, variants=3)])
def test_each_variant_is_encoded_with_its_words_and_its_mask(augment):
    backbone, generator = Encoder(), torch.Generator().manual_seed(0)
    examples = [Example(WHITE, ("a dog",)), Example(WHITE, ("a cat", "the cat"))]
    made = TrainingSet.prepare(backbone, examples, augment, generator)
    count = augment.variants
    assert made.variants == count and len(backbone.images) == len(made.captions) == 2 * count
    assert all(each.size == (16, 16) for each in backbone.images)
    assert [len(captions) for captions in made.captions] == [1] * count + [2] * count
    assert made.masks.shape == (2 * count, 1, 4, 4)
    for image, captions, mask in zip(backbone.images, made.captions, made.masks):
        words = captions[0][: -len("a dog")].strip()
        assert captions[0] == f"{words} a {captions[0][-3:]}".strip()
        assert captions[-1].startswith(words)
        if words in ("zoomed in", "close up") or not augment.scale:
            assert (mask == 1).all()
        else:
            assert mask.sum() < 16
        if words in ("very small", "a far away"):
            assert image.getpixel((0, 0)) != (255, 255, 255) or image.getpixel((15, 15)) != (255, 255, 255)
    if augment.scale:
        said = {captions[0][: -len("a dog")].strip() for captions in made.captions}
        assert said == {"", "zoomed in", "close up", "very small", "a far away"}


def test_masks_lie_where_the_backbone_is():
    backbone = Encoder()
    backbone.device = "meta"
    made = TrainingSet.prepare(
        backbone, [Example(WHITE, ("a dog",))], Augment(flip=True, variants=2), torch.Generator()
    )
    assert made.masks.device.type == "meta"


def left(side=16):
    """The outline of a subject on the left."""
    outline = Image.new("L", (side, side))
    outline.paste(255, (0, 0, side // 2, side))
    return outline


def test_outlines_are_drawn_with_their_examples():
    drawn, generator = numbered(3, 4), torch.Generator().manual_seed(0)
    drawn.outlines = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1)
    for _ in range(20):
        found = drawn.draw(2, generator)
        assert found.outlines.flatten().tolist() == found.latents.tolist()


@pytest.mark.parametrize(
    "augment", [Augment(flip=True, variants=6), Augment(scale=True, flip=True, variants=30)]
)
def test_each_variant_has_its_own_outline(augment):
    backbone, outline = Encoder(), left()
    example = Example(outline.convert("RGB"), ("a dog",), outline)
    made = TrainingSet.prepare(backbone, [example], augment, torch.Generator().manual_seed(0))
    assert made.outlines.shape == (augment.variants, 1, 16, 16) and made.outlines.dtype == torch.uint8
    for image, marked in zip(backbone.images, made.outlines):
        shown = np.asarray(image)[:, :, 0]
        assert np.array_equal(np.where(shown == 127, 0, shown), np.where(shown == 127, 0, marked[0]))
    assert len({marked.numpy().tobytes() for marked in made.outlines}) > 1


def test_an_outline_is_resized_as_its_image_is_and_what_has_none_is_all_subject():
    examples = [Example(WHITE, ("x",), left(32)), Example(WHITE, ("x",))]
    made = TrainingSet.prepare(Encoder(), examples, None, torch.Generator())
    resized = np.asarray(left(32).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(made.outlines[0, 0], resized) and (made.outlines[1] == 255).all()
    assert TrainingSet.prepare(Encoder(), examples[1:], None, torch.Generator()).outlines is None
    flipped = TrainingSet.prepare(Encoder(), examples[1:], Augment(flip=True), torch.Generator())
    assert flipped.outlines is None


def test_a_subject_s_shots_are_examples_with_their_outlines_where_it_knows_them():
    black = Image.new("RGB", (16, 16))
    known = Subject("rex", "dog", (WHITE, black), outlines=lambda: [left(), left(8)])
    first, second = examples_of(known, "a dog", "the dog")
    assert (first.image, second.image) == (WHITE, black)
    assert (first.outline, second.outline) == (left(), left(8))
    assert first.captions == second.captions == ("a dog", "the dog")
    assert examples_of(Subject("rex", "dog", (WHITE,)), "a dog") == [Example(WHITE, ("a dog",))]
    with pytest.raises(ValueError):
        examples_of(Subject("rex", "dog", (WHITE,), outlines=lambda: []), "a dog")
