"""What a sweep must still do, and in which order: its trials against the records and images at hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from harness.config.experiment import Experiment
from harness.records import AnyRecord
from harness.specs import BackboneSpec, EncoderSpec, Readout, Trial
from harness.sweep.catalog import Catalog
from harness.sweep.grid import trials
from harness.sweep.keys import Fingerprints, Keyer, digest
from harness.trial.plan import WEIGHTS, Keys, Plan

Stage = Literal["done", "score", "sample", "fit"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Known = TypeVar("Known", bound=AnyRecord)


@dataclass(frozen=True)
class Task:
    """A trial and what it needs.

    stage          ``done``: nothing; ``score``: its saved images scored again; ``sample``: images drawn
                   with the weights that a trial of the same fit kept; ``fit``: all
    weights        the key under which those weights lie, if they do
    retry          the last one failed
    method_source  the text of a user's own method as it was when the keys were computed
    most_shots     the experiment's largest number of shots of the subject
    photos         fingerprint of the subject's photos as they were when the keys were computed
    search         what a record says of the search that asks for it: see :class:`harness.records.Record`
    """

    trial: Trial
    keys: Keys
    stage: Stage
    retry: bool = False
    weights: str | None = None
    method_source: str | None = None
    most_shots: int | None = None
    photos: str | None = None
    search: Mapping[str, Any] | None = None


def tasks(
    experiment: Experiment,
    catalog: Catalog,
    records: Iterable[AnyRecord],
    folder: Path,
    *,
    expanded: Sequence[Trial] | None = None,
) -> list[Task]:
    """Pair every trial of the experiment with what the run directory already holds.

    ``records`` come in file order, superseded ones too. A trial is done when its last record is done under
    the wanted score key; with images but another score key it is scored again; with the weights of the same
    fit it is sampled; else it is fitted.
    ``expanded``: the experiment's trials, where they are known already.
    """
    work = Worklist(experiment, catalog, records, folder)
    return work.tasks(trials(experiment, catalog) if expanded is None else expanded)


class Worklist(Generic[Known]):
    """Pairs trials with what a run directory held when it was opened: its records, or their outlines."""

    def __init__(
        self, experiment: Experiment, catalog: Catalog, records: Iterable[Known], folder: Path
    ) -> None:
        self._history, self._known = _History(records, folder), _Fingerprinter(experiment, catalog)

    def tasks(self, trials: Iterable[Trial]) -> list[Task]:
        """Say what each trial needs: see :func:`tasks`."""
        return [
            replace(
                self._history.task(trial, self.keys(trial)),
                method_source=self._known.source(trial.method),
                most_shots=self._known.most_shots(trial.subject),
                photos=self._known.photos(trial.subject),
            )
            for trial in trials
        ]

    def keys(self, trial: Trial) -> Keys:
        """Compute the keys of a trial."""
        return self._known.keys(trial)

    def record(self, key: str) -> Known | None:
        """Give the last record of a sample key."""
        return self._history.last.get(key)


_Weights = tuple[str, int | float | None]
"""A fit and the step at which it was left; None: at its end, from which scales and budgets start."""


def _weights(fit: str, readout: Readout | None) -> _Weights:
    return fit, readout.value if readout is not None and readout.kind == "steps" else None


class _History(Generic[Known]):
    """What the records of a run directory and its files spare a trial."""

    def __init__(self, records: Iterable[Known], folder: Path) -> None:
        self._folder = folder
        self.last: dict[str, Known] = {}
        self._done_once: set[str] = set()
        self._fitted: dict[_Weights, str] = {}
        for record in records:
            self.last[record.key] = record
            if record.status == "done":
                self._done_once.add(record.key)
                if (folder / record.key / WEIGHTS).is_file():
                    self._fitted[_weights(record.keys["fit"], Readout.of(record.trial))] = record.key

    def task(self, trial: Trial, wanted: Keys) -> Task:
        record = self.last.get(wanted.sample)
        retry = record is not None and record.status == "failed"
        if record and not retry and record.keys.get("score") == wanted.score:
            return Task(trial, wanted, "done", weights=self._fitted.get(_weights(wanted.fit, trial.readout)))
        if wanted.sample in self._done_once and has_images(self._folder / wanted.sample):
            return Task(trial, wanted, "score", retry)
        weights = self._fitted.get(_weights(wanted.fit, trial.readout))
        if weights is not None:
            return Task(trial, wanted, "sample", retry, weights)
        return Task(trial, wanted, "fit", retry)


def has_images(folder: Path) -> bool:
    """Whether a trial's folder holds what scoring needs: every image that its ``images.json`` names."""
    try:
        listing = json.loads((folder / "images.json").read_text())
        names = [entry["file"] for entry in (*listing["pictures"], *listing["prior"])]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all((folder / name).is_file() for name in ("fit.json", *names))


def in_order(pending: Sequence[Task]) -> list[Task]:
    """Order the work so that something is soon to be seen of every row.

    Scoring of saved images comes first, sampling with kept weights next; then backbone by backbone (a
    worker holds one), one trial of each row in turn, rows without training before the others.
    """
    ordered = [task for stage in ("score", "sample") for task in pending if task.stage == stage]
    fits = [task for task in pending if task.stage == "fit"]
    backbones: dict[str, list[Task]] = {}
    for task in fits:
        backbones.setdefault(task.trial.backbone.model_dump_json(), []).append(task)
    for group in backbones.values():
        rows: dict[str, list[Task]] = {}
        for task in group:
            rows.setdefault(task.trial.title, []).append(task)
        for turn in itertools.zip_longest(*rows.values()):
            ordered += sorted(filter(None, turn), key=lambda task: task.trial.shots > 0)
    return ordered


def plan(task: Task, experiment: Experiment, folder: Path) -> Plan:
    """Write out what a worker needs for a task, with the saved files that spare it a stage."""
    return _plan(task, experiment, _saved(task, folder))


def _plan(task: Task, experiment: Experiment, saved: Mapping[str, bytes]) -> Plan:
    assert task.stage != "done"
    return Plan(
        trial=task.trial,
        drift=experiment.drift,
        scores=experiment.scores,
        precision=experiment.precision,
        keep_weights=experiment.keep_weights,
        keys=task.keys,
        stage=task.stage,
        method_source=task.method_source,
        most_shots=task.most_shots,
        photos=task.photos,
        saved=saved,
    )


def plans(tasks: Sequence[Task], experiment: Experiment, folder: Path) -> list[Plan]:
    """Write out what a worker needs for the tasks of one job: kept weights travel with the first alone."""
    first, *others = tasks
    return [
        plan(first, experiment, folder),
        *(_plan(task, experiment, {}) for task in others),
    ]


def _saved(task: Task, runs: Path) -> dict[str, bytes]:
    folder = runs / (task.weights or task.keys.sample)
    wanted = {
        "fit": [],
        "sample": [folder / "fit.json", folder / WEIGHTS],
        "score": [folder / "fit.json", *sorted(folder.glob("pictures/*")), *sorted(folder.glob("prior/*"))],
    }
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in wanted[task.stage]}


class _Fingerprinter:
    """Asks the catalog once for everything that many trials share."""

    def __init__(self, experiment: Experiment, catalog: Catalog) -> None:
        self._experiment = experiment
        self._catalog = catalog
        self._keyer = Keyer(
            drift=experiment.drift,
            scores=experiment.scores,
            precision=experiment.precision,
            tiled=experiment.execution.autoencoder == "tiled",
        )
        self._sources: dict[str, str | None] = {}
        self._backbones: dict[str, tuple[str, dict[str, str]]] = {}
        self._subjects: dict[tuple[str, str], tuple[str, str]] = {}
        self._shots: dict[tuple[str, int, int], str] = {}
        self._most: dict[str, int] = {}
        self._photos: dict[str, str] = {}

    def keys(self, trial: Trial) -> Keys:
        return self._keyer.keys(trial, self._fingerprints(trial))

    def source(self, method: str) -> str | None:
        if method not in self._sources:
            self._sources[method] = self._catalog.method_source(method)
        return self._sources[method]

    def most_shots(self, subject: str) -> int:
        """The largest number of shots in the experiment, and no more than the subject has."""
        if subject not in self._most:
            there = self._catalog.most_shots(subject)
            asked = [there if shots == "all" else shots for shots in self._experiment.shots]
            self._most[subject] = min(there, max(asked))
        return self._most[subject]

    def photos(self, subject: str) -> str:
        if subject not in self._photos:
            self._photos[subject] = self._catalog.references_identity(subject)
        return self._photos[subject]

    def _fingerprints(self, trial: Trial) -> Fingerprints:
        catalog = self._catalog
        source = self.source(trial.method)
        wanted = trial.sampling.prompts
        asked = (trial.subject, wanted if isinstance(wanted, str) else "all")
        if asked not in self._subjects:
            self._subjects[asked] = (catalog.prompts_identity(*asked), self.photos(trial.subject))
        cell = (trial.subject, trial.shots, trial.seed)
        if cell not in self._shots:
            self._shots[cell] = catalog.shots_identity(*cell)
        backbone, encoders = self._backbone(trial.backbone)
        prompts, references = self._subjects[asked]
        return Fingerprints(
            backbone=backbone,
            method_version=catalog.method(trial.method).version,
            method_source=None if source is None else digest(source),
            shots=self._shots[cell],
            prompts=prompts,
            references=references,
            encoders=encoders,
            aligned=self._aligned(trial, encoders),
            held_out=catalog.held_out_identity(trial.subject, self.most_shots(trial.subject), trial.seed),
        )

    def _aligned(self, trial: Trial, encoders: Mapping[str, str]) -> dict[str, str]:
        """The revisions of the encoders that a trial is aligned with."""
        if trial.alignment is None:
            return {}
        models = trial.alignment.encoders
        revision = self._catalog.encoder_revision
        return {
            kind: revision(EncoderSpec(model=models[kind])) if kind in models else encoders[kind]
            for kind in trial.alignment.weights
        }

    def _backbone(self, spec: BackboneSpec) -> tuple[str, dict[str, str]]:
        name = spec.model_dump_json()
        if name not in self._backbones:
            encoders = self._catalog.encoders(spec)
            revisions = {kind: self._catalog.encoder_revision(e) for kind, e in encoders.items()}
            self._backbones[name] = (self._catalog.backbone_revision(spec), revisions)
        return self._backbones[name]
