"""Which readouts a method's fits have, and whether they lie on its course. Knows no keys and no records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.config.experiment import Experiment, MethodEntry
from harness.errors import ConfigError
from harness.specs import Readout, Trial
from harness.sweep.keys import digest


def asked(experiment: Experiment, entry: MethodEntry, place: str, method: type[Any]) -> tuple[Readout, ...]:
    """Give the readouts of an entry's fits: its own, else the experiment's; floors and ceilings have none.

    Raises ConfigError where a floor or a ceiling is to have readouts of its own.
    """
    if method.role != "method":
        if entry.readouts is not None and any(entry.readouts.each()):
            raise ConfigError(
                f"{place}.readouts: {entry.name!r} is a {method.role} and trains nothing to read out, "
                "leave them out"
            )
        return ()
    written = experiment.readouts if entry.readouts is None else entry.readouts
    return tuple(written.each()) if written else ()


def on_course(readouts: Sequence[Readout], params: Mapping[str, Any], place: str) -> None:
    """Raise ConfigError for a checkpoint that a method with these parameters does not come by.

    A fit whose learning rate decays is nowhere what a shorter one would be.
    """
    for readout in readouts:
        if readout.kind != "steps":
            continue
        course = params.get("steps")
        if not isinstance(course, int):
            raise ConfigError(
                f"{place}: readouts.steps: the method has no parameter 'steps' to stop early at"
            )
        if readout.value > course:
            raise ConfigError(
                f"{place}: readouts.steps: {readout.value} lies beyond the course of {course} steps"
            )
        if (decay := params.get("lr_decay", "none")) != "none":
            raise ConfigError(
                f"{place}: readouts.steps: with lr_decay: {decay} step {readout.value} is not the end of "
                f"a fit of {readout.value} steps; use scale or budget, or lr_decay: none"
            )


def fits(trials: Sequence[Trial]) -> int:
    """Count the fits behind trials: those that differ in readout or sampling alone share one."""
    apart = {"title", "label", "preset", "sampling", "readout", "all_shots"}
    return len({digest(trial.model_dump(mode="json", exclude=apart)) for trial in trials})
