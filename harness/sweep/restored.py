"""A finished trial's model put back onto its base model: from kept weights, or by its fit done again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from harness.api import Progress
from harness.cache import Cache
from harness.config import experiment as config
from harness.config.experiment import Experiment
from harness.datasets.base import Dataset
from harness.datasets.registry import load_dataset
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.families import FAMILIES
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.checkpoints import Checkpoints
from harness.diffusion.weights.delta import Delta
from harness.errors import HarnessError
from harness.metrics.encoders.registry import load_encoder
from harness.records import Lines, Record
from harness.sweep import worklist
from harness.sweep.catalog import Catalog, Installed
from harness.sweep.grid import expand
from harness.sweep.searching import known_trials
from harness.sweep.worklist import Task
from harness.trial.aligned import alignment_of
from harness.trial.plan import WEIGHTS
from harness.trial.prior_texts import bank_texts
from harness.trial.readouts import shares_of
from harness.trial.stages import fit
from harness.trial.timing import Clock


@dataclass(frozen=True)
class Restored:
    """A backbone with a trial's weights, where these come from, and what the subject is called."""

    experiment: Experiment
    catalog: Catalog
    task: Task
    dataset: Dataset
    backbone: Backbone
    phrase: str | None


def restore(folder: Path, record: Record, *, progress: Progress, device: str, purpose: str) -> Restored:
    """Put the weights of a run directory's record onto its base model.

    Weights that were not kept are fitted again from the run's own experiment file, with the trial's seeds and
    on as many threads. ``purpose`` is the verb of the error for a trial that failed.

    Raises HarnessError for a trial that did not succeed or is no longer the experiment's.
    """
    if record.status != "done":
        raise HarnessError(f"{record.key}: this trial failed; there is no model to {purpose}")
    experiment = config.load(folder / "experiment.yaml")
    catalog = Installed(experiment)
    task = _task(folder, record, experiment, catalog)
    cache = Cache(None)
    if threads := re.search(r"(\d+) thread", _device(record)):
        torch.set_num_threads(int(threads[1]))
    backbone = load_backbone(
        task.trial.backbone,
        device=device,
        precision=experiment.precision,
        cache=cache,
        execution=experiment.execution,
    )
    dataset = load_dataset(experiment.dataset, cache=cache.root)
    kept = folder / (task.weights or record.key) / WEIGHTS
    if kept.is_file():
        backbone.apply(Delta.from_bytes(kept.read_bytes()))
        phrase = json.loads((kept.parent / "fit.json").read_text())["phrase"]
    else:
        phrase = _fitted_again(folder, task, experiment, catalog, dataset, backbone, progress)
    if record.readout is not None:
        shares = shares_of(record.readout, FAMILIES[backbone.family].blocks)
        backbone.interpolate(backbone.delta(), shares)
    return Restored(experiment, catalog, task, dataset, backbone, phrase)


def _task(folder: Path, record: Record, experiment: Experiment, catalog: Installed) -> Task:
    lines = list(Lines(folder).outlines())
    trials = known_trials(experiment, catalog, expand(experiment, catalog), lines, folder)
    work = worklist.tasks(experiment, catalog, lines, folder, expanded=trials)
    task = next((task for task in work if task.keys.sample == record.key), None)
    if task is None:
        raise HarnessError(f"{record.key}: {folder / 'experiment.yaml'} has no such trial any more")
    return task


def _device(record: Record) -> str:
    """What the fit ran on, in words."""
    origin = record.provenance.get("fitted") or record.provenance
    return str(origin.get("device", ""))


def _fitted_again(
    folder: Path,
    task: Task,
    experiment: Experiment,
    catalog: Catalog,
    dataset: Dataset,
    backbone: Backbone,
    progress: Progress,
) -> str | None:
    readout = task.trial.readout
    steps = [int(readout.value)] if readout is not None and readout.kind == "steps" else []
    checkpoints = Checkpoints(steps)
    plan = worklist.plan(replace(task, stage="fit"), experiment, folder)
    subject = dataset.shots(task.trial.subject, task.trial.shots, task.trial.seed)
    prompts = partial(bank_texts, dataset, subject.category, plan.drift)
    clock = Clock(backbone.device)
    alignment = alignment_of(
        task.trial,
        catalog.encoders(task.trial.backbone),
        lambda spec, kind: load_encoder(spec, device=backbone.device, kind=kind),
    )
    phrase = fit(plan, subject, backbone, progress, clock, checkpoints, prompts, alignment).phrase
    for step in steps:
        backbone.interpolate(checkpoints.at(step).delta, 1.0)
    return phrase
