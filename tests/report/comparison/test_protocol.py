"""The protocol as values is the protocol as written."""

import re
from pathlib import Path

from harness.report.comparison import protocol

TEXT = (Path(__file__).parents[3] / "experiments" / "PROTOCOL.md").read_text()


def test_measures_and_margins_are_those_of_the_file():
    written = re.findall(r"^\| ([a-z ]+) \| `(\w+)`.*? \| (\.\d+) \| higher \|$", TEXT, re.MULTILINE)
    assert [(name, word, margin) for word, name, margin in written] == [
        (score.name, score.word, f"{score.margin:g}"[1:]) for score in protocol.SCORES
    ]


def test_budgets_are_those_of_the_file():
    assert f"b ∈ {{{', '.join(f'{b:g}' for b in protocol.BUDGETS)}}}" in TEXT
    assert f"at budget against P&P, b = {protocol.MIDDLE:g}," in TEXT
    assert "two of the three budgets" in TEXT and protocol.NEEDED == 2
