"""The batched sampler draws the images of diffusers' own pipeline, whatever the batch."""

import functools

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
)

from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.sampling import sample, sample_images
from harness.errors import BackboneError

REFERENCE = {
    "ddim": DDIMScheduler,
    "dpmsolver++": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "pndm": PNDMScheduler,
}
PROMPTS = ["a photo of a dog", "a cat in the snow", "a red mug"]
SEEDS = [3, 2**40 + 1, 3]


@functools.cache
def pipeline(folder):
    loaded = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def with_sampler(folder, sampler):
    loaded = pipeline(folder)
    loaded.scheduler = REFERENCE[sampler].from_config(loaded.scheduler.config)
    return loaded


def theirs(folder, sampler, guidance):
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    images = with_sampler(folder, sampler)(
        PROMPTS, num_inference_steps=6, guidance_scale=guidance, generator=generators, output_type="np"
    ).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def ours(backbone, sampler, guidance, chosen=slice(None)):
    latents = sample(
        backbone, PROMPTS[chosen], seeds=SEEDS[chosen], sampler=sampler, steps=6, guidance=guidance
    )
    with torch.no_grad():
        return backbone.images(latents)


@pytest.mark.parametrize("guidance", [1.0, 7.5])
@pytest.mark.parametrize("sampler", REFERENCE)
def test_equals_the_pipeline(backbone, tiny_sd, sampler, guidance):
    assert (ours(backbone, sampler, guidance) - theirs(tiny_sd, sampler, guidance)).abs().max() <= 1e-4


def test_equals_the_pipeline_with_v_prediction(tiny_sd_v, cache):
    backbone = load_backbone(str(tiny_sd_v), cache=cache)
    assert (ours(backbone, "ddim", 5.0) - theirs(tiny_sd_v, "ddim", 5.0)).abs().max() <= 1e-4


@pytest.mark.parametrize("sampler", REFERENCE)
def test_batch_size_changes_no_image(backbone, sampler):
    whole = ours(backbone, sampler, 5.0)
    single = torch.cat([ours(backbone, sampler, 5.0, slice(i, i + 1)) for i in range(3)])
    assert (whole - single).abs().max() <= 1e-4


def test_images_depend_on_their_seed(backbone):
    first, _, third = ours(backbone, "ddim", 1.0)
    assert (first - third).abs().max() > 1e-3  # same seed, another prompt
    twice = sample(backbone, [PROMPTS[0]] * 2, seeds=[1, 2], sampler="ddim", steps=2, guidance=1.0)
    assert not torch.equal(twice[0], twice[1])


def test_guidance_one_calls_the_denoiser_once_per_image(backbone, monkeypatch):
    calls = []
    original = type(backbone).predict
    monkeypatch.setattr(
        type(backbone),
        "predict",
        lambda self, noisy, t, conditioning: (
            calls.append(len(noisy)) or original(self, noisy, t, conditioning)
        ),
    )
    sample_images(backbone, ["a dog"], seeds=[0], sampler="ddim", steps=2, guidance=1.0)
    sample_images(backbone, ["a dog"], seeds=[0], sampler="ddim", steps=2, guidance=2.0)
    assert calls == [1, 1, 2, 2]


def test_sampled_images_are_bytes(backbone):
    images = sample_images(backbone, PROMPTS, seeds=SEEDS, sampler="ddim", steps=2, guidance=3.0)
    assert images.shape == (3, 3, 32, 32)
    assert images.dtype == torch.uint8


@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++"])
def test_bfloat16_is_the_denoisers_alone(backbone, monkeypatch, sampler):
    seen = []
    predict = type(backbone).predict
    monkeypatch.setattr(
        type(backbone),
        "predict",
        lambda self, *asked: seen.append(torch.is_autocast_enabled("cpu")) or predict(self, *asked),
    )
    asked = {"seeds": SEEDS, "sampler": sampler, "steps": 4, "guidance": 5.0}
    half, whole = (sample(backbone, PROMPTS, **asked, precision=each) for each in ("bf16", None))
    assert seen == [True] * 4 + [False] * 4
    assert half.dtype == whole.dtype == torch.float32
    moved = (half - whole).norm() / whole.norm()
    assert 0 < moved < 0.05
    assert not torch.equal(half, half.bfloat16().float())  # the solver goes on in float32


def test_unknown_sampler_names_the_known(backbone):
    with pytest.raises(BackboneError, match="did you mean 'ddim'"):
        sample_images(backbone, ["a dog"], seeds=[0], sampler="dimm", steps=2, guidance=1.0)


def test_prompts_and_seeds_come_in_pairs(backbone):
    with pytest.raises(ValueError, match="2 prompts need as many seeds, got 1"):
        sample(backbone, ["a", "b"], seeds=[0], sampler="ddim", steps=2, guidance=1.0)
