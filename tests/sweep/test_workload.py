"""What the trials of fewshot consist of, by hand; the estimate replayed on its committed records."""

from __future__ import annotations

from pathlib import Path

import pytest
from estimate import STARTING, estimates, scheduled

from harness.config import experiment as config
from harness.records import read
from harness.sweep.catalog import Installed
from harness.sweep.grid import expand
from harness.sweep.worklist import Task
from harness.sweep.workload import workloads
from harness.trial.plan import Keys

ROOT = Path(__file__).parents[2]
FEWSHOT = ROOT / "harness" / "experiments" / "fewshot.yaml"


def loads_of(*changes: str):
    """Trials with their workloads; those that differ in readout alone share a fit."""
    experiment = config.load(FEWSHOT, changes)
    catalog = Installed(experiment)
    trials = expand(experiment, catalog).trials

    def fit(trial):
        return trial.model_copy(update={"readout": None, "title": "", "label": None}).model_dump_json()

    tasks = [Task(trial, Keys(fit(trial), str(n), str(n)), "fit") for n, trial in enumerate(trials)]
    return list(zip(trials, workloads(tasks, experiment, catalog), strict=True))


@pytest.fixture(scope="module")
def fewshot():
    return loads_of()


@pytest.mark.parametrize(
    ("method", "training", "classes", "sampling"),
    [
        ("frozen", 0, 0, 10 * 20 * 2),
        ("dreambooth", 50 * 4 * 3, 0, 26 * 20 * 2 + 32 * 8),
        ("textual_inversion", 100 * 4 * 2, 0, 10 * 20 * 2),
        ("dreambooth_lora", 50 * 4 * 2, 0, 26 * 20 * 2 + 32 * 8),
        ("custom_diffusion", 100 * 2 * 3, 0, 26 * 20 * 2 + 32 * 8),
        ("real", 0, 0, 0),
    ],
)
def test_passes_by_hand(fewshot, method, training, classes, sampling):
    load = next(load for trial, load in fewshot if trial.method == method and not trial.lipschitz)
    assert (load.training, load.classes, load.sampling) == (training, classes, sampling)


def test_class_images_are_drawn_once_for_a_class_and_caption(fewshot):
    drawn = [trial for trial, load in fewshot if load.drawn]
    assert len(drawn) == 4  # DreamBooth with prior, for four classes
    assert sum(load.classes > 0 for _, load in fewshot) == 12


def test_readouts_share_a_fit():
    loads = loads_of("methods=[dreambooth]", "readouts={scale: [0.5], budget: {noise_l2: [5]}}", "shots=[1]")
    assert len(loads) == 3 * 4 and sum(load.training > 0 for _, load in loads) == 4
    budget = next(load for trial, load in loads if trial.readout and trial.readout.kind == "budget")
    assert budget.sampling == 26 * 40 + 256 + 6 * 16 * 8
    loads = loads_of("methods=[dreambooth]", "readouts={merge: {noise_l2: [5]}}", "shots=[1]")
    merge = next(load for trial, load in loads if trial.readout)
    assert merge.sampling == budget.sampling + 9 * 160 + 8 * 3 * 16 * 8


def test_replayed_on_committed_records_the_estimate_stays_within_a_quarter():
    folder = ROOT / "results" / "fewshot"
    ran = scheduled([record for record in read(folder) if record.status == "done"], 2)
    whole = ran[-1].ended
    moments = [share * whole for share in (0.05, 0.1, 0.25, 0.5)]
    found = estimates(ran, folder, 2, [STARTING, *moments])
    assert found[0] is None
    for moment, estimate in zip(moments, found[1:], strict=True):
        assert estimate == pytest.approx(whole - moment, rel=0.25)
