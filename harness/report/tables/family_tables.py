"""Verdicts in tables: the families at equal drift, dominance, every pair without budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.config.titles import counted
from harness.errors import ConfigError
from harness.report.comparison.arms import Arm, arms_of, daggered
from harness.report.comparison.budgets import AtBudget
from harness.report.comparison.curves import own_differences
from harness.report.comparison.families import Family, dominating
from harness.report.comparison.paired import LEAST_SUBJECTS, difference
from harness.report.comparison.protocol import DRIFT, SCORES, margin
from harness.report.comparison.verdicts import Contrast, verdicts
from harness.report.rows import COLUMNS, Selection
from harness.report.tables.curve_differences import curves, floor_for, moved, plain
from harness.report.tables.markup import EMPTY, Block, number

RULE = (
    "Verdicts: better or worse where the sign-flip p (exact up to 20 subjects, else of 100,000 draws), "
    "corrected for its family (Holm), is below .05 and the 95 % t interval excludes 0; the same where the "
    "90 % interval lies within the margin; otherwise it cannot be told. So many subjects as a margin would "
    "need show a true difference of that size with 80 % power; where they are fewer than there are, it is a "
    "smaller one that cannot be told."
)
DAGGER = (
    "† trains on a distance of outputs, the budget's own axis: fidelity at equal drift is no win by itself."
)


def family_block(family: Family) -> Block:
    """Lay out a family: a line for each pair and budget, a sentence for each score."""
    status = f"exploratory: {'; '.join(family.reasons)}" if family.reasons else "as the protocol fixed it"
    scores = [s for s in SCORES if any(s.name in pair.verdicts for pair in family.pairs)]
    lines = []
    for pair in family.pairs:
        sentences = [
            EMPTY if (v := pair.verdicts.get(s.name)) is None else v.sentence() + _beside(s.name, pair.tested)
            for s in scores
        ]
        share = pair.share
        lines.append(
            (
                daggered(_read(pair.first), [pair.first.row]),
                _read(pair.second),
                f"{pair.first.budget:g}",
                f"{number(pair.first.drift, 2)}, {number(pair.second.drift, 2)}",
                *sentences,
                EMPTY if share is None else number(share, 2),
            )
        )
    return Block(
        f"{family.question} Holm over {family.tests} tests; {status}.",
        ("Method", "Against", "‖Δε‖₂ ≤", "‖Δε‖₂", *(s.word.capitalize() for s in scores), "P(dominance)"),
        plain(lines),
    )


def _read(side: AtBudget) -> str:
    """Name what was read: the setting, and that it is a fit's own end where it is."""
    return side.row.title + (" (own end)" if side.at_end else "")


def _beside(name: str, tested: Sequence[str]) -> str:
    return "" if name in tested else " (not in the family)"


def dominance_block(found: Sequence[Family], against: str) -> Block | None:
    """Lay out which methods dominate; None where no pair has all three scores."""
    lines = [
        (
            method,
            ", ".join(f"{budget:g}" for budget in sorted(budgets)) or "none",
            f"{method} {'dominates' if enough else 'does not dominate'} {against}",
        )
        for method, (budgets, enough) in dominating(found).items()
    ]
    caption = (
        "Dominance: not worse beyond the margin on all three scores and better on one at least (for † on "
        "composition or kept prior); to dominate, at two of the three budgets."
    )
    return Block(caption, ("Method", "At ‖Δε‖₂ ≤", "Hence"), plain(lines)) if lines else None


@dataclass(frozen=True)
class _Question:
    """One pair and score without a budget: differences by subject, and what they are taken at."""

    arm: Arm
    score: str
    at: str
    subjects: int
    differences: dict[str, float]


def pair_block(selection: Selection, against: str, scores: Sequence[str], drift: str = DRIFT) -> Block | None:
    """Judge every method against one by each subject's own curves at equal drift; as they stand, for points.

    Exploratory: settings were chosen nowhere else.
    """
    arms = arms_of(selection)
    rivals = {arm.group: arm for arm in arms if arm.key == against}
    asked = [
        question
        for arm in arms
        if arm.key != against and arm.group in rivals
        for score in scores
        if (question := _question(selection, arm, rivals[arm.group], score, drift))
    ]
    if not asked:
        return None
    said = dict(_sentences(asked))
    lines = []
    for arm in dict.fromkeys(question.arm.key for question in asked):
        own = [question for question in asked if question.arm.key == arm]
        for group in dict.fromkeys(question.arm.group for question in own):
            held = {q.score: q for q in own if q.arm.group == group}
            first = next(iter(held.values()))
            cells = [said[id(held[s])] if s in held else EMPTY for s in scores]
            lines.append((daggered(first.arm.name, first.arm.rows), str(group[2]), first.at, *cells))
    return Block(
        f"Every method against {against}, exploratory: all settings tried, each subject's own curves; "
        f"Holm over {len(asked)} tests.",
        ("Method", "Shots", "At equal", *(COLUMNS[score].title for score in scores)),
        plain(lines),
    )


def _question(selection: Selection, arm: Arm, rival: Arm, score: str, drift: str) -> _Question | None:
    if max(len(arm.rows), len(rival.rows)) == 1:
        first, second = (each.rows[0].cells.get(score) for each in (arm, rival))
        if first is None or second is None:
            return None
        names = sorted(first.by_subject.keys() & second.by_subject.keys())
        if len(names) < LEAST_SUBJECTS:
            raise ConfigError(
                f"{arm.key} and {rival.key}: {counted(len(names), 'common subject')} with {score}, "
                f"at least {LEAST_SUBJECTS} are needed"
            )
        held = {name: first.by_subject[name] - second.by_subject[name] for name in names}
        return _Question(arm, score, "nothing (as they stand)", len(names), held)
    found = curves(arm, rival, floor_for(selection, arm), drift, score)
    if found is None:
        return None
    both, count = moved(arm, drift) and moved(rival, drift), int(found[0].drift.shape[1])
    own: list[float | None] = own_differences(*found) if both else [None] * count
    held = {str(place): value for place, value in enumerate(own) if value is not None}
    return _Question(arm, score, COLUMNS[drift].title, count, held)


def _sentences(asked: Sequence[_Question]) -> Iterator[tuple[int, str]]:
    """Judge the questions that enough subjects answer as one family; the others cannot be told."""
    answered = [question for question in asked if len(question.differences) >= LEAST_SUBJECTS]
    family = [
        Contrast(
            question.score,
            margin(question.score),
            difference(question.differences, dict.fromkeys(question.differences, 0.0)),
            COLUMNS[question.score].direction == "higher",
        )
        for question in answered
    ]
    for question, verdict in zip(answered, verdicts(family), strict=True):
        yield id(question), verdict.sentence()
    for question in asked:
        if question not in answered:
            reached = len(question.differences)
            why = f"the curves of {reached} overlap" if reached else "their curves do not overlap"
            yield id(question), f"cannot be told with {question.subjects} subjects: {why}"
