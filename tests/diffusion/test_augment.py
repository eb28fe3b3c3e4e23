"""Augmented images keep their size, say in words what was done, and mark where the photo is."""

import torch

from harness.diffusion.augment import LARGE_WORDS, SMALL_WORDS, Augment, vary


def variants(photo, augment, n=60):
    generator = torch.Generator().manual_seed(0)
    image = photo.resize((32, 32))
    return image, [vary(image, augment, latent_side=8, generator=generator) for _ in range(n)]


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
            assert one.mask.sum() <= 36


def test_the_mask_lies_inside_the_photo(photos):
    white = photos[0].point(lambda _: 255)
    _, made = variants(white, Augment(scale=True))
    for one in made:
        if one.mask is not None and one.mask.sum() > 1:
            pixels = torch.frombuffer(bytearray(one.image.tobytes()), dtype=torch.uint8).view(32, 32, 3)
            inside = one.mask[0].repeat_interleave(4, 0).repeat_interleave(4, 1).bool()
            assert (pixels[inside] == 255).all()
