"""Augmented images keep their size, say in words what was done, and mark where the photo is."""

import pytest
import torch
from PIL import Image

from harness.diffusion import augment as module
from harness.diffusion.augment import GREY, LARGE_WORDS, SMALL_WORDS, Augment, Variant, _cropped, _size, vary


def variants(photo, augment, n=60):
    generator = torch.Generator().manual_seed(0)
    image = photo.resize((32, 32))
    return image, [vary(image, augment, side=32, latent_side=8, generator=generator) for _ in range(n)]


def test_no_augmentation_changes_nothing(photos):
    image, made = variants(photos[0], Augment())
    assert all(one.image == image and one.words == "" and one.mask is None for one in made)


def test_flips_are_half(photos):
    image, made = variants(photos[0], Augment(flip=True), n=200)
    assert 70 < sum(one.image != image for one in made) < 130


def test_words_and_masks_follow_the_scale(photos):
    _, made = variants(photos[0], Augment(scale=True))
    words = {one.words for one in made}
    assert words == {"", *SMALL_WORDS, *LARGE_WORDS}
    for one in made:
        assert one.image.size == (32, 32)
        if one.words in LARGE_WORDS:
            assert one.mask is None
        else:
            assert one.mask.shape == (1, 8, 8)
            assert 1 <= one.mask.sum() <= 64
        if one.words in SMALL_WORDS:
            assert one.mask.sum() <= 9


def pixels(image):
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)


def shown(one):
    """Left, top, right and bottom edge of a white photo on its ground."""
    rows, columns = (pixels(one.image) == 255).all(2).nonzero().unbind(1)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_the_mask_leaves_out_the_outermost_cells_of_the_photo(photos):
    white = photos[0].point(lambda _: 255)
    _, made = variants(white, Augment(scale=True), n=200)
    masked = [one for one in made if one.mask is not None]
    assert len({shown(one) for one in masked}) > 50
    for one in masked:
        left, top, right, bottom = shown(one)
        expected = torch.zeros(8, 8)
        for row in range(8):  # cells are 4 pixels wide; as in the published code, line by line
            for column in range(8):
                inside = top // 4 + 1 <= row < bottom // 4 - 1 and left // 4 + 1 <= column < right // 4 - 1
                expected[row, column] = inside
        if not expected.any():
            expected[int((top + bottom) / 2 / 4), int((left + right) / 2 / 4)] = 1
        difference = (one.mask[0] - expected).nonzero()
        middle = [int((top + bottom) / 2 / 4), int((left + right) / 2 / 4)]
        assert difference.tolist() in ([], [middle])


def test_even_a_whole_photo_loses_its_border():
    made = [
        vary(
            Image.new("RGB", (16, 16)),
            Augment(scale=True),
            side=16,
            latent_side=4,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in range(200)
    ]
    sums = {int(one.mask.sum()) for one in made if one.mask is not None}
    assert max(sums) == 4  # of 16 cells


def test_from_the_share_on_a_photo_stays_whole(photos):
    _, made = variants(photos[0], Augment(scale=True, whole_from=0.6), n=200)
    kept = [one for one in made if one.words == ""]
    assert kept and all(one.mask is None and one.image == kept[0].image for one in kept)
    assert all(one.mask is not None for one in made if one.words in SMALL_WORDS)


def test_captions_can_leave_the_scale_unsaid(photos):
    _, made = variants(photos[0], Augment(scale=True, named=False))
    assert {one.words for one in made} == {""}
    assert any(one.mask is not None and one.mask.min() == 0 for one in made)


@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
def test_a_photo_is_resized_once_from_the_size_that_it_comes_in(photos, name):
    generator = torch.Generator().manual_seed(0)
    made = [
        vary(photos[0], Augment(flip=True, filter=name), side=32, latent_side=8, generator=generator)
        for _ in range(20)
    ]
    straight = photos[0].resize((32, 32), getattr(Image.Resampling, name.upper()))
    assert {one.image.tobytes() for one in made} == {
        straight.tobytes(),
        straight.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes(),
    }


@pytest.mark.parametrize(("whole_from", "kept"), [(1.0, set(range(33, 101))), (0.6, {*range(33, 60), 100})])
def test_two_times_in_three_a_photo_shrinks_to_a_third_or_more_and_else_it_grows_by_a_fifth_or_more(
    whole_from, kept
):
    generator = torch.Generator().manual_seed(0)
    drawn = [_size(Augment(scale=True, whole_from=whole_from), 100, generator) for _ in range(3000)]
    assert {size for size in drawn if size <= 100} == kept
    assert {size for size in drawn if size > 100} == set(range(120, 141))
    assert sum(size > 100 for size in drawn) / 3000 == pytest.approx(1 / 3, abs=0.03)
    assert _size(Augment(flip=True), 100, generator) == 100


def test_a_shrunk_photo_lies_anywhere_on_grey_and_below_six_tenths_it_is_called_small():
    white, generator = Image.new("L", (40, 40), 255), torch.Generator().manual_seed(0)
    augment = Augment(scale=True)
    made = [vary(white, augment, side=30, latent_side=10, generator=generator) for _ in range(1500)]
    shrunk = [one for one in made if one.words not in LARGE_WORDS]
    corners, far = set(), set()
    for one in shrunk:
        left, top, right, bottom = shown(one)
        outside = torch.ones(30, 30, dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert (pixels(one.image)[outside] == torch.tensor(GREY)).all()
        assert (pixels(one.image)[~outside] == 255).all() and right - left == bottom - top
        assert (one.words in SMALL_WORDS) == (right - left < 18)
        corners |= {("left", left), ("top", top)} & {("left", 0), ("top", 0)}
        far |= {("right", right), ("bottom", bottom)} & {("right", 30), ("bottom", 30)}
    assert {shown(one)[2] - shown(one)[0] for one in shrunk} == set(range(10, 31))
    assert len(corners) == len(far) == 2


def test_a_crop_is_any_square_of_the_enlarged_photo():
    photo = Image.new("RGB", (12, 12))
    photo.putdata([(row, column, 7) for row in range(12) for column in range(12)])
    generator = torch.Generator().manual_seed(0)
    made = [_cropped(Variant(photo), 10, generator) for _ in range(200)]
    for one in made:
        top, left, _ = one.image.getpixel((0, 0))
        assert one.image.size == (10, 10) and one.mask is None
        assert one.image.getpixel((9, 9)) == (top + 9, left + 9, 7)
    assert {one.image.getpixel((0, 0))[:2] for one in made} == {(r, c) for r in range(3) for c in range(3)}
    assert {one.words for one in made} == set(LARGE_WORDS)


def test_a_photo_of_any_mode_becomes_colours(photos):
    generator = torch.Generator().manual_seed(0)
    for mode in ("L", "RGBA", "P"):
        for size in ((16, 16), (20, 24)):
            photo = photos[0].convert(mode).resize(size)
            assert vary(photo, Augment(), side=16, latent_side=4, generator=generator).image.mode == "RGB"


def test_a_photo_of_the_right_size_is_not_resampled(photos):
    image = photos[0].resize((32, 32))
    for name in ("bicubic", "bilinear"):
        generator = torch.Generator().manual_seed(0)
        made = vary(image, Augment(filter=name), side=32, latent_side=8, generator=generator)
        assert made.image.tobytes() == image.tobytes()


def test_unnamed_variants_are_the_named_ones_without_their_words(photos):
    for scale in ({"scale": True}, {"scale": True, "flip": True, "whole_from": 0.7}):
        _, named = variants(photos[0], Augment(**scale), n=80)
        _, unnamed = variants(photos[0], Augment(named=False, **scale), n=80)
        for one, other in zip(named, unnamed, strict=True):
            assert one.image == other.image and other.words == ""
            assert (one.mask is None) == (other.mask is None)
            assert one.mask is None or torch.equal(one.mask, other.mask)


@pytest.mark.parametrize(("drawn", "mirrored"), [(0.0, True), (0.499, True), (0.5, False), (0.999, False)])
def test_the_lower_half_of_what_is_drawn_mirrors(photos, monkeypatch, drawn, mirrored):
    monkeypatch.setattr(module, "_uniform", lambda generator: drawn)
    image = photos[0].resize((32, 32))
    made = vary(image, Augment(flip=True), side=32, latent_side=8, generator=torch.Generator())
    assert (made.image == image) != mirrored


def test_randomness_is_the_generator_s_alone(photos):
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        _, made = variants(photos[0], Augment(flip=True, scale=True), n=40)
        assert torch.equal(torch.get_rng_state(), state)
        found.append([(one.words, one.image.tobytes()) for one in made])
    assert found[0] == found[1]


@pytest.mark.parametrize("filtered", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
def test_an_outline_is_flipped_shrunk_and_cut_as_its_photo(filtered, size):
    outline = Image.new("L", size)
    outline.paste(255, (3, 5, 11, 20))  # left of the middle
    photo = outline.convert("RGB")
    augment = Augment(flip=True, scale=True, filter=filtered)
    given, alone = (torch.Generator().manual_seed(0) for _ in range(2))
    kinds = set()
    for _ in range(80):
        made = vary(photo, augment, side=32, latent_side=8, generator=given, outline=outline)
        same = vary(photo, augment, side=32, latent_side=8, generator=alone)
        assert same.outline is None and (same.image, same.words) == (made.image, made.words)
        assert made.outline.mode == "L" and made.outline.size == (32, 32)
        marked = torch.frombuffer(bytearray(made.outline.tobytes()), dtype=torch.uint8).view(32, 32)
        shown = pixels(made.image)[:, :, 0]
        ground = (shown == GREY[0]) & (marked == 0)
        assert ((shown == marked) | ground).all()
        assert not ground.any() or made.words not in LARGE_WORDS
        kinds.add(made.words)
    assert kinds == {"", *SMALL_WORDS, *LARGE_WORDS}


def test_an_outline_is_flipped_with_its_photo():
    outline = Image.new("L", (16, 16))
    outline.paste(255, (0, 0, 8, 16))
    seen = set()
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        made = vary(
            outline.convert("RGB"),
            Augment(flip=True),
            side=16,
            latent_side=4,
            generator=generator,
            outline=outline,
        )
        assert made.image.getchannel(0).tobytes() == made.outline.tobytes()
        seen.add(made.outline.getpixel((0, 0)))
    assert seen == {0, 255}
