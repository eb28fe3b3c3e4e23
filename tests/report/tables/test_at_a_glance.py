"""The table at the end of a sweep: few columns, means over subjects, the best in bold."""

from __future__ import annotations

import pytest

from harness.report.rows import select
from harness.report.tables.at_a_glance import GLANCE, glance


def test_the_glance_has_at_most_five_columns_and_the_means_of_every_row(experiment):
    block, rows = glance(experiment), select(experiment).rows
    assert block.headings[:2] == ("Method", "Shots") and len(block.headings) == 2 + len(GLANCE) == 5
    (section,) = block.sections
    assert [line[0].words for line in section.rows] == [row.title for row in rows]
    for line, row in zip(section.rows, rows, strict=True):
        if "dino_heldout" in row.cells:
            values = row.cells["dino_heldout"].by_subject.values()
            assert float(line[2].words.replace("−", "-")) == pytest.approx(
                sum(values) / len(values), abs=6e-4
            )


def test_of_methods_alone_some_are_bold(experiment):
    lines = list(zip(glance(experiment).sections[0].rows, select(experiment).rows, strict=True))
    assert any(text.bold for line, _ in lines for text in line)
    assert {row.role for line, row in lines if any(text.bold for text in line)} == {"method"}


def test_one_subject_marks_nothing_and_the_caption_says_so(experiment):
    subject = experiment[0].trial["subject"]
    block = glance([record for record in experiment if record.trial["subject"] == subject])
    assert "too few subjects" in block.caption and "bold" not in block.caption
    assert not any(text.bold for line in block.sections[0].rows for text in line)
