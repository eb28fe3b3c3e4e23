"""The verdict of an experiment in sentences, made from its statistics by rule; and what cannot be claimed.

Says nothing that the numbers do not decide. Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.config.titles import counted
from harness.errors import ConfigError
from harness.report import stats
from harness.report.comparison.arms import arms_of
from harness.report.comparison.paired import LEAST_SUBJECTS
from harness.report.figures.line_plots import measured
from harness.report.html.contrasts import Contrasts, contrasts, least_p
from harness.report.rows import COLUMNS, Row, Selection
from harness.report.series import reference_shots
from harness.report.tables import curve_differences
from harness.report.tables.markup import number
from harness.report.tables.method_table import LEAST_SHARED, MECHANISM, best, structural

SCORES, DRIFT = curve_differences.SCORES, curve_differences.DRIFTS[0]
MOST_CURVES, MOST_NAMED = 4, 6


class Sentence(NamedTuple):
    """A sentence of the verdict: what it is about, and what the numbers say of it."""

    about: str
    found: str


@dataclass(frozen=True)
class Findings:
    """What the records of one experiment say: the verdict, the contrasts behind it, what it cannot say."""

    verdict: tuple[Sentence, ...]
    contrasts: tuple[Contrasts, ...]
    limits: tuple[str, ...]


def findings(selection: Selection) -> Findings:
    """Judge the number of shots that has most rows, each data set and backbone by itself."""
    verdict: list[Sentence] = []
    judged: list[Contrasts] = []
    limits: list[str] = []
    for rows in _groups(selection):
        verdict += [*_leaders(rows, selection), *_gap(rows, selection)]
        judged += contrasts(rows)
        limits += least_p(rows)
        said, unsaid = _curves(rows, selection)
        verdict += said
        limits += unsaid
    if not verdict:
        verdict = [_nothing(selection)]
    return Findings(tuple(verdict), tuple(judged), tuple(dict.fromkeys([*limits, *_limits(selection)])))


def _nothing(selection: Selection) -> Sentence:
    rows = selection.of("method")
    if len(rows) < 2:
        return Sentence(
            "No method was compared", f"the records hold {counted(len(rows), 'row')} of a method."
        )
    most = max(row.subjects for row in rows)
    return Sentence(
        "No method can be called better than another",
        f"{counted(most, 'subject')}, and an interval of a difference needs {LEAST_SUBJECTS}.",
    )


def _groups(selection: Selection) -> list[list[Row]]:
    shots = reference_shots(selection)
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in selection.of("method"):
        if row.shots in (shots, 0):
            groups.setdefault((*row.comparison_group[:2],), []).append(row)
    return list(groups.values())


def _place(rows: Sequence[Row], selection: Selection) -> str:
    """Say what a sentence is about: the number of shots, with data and backbone where there are several."""
    row = max(rows, key=lambda row: row.shots)
    several = [
        str(row.setting[part])
        for part in ("dataset", "backbone")
        if len({other.setting[part] for other in selection.rows}) > 1
    ]
    return ", ".join([row.shots_in_words, *several])


def _leaders(rows: Sequence[Row], selection: Selection) -> Iterator[Sentence]:
    """Name the best method in each score and in drift, and those that cannot be told from it."""
    members = {id(row) for row in rows}
    for name in [*measured(SCORES, rows), *measured([DRIFT], rows)]:
        column = COLUMNS[name]
        chosen = [row for row in best(selection.rows, column) if id(row) in members]
        if not chosen:
            continue
        winner, beside = chosen[0], chosen[1:]
        word = "Highest" if column.direction == "higher" else "Lowest"
        yield Sentence(
            f"{word} {column.title} ({_place(rows, selection)})",
            f"{winner.title}, {_interval(winner, name)}. {_beside(beside, _rivals(winner, rows, name))}"
            + _unmoved(rows, name),
        )


def _rivals(winner: Row, rows: Sequence[Row], name: str) -> int:
    """Count the methods that compete with a winner and share enough subjects with it to be told from it."""
    return sum(
        row is not winner
        and not structural(row, COLUMNS[name])
        and len(row.cells[name].by_subject.keys() & winner.cells[name].by_subject.keys()) >= LEAST_SHARED
        for row in rows
        if name in row.cells
    )


def _unmoved(rows: Sequence[Row], name: str) -> str:
    unmoved = [row.title for row in rows if name in row.cells and structural(row, COLUMNS[name])]
    return f" Exactly 0 by construction, and so not compared: {_named(unmoved)}." if unmoved else ""


def _beside(beside: Sequence[Row], rivals: int) -> str:
    if not beside:
        return (
            f"Each of the {rivals} others is separable from it."
            if rivals > 1
            else "The other one is separable from it."
        )
    if len(beside) == rivals and rivals > 1:
        return f"None of the {rivals} others is separable from it."
    return f"Not separable from it: {_named([row.title for row in beside])}."


def _named(titles: Sequence[str]) -> str:
    shown = list(dict.fromkeys(titles))
    more = len(shown) - MOST_NAMED
    return "; ".join([*shown[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _interval(row: Row, name: str) -> str:
    cell = row.cells[name]
    found = stats.t_interval(cell.by_subject.values())
    ends = f" [{number(found.low, 3)}, {number(found.high, 3)}]" if found else ""
    return f"{number(cell.mean, 3)}{ends}, n = {cell.n}"


def _gap(rows: Sequence[Row], selection: Selection) -> Iterator[Sentence]:
    """Say which share of each subject's gap between the base model and its photos a method closes."""
    group = rows[0].comparison_group[:2]
    reference = {row.method: row for row in selection.rows if row.comparison_group[:2] == group}
    floor, ceiling = reference.get("frozen"), reference.get("real_ae") or reference.get("real")
    names = measured(SCORES[:1], rows)
    if floor is None or ceiling is None or not names:
        return
    name = names[0]
    if name not in floor.cells or name not in ceiling.cells:
        return
    closed = [(row, share) for row in rows if (share := _share(row, floor, ceiling, name)) is not None]
    closed.sort(key=lambda pair: -pair[1].mean)
    words = [
        f"{row.title} closes {100 * share.mean:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"
        for row, share in closed[:MOST_NAMED]
    ]
    if words:
        lead = "the settings that close most: " if len(closed) > MOST_NAMED else ""
        yield Sentence(
            f"Of each subject's gap in {COLUMNS[name].title} between {floor.title} and {ceiling.title} "
            f"({_place(rows, selection)})",
            f"{lead}{', '.join(words)} (n = {closed[0][1].n}).",
        )


def _share(row: Row, floor: Row, ceiling: Row, name: str) -> stats.Interval | None:
    if name not in row.cells:
        return None
    values, low, high = (each.cells[name].by_subject for each in (row, floor, ceiling))
    common = sorted(values.keys() & low.keys() & high.keys())
    if len(common) < LEAST_SUBJECTS or any(high[s] <= low[s] for s in common):
        return None
    return stats.t_interval([(values[s] - low[s]) / (high[s] - low[s]) for s in common])


def _curves(rows: Sequence[Row], selection: Selection) -> tuple[list[Sentence], list[str]]:
    """Compare methods at equal drift where two have several settings; say what stopped it elsewhere."""
    part = Selection(
        tuple(row for row in selection.rows if row.role != "method" or row in rows),
        selection.failed,
        selection.records,
    )
    arms = [arm for arm in arms_of(part) if len(arm.rows) > 1][: MOST_CURVES + 1]
    scores = measured(SCORES, rows)
    if len(arms) < 2 or not scores:
        return [], []
    held = {id(row) for arm in arms for row in arm.rows}
    part = Selection(
        tuple(row for row in part.rows if row.role != "method" or id(row) in held), part.failed, part.records
    )
    try:
        found = curve_differences.compare(part, arms[0].key, drifts=(DRIFT,), scores=scores)
    except ConfigError as error:
        return [], [f"Methods were not compared at equal drift: {error}."]
    said = [
        _at_equal(each, arms[0].name, name)
        for each in found
        for name in scores
        if each.by_score[name] is not None
    ]
    return said, list(curve_differences.NOTES[:2]) if said else []


def _at_equal(found: curve_differences.Comparison, rival: str, name: str) -> Sentence:
    result = found.by_score[name]
    assert result is not None and result.value is not None
    told = "cannot be told apart" if result.low <= 0 <= result.high else "differ"
    return Sentence(
        f"At equal {COLUMNS[found.drift].title} {found.arm.name} and {rival} {told} in {COLUMNS[name].title}",
        f"{number(result.value, 3)} [{number(result.low, 3)}, {number(result.high, 3)}], "
        f"n = {found.subjects}.",
    )


def _limits(selection: Selection) -> Iterator[str]:
    if not selection.rows:
        yield "No trial is done."
        return
    if selection.toybox:
        yield MECHANISM
    methods = selection.of("method")
    subjects = {row.subjects for row in methods}
    if len(methods) > 1 and max(subjects) >= LEAST_SUBJECTS:
        yield (
            "Separable means that the paired 95 % t interval excludes 0, not corrected for many comparisons: "
            "the verdict explores, and confirms nothing."
        )
    if len({record.trial["seed"] for record in selection.records}) == 1:
        yield "One training seed: how much a method varies from run to run was not measured."
    if len(subjects) > 1:
        yield (
            f"Rows rest on {min(subjects)} to {max(subjects)} subjects: means of rows with different n are "
            "not comparable."
        )
    if selection.failed:
        yield f"{counted(len(selection.failed), 'trial')} failed and count nowhere; the reasons stand below."
