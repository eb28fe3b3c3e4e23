"""How much is luck: variance components of paired differences, of an experiment with several seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.report import stats
from harness.report.comparison.arms import readout_of
from harness.report.comparison.protocol import COMPOSITION, FIDELITY
from harness.report.comparison.variance import Components, best_prompts, components
from harness.report.rows import COLUMNS, Row, Selection
from harness.report.tables.curve_differences import plain
from harness.report.tables.markup import Block, number

BY_PROMPT = {FIDELITY.name: "dino_heldout", COMPOSITION.name: COMPOSITION.name}
"""Score → under which name a record has its values by prompt, where it has none of its own."""
LEAST_SEEDS = 2


def variance_block(selection: Selection) -> Block | None:
    """Lay out the components of each pair of methods and the prompts worth sampling; None with one seed."""
    rows = [row for row in selection.of("method") if readout_of(row) is None and _seeds(row) >= LEAST_SEEDS]
    lines = [
        line
        for first, second in combinations(rows, 2)
        if first.comparison_group == second.comparison_group
        for name in BY_PROMPT
        if (line := _line(first, second, name))
    ]
    if not lines:
        return None
    return Block(
        "Variance of a paired difference, by moments (what varies between images of one prompt is in its "
        "prompts' share): s.d. between subjects, training seeds and prompts; share of the variance of a "
        "subject's mean that lies between subjects; P*, the prompts worth sampling: √(σ²_prompt/σ²_subject · "
        "(c_fit + c_drift)/c_image), seconds of these records.",
        ("Difference", "Score", "Subjects × seeds × prompts", "Subject", "Seed", "Prompt", "Between", "P*"),
        plain(lines),
    )


def _seeds(row: Row) -> int:
    return len({record.trial["seed"] for record in row.records})


def _line(first: Row, second: Row, name: str) -> tuple[str, ...] | None:
    values = differences(first, second, name)
    if min(values.shape, default=0) < LEAST_SEEDS:
        return None
    found = components(values)
    seconds = [_seconds(row) for row in (first, second)]
    fit, image = (stats.mean(part) for part in zip(*seconds, strict=True))
    prompts = best_prompts(found, fit=fit, image=image)
    return (
        f"{first.title} − {second.title}",
        COLUMNS[name].title,
        " × ".join(map(str, values.shape)),
        *(number(math.sqrt(part), 3) for part in (found.subject, found.seed, found.prompt)),
        f"{_between(found, values.shape[2]):.0%}",
        "∞" if math.isinf(prompts) else number(prompts, 0),
    )


def _between(found: Components, prompts: int) -> float:
    """Share of the variance of a subject's mean over so many prompts, one seed, that is not of prompts."""
    between = found.subject + found.seed
    total = between + found.prompt / prompts
    return between / total if total else 0.0


def differences(first: Row, second: Row, name: str) -> NDArray[np.float64]:
    """Give ``first − second`` of a score as [subjects, seeds, prompts]; what both have of all, balanced.

    Prompts that a subject is not asked, or that ask nothing of the score, are left out; of subjects with
    unequal numbers of prompts the first prompts count, as many as the fewest have.
    """
    sides = [
        {
            (record.trial["subject"], record.trial["seed"]): list(_values(record.by_prompt, name))
            for record in row.records
        }
        for row in (first, second)
    ]
    cells = sides[0].keys() & sides[1].keys()
    subjects, seeds = (sorted({cell[place] for cell in cells}) for place in (0, 1))
    whole = [s for s in subjects if all((s, seed) in cells for seed in seeds)]
    table = [
        [
            [a - b for a, b in zip(*(side[s, seed] for side in sides), strict=False) if None not in (a, b)]
            for seed in seeds
        ]
        for s in whole
    ]
    fewest = min((len(prompts) for line in table for prompts in line), default=0)
    return np.array([[prompts[:fewest] for prompts in line] for line in table], dtype=np.float64)


def _values(by_prompt: dict[str, list[float | None]], name: str) -> Iterator[float | None]:
    held = by_prompt.get(name) or by_prompt.get(BY_PROMPT.get(name, name), [])
    changed: Sequence[float | None] = by_prompt.get("prompt_accuracy_colour", [])
    for place, value in enumerate(held):
        # Fidelity is over prompts that do not ask to change the subject.
        asked = name == FIDELITY.name and place < len(changed) and changed[place] is not None
        yield None if asked else value


def _seconds(row: Row) -> tuple[float, float]:
    """Seconds of a fit with its drift measures, and of one image: images of prompts and prior cost alike."""
    fit = stats.mean(record.seconds.get("fit", 0.0) for record in row.records)
    rest = stats.mean(
        record.seconds.get("sample", 0.0) + record.seconds.get("score", 0.0) for record in row.records
    )
    asked = stats.mean(float(record.images) for record in row.records)
    prior = float(row.setting.get("drift.images", 32))
    image = rest / (asked + prior) if asked + prior else 0.0
    return fit + prior * image, image
