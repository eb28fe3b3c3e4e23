"""What there is and where it comes from: the tables of ``harness list`` and ``harness sweep --dry-run``.

Loads no torch.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.cli.plan_table import plan_table
from harness.config.experiment import Experiment
from harness.config.titles import counted
from harness.errors import HarnessError, one_line
from harness.plugins import Offer, only
from harness.records import Lines
from harness.sweep.catalog import Catalog
from harness.sweep.expectation import Expectation, expect
from harness.sweep.grid import expand
from harness.sweep.searching import at_most, known_trials
from harness.sweep.study import Study
from harness.sweep.worklist import Task, tasks

PIPE = 100
"""Columns of what goes to a file or pipe."""


def console() -> Console:
    """Print for a terminal at its width, for a file or pipe at :data:`PIPE` columns."""
    return Console(width=None if sys.stdout.isatty() else PIPE, highlight=False)


def dry_run(
    experiment: Experiment,
    catalog: Catalog,
    folder: Path,
    *,
    everything: bool = False,
    workers: int | None = None,
) -> tuple[Table, list[Task], list[str], Expectation]:
    """Say what a sweep would do: a table by row, the worklist, a line for all left out or skipped, the cost.

    ``everything``: a row for each setting, however many there are.
    """
    expansion = expand(experiment, catalog)
    lines = list(Lines(folder).outlines())
    known = known_trials(experiment, catalog, expansion, lines, folder)
    work = tasks(experiment, catalog, lines, folder, expanded=known)
    reasons = Counter((skip.title, skip.reason) for skip in expansion.skips)
    skips = [f"skipped: {title}: {reason}" + f" (×{n})" * (n > 1) for (title, reason), n in reasons.items()]
    table, left_out = plan_table(work, everything=everything)
    search = [at_most_in_words(experiment, expansion.studies)] if expansion.studies else []
    cost = expect(work, experiment, catalog, lines, folder, workers=workers)
    return table, work, [*([left_out] if left_out else []), *skips, *search], cost


def at_most_in_words(experiment: Experiment, studies: Sequence[Study]) -> str:
    """Say what a search may come to: proposals, fits and readouts, and where it may stop earlier."""
    proposals, fits, readouts = at_most(studies)
    each = experiment.search.trials if experiment.search else 0
    early = " (ASHA stops some before)" if experiment.search and experiment.search.scheduler == "asha" else ""
    searches = f"{len(studies)} search{'es' if len(studies) > 1 else ''}"
    return (
        f"{searches} of {counted(each, 'proposal')}: {proposals:,} proposals, "
        f"at most {fits:,} fits and {readouts:,} readouts{early}"
    )


def methods_table() -> Table:
    """List the methods, built in and plug-ins, with their parameters, defaults and presets."""
    from harness import methods

    table = _table("method", "title", "Lipschitz", "photos", "from", "parameters (defaults)")
    for name, found in methods.offers().items():
        try:
            kind = methods.load(name)
        except HarnessError as error:
            table.add_row(name, "–", "–", "–", _origins(found), one_line(error))
            continue
        defaults = dataclasses.asdict(kind())  # type: ignore[call-overload]
        words = ", ".join(f"{key}={value}" for key, value in defaults.items())
        marks = ("yes" if yes else "–" for yes in (kind.changes_weights, kind.uses_shots))
        table.add_row(name, kind.title, *marks, _origins(found), words)
        for preset, values in kind.presets.items():
            table.add_row("", f"preset: {preset}", "", "", "", _preset(kind, preset, values))
    return table


def _preset(kind: Any, name: str, values: Mapping[str, Any]) -> str:
    """A preset's values, a list of texts by its length, and where they come from."""
    words = ", ".join(
        f"{key}=({len(value)})" if isinstance(value, tuple) else f"{key}={value}"
        for key, value in values.items()
    )
    source = getattr(kind, "sources", {}).get(name)
    return f"{words}\n{source}" if source else words


def backbones_table() -> Table:
    """List what a ``backbone:`` may be."""
    table = _table("backbone", "what it is")
    table.add_row("toybox", "the embedded benchmark's small Stable Diffusion, 64 × 64 pixels")
    table.add_row("ORG/NAME", "a model of the Hugging Face Hub in diffusers' format; revision: to pin one")
    table.add_row("./FOLDER", "a local folder in diffusers' format, safetensors only")
    return table


def datasets_table() -> Table:
    """List the data sets."""
    from harness.datasets import registry

    return _described("dataset", registry.offers(), lambda offer: registry.entry(offer).description)


def encoders_table() -> Table:
    """List the encoders."""
    from harness.metrics.encoders import registry

    def described(offer: Offer) -> str:
        found = registry.entry(offer)
        return found.models.get(offer.name, f"{found.kind} encoder")

    return _described("encoder", registry.offers(), described)


def scores_table() -> Table:
    """List scores and drift measures with unit, direction, version and encoder."""
    from harness.metrics.registry import MEASURES

    table = _table("name", "kind", "better", "unit", "version", "encoder", "what it is")
    for measure in MEASURES.values():
        table.add_row(
            measure.name,
            measure.kind,
            measure.direction or "–",
            measure.unit,
            str(measure.version),
            measure.encoder or "–",
            measure.description,
        )
    return table


LISTS: dict[str, Callable[[], Table]] = {
    "methods": methods_table,
    "backbones": backbones_table,
    "datasets": datasets_table,
    "encoders": encoders_table,
    "scores": scores_table,
}


def _described(noun: str, offers: Mapping[str, tuple[Offer, ...]], describe: Callable[[Offer], str]) -> Table:
    """One line for each name: what it is, or why it cannot be used."""
    table = _table(noun, "from", "what it is")
    for name, found in offers.items():
        try:
            words = describe(only(name, offers))
        except HarnessError as error:
            words = one_line(error)
        table.add_row(name, _origins(found), words)
    return table


def _origins(offers: Sequence[Offer]) -> str:
    """Where a name comes from: built in, or package and version, with the module."""
    return ", ".join(
        offer.origin if offer.package is None else f"{offer.origin} ({offer.module})" for offer in offers
    )


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table
