"""A finished trial's model, to be used elsewhere: its kept weights, or the trial's fit done again."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.api import Progress
from harness.cache import Cache
from harness.config import experiment as config
from harness.datasets.registry import load_dataset
from harness.diffusion import export
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.checkpoints import Checkpoints
from harness.diffusion.weights.delta import Delta
from harness.errors import HarnessError
from harness.records import Lines, Record
from harness.sweep import worklist
from harness.sweep.catalog import Installed
from harness.sweep.grid import expand
from harness.sweep.searching import known_trials
from harness.trial.plan import WEIGHTS
from harness.trial.prior_texts import bank_texts
from harness.trial.stages import fit
from harness.trial.timing import Clock


def export_trial(
    folder: Path, record: Record, out: Path, *, progress: Progress, device: str = "cpu"
) -> list[str]:
    """Write the tuned model of a run directory's record to ``out``.

    Weights that were not kept are fitted again from the run's own experiment file, with the seeds of the
    trial. Returns lines of Python that load the files into ``pipe``, the base model's diffusers pipeline.

    Raises HarnessError for a trial that did not succeed, is no longer the experiment's, or trained nothing.
    """
    if record.status != "done":
        raise HarnessError(f"{record.key}: this trial failed; there is no model to export")
    experiment = config.load(folder / "experiment.yaml")
    catalog, lines = Installed(experiment), list(Lines(folder))
    trials = known_trials(experiment, catalog, expand(experiment, catalog), lines, folder)
    work = worklist.tasks(experiment, catalog, lines, folder, expanded=trials)
    task = next((task for task in work if task.keys.sample == record.key), None)
    if task is None:
        raise HarnessError(f"{record.key}: {folder / 'experiment.yaml'} has no such trial any more")
    cache = Cache(None)
    spec = task.trial.backbone
    backbone = load_backbone(
        spec, device=device, precision=experiment.precision, cache=cache, execution=experiment.execution
    )
    kept = folder / (task.weights or record.key) / WEIGHTS
    readout = task.trial.readout
    steps = [int(readout.value)] if readout is not None and readout.kind == "steps" else []
    checkpoints = Checkpoints(steps)
    if kept.is_file():
        backbone.apply(Delta.from_bytes(kept.read_bytes()))
        phrase = json.loads((kept.parent / "fit.json").read_text())["phrase"]
    else:
        plan = worklist.plan(replace(task, stage="fit"), experiment, folder)
        dataset = load_dataset(experiment.dataset, cache=cache.root)
        subject = dataset.shots(task.trial.subject, task.trial.shots, task.trial.seed)
        prompts = partial(bank_texts, dataset, subject.category, plan.drift)
        clock = Clock(backbone.device)
        phrase = fit(plan, subject, backbone, progress, clock, checkpoints, prompts).phrase
        for step in steps:
            backbone.interpolate(checkpoints.at(step).delta, 1.0)
    if record.readout is not None:
        backbone.interpolate(backbone.delta(), record.readout["alpha"])
    return [*export.write(backbone, out), f"# the subject is called: {phrase}"]
