"""Presets have a name and a source; what the authors released is what they resolve to."""

from __future__ import annotations

import pytest

from harness import methods
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.methods import MethodError
from harness.sweep.grid import trials

RELEASED = {
    # method, preset: optimizer, lr, decay, clip, steps, batch × accumulation, and what else is said of it
    ("dreambooth", "paper-sd15"): ("adam", 2e-6, 0.0, None, 1000, (1, 1), {"prior_weight": 0.0}),
    ("custom_diffusion", "paper-sd15"): (
        "adamw",
        6e-5,
        1e-2,
        1.0,
        250,
        (2, 1),
        {"init": "ktn", "flip": True},
    ),
    ("dreambooth_lora", "paper-sd15"): (
        "adamw",
        1e-4,
        0.0,
        1.0,
        500,
        (4, 1),
        {"rank": 16, "alpha": 27.0, "targets": ["to_q", "to_v"], "start": "kaiming"},
    ),
    ("custom_diffusion", "paper-sdxl"): ("adamw", 1e-4, 1e-2, 1.0, 250, (2, 1), {"flip": True}),
    ("dreambooth_lora", "paper-sdxl"): (
        "adamw",
        5e-4,
        1e-4,
        1.0,
        500,
        (1, 4),
        {"rank": 4, "alpha": 4.0, "targets": ["to_q", "to_k", "to_v", "to_out.0"], "start": "gaussian"},
    ),
    ("custom_diffusion", "paper-sd3"): (
        "adamw",
        1e-4,
        1e-4,
        1.0,
        500,
        (1, 4),
        {"precondition": True, "flip": False, "scale": False, "learn_token": False, "prior_weight": 0.0},
    ),
    ("dreambooth_lora", "paper-sd3"): (
        "adamw",
        4e-4,
        1e-4,
        1.0,
        500,
        (1, 4),
        {"rank": 4, "alpha": 4.0, "start": "gaussian", "precondition": True},
    ),
    ("dreambooth", "diffusers-sd15"): ("adamw", 5e-6, 1e-2, 1.0, 400, (1, 1), {"prior_weight": 0.0}),
    ("dreambooth", "diffusers-sd15-prior"): (
        "adamw",
        5e-6,
        1e-2,
        1.0,
        800,
        (1, 1),
        {"prior_weight": 1.0, "prior_count": 200},
    ),
    ("dreambooth_lora", "diffusers-sd15"): ("adamw", 1e-4, 1e-2, 1.0, 500, (1, 1), {"rank": 4, "alpha": 4.0}),
    ("textual_inversion", "diffusers-sd15"): ("adamw", 2e-3, 1e-2, None, 3000, (1, 4), {"flip": True}),
    ("custom_diffusion", "diffusers-sd15"): (
        "adamw",
        4e-5,
        1e-2,
        1.0,
        250,
        (2, 1),
        {"prior_weight": 1.0, "prior_count": 200},
    ),
}
"""Read in the released code; see docs/reproduce-the-paper.md."""

EVERY_PRESET = [(name, preset) for name in methods.known() for preset in methods.load(name).presets]


def made(name: str, preset: str, **params):
    kind = methods.load(name)
    return methods.build(kind, methods.resolve_params(kind, params, "x", preset=preset))


@pytest.mark.parametrize(("name", "preset"), RELEASED)
def test_a_preset_is_what_the_authors_released(name, preset):
    optimizer, lr, decay, clip, steps, (batch, accumulate), others = RELEASED[name, preset]
    method = made(name, preset)
    told = (method.lr, method.weight_decay, getattr(method, "clip", None), method.steps)
    assert told == (lr, decay, clip, steps)
    assert (method.batch, method.accumulate) == (batch, accumulate)
    assert getattr(method, "optimizer", "adamw") == optimizer
    resolved = {key: getattr(method, key) for key in others}
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in resolved.items()} == others


def test_sd3_adapts_all_eight_projections():
    targets = made("dreambooth_lora", "paper-sd3").targets
    assert len(targets) == 8 and {"add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"} < set(targets)


def test_textual_inversion_has_27_templates():
    templates = made("textual_inversion", "diffusers-sd15").templates
    assert len(set(templates)) == 27 and "a photo of a dirty {}" in templates


@pytest.mark.parametrize(("name", "preset"), EVERY_PRESET)
def test_every_preset_has_a_source_and_resolves(name, preset):
    kind = methods.load(name)
    assert kind.sources[preset]
    assert methods.resolve_params(kind, {}, "x", preset=preset)


def test_a_single_value_goes_over_the_preset():
    assert made("dreambooth", "diffusers-sd15", steps=7).steps == 7
    assert made("dreambooth", "diffusers-sd15", steps=7).lr == 5e-6


def test_what_was_added_later_is_left_out_at_its_default():
    kind = methods.load("dreambooth")
    assert not {"clip", "weight_decay", "optimizer", "accumulate"} & set(
        methods.resolve_params(kind, {}, "x")
    )
    assert methods.resolve_params(kind, {"clip": 1}, "x")["clip"] == 1.0
    assert "clip" not in methods.resolve_params(kind, {"clip": None}, "x", preset="diffusers-sd15")
    assert methods.build(kind, methods.resolve_params(kind, {}, "x")) == kind()


def test_an_unknown_preset_names_the_known():
    with pytest.raises(MethodError, match=r"unknown preset 'papr'; .*known: diffusers-sd15, .*paper-sd15"):
        methods.resolve_params(methods.load("dreambooth"), {}, "x", preset="papr")


def experiment(*entries):
    data = {"name": "x", "methods": list(entries), "subjects": ["candy-mug"], "shots": [1]}
    return strict_yaml.check(Experiment, data, source="x.yaml")


def test_a_trial_says_its_preset_and_rows_are_told_apart_by_it():
    entry = {"name": "dreambooth", "preset": ["diffusers-sd15", "paper-sd15"], "params": {"batch": 2}}
    first, second = trials(experiment(entry))
    assert (first.preset, first.params["lr"], first.params["batch"]) == ("diffusers-sd15", 5e-6, 2)
    assert first.title == "DreamBooth (preset=diffusers-sd15)"
    assert second.summary()["preset"] == "paper-sd15"


def test_without_a_name_the_backbones_preset_is_taken_and_not_told():
    (trial,) = trials(experiment("dreambooth"))
    assert trial.params["lr"] == methods.load("dreambooth").presets["toybox"]["lr"] != 2e-6
    assert "preset" not in trial.summary()


def test_the_same_values_by_another_preset_are_the_same_trial():
    same = [{"name": "dreambooth", "preset": preset, "label": preset} for preset in ("toybox", None)]
    with pytest.raises(ConfigError, match="there twice"):
        trials(experiment(*same))


def test_a_misspelt_preset_names_file_and_key():
    with pytest.raises(ConfigError, match=r"methods\[0\]\.preset: unknown preset 'papr'"):
        trials(experiment({"name": "dreambooth", "preset": "papr"}))
