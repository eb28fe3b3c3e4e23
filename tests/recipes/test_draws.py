"""What is drawn: the shots themselves or mirrored, class images as diffusers draws them, ε and t."""

from __future__ import annotations

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from PIL import Image, ImageChops, ImageOps

from harness.diffusion.prior import prior_images
from harness.diffusion.seeds import named_seed

SMALL = {"steps": 6, "lr": 1e-3, "batch": 2}


def nearest(latents, candidates):
    """Index of the candidate that each latent equals; −1 where none does."""
    distances = (latents[:, None] - candidates[None]).flatten(2).abs().amax(-1)
    return [int(row.argmin()) if row.min() < 1e-3 else -1 for row in distances]


def test_the_shots_are_drawn_as_they_are(pair, photos):
    fitted = pair.fit("dreambooth", photos, **SMALL)
    drawn = nearest(torch.cat([one.latents for one in fitted.drawn]), pair.reference.latents(photos))
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == [0, 1, 2, 3, 4]


def test_flip_mirrors_half_of_the_shots(pair, photos):
    fitted = pair.fit("custom_diffusion", photos, prior_weight=0.0, scale=False, **{**SMALL, "batch": 4})
    whole = [photo.resize((32, 32), Image.Resampling.BILINEAR) for photo in photos]
    candidates = pair.reference.latents([*whole, *(ImageOps.mirror(photo) for photo in whole)])
    drawn = nearest(torch.cat([one.latents for one in fitted.drawn]), candidates)
    assert -1 not in drawn
    assert 4 <= sum(i >= 5 for i in drawn) <= 20


def test_class_images_are_learnt_beside_the_subject(pair, photos):
    fitted = pair.fit("dreambooth", photos, prior_weight=1.0, prior_count=3, **SMALL)
    images, _ = prior_images(pair.backbone, "a photo of a dog", 3)
    others = torch.cat([one.latents[one.subject :] for one in fitted.drawn])
    drawn = nearest(others, pair.reference.latents(images))
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]


def test_class_images_are_what_the_pipeline_draws_with_guidance(pair):
    prompt = "a photo of a dog"
    images, _ = prior_images(pair.backbone, prompt, 2)
    pipeline = pair.reference.pipeline
    pipeline.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 28, "guidance_scale": 5.0}
    if pair.family != "sd3":
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
        settings = {"num_inference_steps": 25, "guidance_scale": 7.5}
    generators = [torch.Generator().manual_seed(named_seed("prior", prompt, i)) for i in range(2)]
    expected = pipeline([prompt] * 2, generator=generators, **settings).images
    for image, wanted in zip(images, expected):
        assert difference(image, wanted) <= 1


def difference(one: Image.Image, other: Image.Image) -> int:
    return max(high for _, high in ImageChops.difference(one, other).getextrema())


def test_noise_and_timesteps_are_fresh_for_every_example(pair, photos):
    fitted = pair.fit("dreambooth", photos, prior_weight=1.0, prior_count=3, **{**SMALL, "steps": 30})
    noise = torch.cat([one.noise for one in fitted.drawn])
    assert len(torch.unique(noise.flatten(1), dim=0)) == len(noise) == 120
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)
    share = torch.cat([one.timesteps for one in fitted.drawn]).float() / 1000
    if pair.family == "sd3":  # logit-normal, then shifted by 3: σ = 3s / (1 + 2s)
        share = (share / (3 - 2 * share)).logit()
        assert float(share.mean()) == pytest.approx(0, abs=0.25)
        assert float(share.std()) == pytest.approx(1, abs=0.2)
    else:
        assert float(share.mean()) == pytest.approx(0.5, abs=0.07)
        assert float(share.std()) == pytest.approx(12**-0.5, abs=0.04)
