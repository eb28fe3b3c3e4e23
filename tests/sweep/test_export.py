"""A trial's model can be taken elsewhere, whether or not the sweep kept its weights."""

from __future__ import annotations

import pytest
from diffusers import StableDiffusionPipeline
from swept import key_in, sweep
from typer.testing import CliRunner

from harness.cli.main import app
from harness.records import read
from harness.toybox.loading import pipeline_folder

EXPERIMENT = """
name: taken
subjects: [mossy-mug]
shots: 1
methods:
  - frozen
  - {name: dreambooth, params: {steps: 2, batch: 1, lr: 1.0e-3}}
  - {name: dreambooth_lora, params: {steps: 2, batch: 1, lr: 1.0e-2, lr_decay: none}}
sampling: {steps: 2, prompts: 1}
drift: {prompts: 8, timesteps: 1, images: 0}
scores: [dino]
readouts: {steps: 1, scale: 0.5, budget: {noise_l2: 0.01}, merge: {noise_l2: 0.01}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run directory as a sweep leaves it."""
    return sweep(EXPERIMENT, tmp_path_factory.mktemp("runs") / "taken").parent


def key_of(runs, method, readout="none"):
    return key_in(runs / "taken", method, readout)


@pytest.mark.parametrize(
    ("method", "kept", "readout"),
    [
        ("dreambooth", False, "none"),
        ("dreambooth", False, "steps:1"),
        ("dreambooth", False, "budget:0.01"),
        ("dreambooth", False, "merge:0.01"),
        ("dreambooth_lora", True, "none"),
        ("dreambooth_lora", True, "scale:0.5"),
    ],
)
def test_exported_model_is_as_far_from_the_base_as_the_record_says(runs, tmp_path, method, kept, readout):
    key = key_of(runs, method, readout)
    holds_weights = kept and readout in ("none", "steps:1")
    assert (runs / "taken" / key / "delta.safetensors").exists() == holds_weights
    result = CliRunner().invoke(app, ["export", key[:12], str(tmp_path / "out"), "--runs", str(runs)])
    assert result.exit_code == 0, result.output
    assert "# the subject is called: sks mug" in result.stdout
    pipe = StableDiffusionPipeline.from_pretrained(pipeline_folder())
    base = {name: value.detach().clone() for name, value in pipe.unet.named_parameters()}
    if kept:
        pipe.load_lora_weights(str(tmp_path / "out"))
        pipe.fuse_lora()
        pipe.unload_lora_weights()
    else:
        pipe.unet = type(pipe.unet).from_pretrained(tmp_path / "out" / "unet")
    moved = sum(
        float((v.detach().double() - base[n]).square().sum()) for n, v in pipe.unet.named_parameters()
    )
    (record,) = (r for r in read(runs / "taken") if r.key == key)
    assert moved**0.5 == pytest.approx(record.drift["weight_l2"], rel=1e-4)


def test_what_cannot_be_exported_is_said_in_a_line(runs, tmp_path):
    result = CliRunner().invoke(
        app, ["export", key_of(runs, "frozen"), str(tmp_path / "a"), "--runs", str(runs)]
    )
    assert "nothing was trained" in str(result.exception)
    result = CliRunner().invoke(app, ["export", "feed", str(tmp_path), "--runs", str(runs)])
    assert "is there already" in str(result.exception)
