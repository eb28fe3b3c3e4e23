"""What is exported makes the same pictures in plain diffusers."""

from __future__ import annotations

import diffusers  # noqa: F401 (the lines that an export prints name it)
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

import harness.diffusion.export
from harness.diffusion.backbones.locate import BackboneError
from harness.diffusion.export import load, write

SEEDS = [3, 4]


def stir(parameters):
    """Change what was handed out, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)


def everything(backbone):
    stir(backbone.parameters("denoiser"))


def keys_and_values(backbone):
    stir(backbone.parameters("cross_attention_kv"))
    stir(backbone.token_rows(["<v>"], ["dog"]))


def adapters(backbone):
    stir(backbone.adapters(rank=2, alpha=5.0, targets=["to_q", "to_v"], seed=0))


def token(backbone):
    stir(backbone.token_rows(["<v>"], ["dog"]))


def drawn(pipe, prompts):
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    images = pipe(
        prompts, num_inference_steps=4, guidance_scale=5.0, generator=generators, output_type="np"
    ).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("change", [everything, keys_and_values, adapters, token])
def test_plain_diffusers_makes_the_same_pictures(backbone, tiny_sd, tmp_path, change):
    change(backbone)
    prompts = ["a photo of a <v> dog" if backbone.new_tokens else "a photo of a dog", "a red mug"]
    latents = harness.diffusion.backbones.base.sample(
        backbone, prompts, seeds=SEEDS, sampler="ddim", steps=4, guidance=5.0
    )
    with torch.no_grad():
        ours = backbone.pictures(latents)
    lines = write(backbone, tmp_path / "export")
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    untouched = drawn(pipe, ["a photo of a dog", "a red mug"])
    for line in lines:
        exec(line)
    assert (ours - drawn(pipe, prompts)).abs().max() <= 1e-4
    assert (ours - untouched).abs().max() > 1e-3


def test_base_model_is_nothing_to_export(backbone, tmp_path):
    with pytest.raises(BackboneError, match="nothing was trained"):
        write(backbone, tmp_path)


def test_weights_of_another_model_are_refused(backbone, tiny_sd, tmp_path):
    keys_and_values(backbone)
    write(backbone, tmp_path)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    pipe.unet = torch.nn.Linear(1, 1)
    with pytest.raises(BackboneError, match="does not fit Linear"):
        load(pipe, tmp_path)
