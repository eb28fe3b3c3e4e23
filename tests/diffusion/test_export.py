"""What is exported makes the same images in plain diffusers."""

from __future__ import annotations

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline

import harness.diffusion.export
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.export import load, load_token, write
from harness.diffusion.sampling import sample
from harness.diffusion.weights.gates import RankOverTime
from harness.errors import BackboneError

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


FAMILIES = ["tiny_sd", "tiny_sd_v", "tiny_sdxl", "tiny_sd3"]


@pytest.fixture(params=FAMILIES)
def folder(request):
    return request.getfixturevalue(request.param)


def plain_pipeline(folder):
    """diffusers' own pipeline, with the sampler that the harness uses too."""
    pipe = DiffusionPipeline.from_pretrained(folder)
    if hasattr(pipe, "unet"):
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn(pipe, prompts, **more):
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    settings = {"num_inference_steps": 4, "guidance_scale": 5.0, "output_type": "np"}
    images = pipe(prompts, generator=generators, **settings, **more).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("change", [everything, keys_and_values, adapters, token])
def test_the_printed_code_makes_the_same_images_in_plain_diffusers(folder, cache, tmp_path, change):
    backbone = load_backbone(str(folder), cache=cache)
    change(backbone)
    prompts = ["a photo of a <v> dog" if backbone.new_tokens else "a photo of a dog", "a red mug"]
    sampler = "euler" if backbone.family == "sd3" else "ddim"
    latents = sample(backbone, prompts, seeds=SEEDS, sampler=sampler, steps=4, guidance=5.0)
    with torch.no_grad():
        ours = backbone.images(latents)
    code = "\n".join(write(backbone, tmp_path / "export"))
    pipe = plain_pipeline(folder)
    untouched = drawn(pipe, ["a photo of a dog", "a red mug"])
    exec(code, {"pipe": pipe, "diffusers": diffusers, "harness": harness})
    more = {}
    if "prompt_3" in code:  # as the printed comment says
        more["prompt_3"] = [prompt.replace("<v>", "dog") for prompt in prompts]
    assert (ours - drawn(pipe, prompts, **more)).abs().max() <= 1e-4
    assert (ours - untouched).abs().max() > 1e-3


def test_a_token_that_is_a_word_already_is_refused(tiny_sdxl, cache, tmp_path):
    backbone = load_backbone(str(tiny_sdxl), cache=cache)
    token(backbone)
    write(backbone, tmp_path)
    with pytest.raises(ValueError, match="'dog' is a word of the tokenizer already"):
        load_token(plain_pipeline(tiny_sdxl), tmp_path, token="dog")


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


def test_adapters_that_are_not_always_on_have_no_file(backbone, tmp_path):
    gate = RankOverTime(2, 1, 1.0, 1000)
    stir(backbone.adaptation.adapters(rank=2, alpha=5.0, targets=["to_q"], seed=0, gate=gate))
    with pytest.raises(BackboneError, match="diffusers' LoRA is always on, these adapters are not"):
        write(backbone, tmp_path / "out")
    assert not (tmp_path / "out").exists()
