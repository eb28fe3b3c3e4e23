"""The paper's artefacts: published values stay published, measured ones measured, and bytes repeat."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from harness import records
from harness.errors import ConfigError
from harness.paper import rendering
from harness.paper.artefacts import ARTEFACTS
from harness.paper.pages import Entry, Part, Printed
from harness.paper.sources import Sources
from harness.report.rows import select
from harness.report.tables.published_results import RESULTS, values

RESULTS_FOLDER = Path(__file__).parents[2] / "results"
BUILT = [each for each in ARTEFACTS if each.build]


@pytest.fixture(scope="module")
def pages():
    sources = Sources((RESULTS_FOLDER,))
    return {each.name: each.build(sources) for each in BUILT}


def lines(page):
    return list(csv.DictReader(io.StringIO(rendering.tidy(page))))


@pytest.mark.parametrize("name", [each.name for each in BUILT])
def test_nothing_published_is_rendered_as_measured_or_the_other_way_round(pages, name):
    known = {round(v, 6) for r in RESULTS for v in (r.dino, r.clip_t, r.clip_i) if v is not None}
    known |= {round(float(each[k]), 6) for part in ("seconds", "drift", "adapters") for each in values()[part]
              for k in each if isinstance(each[k], int | float)}  # fmt: skip
    for line in lines(pages[name]):
        assert bool(line["published"]) == bool(line["source"]) == bool(line["origin"])
        if line["published"]:
            assert line["block"] == "published" and round(float(line["published"]), 6) in known
        if line["measured"] not in ("", "not run"):
            assert line["experiment"] and int(line["n"]) > 1
            on_toybox = line["experiment"] in {"fewshot", "lipschitz_bounds", "table1", "figure5", "toy"}
            assert on_toybox == (line["block"] == "twin")
        if line["measured"] == "not run":
            assert line["command"].startswith("harness sweep experiments/")


def test_every_command_names_a_file_that_is_there_or_is_written_elsewhere(pages):
    root = RESULTS_FOLDER.parent
    named = {line["command"].split()[2] for page in pages.values() for line in lines(page) if line["command"]}
    assert {name for name in named if not (root / name).is_file()} <= {"experiments/curves.yaml"}


def test_a_published_value_cannot_stand_in_a_block_of_toybox():
    with pytest.raises(ValueError, match="a published value among those of Toybox"):
        Part("twin", (Entry("row", "dino", Printed(0.6, "P&P, Table 1", "printed")),), twin=True)


def test_table_1_on_toybox_is_the_paired_difference_of_the_committed_records(pages):
    rows = {row.title: row for row in select(records.read(RESULTS_FOLDER / "lipschitz_bounds")).of("method")}
    free = rows["DreamBooth"].cells["noise_l2"].by_subject
    held = rows["DreamBooth + Lipschitz λ=500 (P&P, the paper's method)"].cells["noise_l2"].by_subject
    expected = sum(held[s] - free[s] for s in free) / len(free)
    (line,) = [
        line
        for line in lines(pages["table1"])
        if line["experiment"] == "lipschitz_bounds" and line["measure"] == "noise_l2"
    ]
    assert "λ=500 − λ = 0" in line["row"]
    assert float(line["measured"]) == pytest.approx(expected)


def test_recipes_that_differ_are_no_pair(pages):
    """Prior preservation in results/fewshot has other steps than the penalty."""
    assert not [
        x for x in lines(pages["table1"]) if "prior preservation" in x["row"] and x["experiment"] == "fewshot"
    ]


def test_the_adapters_page_says_the_fit_that_the_report_makes(pages):
    assert any("94%" in note and ".024" in note for note in pages["flux2"].remarks)


@pytest.mark.parametrize("name", ["table1", "figure6"])
def test_rendering_again_gives_the_same_bytes(pages, name, tmp_path):
    first = {path.name: path.read_bytes() for path in rendering.write(pages[name], tmp_path / "a")}
    again = {path.name: path.read_bytes() for path in rendering.write(pages[name], tmp_path / "b")}
    assert first == again
    assert {Path(file).suffix for file in first} == {".md", ".csv", ".tex", ".png", ".pdf"}


def test_without_records_everything_is_not_run(tmp_path):
    for each in BUILT:
        for line in lines(each.build(Sources((tmp_path,)))):
            assert line["measured"] in ("", "not run")


def test_an_unknown_artefact_is_refused():
    from harness.cli.paper import paper

    with pytest.raises(ConfigError, match="table9"):
        paper(["table9"])
