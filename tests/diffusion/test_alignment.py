"""Alignment is the loss of its definition, on every family; a weight of 0 is none, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
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


def micro_batch(backbone, timesteps, *, masks=None):
    generator = torch.Generator().manual_seed(0)
    latents = 0.5 * torch.randn(4, *backbone.latent_shape, generator=generator)
    noise = torch.randn(latents.shape, generator=generator)
    return MicroBatch(latents, CAPTIONS, noise, torch.tensor(timesteps), 2, masks)


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
        total = total + weight * (1 - (features(image) * features(shot)).sum()) / 2
    return total


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_are_those_of_the_definition(family, cache, request):
    folder: Path = request.getfixturevalue(family)
    backbone = load_backbone(str(folder), cache=cache)
    parameters = backbone.parameters("denoiser")
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    drawn = micro_batch(backbone, [50, 250, 100, 100])
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


def fitted(backbone, photos, alignment):
    """Two steps of training; the weights and losses that they came to."""
    trainer = Trainer(seed=0, alignment=alignment)
    parameters = backbone.parameters("denoiser")
    examples = [Example(photo, (CAPTIONS[0],)) for photo in photos[:2]]
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
