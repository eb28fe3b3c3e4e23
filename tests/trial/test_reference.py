"""What drift is measured from: seeds of prior prompts, stratified timesteps, and noise predictions."""

from __future__ import annotations

import pytest
import torch

from harness.datasets import prompts
from harness.diffusion.sampling import sample_images
from harness.diffusion.seeds import named_seed
from harness.specs import DriftSet, Sampling
from harness.trial.noise_probe import SubjectProbe, predict, sample_measures, stratified
from harness.trial.reference import ReferenceSampler, prior_prompts

SAMPLING = Sampling(steps=2, guidance=2.0)
DRIFT = DriftSet(prompts=8, timesteps=3, images=4)


def texts(n):
    return prompts.prior_prompts("dog", n)


@pytest.fixture
def reference(backbone):
    return ReferenceSampler(backbone, SAMPLING, DRIFT).reference(texts)


def test_seeds_are_all_different_and_do_not_depend_on_how_many_prompts_there_are():
    few, many = prior_prompts(texts(8), seed=0), prior_prompts(texts(64), seed=0)
    seeds = [seed for prompt in many for seed in (prompt.seed, prompt.other_seed)]
    assert len(set(seeds)) == 128
    assert set(few) <= set(many)
    assert not set(few) & set(prior_prompts(texts(8), seed=1))


def test_timesteps_are_the_middles_of_equal_shares(backbone):
    timesteps = stratified(backbone, 4, seed=0).tolist()
    assert timesteps == pytest.approx([125, 375, 625, 875], abs=40)
    assert stratified(backbone, 4, seed=0).tolist() == timesteps


def test_images_shown_are_those_of_the_probe(reference):
    probe = reference.probe
    assert reference.images.shape[0] == reference.floor.shape[0] == 4
    assert len(probe.prompts) == len(probe.latents) == 8
    assert probe.predictions.shape[:2] == (8, 3)
    assert set(reference.prompts) <= set(probe.prompts)
    assert not torch.equal(reference.images, reference.floor)


def test_the_reference_comes_from_the_cache_the_second_time(backbone, reference, monkeypatch):
    monkeypatch.setattr("harness.trial.reference.sample_images", None)
    monkeypatch.setattr(type(backbone), "predict", None)
    again = ReferenceSampler(backbone, SAMPLING, DRIFT).reference(texts)
    assert torch.equal(again.images, reference.images)
    assert torch.equal(again.probe.predictions, reference.probe.predictions)


def test_predictions_equal_the_backbone_called_by_hand(backbone, reference):
    probe = reference.probe
    for i, prompt in ((0, probe.prompts[0]), (7, probe.prompts[7])):
        generator = torch.Generator().manual_seed(named_seed("drift noise", prompt.seed))
        noise = torch.randn((3, *backbone.latent_shape), generator=generator)
        clean = probe.latents[i : i + 1].expand(3, -1, -1, -1)
        noisy = backbone.add_noise(clean, noise, probe.timesteps)
        with torch.no_grad():
            expected = backbone.predict(noisy, probe.timesteps, backbone.conditioning([prompt.text] * 3))
        assert torch.allclose(probe.predictions[i], expected, atol=1e-5)


def test_unchanged_weights_are_exactly_where_they_were(backbone, reference, monkeypatch):
    monkeypatch.setattr("harness.trial.noise_probe.predict", None)
    measures = sample_measures(backbone, backbone.distance(), reference.probe)
    assert measures["weight_l2"] == measures["noise_l2"] == measures["noise_mse"] == 0.0
    assert measures["lipschitz_ratio"] is None and measures["token_l2"] is None


def test_distances_of_a_changed_backbone_by_hand(backbone, reference):
    parameters = backbone.parameters("denoiser")
    bias = parameters["denoiser.conv_out.bias"]
    with torch.no_grad():
        bias += 0.5  # shifts every entry of every prediction by exactly 0.5
    measures = sample_measures(backbone, backbone.distance(), reference.probe)
    entries = 4 * 8 * 8
    assert measures["weight_l2"] == pytest.approx(0.5 * 4**0.5, rel=1e-6)
    assert measures["weight_tensor_mean"] == pytest.approx(0.25, rel=1e-6)
    assert measures["noise_l2"] == pytest.approx(0.5 * entries**0.5, rel=1e-4)
    assert measures["noise_l2_class"] == pytest.approx(0.5 * entries**0.5, rel=1e-4)
    assert measures["noise_mse"] == pytest.approx(0.25, rel=1e-4)
    assert measures["lipschitz_ratio"] == pytest.approx(measures["noise_l2"] / measures["weight_l2"])


def test_the_shift_on_the_subject_by_hand(backbone, reference):
    asked = ["a dog on a beach", "a dog in the snow"]
    probe = ReferenceSampler(backbone, SAMPLING, DRIFT).subject_probe(asked)
    assert [prompt.text for prompt in probe.prompts] == asked
    assert probe.predictions.shape[:2] == (2, 3)
    renamed = SubjectProbe(probe, ["a sks dog on a beach", "a sks dog in the snow"])
    untaught = sample_measures(backbone, backbone.distance(), reference.probe, renamed)
    assert untaught["noise_l2"] == 0.0 and untaught["noise_l2_subject"] > 0
    bias = backbone.parameters("denoiser")["denoiser.conv_out.bias"]
    with torch.no_grad():
        bias += 0.5
    entries = 4 * 8 * 8
    moved = backbone.distance()
    same_words = sample_measures(backbone, moved, reference.probe, SubjectProbe(probe, asked))
    assert same_words["noise_l2_subject"] == pytest.approx(0.5 * entries**0.5, rel=1e-4)
    distances = []
    for prompt, text, clean, base in zip(probe.prompts, renamed.texts, probe.latents, probe.predictions):
        generator = torch.Generator().manual_seed(named_seed("drift noise", prompt.seed))
        noise = torch.randn((3, *backbone.latent_shape), generator=generator)
        noisy = backbone.add_noise(clean.expand(3, -1, -1, -1), noise, probe.timesteps)
        with torch.no_grad():
            now = backbone.predict(noisy, probe.timesteps, backbone.conditioning([text] * 3))
        distances += (now - base).flatten(1).norm(dim=1).tolist()
    measured = sample_measures(backbone, moved, reference.probe, renamed)["noise_l2_subject"]
    assert measured == pytest.approx(sum(distances) / 6, rel=1e-4)


def test_the_subject_probe_is_cached_and_the_base_model_unchanged_is_at_zero(
    backbone, reference, monkeypatch
):
    asked = ["a dog on a beach"]
    sampler = ReferenceSampler(backbone, SAMPLING, DRIFT)
    first = sampler.subject_probe(asked)
    monkeypatch.setattr("harness.trial.reference.sample_images", None)
    monkeypatch.setattr(type(backbone), "predict", None)
    again = sampler.subject_probe(asked)
    assert torch.equal(first.predictions, again.predictions)
    measured = sample_measures(backbone, backbone.distance(), reference.probe, SubjectProbe(again, asked))
    assert measured["noise_l2_subject"] == 0.0


def test_a_new_token_moves_no_weight_of_the_denoiser(backbone):
    rows = backbone.token_rows(["<v>"], ["dog"])
    with torch.no_grad():
        next(iter(rows.values())).add_(1.0)
    moved = backbone.distance()
    assert not moved.moved
    assert moved.denoiser_l2 == 0.0
    assert moved.token_l2 == pytest.approx(32**0.5, rel=1e-6)


def test_sampling_reports_each_batch(backbone):
    said = []
    images = sample_images(
        backbone,
        ["a dog"] * 20,
        seeds=list(range(20)),
        **SAMPLING.solver,
        report=lambda done, total: said.append((done, total)),
    )
    assert said == [(16, 20), (20, 20)]
    assert images.shape[0] == 20 and images.dtype == torch.uint8


def test_a_probe_predicts_the_same_twice(backbone, reference):
    assert torch.equal(predict(backbone, reference.probe), reference.probe.predictions)
