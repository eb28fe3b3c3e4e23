"""What a search came to, for ``harness best``: merit found against proposals, and bests at an edge."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import Record
from harness.report.search import SearchedStudy, searched
from harness.report.tables.markup import EMPTY, Block, Section, Text, number


def summary(records: Sequence[Record], measures: Sequence[str]) -> tuple[list[Block], list[str]]:
    """Give a table of the studies, none without a search, and a line for each best at an edge."""
    studies = searched(records, measures)
    if not studies:
        return [], []
    most = max(len(study.proposals) for study in studies)
    counts = [2**n for n in range(most.bit_length()) if 2**n < most] + [most]
    headings = ("Search", "Proposals", "Stopped", "Steps trained", *(f"Merit after {n}" for n in counts))
    rows = tuple(_row(study, counts) for study in studies)
    caption = (
        "Merit found after so many proposals, checkpoints counted. Steps: trained for a subject, of those of "
        "all courses to their end."
    )
    loud = [
        f"**AT AN EDGE: {study.name}: the best, {edge}: widen it before this is called the method's best.**"
        for study in studies
        for edge in study.edges()
    ]
    return [Block(caption, headings, (Section(None, rows),))], loud


def _row(study: SearchedStudy, counts: Sequence[int]) -> tuple[Text, ...]:
    stopped = sum(each.stopped is not None for each in study.proposals)
    steps = f"{study.spared[0]:,} of {study.spared[1]:,}" if study.spared else EMPTY
    found = [study.found[n - 1] if n <= len(study.found) else None for n in counts]
    merits = [EMPTY if merit is None or merit != merit else number(merit, 3) for merit in found]
    return tuple(
        Text(words) for words in (study.name, str(len(study.proposals)), str(stopped), steps, *merits)
    )
