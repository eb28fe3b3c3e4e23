"""A study of a search: one method with one constraint, its ranges, and the trials that a point in them takes.

Knows no results.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api import Lipschitz
from harness.config import strict_yaml
from harness.config.constraint_entry import LipschitzEntry
from harness.config.experiment import Experiment, MethodEntry
from harness.config.readouts import ReadoutsEntry
from harness.config.search import CONSTRAINT, Range, SearchEntry
from harness.diffusion.constraints.registry import kinds
from harness.specs import Trial
from harness.sweep.catalog import Catalog
from harness.sweep.variants import Skip, resolved_params, trials_of

Point = dict[str, Any]
"""A value for every axis of a study, by the axis's name."""

DIGITS = 3
"""Significant digits of a proposed number: what a title shows is what was tried."""


def identity(point: Point) -> str:
    """Tell a point from others."""
    return json.dumps(point, sort_keys=True)


@dataclass(frozen=True)
class SearchAxis:
    """What is varied: a hyperparameter, or ``lipschitz.KEY``. ``whole``: it takes whole numbers."""

    name: str
    range: Range
    whole: bool = False

    @property
    def ends(self) -> tuple[Any, Any]:
        """The first and the last value of the range."""
        return self.range.values[0], self.range.values[-1]

    def settled(self, value: Any) -> Any:
        """Round a proposed number to :data:`DIGITS`, and no further than the range goes."""
        if not self.range.bounded or isinstance(value, str):
            return value
        low, high = self.ends
        rounded = min(max(float(f"{value:.{DIGITS}g}"), low), high)
        return round(rounded) if self.whole else float(rounded)


@dataclass(frozen=True)
class Level:
    """Trials of a proposal that are run together: to a rung (steps), or at the end of the course (None)."""

    rung: int | None
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Study:
    """One search for settings.

    entry       the method's entry without its axes, one constraint at most
    experiment  with the study's one backbone
    identity    digest of all that decides the proposals, apart from the seed and the results
    """

    name: str
    entry: MethodEntry
    place: str
    experiment: Experiment
    axes: tuple[SearchAxis, ...]
    subjects: tuple[str, ...]
    identity: str

    @property
    def rules(self) -> SearchEntry:
        """The experiment's ``search:``."""
        assert self.experiment.search is not None
        return self.experiment.search

    @property
    def written_readouts(self) -> ReadoutsEntry | None:
        """The readouts of the entry, else the experiment's."""
        own = self.entry.readouts
        return self.experiment.readouts if own is None else own

    def stamp(self, number: int, point: Point) -> dict[str, Any]:
        """Write what a record says of the search: see :class:`harness.records.Record`."""
        over = {axis.name: axis.range.model_dump() for axis in self.axes}
        sought = {"merit": list(self.rules.merit)} if self.rules.merit else {}
        return {"study": self.name, "proposal": number, "point": dict(point), "over": over, **sought}

    def trials(self, point: Point, catalog: Catalog) -> list[Trial]:
        """Write out the trials of a point, readouts included. Raises ConfigError where it cannot be tried."""
        entry = self._at(point, catalog)
        found = trials_of(entry, self.place, list(self.subjects), self.experiment, catalog)
        return [trial for trial in found if not isinstance(trial, Skip)]

    def levels(self, point: Point, catalog: Catalog) -> list[Level]:
        """Part the trials of a point by when they are run: with ASHA rung after rung, else all at once.

        A learning rate that decays has no checkpoints, and so no rungs.
        """
        trials = self.trials(point, catalog)
        if self.rules.scheduler == "none":
            return [Level(None, tuple(trials))]
        gathered: dict[int, list[Trial]] = {}
        end = []
        for trial in trials:
            if trial.readout is not None and trial.readout.kind == "steps":
                gathered.setdefault(int(trial.readout.value), []).append(trial)
            else:
                end.append(trial)
        rungs = [Level(rung, tuple(gathered[rung])) for rung in sorted(gathered)]
        return [*rungs, Level(None, tuple(end))]

    def _at(self, point: Point, catalog: Catalog) -> MethodEntry:
        held = {
            name.removeprefix(f"{CONSTRAINT}."): value
            for name, value in point.items()
            if name.startswith(f"{CONSTRAINT}.")
        }
        params = {name: value for name, value in point.items() if not name.startswith(f"{CONSTRAINT}.")}
        update: dict[str, Any] = {"params": {**self.entry.params, **params}, "over": None}
        if held:
            place = f"{self.place}.over.{CONSTRAINT}"
            update[CONSTRAINT] = (strict_yaml.check(LipschitzEntry, held, source=place),)
        entry = self.entry.model_copy(update=update)
        return entry.model_copy(update={"readouts": self._readouts(entry, catalog)})

    def _readouts(self, entry: MethodEntry, catalog: Catalog) -> ReadoutsEntry | None:
        """The readouts, checkpoints only before the end of this course, and none where the rate decays."""
        written = self.written_readouts
        if written is None or not written.steps:
            return written
        (backbone,), (preset, *_) = self.experiment.backbone, entry.preset
        params = resolved_params(entry, entry.params, preset, backbone, catalog, self.place)
        course, decays = params.get("steps"), params.get("lr_decay", "none") != "none"
        if not isinstance(course, int):
            return written
        kept = () if decays else tuple(step for step in written.steps if step < course)
        return written.model_copy(update={"steps": kept})

    def point_of(self, trial: Mapping[str, Any], catalog: Catalog) -> Point | None:
        """Read the point off a record's trial; None where it is of another method or out of range."""
        backbone = self.experiment.backbone[0].name
        name = Path(self.entry.name).name.removesuffix(".py")
        if (trial["method"], trial["backbone"]) != (name, backbone):
            return None
        method = catalog.method(self.entry.name)
        known = {f.name: f.default for f in dataclasses.fields(method)} | dict(trial["params"])
        usual = Lipschitz().settings() | {k: v for kind in kinds() for k, v in kind.added().items()}
        held = {**usual, **trial[CONSTRAINT]} if trial.get(CONSTRAINT) else {}
        every = {**known, **{f"{CONSTRAINT}.{key}": value for key, value in held.items()}}
        point = {axis.name: every.get(axis.name) for axis in self.axes}
        inside = all(axis.name in every and axis.range.holds(point[axis.name]) for axis in self.axes)
        return point if inside else None
