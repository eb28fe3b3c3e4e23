"""The experiments of the drift budget: they expand, and hold what their headers say."""

from pathlib import Path

import pytest

from harness.config import experiment
from harness.sweep.grid import trials
from harness.sweep.readouts import fits

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def expanded(name):
    return trials(experiment.load(EXPERIMENTS / f"{name}.yaml"))


@pytest.mark.parametrize("name", ["curves", "guidance", "seeds"])
def test_a_header_says_question_command_cost_and_contrasts_decided_before(name):
    text = (EXPERIMENTS / f"{name}.yaml").read_text()
    command = f"# Command    harness sweep experiments/{name}.yaml"
    for word in ("# Question", command, "reckoned, not measured", "# Contrasts  decided before the run"):
        assert word in text


@pytest.mark.parametrize(
    ("name", "fitted", "read"), [("curves", 160, 320), ("guidance", 16, 64), ("seeds", 64, 64)]
)
def test_fits_and_readouts_are_those_of_the_plan(name, fitted, read):
    found = [trial for trial in expanded(name) if trial.method != "frozen"]
    assert (fits(found), len(found)) == (fitted, read)
    assert len({trial.subject for trial in found}) == 8
    assert {trial.preset for trial in found} == {"toybox"}


def test_curves_hold_the_penalty_and_its_controls():
    found = [trial for trial in expanded("curves") if trial.method != "frozen"]
    one = [trial for trial in found if trial.subject == found[0].subject]
    kinds = {"penalty": 0, "bound": 0, "prior": 0}
    for trial in one:
        kinds["penalty"] += bool(trial.lipschitz and trial.lipschitz.penalty is not None)
        kinds["bound"] += bool(trial.lipschitz and trial.lipschitz.bound is not None)
        kinds["prior"] += trial.params.get("prior_weight", 0) > 0
    assert kinds == {"penalty": 8, "bound": 5, "prior": 5}
    read = [(trial.method, trial.readout.kind) for trial in one if trial.readout]
    assert read.count(("dreambooth", "steps")) == 4 and read.count(("dreambooth", "scale")) == 5
    assert read.count(("dreambooth_lora", "scale")) == 5
