"""What a task consists of: passes through the denoiser, and images. Loads no torch, times nothing.

A pass is one image through the denoiser forwards; going back counts in passes too. How long a pass takes is
for :mod:`harness.sweep.pace` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from harness.config.experiment import Experiment
from harness.specs import Trial
from harness.sweep.catalog import Catalog
from harness.sweep.worklist import Task
from harness.trial.plan import calibrated
from harness.trial.prior_texts import CALIBRATION_PROMPTS

BACKWARD, BACKWARD_OF_FEW = 2, 1
"""Passes back for one forwards: of activations and weights; of activations alone (tokens, adapters)."""
CLASS_STEPS = 25
"""Solver steps of a class image; Stable Diffusion 3 takes 28."""
UNKNOWN = 2400
"""Passes of a fit that does not say how many steps it takes: until one is measured, a guess."""
CALIBRATION_IMAGES, EVALUATIONS = sum(CALIBRATION_PROMPTS.values()), 6
"""The probe of a drift budget, and about how often it is evaluated."""
BLOCKS, DRAWS, DERIVATIVE = 8, 160, 3
"""Of a merge: blocks of a denoiser, about; passes for what each gives; a derivative in passes."""


@dataclass(frozen=True)
class Workload:
    """Passes and images of one task; what an earlier task leaves behind for it is not among them.

    method    whose training it is, with the backbone
    training  passes forwards and back of the fit
    sampling  passes of test images, prior images and noise predictions of the tuned model
    classes   passes of class images, which every record of such a fit is charged with
    drawn     how many of these are left to do
    base      passes of the base model's references, which no record is charged with
    scored    images that are scored
    pictures  images that are filed
    """

    method: str
    training: float = 0
    sampling: float = 0
    classes: float = 0
    drawn: float = 0
    base: float = 0
    scored: int = 0
    pictures: int = 0

    @property
    def passes(self) -> float:
        """All that are to be done."""
        return self.training + self.sampling + self.drawn + self.base


def workloads(tasks: Sequence[Task], experiment: Experiment, catalog: Catalog) -> list[Workload]:
    """Reckon every task, in the order in which they are run: what several share is the first one's.

    Shared are a fit by its readouts, class images by trials of a class, and the base model's references.
    """
    counter, known, loads = _Counter(experiment, catalog), set[object](), []
    for task in tasks:
        load = counter.workload(task.trial)
        if task.stage != "fit" or task.keys.fit in known:
            load = replace(load, training=0, classes=0, drawn=0)
        if task.stage == "score":
            load = replace(load, sampling=0, base=0)
        elif task.stage == "done":
            load = Workload(load.method, pictures=load.pictures)
        spared = counter.shared(task.trial)
        load = replace(
            load,
            drawn=0 if spared["classes"] in known else load.drawn,
            base=0 if spared["base"] in known else load.base,
        )
        known |= {task.keys.fit} if task.stage == "fit" else set()
        known |= {spared["classes"]} if load.drawn else set()
        known |= {spared["base"]} if load.base else set()
        loads.append(load)
    return loads


class _Counter:
    """Counts what one trial takes by itself."""

    def __init__(self, experiment: Experiment, catalog: Catalog) -> None:
        self._drift, self._catalog = experiment.drift, catalog
        self._prompts = cache(catalog.prompt_count)
        self._category = cache(catalog.category)

    def workload(self, trial: Trial) -> Workload:
        role, moves = self._nature(trial)
        if role == "ceiling":
            photos = self._catalog.most_shots(trial.subject)
            return Workload(trial.method, scored=photos, pictures=photos)
        images = self._prompts(trial.subject, trial.sampling.prompts) * trial.sampling.images
        prior = self._drift.images if moves else 0
        classes = self._class_passes(trial)
        return Workload(
            method=f"{trial.method} on {trial.backbone.name}",
            training=self._training(trial, few=not moves or "rank" in trial.params)
            if role == "method"
            else 0,
            sampling=(images + prior) * _solver(trial) + (self._predictions(trial) if moves else 0),
            classes=classes,
            drawn=classes,
            base=self._references(trial),
            scored=images + prior,
            pictures=images + prior,
        )

    def _nature(self, trial: Trial) -> tuple[str, bool]:
        kind = self._catalog.method(trial.method)
        role = getattr(kind, "role", "method")
        return role, role == "method" and bool(getattr(kind, "changes_weights", True))

    def shared(self, trial: Trial) -> dict[str, object]:
        """Name what a trial shares with others."""
        place = (trial.backbone.model_dump_json(), self._category(trial.subject))
        count = trial.params.get("prior_count")
        return {
            "classes": ("classes", *place, trial.method, count, trial.params.get("template")),
            "base": ("base", *place, *trial.sampling.solver.values()),
        }

    def _training(self, trial: Trial, *, few: bool) -> float:
        """Read it off the hyperparameters that go by the usual names; a method without steps gets a guess."""
        if not _number(trial, "steps", 0):
            return UNKNOWN
        images = _number(trial, "batch", 1) * _number(trial, "accumulate", 1) * (1 + _with_prior(trial))
        return _number(trial, "steps", 0) * images * (1 + (BACKWARD_OF_FEW if few else BACKWARD))

    def _class_passes(self, trial: Trial) -> float:
        return _number(trial, "prior_count", 0) * CLASS_STEPS * 2 if _with_prior(trial) else 0

    def _predictions(self, trial: Trial) -> float:
        once = self._drift.prompts * self._drift.timesteps
        probe = CALIBRATION_IMAGES * self._drift.timesteps
        sought = EVALUATIONS * probe if calibrated(trial) else 0
        if trial.readout is not None and trial.readout.kind == "merge":
            sought += (BLOCKS + 1) * DRAWS + BLOCKS * DERIVATIVE * probe
        return once * (1 + self._drift.subject) + sought

    def _references(self, trial: Trial) -> float:
        drift = self._drift
        probed = CALIBRATION_IMAGES if calibrated(trial) else 0
        images = max(drift.prompts, drift.images) + drift.images + probed
        return images * _solver(trial) + drift.prompts * drift.timesteps * (1 + drift.subject)


def _with_prior(trial: Trial) -> bool:
    return bool(trial.params.get("prior_weight")) and _number(trial, "prior_count", 0) > 0


def _number(trial: Trial, name: str, default: int) -> int:
    value = trial.params.get(name, default)
    return value if isinstance(value, int) else default


def _solver(trial: Trial) -> int:
    """Passes of one image: each step with and without the prompt, where there is guidance."""
    return trial.sampling.steps * (2 if trial.sampling.guidance > 1 else 1)
