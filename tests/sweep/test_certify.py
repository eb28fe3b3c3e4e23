"""A trial's certificate comes out again to the last bit; one that says something else does not hold."""

from __future__ import annotations

import hashlib

import pytest
from swept import key_in, sweep
from typer.testing import CliRunner

from harness.cli.main import app
from harness.errors import HarnessError, one_line
from harness.records import read
from harness.report import certificate
from harness.sweep import certify

EXPERIMENT = """
name: certified
subjects: [mossy-mug]
shots: 1
methods:
  - frozen
  - real
  - {name: dreambooth, params: {steps: 2, batch: 1, lr: 1.0e-3}, lipschitz: {bound: [0.5]}}
  - {name: dreambooth_lora, params: {steps: 2, batch: 1, lr: 1.0e-2}}
sampling: {steps: 2, prompts: 1}
drift: {prompts: 8, timesteps: 1, images: 0}
scores: [dino]
readouts: {budget: {noise_l2: 0.01}}
"""
FEW = ("--prompts", "14", "--confidence", "0.5")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run directory as a sweep leaves it."""
    return sweep(EXPERIMENT, tmp_path_factory.mktemp("runs") / "certified").parent


def key_of(runs, method, readout="none"):
    return key_in(runs / "certified", method, readout)


def run(runs, *words):
    return CliRunner().invoke(app, ["certify", *words, "--runs", str(runs)])


@pytest.fixture(scope="module")
def lora(runs):
    """The certificate of a trial whose weights are kept."""
    key = key_of(runs, "dreambooth_lora")
    result = run(runs, key[:12], *FEW)
    assert result.exit_code == 0, result.output
    assert "With 50 % confidence at least 95 % of prior prompts keep ‖Δε‖₂ ≤ " in result.output
    return runs / "certified" / key / "certificate.json"


def test_a_certificate_names_its_weights_and_holds(runs, lora):
    body = certificate.read(lora)
    kept = (lora.parent / "delta.safetensors").read_bytes()
    assert body["digests"]["weights"] == hashlib.sha256(kept).hexdigest()
    assert {each["of"] for each in body["statements"]} == set(certificate.QUANTITIES)
    assert body["local_lipschitz"]["largest"] >= body["local_lipschitz"]["at_base"]["mean"] > 0
    result = run(runs, "--verify", str(lora))
    assert result.exit_code == 0, result.output
    assert "its numbers come out again to the last bit" in result.output


def test_a_number_that_was_changed_and_sealed_anew_does_not_hold(runs, lora, tmp_path):
    body = certificate.read(lora)
    body["statements"][0]["limit"] *= 1 + 1e-9
    forged = tmp_path / "forged.json"
    forged.write_bytes(certificate.to_bytes(certificate.sealed(body)))
    result = run(runs, "--verify", str(forged))
    assert isinstance(result.exception, HarnessError)
    assert f"{forged}: does not hold: statements[0].limit" in one_line(result.exception)


def test_changed_bytes_and_other_code_are_noticed_before_anything_is_loaded(
    runs, lora, tmp_path, monkeypatch
):
    monkeypatch.setattr(certify, "restore", None)
    changed = tmp_path / "changed.json"
    changed.write_bytes(lora.read_bytes().replace(b"0.5", b"0.6", 1))
    result = run(runs, "--verify", str(changed))
    assert "changed after it was sealed" in one_line(result.exception)
    monkeypatch.setattr(certify, "code_digest", lambda: "0" * 64)
    result = run(runs, "--verify", str(lora))
    assert "made with other code" in one_line(result.exception) and result.exit_code == 1


def test_a_budget_is_certified_of_weights_that_were_not_kept(runs):
    key = key_of(runs, "dreambooth", "budget:0.01")
    folder, records = runs / "certified", read(runs / "certified")
    assert not (folder / key / "delta.safetensors").exists()
    (record,) = (each for each in records if each.key == key)
    body = certify.certify(folder, record, prompts=14, confidence=0.5, seed=0, progress=lambda *told: None)
    assert body["training"]["output_limit"] == 0.01 >= body["training"]["calibration"]
    assert body["training"]["bounded_l2"] <= body["training"]["bound"]["radius"] == 0.5
    (budget,) = (each for each in body["statements"] if each["kind"] == "budget")
    assert budget["limit"] == 0.01 and 0 <= budget["seen"] <= 14
    assert body["training"]["denoiser_l2"] == pytest.approx(record.drift["weight_l2"], rel=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("zzzz", *FEW), "no record's key starts with 'zzzz'"),
        (("zzzz",), "no record's key starts with 'zzzz'"),
        ((), "give either the KEY of a trial or --verify FILE"),
        (("zzzz", "--prompts", "58"), "too few for a statement about 95% of prior prompts"),
        (("zzzz", "--confidence", "95"), "--confidence 95"),
    ],
)
def test_what_cannot_be_certified_is_said_in_a_line(runs, words, said):
    result = run(runs, *words)
    assert said in one_line(result.exception), result.output


def test_a_trial_without_weights_is_said_in_a_line(runs):
    assert "trained nothing" in one_line(run(runs, key_of(runs, "frozen"), *FEW).exception)
    assert "photos, not a model" in one_line(run(runs, key_of(runs, "real"), *FEW).exception)


def test_another_fit_than_the_recorded_one_gets_no_certificate(runs, tmp_path):
    (record,) = (r for r in read(runs / "certified") if r.key == key_of(runs, "dreambooth_lora"))
    other = record.model_copy(
        update={"drift": {**record.drift, "weight_l2": 1.0001 * record.drift["weight_l2"]}}
    )
    with pytest.raises(HarnessError, match="not the same fit"):
        certify.certify(
            runs / "certified", other, prompts=14, confidence=0.5, seed=0, progress=lambda *told: None
        )
