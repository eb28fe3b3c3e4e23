"""One entry of ``methods:`` → its trials: parameters filled in, constraints, readouts, and their titles."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from harness.api import Alignment, Lipschitz
from harness.config.experiment import Experiment, MethodEntry
from harness.diffusion.constraints.combination import Combination
from harness.errors import ConfigError, HarnessError, one_of
from harness.specs import BackboneSpec, Readout, Trial
from harness.sweep.catalog import Catalog
from harness.sweep.readouts import asked, on_course


@dataclasses.dataclass(frozen=True)
class _Variant:
    """One row of the tables: a method with its parameters and constraint settled."""

    method: str
    title: str
    label: str
    params: dict[str, Any]
    preset: str | None
    lipschitz: Lipschitz | None
    alignment: Alignment | None
    uses_shots: bool
    readouts: tuple[Readout, ...]


@dataclasses.dataclass(frozen=True)
class Skip:
    """A row that cannot be tried on a subject, and why."""

    title: str
    backbone: str
    subject: str
    reason: str


def trials_of(
    entry: MethodEntry, place: str, subjects: list[str], experiment: Experiment, catalog: Catalog
) -> Iterator[Trial | Skip]:
    """Yield the trials of an entry, or why there are none, in the order of the file; ``place`` names it.

    Raises ConfigError for what the method does not know or cannot be.
    """
    for backbone in experiment.backbone:
        variants = list(_variants(entry, place, backbone, catalog, experiment))
        settings = list(experiment.sampling.each(entry.sampling))
        for variant, sampling, subject in itertools.product(variants, settings, subjects):
            reason = catalog.skip_reason(variant.method, variant.params, variant.lipschitz, subject, backbone)
            if reason is not None:
                yield Skip(variant.title, backbone.name, subject, reason)
                continue
            shots = _counts(experiment, subject, catalog) if variant.uses_shots else [(0, False)]
            for (count, every), seed in itertools.product(shots, experiment.seeds):
                end = Trial(
                    backbone=backbone,
                    method=variant.method,
                    title=variant.title,
                    label=variant.label,
                    params=variant.params,
                    preset=variant.preset,
                    lipschitz=variant.lipschitz,
                    alignment=variant.alignment,
                    subject=subject,
                    shots=count,
                    all_shots=every,
                    seed=seed,
                    sampling=sampling,
                )
                yield end
                for readout in variant.readouts:
                    name = f"{end.title}, {readout.words}"
                    yield end.model_copy(update={"readout": readout, "title": name})


def _counts(experiment: Experiment, subject: str, catalog: Catalog) -> list[tuple[int, bool]]:
    """The shots as numbers; ``all`` adds the subject's own number (True) where it is not among them."""
    counts = [(shots, False) for shots in experiment.shots if isinstance(shots, int)]
    most = catalog.most_shots(subject) if "all" in experiment.shots else None
    return counts if most is None or (most, False) in counts else [*counts, (most, True)]


def _variants(
    entry: MethodEntry,
    place: str,
    backbone: BackboneSpec,
    catalog: Catalog,
    experiment: Experiment,
) -> Iterator[_Variant]:
    siblings = experiment.methods
    try:
        method = catalog.method(entry.name)
    except HarnessError as error:
        raise ConfigError(f"{place}: {error}") from None
    constraints: list[Lipschitz | None] = []
    for written in entry.lipschitz:
        constraints += [None] if written is None else list(written.each())
    if not method.changes_weights and any(constraints):
        raise ConfigError(
            f"{place}.lipschitz: {entry.name!r} changes no weights: nothing to constrain, leave it out"
        )
    alignments: list[Alignment | None] = []
    for aligned in entry.alignment:
        alignments += [None] if aligned is None else list(aligned.each())
    if not method.changes_weights and any(alignments):
        raise ConfigError(f"{place}.alignment: {entry.name!r} does not train the denoiser, leave it out")
    readouts = asked(experiment, entry, place, method)
    every, axes = combinations(entry, place, method)
    distinguishing = _distinguishing(entry, siblings)
    named = len({preset for other in _like(entry, siblings) for preset in other.preset}) > 1
    for preset, params in itertools.product(entry.preset, every):
        resolved = resolved_params(entry, params, preset, backbone, catalog, place)
        on_course(readouts, resolved, place)
        varied = {name: params[name] for name in params if name in axes or name in distinguishing}
        if named and preset:
            varied = {"preset": preset, **varied}
        for lipschitz, alignment in itertools.product(constraints, alignments):
            yield _Variant(
                method=entry.name,
                title=title(entry.label or method.title, varied, lipschitz, alignment),
                label=title(entry.label or method.title, varied, None, alignment),
                params=resolved,
                preset=preset,
                lipschitz=lipschitz,
                alignment=alignment,
                uses_shots=method.uses_shots,
                readouts=readouts,
            )


def resolved_params(
    entry: MethodEntry,
    params: dict[str, Any],
    preset: str | None,
    backbone: BackboneSpec,
    catalog: Catalog,
    place: str,
) -> dict[str, Any]:
    """Every hyperparameter of one combination."""
    if preset is not None and preset not in (known := catalog.method(entry.name).presets):
        raise ConfigError(f"{place}.preset: {one_of(preset, known, noun='preset')}")
    try:
        return catalog.params(entry.name, params, backbone, preset=preset)
    except HarnessError as error:
        raise ConfigError(f"{place}.params: {error}") from None


def _like(entry: MethodEntry, entries: Sequence[MethodEntry]) -> list[MethodEntry]:
    """The entries of the same method and label."""
    return [other for other in entries if (other.name, other.label) == (entry.name, entry.label)]


def _distinguishing(entry: MethodEntry, entries: Sequence[MethodEntry]) -> set[str]:
    """Parameters by which an entry differs from another one of the same method and label."""
    others = _like(entry, entries)
    return {
        name
        for name, value in entry.params.items()
        if any(name not in other.params or other.params[name] != value for other in others)
    }


def combinations(entry: MethodEntry, place: str, method: type) -> tuple[list[dict[str, Any]], list[str]]:
    """Expand the parameters that are axes; return every combination, and the names of those axes."""
    sequences = {
        f.name
        for f in dataclasses.fields(method)
        if any(word in str(f.type).lower() for word in ("tuple", "list", "sequence"))
    }
    choices: dict[str, list[Any]] = {}
    axes = []
    for name, value in entry.params.items():
        axis = isinstance(value, list)
        if axis and name in sequences:
            axis = any(isinstance(item, list) for item in value)
        if axis and not value:
            raise ConfigError(f"{place}.params.{name}: needs at least one value: it is an axis of the sweep")
        choices[name] = value if axis else [value]
        axes += [name] if axis else []
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())], axes


def title(
    name: str, varied: dict[str, Any], lipschitz: Lipschitz | None, alignment: Alignment | None = None
) -> str:
    """Name a row: the method, the parameters that vary, alignment, the constraint.

    >>> title("DreamBooth", {"lr": 0.001}, Lipschitz(penalty=500))
    'DreamBooth (lr=0.001, λ=500)'
    """
    marks = [f"{key}={_plain(value)}" for key, value in varied.items()]
    marks += [alignment.short] if alignment else []
    marks += Combination.read(lipschitz.settings()).short if lipschitz else []
    return f"{name} ({', '.join(marks)})" if marks else name


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
