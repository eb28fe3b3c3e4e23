"""Every method against one of them: a family of tests, a sentence for each; and what so few cannot show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.config.titles import counted
from harness.report.comparison.paired import LEAST_SUBJECTS, difference
from harness.report.comparison.protocol import OTHER_MARGIN as MARGIN
from harness.report.comparison.verdicts import ALPHA, Contrast, verdicts
from harness.report.figures.contact_sheets import evenly
from harness.report.figures.line_plots import measured
from harness.report.rows import COLUMNS, Row
from harness.report.tables.curve_differences import SCORES

MOST_RIVALS = 12


@dataclass(frozen=True)
class Contrasts:
    """Every method against ``reference``: ``lines`` hold a row's title, then a sentence for each score.

    ``rule`` says by what rule the sentences were chosen.
    """

    reference: str
    scores: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    rule: str


def contrasts(rows: Sequence[Row]) -> Iterator[Contrasts]:
    """Judge the methods against the first of the table that has no constraint, as one family of tests."""
    reference = next((row for row in rows if not row.constrained), rows[0])
    rivals = evenly([row for row in rows if row is not reference], MOST_RIVALS)
    scores = measured(SCORES, rows)
    family = [
        (row, Contrast(name, MARGIN, difference(*pair), COLUMNS[name].direction == "higher"))
        for row in rivals
        for name in scores
        if (pair := _paired(row, reference, name))
    ]
    if not family:
        return
    judged = verdicts([contrast for _, contrast in family])
    said = {
        (id(row), each.contrast.name): each.sentence() for (row, _), each in zip(family, judged, strict=True)
    }
    left_out = len(rows) - 1 - len(rivals)
    yield Contrasts(
        reference.title,
        tuple(COLUMNS[name].title for name in scores),
        tuple((row.title, *(said.get((id(row), name), "–") for name in scores)) for row in rivals),
        "Paired differences over subjects with 95 % t intervals. Better or worse: exact sign-flip p below "
        f"{ALPHA:g} after Holm's correction for {len(family)} comparisons, and an interval without 0. "
        f"The same: the 90 % interval within ±{MARGIN:g}. Otherwise it cannot be told."
        + (f" {counted(left_out, 'setting')} of {len(rows)} left out." if left_out else ""),
    )


def _paired(row: Row, reference: Row, name: str) -> tuple[dict[str, float], dict[str, float]] | None:
    if name not in row.cells or name not in reference.cells:
        return None
    pair = dict(row.cells[name].by_subject), dict(reference.cells[name].by_subject)
    return pair if len(pair[0].keys() & pair[1].keys()) >= LEAST_SUBJECTS else None


def least_p(rows: Sequence[Row]) -> Iterator[str]:
    """Say where no difference could be called one, whatever the numbers: too few patterns of signs."""
    n = max(row.subjects for row in rows)
    if len(rows) < 2:
        return
    if n < LEAST_SUBJECTS:
        yield (
            f"With {counted(n, 'subject')} nothing can be said of a difference: at least {LEAST_SUBJECTS} "
            "are needed for an interval."
        )
    elif (least := 2 / 2**n) > ALPHA:
        needed = math.ceil(math.log2(2 / ALPHA))
        yield (
            f"With {n} subjects the exact sign-flip test cannot give a p below {least:g}: no difference can "
            f"be called one here, and an interval that excludes 0 is descriptive. {needed} subjects are the "
            "fewest, more under correction for several comparisons."
        )
