"""Alignment is the loss of its definition, on every family; a weight of 0 is none, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from harness.diffusion.alignment import FeatureAlignment
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.denoising import DenoisingLoss
from harness.diffusion.draws import MicroBatch
from harness.diffusion.examples import Example
from harness.diffusion.training import Trainer

FAMILIES = ("tiny_sd", "tiny_sd_v", "tiny_sdxl", "tiny_sd3")
CAPTIONS = ["a photo of a sks dog", "a photo of a sks dog", "a dog", "a dog"]


def features(images):
    """An encoder that is a fixed linear map of small images."""
    small = F.interpolate(images, (4, 4), mode="area").flatten(1)
    drawn = torch.randn(small.shape[1], 6, generator=torch.Generator().manual_seed(5))
    return F.normalize(small @ drawn, dim=-1)


def outlines_of(backbone):
    """Subjects with soft edges: one in the upper left corner, one everywhere but on the right."""
    side = backbone.resolution
    shares = torch.ones(2, 1, side, side)
    shares[0, :, side // 2 :] = shares[0, :, :, side // 2 :] = shares[1, :, :, -side // 4 :] = 0.0
    shares[:, :, side // 2] = shares[:, :, :, side // 4] = 0.25
    return (shares * 255).round().to(torch.uint8)


def micro_batch(backbone, timesteps, *, masks=None, outlines=None):
    generator = torch.Generator().manual_seed(0)
    latents = 0.5 * torch.randn(4, *backbone.latent_shape, generator=generator)
    noise = torch.randn(latents.shape, generator=generator)
    return MicroBatch(latents, CAPTIONS, noise, torch.tensor(timesteps), 2, masks, outlines=outlines)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_predicted_of_the_clean_latent_is_it_for_a_perfect_prediction(family, cache, request):
    folder: Path = request.getfixturevalue(family)
    backbone = load_backbone(str(folder), cache=cache)
    drawn = micro_batch(backbone, [1, 300, 600, 900])
    noisy = backbone.add_noise(drawn.latents, drawn.noise, drawn.timesteps)
    target = backbone.target(drawn.latents, drawn.noise, drawn.timesteps)
    clean = backbone.clean_latents(noisy, target, drawn.timesteps)
    torch.testing.assert_close(clean, drawn.latents, atol=1e-4, rtol=1e-4)
    aligned = FeatureAlignment({"dino": (0.5, features)}, 1.0)
    assert float(aligned.loss(backbone, drawn, noisy, target)) == pytest.approx(0.0, abs=1e-5)


def restated(backbone, drawn, weight, below):
    """The definition with the schedule's numbers read off the scheduler, one example after the other."""
    noisy = backbone.add_noise(drawn.latents, drawn.noise, drawn.timesteps)
    predicted = backbone.predict(noisy, drawn.timesteps, backbone.conditioning(drawn.captions))
    total = torch.zeros(())
    for i in range(2):
        t = int(drawn.timesteps[i])
        if t >= below * 1000:
            continue
        if backbone.family == "sd3":
            clean = noisy[i] - t / 1000 * predicted[i]
        else:
            alpha = backbone.scheduler("ddim", 10).alphas_cumprod[t]
            if backbone.prediction == "epsilon":
                clean = (noisy[i] - (1 - alpha).sqrt() * predicted[i]) / alpha.sqrt()
            else:
                clean = alpha.sqrt() * noisy[i] - (1 - alpha).sqrt() * predicted[i]
        image, shot = backbone.images(clean[None]), backbone.images(drawn.latents[i][None])
        if drawn.outlines is not None:
            weight_of_pixel = drawn.outlines[i].double() / 255
            image, shot = (
                torch.stack([0.5 + (each[0, c].double() - 0.5) * weight_of_pixel[0] for c in range(3)])[
                    None
                ].float()
                for each in (image, shot)
            )
        total = total + weight * (1 - (features(image) * features(shot)).sum()) / 2
    return total


@pytest.mark.parametrize("outlined", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_are_those_of_the_definition(family, outlined, cache, request):
    folder: Path = request.getfixturevalue(family)
    backbone = load_backbone(str(folder), cache=cache)
    parameters = backbone.parameters("denoiser")
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    outlines = outlines_of(backbone) if outlined else None
    drawn = micro_batch(backbone, [50, 250, 100, 100], outlines=outlines)
    plain = DenoisingLoss(backbone, 0.5)
    aligned = replace(plain, alignment=FeatureAlignment({"dino": (0.7, features)}, 0.4))
    wanted = plain(drawn) + restated(backbone, drawn, 0.7, 0.4)
    found = aligned(drawn)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    assert float(found) > float(plain(drawn))
    names = [name for name, parameter in parameters.items() if parameter.ndim > 1][:12]
    chosen = [parameters[name] for name in names]
    ours = torch.autograd.grad(found, chosen)
    theirs = torch.autograd.grad(wanted, chosen)
    without = torch.autograd.grad(plain(drawn), chosen)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * float(b.abs().max()) + 1e-9, rtol=1e-4)
    assert any(not torch.allclose(a, c, rtol=1e-3) for a, c in zip(ours, without, strict=True))


def test_only_the_subjects_examples_below_the_level_count(backbone):
    aligned = FeatureAlignment({"dino": (1.0, features)}, 0.4)

    def value(*timesteps):
        drawn = micro_batch(backbone, timesteps)
        noisy = backbone.add_noise(drawn.latents, drawn.noise, drawn.timesteps)
        return aligned.loss(backbone, drawn, noisy, torch.zeros_like(noisy))

    assert value(400, 999, 0, 0) is None
    one, both = value(399, 400, 0, 0), value(399, 200, 0, 0)
    assert 0 < float(one) < float(both)
    assert float(value(399, 400, 999, 999)) == float(one)


def test_outside_of_a_mask_nothing_is_seen(backbone):
    aligned = FeatureAlignment({"dino": (1.0, features)}, 1.0)
    masks = torch.zeros(2, 1, *backbone.latent_shape[1:])
    drawn = micro_batch(backbone, [300, 300, 0, 0], masks=masks)
    noisy = backbone.add_noise(drawn.latents, drawn.noise, drawn.timesteps)
    nothing = aligned.loss(backbone, drawn, noisy, torch.zeros_like(noisy))
    assert float(nothing) == pytest.approx(0.0, abs=1e-6)
    everything = aligned.loss(backbone, replace(drawn, masks=1 - masks), noisy, torch.zeros_like(noisy))
    plain = aligned.loss(backbone, replace(drawn, masks=None), noisy, torch.zeros_like(noisy))
    assert float(everything) == pytest.approx(float(plain), rel=1e-6) and float(plain) > 1e-4


@pytest.mark.parametrize("masked", [False, True])
def test_what_images_show_off_the_outline_does_not_count(backbone, masked, monkeypatch):
    """Images are made of latents pixel by pixel, so that a background has latents of its own."""
    wide = lambda latents: torch.nn.functional.interpolate(latents[:, :3], (32, 32)).sigmoid()  # noqa: E731
    monkeypatch.setattr(backbone, "images", wide)
    aligned = FeatureAlignment({"dino": (1.0, features)}, 1.0)
    cells = torch.zeros(2, 1, *backbone.latent_shape[1:])
    cells[:, :, 2:5, 3:6] = 1
    masks = torch.zeros_like(cells) if masked else None
    if masks is not None:
        masks[:, :, :4] = 1
    outlines = (F.interpolate(cells, (32, 32)) * 255).to(torch.uint8)
    drawn = micro_batch(backbone, [300, 100, 0, 0], masks=masks, outlines=outlines)
    noisy = backbone.add_noise(drawn.latents, drawn.noise, drawn.timesteps)

    def value(where, *, of="latents"):
        """The loss after the latents, or what is predicted, changed in some cells."""
        change = torch.cat([where, where]).expand_as(drawn.latents)
        predicted = torch.full_like(noisy, 0.3) + (change if of == "predicted" else 0)
        latents = drawn.latents + (change if of == "latents" else 0)
        return float(aligned.loss(backbone, replace(drawn, latents=latents), noisy, predicted))

    subject = cells if masks is None else cells * masks
    unchanged = value(torch.zeros_like(cells))
    for of in ("latents", "predicted"):
        assert value(1 - subject, of=of) == unchanged
        assert value(subject, of=of) != unchanged


def fitted(backbone, photos, alignment, outlines=(None, None)):
    """Two steps of training; the weights and losses that they came to."""
    trainer = Trainer(seed=0, alignment=alignment)
    parameters = backbone.parameters("denoiser")
    examples = [Example(*each) for each in zip(photos[:2], [(CAPTIONS[0],)] * 2, outlines)]
    trainer.fit(backbone, parameters=parameters, examples=examples, steps=2, lr=1e-3, batch=2)
    weights = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    backbone.restore()
    return weights, trainer.losses


def test_a_weight_of_0_is_no_alignment_bit_for_bit_and_another_weight_is_one(backbone, photos):
    plain, losses = fitted(backbone, photos, None)
    zero, same = fitted(backbone, photos, FeatureAlignment({"dino": (0.0, features)}, 1.0))
    assert same == losses and all(torch.equal(zero[name], plain[name]) for name in plain)
    other, more = fitted(backbone, photos, FeatureAlignment({"dino": (1.0, features)}, 1.0))
    assert more[0] > losses[0] and any(not torch.equal(other[name], plain[name]) for name in plain)
    assert all(parameter.grad is None for parameter in backbone.networks.autoencoder.parameters())


def test_an_outline_counts_for_alignment_alone_and_a_whole_one_is_none_bit_for_bit(backbone, photos):
    aligned = FeatureAlignment({"dino": (1.0, features)}, 1.0)
    whole, half = (Image.new("L", photos[0].size, 255) for _ in range(2))
    half.paste(0, (0, 0, half.width // 2, half.height))
    unaligned = fitted(backbone, photos, None)
    for none in (None, FeatureAlignment({"dino": (0.0, features)}, 1.0)):
        weights, losses = fitted(backbone, photos, none, (half, half))
        assert losses == unaligned[1] and all(torch.equal(weights[n], unaligned[0][n]) for n in weights)
    plain, losses = fitted(backbone, photos, aligned)
    same, equal = fitted(backbone, photos, aligned, (whole, whole))
    assert equal == losses and all(torch.equal(same[name], plain[name]) for name in plain)
    other, others = fitted(backbone, photos, aligned, (half, half))
    assert others != losses and any(not torch.equal(other[name], plain[name]) for name in plain)
