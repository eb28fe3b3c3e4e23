"""The experiments of the drift budget: they expand, and hold what their headers say."""

from collections import Counter
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
    for word in ("# Question", command, "# Contrasts  decided before the run"):
        assert word in text
    assert ("reckoned, not measured" in text) != ("# Found" in text)


@pytest.mark.parametrize(
    ("name", "fitted", "read"), [("curves", 320, 504), ("guidance", 16, 64), ("seeds", 64, 64)]
)
def test_fits_and_readouts_are_those_of_the_plan(name, fitted, read):
    found = [trial for trial in expanded(name) if trial.method != "frozen"]
    assert (fits(found), len(found)) == (fitted, read)
    assert len({trial.subject for trial in found}) == 8
    presets = {trial.preset for trial in found if trial.method != "output_preservation"}
    assert "toybox" in presets and presets <= {"toybox", "toybox-penalty"}


def of_curves():
    """What curves.yaml does to its first subject."""
    found = [trial for trial in expanded("curves") if trial.method != "frozen"]
    return [trial for trial in found if trial.subject == found[0].subject]


def kind(trial):
    """By what a trial differs from plain fine-tuning."""
    if trial.alignment:
        return "both" if trial.lipschitz else "alignment"
    if trial.lipschitz:
        return "bound" if trial.lipschitz.bound is not None else trial.lipschitz.norm
    images = trial.params.get("prior_prompts", "class") if trial.params.get("prior_weight") else None
    return images or ("mu" if "mu" in trial.params else None)


def test_curves_hold_the_penalty_and_its_controls():
    one = of_curves()
    kinds = Counter(kind(trial) for trial in one)
    assert (kinds["tensor_mean"], kinds["bound"], kinds["class"]) == (8, 5, 5)
    assert (kinds["activation"], kinds["mu"], kinds["bank"]) == (5, 5, 5)
    assert (kinds["alignment"], kinds["both"]) == (3, 1)
    read = [(trial.method, trial.readout.kind) for trial in one if trial.readout]
    assert read.count(("dreambooth", "steps")) == 4 and read.count(("dreambooth", "scale")) == 5
    assert read.count(("dreambooth_lora", "scale")) == 5
    assert read.count(("dreambooth", "merge")) == read.count(("dreambooth", "budget")) == 3


def test_output_preservation_in_curves_has_the_recipe_of_plain_dreambooth():
    recipes = [
        {name: trial.params[name] for name in ("steps", "batch", "lr")}
        for trial in of_curves()
        if trial.method == "output_preservation" or (trial.method == "dreambooth" and kind(trial) is None)
    ]
    assert all(recipe == recipes[0] for recipe in recipes)


@pytest.mark.parametrize(
    ("name", "fitted", "count"), [("table1", 52, 52), ("figure2", 28, 28), ("figure5", 20, 44)]
)
def test_the_papers_files_on_toybox_hold_what_their_headers_say(name, fitted, count):
    text = (EXPERIMENTS / "paper" / f"{name}.yaml").read_text()
    command = f"# Command    harness sweep experiments/paper/{name}.yaml"
    words = (
        "# Question",
        command,
        f"# Cost       {count} trials",
        "# Subjects",
        "# Settings",
    )
    for word in (*words, "# Contrasts", "# Expected"):
        assert word in text
    found = expanded(f"paper/{name}")
    assert len(found) == count
    assert fits([trial for trial in found if trial.method not in ("frozen", "real")]) == fitted


def test_table_1_on_toybox_has_both_rivals_of_every_method_and_the_authors_form_for_lora():
    one = [trial for trial in expanded("paper/table1") if trial.subject == "candy-mug"]
    for method in ("dreambooth", "custom_diffusion", "dreambooth_lora"):
        rows = [trial for trial in one if trial.method == method]
        assert {t.params.get("prior_weight", 0.0) for t in rows if t.lipschitz} == {0.0}
        weights = [t.params.get("prior_weight", 0.0) for t in rows if not t.lipschitz]
        assert sorted(weights) == [0.0, 0.02, 1.0]
        assert {t.preset for t in rows} == {"toybox"}
    forms = [(t.lipschitz.norm, t.lipschitz.on) for t in one if t.lipschitz and t.method == "dreambooth_lora"]
    assert forms == [("tensor_mean", "effective"), ("sum", "entries")]
