"""Values on fresh prompts are the harness's own measures; the derivative along the change is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.datasets.base import DrawnPrompt
from harness.diffusion.backbones.loading import load_backbone
from harness.metrics.encoders.registry import load_encoder
from harness.metrics.scorer_inputs import Encoders
from harness.metrics.scores.noise_drift import noise_distance
from harness.specs import DriftSet, EncoderSpec, Sampling
from harness.trial import fresh_prompts, local_lipschitz
from harness.trial.fresh_prompts import Examination, relative_change
from harness.trial.noise_probe import NoiseProbe, predict
from harness.trial.reference import ReferenceSampler

SAMPLING = Sampling(steps=2, guidance=2.0)
DRIFT = DriftSet(prompts=8, timesteps=3, images=4)
TEXTS = ("a dog in the snow", "a cat on the beach", "a photo of a mug", "a boot", "a dog")


def quiet(*told):
    """Progress that nobody watches."""


def moved(backbone, kind, size=0.05):
    """Change the denoiser as a fit would, and return the change."""
    generator = torch.Generator().manual_seed(1)
    if kind == "full":
        parameters = backbone.parameters("denoiser")
    elif kind == "adapters":
        parameters = backbone.adapters(rank=2, alpha=2.0, targets=("to_q", "to_v"), seed=0)
    elif kind == "tokens":
        parameters = backbone.token_rows(["<v>"], init=["dog"])
    else:
        parameters = backbone.adaptation.singular_values()
    with torch.no_grad():
        for parameter in parameters.values():
            scale = size * (parameter.std() if parameter.numel() > 1 and parameter.any() else 1.0)
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return backbone.delta()


def examination(backbone, whole, tiny_vit, texts=TEXTS, answers=None):
    dino = load_encoder(EncoderSpec(model="test_vit", checkpoint=str(tiny_vit)), device="cpu")
    drawn = [DrawnPrompt(text, "class") for text in texts]
    sampler = ReferenceSampler(backbone, SAMPLING, DRIFT)
    return Examination(sampler, whole, Encoders({"dino": dino}), drawn, seed=0, answers=answers)


def test_values_are_those_of_the_definition_and_the_parts_do_not_matter(backbone, tiny_vit, monkeypatch):
    whole = moved(backbone, "full", size=0.5)
    examined = examination(backbone, whole, tiny_vit)
    found = examined.values(quiet)
    probe = examined.probe(slice(0, len(TEXTS)))
    tuned = predict(backbone, probe).double().numpy().reshape(5, 3, -1)
    base = probe.predictions.double().numpy().reshape(5, 3, -1)
    change = np.linalg.norm(tuned - base, axis=2)
    sizes = np.linalg.norm(tuned, axis=2) + np.linalg.norm(base, axis=2)
    assert found.values["noise_l2"] == pytest.approx(change.mean(axis=1).tolist(), rel=1e-6)
    assert found.values["relative_change"] == pytest.approx((2 * change / sizes).mean(axis=1).tolist())
    assert len(found.values["image_drift"]) == 5 and max(found.values["image_drift"]) > 1e-3
    assert found.missing == {
        "prior_accuracy_fall": "the prior prompts' ground truth is not known (Toybox only)"
    }
    after = backbone.delta()
    assert all(torch.equal(after.weights[name], value) for name, value in whole.weights.items())
    monkeypatch.setattr(fresh_prompts, "PART", 2)
    for name, values in examination(backbone, whole, tiny_vit).values(quiet).values.items():
        assert values == pytest.approx(found.values[name], rel=1e-3, abs=1e-5)


def test_remembered_answers_of_the_base_model_change_no_value(backbone, tiny_vit, monkeypatch):
    answers = {}
    for size in (0.1, 0.5):
        whole = moved(backbone, "full", size=size)
        alone = examination(backbone, whole, tiny_vit).values(quiet)
        asked_before = len(answers)
        assert examination(backbone, whole, tiny_vit, answers=answers).values(quiet) == alone
        assert len(answers) == max(asked_before, 1)
        backbone.restore()
    images = []
    monkeypatch.setattr(
        fresh_prompts, "sample_images", lambda *_, **__: images.append(1) or torch.zeros(5, 3, 32, 32)
    )
    whole = moved(backbone, "full")
    examination(backbone, whole, tiny_vit, answers=answers).values(quiet)
    assert len(images) == 1  # the tuned model's; the base model's are known


def test_relative_change_lies_between_0_and_2():
    one = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    assert relative_change(one, one) == [0.0, 0.0]
    assert relative_change(one, -one) == [2.0, 2.0]
    assert relative_change(torch.zeros_like(one), torch.zeros_like(one)) == [0.0, 0.0]
    assert relative_change(1.01 * one, one) == pytest.approx([0.02 / 2.01] * 2, rel=1e-5)


def test_a_new_token_alone_changes_no_prior_prompt(backbone, tiny_vit, monkeypatch):
    whole = moved(backbone, "tokens")
    monkeypatch.setattr(fresh_prompts, "sample_images", None)  # nothing needs to be drawn
    found = examination(backbone, whole, tiny_vit).values(quiet)
    assert found.values == {name: [0.0] * 5 for name in ("noise_l2", "relative_change", "image_drift")}


def noises(backbone, count=3):
    """A probe on random latents, so that no image need be drawn."""
    generator = torch.Generator().manual_seed(3)
    prompts = fresh_prompts.seeded([DrawnPrompt(text, "class") for text in TEXTS[:count]], seed=0)
    latents = torch.randn(count, *backbone.latent_shape, generator=generator)
    timesteps = backbone.draw_timesteps(2, generator=generator)
    asked = NoiseProbe(prompts, latents, timesteps, torch.empty(0))
    return NoiseProbe(prompts, latents, timesteps, predict(backbone, asked))


@pytest.mark.parametrize("kind", ["full", "adapters", "singular values"])
@pytest.mark.parametrize("family", ["tiny_sd", "tiny_sd_v", "tiny_sdxl", "tiny_sd3"])
def test_ratio_tends_to_the_derivative_at_the_base_model(family, kind, cache, request):
    folder: Path = request.getfixturevalue(family)
    backbone = load_backbone(str(folder), cache=cache)
    probe = noises(backbone)
    whole = moved(backbone, kind, size=0.02)
    slope = local_lipschitz.at_base(backbone, whole, probe)
    distance = backbone.distance().denoiser_l2
    backbone.interpolate(whole, 0.01)  # a difference quotient: close, not equal
    step = noise_distance(predict(backbone, probe).flatten(0, 1), probe.predictions.flatten(0, 1))
    assert slope.mean == pytest.approx(float(step.mean()) / (0.01 * distance), rel=0.02)
    assert slope.largest == pytest.approx(float(step.max()) / (0.01 * distance), rel=0.03)
    assert slope.share == 0 and slope.largest >= slope.mean > 0


def test_ratios_along_the_way_end_at_the_drift_over_the_distance(backbone):
    probe = noises(backbone)
    whole = moved(backbone, "full")
    ratios = local_lipschitz.along_path(backbone, whole, probe)
    assert [ratio.share for ratio in ratios] == [0.125, 0.25, 0.5, 0.75, 1.0]
    distances = noise_distance(predict(backbone, probe).flatten(0, 1), probe.predictions.flatten(0, 1))
    assert ratios[-1].mean == pytest.approx(distances.mean() / backbone.distance().denoiser_l2)
    assert local_lipschitz.largest(ratios) == max(ratio.largest for ratio in ratios)
