"""Families of tests at equal drift, as experiments/PROTOCOL.md fixes them, judged: verdicts and dominance.

Q1 sets P&P against plain DreamBooth shrunk afterwards, Q2 every method against P&P. What departs from the
protocol is computed alike and says why it is exploratory. Knows no layout.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from harness.config.titles import counted
from harness.errors import ConfigError
from harness.report.comparison.arms import trains_on_outputs
from harness.report.comparison.budgets import AtBudget, Reader, budgets_of
from harness.report.comparison.curves import share_dominant
from harness.report.comparison.paired import LEAST_SUBJECTS, difference
from harness.report.comparison.protocol import (
    BUDGETS,
    COMPOSITION,
    FIDELITY,
    MIDDLE,
    NEEDED,
    PENALTY,
    PLAIN,
    SCORES,
    Score,
)
from harness.report.comparison.verdicts import Contrast, Verdict, dominates, verdicts
from harness.report.rows import Row, Selection
from harness.report.stats import paired_differences


@dataclass(frozen=True)
class Splits:
    """Names of the subjects that are tuned on, and of those that the protocol compares on."""

    development: frozenset[str] = frozenset()
    confirmation: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pair:
    """Two methods at one budget, the first less the second; verdicts by score, those ``tested`` together."""

    first: AtBudget
    second: AtBudget
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    tested: tuple[str, ...] = ()

    @property
    def on_outputs(self) -> bool:
        """Whether the first method is marked †: fidelity at equal drift is no win of it by itself."""
        return trains_on_outputs(self.first.row)

    @property
    def dominates(self) -> bool | None:
        """Whether the first dominates at this budget; None where a score is missing."""
        if any(score.name not in self.verdicts for score in SCORES):
            return None
        counting = set(self.tested) - ({FIDELITY.name} if self.on_outputs else set())
        return dominates([self.verdicts[score.name] for score in SCORES], counting=sorted(counting))

    @property
    def share(self) -> float | None:
        """P(dominance): the share of bootstrap replicates in which all three means are no worse."""
        held = [(self.first.by_subject(s.name), self.second.by_subject(s.name)) for s in SCORES]
        common = set.intersection(*(set(a) & set(b) for a, b in held))
        if len(common) < LEAST_SUBJECTS:
            return None
        return share_dominant(
            {
                score.name: paired_differences(*({s: part[s] for s in common} for part in pair))
                for score, pair in zip(SCORES, held, strict=True)
            }
        )


@dataclass(frozen=True)
class Family:
    """Pairs whose contrasts were corrected together. ``reasons``: why it is exploratory; none: as fixed."""

    name: str
    question: str
    pairs: tuple[Pair, ...]
    reasons: tuple[str, ...]

    @property
    def tests(self) -> int:
        """How many contrasts the correction is for."""
        return sum(len(set(pair.tested) & pair.verdicts.keys()) for pair in self.pairs)


def families(reader: Reader, against: str, budgets: Sequence[float], splits: Splits) -> list[Family]:
    """Judge every method against one at the budgets: Q1 and Q2 where they are asked about, and the rest.

    Q1: P&P against plain DreamBooth, one family over all budgets. Every other question is a family for each
    budget; that of all methods against P&P at the middle one is Q2.
    """
    rest = [method for method in reader.methods() if method != against]
    found = []
    if against == PLAIN and PENALTY in rest:
        rest.remove(PENALTY)
        pairs = [pair for b in budgets if (pair := _pair(reader, PENALTY, PLAIN, b))]
        reasons = _reasons(pairs, budgets, splits, q1=True)
        question = "Q1: does the penalty beat shrinking afterwards?"
        found.append(_judged("Q1", question, pairs, (FIDELITY, COMPOSITION), reasons))
    for budget in budgets:
        pairs = [pair for method in rest if (pair := _pair(reader, method, against, budget))]
        question, reasons = (
            f"Every method against {against} at ‖Δε‖₂ ≤ {budget:g}",
            ["no family of the protocol"],
        )
        name = f"{against} at {budget:g}"
        if against == PENALTY and budget == MIDDLE:
            name, question, reasons = "Q2", "Q2: does a method beat P&P?", _reasons(pairs, budgets, splits)
        found.append(_judged(name, question, pairs, SCORES, reasons))
    return [family for family in found if family.pairs]


def by_group(
    selection: Selection, against: str, *, tuned: Sequence[Row] = (), splits: Splits = Splits()
) -> list[list[Family]]:
    """Judge the families of every comparison group: none where nothing was read at budgets.

    ``tuned``: rows of the experiment whose development subjects choose λ at each budget.
    """
    budgets, found = budgets_of(selection), []
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in selection.of("method") if budgets else ():
        groups.setdefault(row.comparison_group, []).append(row)
    for rows in groups.values():
        reader = Reader(rows, development=splits.development, tuned=tuned)
        if against in reader.methods():
            found.append(families(reader, against, budgets, splits))
    return found


def dominating(found: Sequence[Family]) -> dict[str, tuple[list[float], bool]]:
    """Give for each method the budgets at which it dominates, and whether these are enough to dominate.

    Methods for which a score is missing are left out.
    """
    at: dict[str, list[float]] = {}
    for family in found:
        for pair in family.pairs:
            if pair.dominates is not None:
                at.setdefault(pair.first.method, []).extend([pair.first.budget] if pair.dominates else [])
    return {method: (budgets, len(budgets) >= NEEDED) for method, budgets in at.items()}


def decays(row: Row) -> bool:
    """Say whether the learning rate of a row's fits decays: the rival that Q1 names."""
    return row.setting.get("params.lr_decay", "none") != "none"


def _pair(reader: Reader, method: str, against: str, budget: float) -> Pair | None:
    first = reader.read(method, budget)
    rival = reader.read(against, budget, among=decays) if against == PLAIN else None
    second = rival or reader.read(against, budget)
    return Pair(first, second) if first and second else None


def _judged(
    name: str, question: str, pairs: Sequence[Pair], tested: Sequence[Score], reasons: Sequence[str]
) -> Family:
    family = [(i, c) for i, pair in enumerate(pairs) for score in tested if (c := _contrast(pair, score))]
    said: list[dict[str, Verdict]] = [{} for _ in pairs]
    for (i, contrast), verdict in zip(family, verdicts([c for _, c in family]), strict=True):
        said[i][contrast.name] = verdict
    for i, pair in enumerate(pairs):
        for score in SCORES:  # beside the family: only whether it is not worse counts
            if score not in tested and (beside := _contrast(pair, score)):
                (said[i][score.name],) = verdicts([beside])
    names = tuple(score.name for score in tested)
    judged = tuple(Pair(p.first, p.second, held, names) for p, held in zip(pairs, said, strict=True) if held)
    return Family(name, question, judged, tuple(reasons))


def _contrast(pair: Pair, score: Score) -> Contrast | None:
    first, second = (each.by_subject(score.name) for each in (pair.first, pair.second))
    if not first or not second:
        return None
    if (common := len(first.keys() & second.keys())) < LEAST_SUBJECTS:
        raise ConfigError(
            f"{pair.first.method} and {pair.second.method}: {counted(common, 'common subject')} with "
            f"{score.name} at ‖Δε‖₂ ≤ {pair.first.budget:g}, at least {LEAST_SUBJECTS} are needed"
        )
    return Contrast(score.name, score.margin, difference(first, second))


def _reasons(
    pairs: Sequence[Pair], budgets: Collection[float], splits: Splits, *, q1: bool = False
) -> list[str]:
    """Say in what a family departs from the protocol."""
    sides = [side for pair in pairs for side in (pair.first, pair.second)]
    subjects = {subject for side in sides for subject in side.row.cells[FIDELITY.name].by_subject
                if FIDELITY.name in side.row.cells} if sides else set()  # fmt: skip
    of_penalty = [side for side in sides if side.method == PENALTY]
    checks = {
        "subjects other than those for confirmation": not subjects <= splits.confirmation,
        "not every subject for confirmation": not splits.confirmation <= subjects,
        "λ chosen on the subjects compared": any(s.settings > 1 and not s.developed for s in of_penalty),
        "a method read at its fits' own end": any(side.at_end for side in sides),
        "budgets other than the protocol's": q1 and tuple(sorted(budgets)) != BUDGETS,
        "no plain DreamBooth with lr_decay": q1 and not all(decays(pair.second.row) for pair in pairs),
    }
    return [reason for reason, holds in checks.items() if holds]
