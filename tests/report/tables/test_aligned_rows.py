"""Rows trained on features are rows and arms of their own, marked wherever they stand, with a note."""

from __future__ import annotations

import pytest

from harness.report.comparison.arms import aligned, arms_of, key_of
from harness.report.rows import select
from harness.report.tables import method_table


@pytest.fixture
def mixed(experiment):
    """DreamBooth without a constraint, and the same again as if it had been aligned."""
    plain = [
        record
        for record in experiment
        if record.trial["method"] == "dreambooth"
        and not record.trial["lipschitz"]
        and not record.trial["params"]["prior_weight"]
    ]
    marked = []
    for number, record in enumerate(plain):
        label = f"{record.trial.get('label') or 'DreamBooth'} (align DINO 0.1 ‡)"
        trial = {**record.trial, "alignment": {"dino": 0.1, "below": 0.4}, "label": label, "title": label}
        scores = {name: None if name == "dino" else value for name, value in record.scores.items()}
        marked.append(record.model_copy(update={"key": f"{number:016x}", "trial": trial, "scores": scores}))
    return [*plain, *marked]


def test_rows_and_arms_do_not_mix_with_those_that_were_not_aligned(mixed):
    selection = select(mixed)
    assert {aligned(row) for row in selection.rows} == {True, False}
    assert {key_of(row) for row in selection.rows} == {"dreambooth", "dreambooth+alignment"}
    for arm in arms_of(selection):
        assert len({aligned(row) for row in arm.rows}) == 1
        assert ("‡" in arm.name) == aligned(arm.rows[0])


def test_a_table_marks_them_leaves_their_own_score_empty_and_says_why(mixed):
    text = method_table.table(mixed, format="markdown")
    lines = [line for line in text.splitlines() if "‡" in line]
    assert any("DreamBooth (align DINO 0.1 ‡)" in line for line in lines)
    assert any("‡: trained on features of its images too" in line for line in lines)
    plain = method_table.table([each for each in mixed if "alignment" not in each.trial], format="markdown")
    assert "‡" not in plain
