"""Names made to do harm, in records that came from elsewhere: tables, page and figures show them as words."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from harness.records import Lines, Record
from harness.report import publish
from harness.report.html import document
from harness.report.tables.markup import Block, Section, Sheet, Text, markdown, tex

SCRIPT = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>"
NAMES = {
    "title": f"a|b\\|c {SCRIPT} [x](javascript:alert(1))\nforged | row |",
    "label": "\x1b[31mred\x1b]0;owned\x07 $\\frac{$ \\input{/etc/passwd} 100 % & ~^_#",
    "subject": "../../rex|`id`\r\x9b2J\u202egpj",
    "backbone": '"><svg onload=alert(1)>\nx',
    "dataset": "=HYPERLINK(1),\x00'\"\n",
}


def published(folder, names):
    """A run directory of two trials of those names, with tables, figures and page."""
    folder.mkdir()
    for number, subject in enumerate((names["subject"], "rex")):
        trial = {**names, "subject": subject, "method": "dreambooth", "params": {"lr": "|<b>\x1b[1m"}}
        trial |= {"lipschitz": None, "shots": 1, "seed": 0}
        record = {
            "key": f"{number:016}",
            "keys": {"fit": "f", "sample": "s", "score": "s"},
            "status": "done",
            "trial": trial,
            "scores": {"dino": 0.5 + number / 10},
            "drift": {"noise_l2": 1.0 + number},
            "seconds": {"fit": 1.0, "sample": 1.0, "score": 1.0},
            "notes": {"clip_t": f"no {SCRIPT} \x1b[2J"},
            "provenance": {"finished": "2026-01-01T00:00:00+00:00"},
        }
        Lines(folder).append(Record.model_validate(record))
    (folder / "experiment.yaml").write_text(json.dumps({"name": "x", "question": f"why {SCRIPT}?"}))
    publish.publish(folder)
    document.write([folder], folder / document.FILE)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return published(tmp_path_factory.mktemp("runs") / "x", NAMES)


def obeyed(text: str) -> list[str]:
    """The characters of a text that a terminal obeys."""
    return [c for c in text if not c.isprintable() and c not in "\n\u00a0\u2009\u202f"]


def test_a_markdown_table_has_as_many_cells_in_every_row_and_no_tag(folder):
    text = (folder / "tables" / "table.md").read_text()
    assert not obeyed(text)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        cells = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in table.splitlines()]
        assert len(cells) > 2 and len(set(cells)) == 1
    assert not re.findall(r"(?<!\\)<[a-zA-Z/!?]", text) and not re.findall(r"(?<!\\)\]\(", text)


def test_a_latex_table_has_no_command_and_no_comment_of_a_name(folder):
    text = (folder / "tables" / "table.tex").read_text()
    assert not obeyed(text)
    assert r"\textbackslash{}input\{/etc/passwd\}" in text or r"\input" not in text
    assert not re.findall(r"(?<!\\)\\(?:input|frac)\b", text)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.findall(r"(?<!\\)[%#]", body)


def test_a_csv_reads_back_with_as_many_fields_in_every_row(folder):
    rows = list(csv.reader(io.StringIO((folder / "tables" / "table.csv").read_text())))
    assert len({len(row) for row in rows}) == 1 and len(rows) > 1


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_the_page_has_no_tag_and_no_handler_that_a_name_brought(folder, tmp_path):
    harmless = published(tmp_path / "x", dict.fromkeys(NAMES, "word"))
    hostile, plain = Tags(), Tags()
    hostile.feed((folder / document.FILE).read_text())
    plain.feed((harmless / document.FILE).read_text())
    assert not hostile.handlers
    for tag in ("script", "img", "svg", "title", "b", "a", "iframe", "object"):
        assert hostile.found.count(tag) == plain.found.count(tag), tag
    assert "alert(1)" in (folder / document.FILE).read_text()  # shown as the words that they are


def test_figures_are_drawn_whatever_a_name_holds_and_lie_in_their_folder(folder):
    drawn = [path.name for path in (folder / "figures").rglob("*.png")]
    assert "cost.png" in drawn and "drift.png" in drawn
    assert {path.name for path in folder.parent.iterdir()} == {"x"}


@pytest.mark.parametrize("words", ["a|b", "a\\|b", "a\\\\|b", "|", "\\", "a\nb"])
def test_words_stay_in_their_cell(words):
    sheet = Sheet((), (Block("c", ("h", "i"), (Section(None, ((Text(words), Text("1")),)),)),), ())
    (row,) = [line for line in markdown(sheet).splitlines() if line.startswith("|")][2:]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3
    assert markdown(sheet).count("\n") == 5 and tex(sheet).count(r"\\") == 2
