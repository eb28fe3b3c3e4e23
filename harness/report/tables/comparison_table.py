"""Methods compared as curves: the mean difference of scores at equal drift, with bootstrap intervals.

What is compared are all settings that an experiment tried. Settings that were chosen on the same subjects are
compared on them too: exploratory, and said so. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import ConfigError, one_of
from harness.records import Record
from harness.report.comparison.arms import Arm, arms_of, floor_of
from harness.report.comparison.curves import Resampled, Settings, Vector, bootstrap, mean_difference
from harness.report.comparison.paired import LEAST_SUBJECTS
from harness.report.comparison.power import smallest_effect, subjects_needed
from harness.report.rows import COLUMNS, Row, Selection, select
from harness.report.tables.markup import EMPTY, RENDERERS, Block, Section, Sheet, Text, number

DRIFTS = ("noise_l2", "image_drift", "weight_l2")
SCORES = ("dino_heldout", "clip_t", "prompt_accuracy")
MARGIN = 0.03

NOTES = (
    "Mean difference over the drifts that both curves reach, over all settings tried; 95 % bootstrap "
    "interval over subjects (2,000 replicates, every path made anew). A path is the mean over subjects, made "
    "monotone, from the base model to the setting of largest fidelity (the first score).",
    "A constraint wins easily on the drift that it constrains: ‖Δθ‖₂ is no fair axis for a penalty or bound.",
    "Exploratory: not corrected for many comparisons, and without a plan of before.",
)


@dataclass(frozen=True)
class Comparison:
    """One method against another along one drift; ``by_score`` None: no overlap, or no such score."""

    arm: Arm
    drift: str
    subjects: int
    support: tuple[float, float] | None
    by_score: dict[str, Resampled | None]
    deviations: dict[str, float | None]


def compare(
    selection: Selection, against: str, *, drifts: Sequence[str] = DRIFTS, scores: Sequence[str] = SCORES
) -> list[Comparison]:
    """Compare every arm with the arms called ``against`` of the same data set, backbone and shots.

    Raises ConfigError for an unknown measure or arm, without a base model's row, and for fewer than 3 common
    subjects.
    """
    for name in (*drifts, *scores):
        if name not in COLUMNS:
            raise ConfigError(one_of(name, COLUMNS, noun="measure"))
    arms = [arm for arm in arms_of(selection) if len(arm.rows) > 1]
    if against not in (known := {arm.key for arm in arms}):
        raise ConfigError(
            f"--against {against}: {one_of(against, known, noun='method with several settings')}"
        )
    rivals = {arm.group: arm for arm in arms if arm.key == against}
    return [
        _compared(arm, rivals[arm.group], _floor(selection, arm), drift, scores)
        for arm in arms
        if arm.group in rivals and arm.key != against
        for drift in drifts
        if _moved(arm, drift) and _moved(rivals[arm.group], drift)
    ]


def _floor(selection: Selection, arm: Arm) -> Row:
    floor = floor_of(selection, arm)
    if floor is None:
        raise ConfigError("no row of the method frozen: curves begin at the base model; sweep it as well")
    return floor


def _moved(arm: Arm, drift: str) -> bool:
    """Textual Inversion has no drift by construction: a point, never a curve."""
    return all(drift in row.cells and any(row.cells[drift].by_subject.values()) for row in arm.rows)


def _compared(arm: Arm, rival: Arm, floor: Row, drift: str, scores: Sequence[str]) -> Comparison:
    found: dict[str, Resampled | None] = {}
    deviations: dict[str, float | None] = {}
    support, count = None, 0
    for score in scores:
        curves = _curves(arm, rival, floor, drift, score, fidelity=scores[0])
        if curves is None:
            found[score] = deviations[score] = None
            continue
        first, second = curves
        count = first.drift.shape[1]
        result = bootstrap(lambda w, f=first, s=second: mean_difference(f.path(w), s.path(w)), count)  # type: ignore[misc]
        found[score] = None if result.value is None else result
        deviations[score] = _deviation(first, second)
        support = support or _support(first, second)
    return Comparison(arm, drift, count, support, found, deviations)


def _curves(
    arm: Arm, rival: Arm, floor: Row, drift: str, score: str, *, fidelity: str
) -> tuple[Settings, Settings] | None:
    if score not in floor.cells:
        return None
    needed = (drift, score, fidelity)
    common = arm.subjects(needed) & rival.subjects(needed) & set(floor.cells[score].by_subject)
    if not common:
        return None
    if len(common) < LEAST_SUBJECTS:
        raise ConfigError(
            f"{arm.key} and {rival.key}: {len(common)} common subjects with {drift} and {score}, "
            f"at least {LEAST_SUBJECTS} are needed"
        )
    names = sorted(common)
    first, second = (each.settings(drift, score, floor, names, fidelity=fidelity) for each in (arm, rival))
    return first, second


def _deviation(first: Settings, second: Settings) -> float | None:
    """Standard deviation between subjects of the difference of their own curves."""
    count = first.drift.shape[1]
    alone: list[Vector] = list(np.eye(count))
    own = [mean_difference(first.path(w), second.path(w)) for w in alone]
    held = [value for value in own if value is not None]
    return float(np.std(held, ddof=1)) if len(held) >= LEAST_SUBJECTS else None


def _support(first: Settings, second: Settings) -> tuple[float, float] | None:
    ones = np.ones(first.drift.shape[1])
    ends = first.path(ones).support, second.path(ones).support
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    return (low, high) if low < high else None


def table(
    records: Sequence[Record],
    against: str,
    *,
    where: Sequence[str] = (),
    drifts: Sequence[str] = DRIFTS,
    scores: Sequence[str] = SCORES,
    power: bool = False,
    format: str = "markdown",
) -> str:
    """Render the comparison as ``markdown`` or ``tex``; with ``power`` also what so many subjects can show.

    Raises ConfigError, also where no two curves can be compared.
    """
    if format not in RENDERERS:
        raise ConfigError(one_of(format, RENDERERS, noun="format"))
    found = compare(select(records, where), against, drifts=drifts, scores=scores)
    if not found:
        raise ConfigError(
            f"nothing to compare with {against}: no other method has several settings and drift"
        )
    blocks = [_differences(found, against, scores)]
    if power:
        blocks.append(_power(found, scores))
    return RENDERERS[format](Sheet((), tuple(blocks), NOTES))


def _differences(found: Sequence[Comparison], against: str, scores: Sequence[str]) -> Block:
    lines = [
        (
            each.arm.name,
            COLUMNS[each.drift].title,
            EMPTY if each.support is None else "–".join(number(end, 2) for end in each.support),
            str(each.subjects),
            *(_interval(each.by_score[score]) for score in scores),
        )
        for each in found
    ]
    titles = [f"{COLUMNS[score].title} {COLUMNS[score].arrow}".strip() for score in scores]
    return Block(
        f"Difference to {against} at equal drift [95 % interval].",
        ("Method", "At equal", "From–to", "n", *titles),
        _sections(lines),
    )


def _power(found: Sequence[Comparison], scores: Sequence[str]) -> Block:
    lines = []
    for each in found:
        cells = [
            EMPTY if (s := each.deviations[score]) is None else _shown(s, each.subjects) for score in scores
        ]
        lines.append((each.arm.name, COLUMNS[each.drift].title, str(each.subjects), *cells))
    return Block(
        "Power: s.d. between subjects of the difference at equal drift; the smallest effect that n subjects "
        f"show with 80 % power (paired t, α .05); the subjects that an effect of {MARGIN:g} needs.",
        ("Method", "At equal", "n", *(COLUMNS[score].title for score in scores)),
        _sections(lines),
    )


def _shown(deviation: float, n: int) -> str:
    needed = subjects_needed(MARGIN, deviation)
    return f"{number(deviation, 3)}; {number(smallest_effect(deviation, n), 3)}; {needed or EMPTY}"


def _interval(found: Resampled | None) -> str:
    if found is None or found.value is None:
        return "no overlap"
    low, high = number(found.low, 3), number(found.high, 3)
    return f"{number(found.value, 3)} [{low}, {high}]"


def _sections(lines: Sequence[tuple[str, ...]]) -> tuple[Section, ...]:
    return (Section(None, tuple(tuple(map(Text, line)) for line in lines)),)
