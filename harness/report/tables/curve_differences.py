"""Methods compared as curves: the mean difference of scores at equal drift, with bootstrap intervals; power.

What is compared are all settings that an experiment tried. Settings that were chosen on the same subjects are
compared on them too: exploratory, and said so. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import ConfigError, one_of
from harness.report.comparison import protocol
from harness.report.comparison.arms import Arm, arms_of, floor_of
from harness.report.comparison.curves import (
    Resampled,
    Settings,
    bootstrap,
    mean_difference,
    own_differences,
)
from harness.report.comparison.paired import LEAST_SUBJECTS
from harness.report.comparison.power import smallest_effect, subjects_needed
from harness.report.rows import COLUMNS, Row, Selection
from harness.report.tables.footnotes import encoder
from harness.report.tables.markup import EMPTY, Block, Section, Text, number

DRIFTS = ("noise_l2", "image_drift", "weight_l2")
SCORES = ("dino_heldout", "clip_t", "prompt_accuracy")
"""What is compared where no record has the protocol's scores, as on photographs."""
FIDELITIES = (protocol.FIDELITY.name, "dino_heldout", "dino", "clip_i_heldout", "clip_i")

NOTES = (
    "At equal drift: mean difference over the drifts that both curves reach, over all settings tried; 95 % "
    "bootstrap interval over subjects (2,000 replicates, every path made anew). A path is the mean over "
    "subjects, made monotone, from the base model to the setting of largest fidelity.",
    "A constraint wins easily on the drift that it constrains: ‖Δθ‖₂ is no fair axis for a penalty or bound.",
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


def scores_of(selection: Selection) -> tuple[str, ...]:
    """Give what is compared unless the user says otherwise: the protocol's scores that some method has."""
    held = {name for row in selection.of("method") for name in row.cells}
    ours = tuple(score.name for score in protocol.SCORES if score.name in held)
    return ours if protocol.FIDELITY.name in ours else SCORES


def compare(
    selection: Selection, against: str, *, drifts: Sequence[str] = DRIFTS, scores: Sequence[str] | None = None
) -> list[Comparison]:
    """Compare every arm with the arms called ``against`` of the same data set, backbone and shots.

    Only arms with several settings are curves. Raises ConfigError for an unknown measure or arm, without a
    base model's row, for fewer than 3 common subjects, and for a measure recorded with two encoders.
    """
    scores = scores or scores_of(selection)
    for name in (*drifts, *scores):
        if name not in COLUMNS:
            raise ConfigError(one_of(name, COLUMNS, noun="measure"))
    check_encoders(selection.of("method"), (*drifts, *scores))
    arms = arms_of(selection)
    if against not in (known := {arm.key for arm in arms}):
        raise ConfigError(f"--against {against}: {one_of(against, known, noun='method')}")
    curved = [arm for arm in arms if len(arm.rows) > 1]
    rivals = {arm.group: arm for arm in curved if arm.key == against}
    return [
        _compared(arm, rivals[arm.group], floor_for(selection, arm), drift, scores)
        for arm in curved
        if arm.group in rivals and arm.key != against
        for drift in drifts
        if moved(arm, drift) and moved(rivals[arm.group], drift)
    ]


def check_encoders(rows: Sequence[Row], names: Collection[str]) -> None:
    """Raise ConfigError where records of one measure were scored by two encoders: they do not compare."""
    records = [record for row in rows for record in row.records]
    for name in dict.fromkeys(names):
        if " / " in (behind := encoder(records, name) or ""):
            raise ConfigError(
                f"{name}: recorded with two encoders ({behind.replace(' / ', ' and ')}), not comparable; "
                "sweep again, which scores saved images with one"
            )


def floor_for(selection: Selection, arm: Arm) -> Row:
    """Find the base model's row of an arm. Raises ConfigError where it was not swept."""
    floor = floor_of(selection, arm)
    if floor is None:
        raise ConfigError("no row of the method frozen: curves begin at the base model; sweep it as well")
    return floor


def moved(arm: Arm, drift: str) -> bool:
    """Say whether an arm drifts: Textual Inversion does not by construction, a point, never a curve."""
    return all(drift in row.cells and any(row.cells[drift].by_subject.values()) for row in arm.rows)


def _compared(arm: Arm, rival: Arm, floor: Row, drift: str, scores: Sequence[str]) -> Comparison:
    found: dict[str, Resampled | None] = {}
    deviations: dict[str, float | None] = {}
    support, count = None, 0
    for score in scores:
        pair = curves(arm, rival, floor, drift, score)
        if pair is None:
            found[score] = deviations[score] = None
            continue
        first, second = pair
        count = first.drift.shape[1]
        result = bootstrap(lambda w, f=first, s=second: mean_difference(f.path(w), s.path(w)), count)  # type: ignore[misc]
        found[score] = None if result.value is None else result
        deviations[score] = _deviation(first, second)
        support = support or _support(first, second)
    return Comparison(arm, drift, count, support, found, deviations)


def curves(arm: Arm, rival: Arm, floor: Row, drift: str, score: str) -> tuple[Settings, Settings] | None:
    """Make the curves of two arms over their common subjects; None where a measure is missing.

    Raises ConfigError for fewer than 3 common subjects.
    """
    if score not in floor.cells:
        return None
    fidelity = next((name for name in FIDELITIES if arm.subjects([name]) & rival.subjects([name])), score)
    needed = (drift, score, fidelity)
    common = arm.subjects(needed) & rival.subjects(needed) & set(floor.cells[score].by_subject)
    if COLUMNS[drift].kind == "score":
        common &= set(floor.cells[drift].by_subject) if drift in floor.cells else set()
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
    held = [value for value in own_differences(first, second) if value is not None]
    return float(np.std(held, ddof=1)) if len(held) >= LEAST_SUBJECTS else None


def _support(first: Settings, second: Settings) -> tuple[float, float] | None:
    ones = np.ones(first.drift.shape[1])
    ends = first.path(ones).support, second.path(ones).support
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    return (low, high) if low < high else None


def differences_block(found: Sequence[Comparison], against: str, scores: Sequence[str]) -> Block:
    """Lay out the mean differences at equal drift, a line for each method and drift."""
    lines = [
        (
            each.arm.name,
            COLUMNS[each.drift].title,
            EMPTY if each.support is None else "–".join(number(end, 2) for end in each.support),
            str(each.subjects),
            *(interval(each.by_score[score]) for score in scores),
        )
        for each in found
    ]
    titles = [f"{COLUMNS[score].title} {COLUMNS[score].arrow}".strip() for score in scores]
    return Block(
        f"Difference to {against} at equal drift [95 % interval]. Exploratory: not corrected for many "
        "comparisons.",
        ("Method", "At equal", "From–to", "n", *titles),
        plain(lines),
    )


def power_block(found: Sequence[Comparison], scores: Sequence[str]) -> Block:
    """Lay out what so many subjects can show of each difference at equal drift."""
    lines = []
    for each in found:
        cells = [
            EMPTY if (s := each.deviations[score]) is None else _shown(s, each.subjects, score)
            for score in scores
        ]
        lines.append((each.arm.name, COLUMNS[each.drift].title, str(each.subjects), *cells))
    margins = ", ".join(f"{protocol.margin(score):g}" for score in scores)
    return Block(
        "Power: s.d. between subjects of the difference at equal drift; the smallest effect that n subjects "
        f"show with 80 % power (paired t, α .05); the subjects that the margin ({margins}) needs.",
        ("Method", "At equal", "n", *(COLUMNS[score].title for score in scores)),
        plain(lines),
    )


def _shown(deviation: float, n: int, score: str) -> str:
    needed = subjects_needed(protocol.margin(score), deviation)
    return f"{number(deviation, 3)}; {number(smallest_effect(deviation, n), 3)}; {needed or EMPTY}"


def interval(found: Resampled | None, places: int = 3) -> str:
    """Write a resampled difference with its interval; a share of replicates below 1 stands behind."""
    if found is None or found.value is None:
        return "no overlap"
    low, high = number(found.low, places), number(found.high, places)
    defined = "" if round(found.share, 2) == 1 else f" ({found.share:.0%})"
    return f"{number(found.value, places)} [{low}, {high}]{defined}"


def plain(lines: Sequence[tuple[str, ...]]) -> tuple[Section, ...]:
    """Give lines of words as the one section of a block."""
    return (Section(None, tuple(tuple(map(Text, line)) for line in lines)),)
