"""The paper's artefacts: published values stay published, measured ones measured, and bytes repeat."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest

from harness import records
from harness.cli.paper import paper
from harness.errors import ConfigError
from harness.paper import costs, curves, rendering
from harness.paper.artefacts import ARTEFACTS
from harness.paper.pages import Entry, Part, Printed
from harness.paper.sources import Sources, pairs
from harness.report.rows import select
from harness.report.tables.published_results import RESULTS, values

RESULTS_FOLDER = Path(__file__).parents[2] / "results"
TOYBOX = {"fewshot", "lipschitz_bounds", "curves", "table1", "figure2", "figure5", "toy"}
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
            on_toybox = line["experiment"] in TOYBOX
            assert on_toybox == (line["block"] == "twin")
        if line["measured"] == "not run":
            assert line["command"].startswith("harness sweep experiments/")


def test_every_command_names_a_file_that_is_there(pages):
    root = RESULTS_FOLDER.parent
    named = {line["command"].split()[2] for page in pages.values() for line in lines(page) if line["command"]}
    assert named and not {name for name in named if not (root / name).is_file()}


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


@pytest.mark.parametrize("name", ["table1", "figure2", "figure6", "toy"])
def test_what_is_deleted_is_rendered_again_to_the_byte(name, tmp_path):
    build = next(each.build for each in BUILT if each.name == name)
    written = rendering.write(build(Sources((RESULTS_FOLDER,))), tmp_path)
    first = {path: path.read_bytes() for path in written}
    assert {path.suffix for path in first} == {".md", ".csv", ".tex", ".png", ".pdf"}
    for path in written:
        path.unlink()
    again = rendering.write(build(Sources((RESULTS_FOLDER,))), tmp_path)
    assert {path: path.read_bytes() for path in again} == first


def moved(tmp_path, name, trial=lambda trial: None):
    """The records of lipschitz_bounds as those of another experiment, each trial changed."""
    folder = tmp_path / name
    folder.mkdir()
    found = records.read(RESULTS_FOLDER / "lipschitz_bounds")
    for record in found:
        trial(record.trial)
    (folder / records.FILE).write_bytes(b"".join(record.line() for record in found))
    return Sources((tmp_path, RESULTS_FOLDER))


def test_figure_6_takes_the_records_of_curves_once_they_are_there(pages, tmp_path):
    nowhere = curves.figure6(Sources((tmp_path,)))
    assert any(line["command"].endswith("curves.yaml") for line in lines(nowhere))
    assert any(line["row"].startswith("DreamBooth, α = 0.25") for line in lines(pages["figure6"]))
    page = curves.figure6(moved(tmp_path, "curves"))
    twin = [line for line in lines(page) if line["block"] == "twin"]
    assert {line["experiment"] for line in twin} == {"curves", "lipschitz_bounds"}
    assert not [line for line in twin if line["measured"] == "not run"]
    own = {line["row"]: line["measured"] for line in twin if line["measure"] == "noise_l2"}
    for row in (row for row in own if row.endswith(" (curves)")):
        assert own[row] == own[row.removesuffix(" (curves)")]
    assert page.draw() is not None


def test_measured_seconds_stand_beside_those_of_figure_2(tmp_path):
    """Rows of the full fine-tune on the published model, with prior preservation in the bound's place."""

    def published(trial):
        trial |= {"backbone": "stable-diffusion-v1-5", "dataset": "dreambench"}
        if (trial["lipschitz"] or {}).get("bound"):
            weight = trial["lipschitz"]["bound"]
            trial["lipschitz"], trial["params"] = None, {**trial["params"], "prior_weight": weight}

    page = costs.figure2(moved(tmp_path, "dreambench_sd15", published))
    found = {line["row"]: line for line in lines(page) if line["experiment"] == "dreambench_sd15"}
    assert set(found) == {"SD 1.5, DreamBooth, penalty", "SD 1.5, DreamBooth, prior preservation"}
    for line in found.values():
        assert float(line["published"]) in (4330, 1545) and not line["command"]
        assert float(line["difference"]) == pytest.approx(float(line["measured"]) - float(line["published"]))


def test_every_form_of_the_penalty_and_every_prior_weight_has_its_pair():
    @dataclasses.dataclass
    class Row:
        method: str
        setting: dict
        constrained: bool

        def strength(self, kind):
            return self.setting.get("lipschitz.penalty")

    def row(constrained=False, **setting):
        return Row("dreambooth_lora", {"params.lr": 1e-4, **setting}, constrained)

    effective = row(True, **{"lipschitz.penalty": 20.0, "lipschitz.norm": "tensor_mean"})
    entries = row(True, **{"lipschitz.penalty": 1e-7, "lipschitz.norm": "sum", "lipschitz.on": "entries"})
    rivals = [row(), row(**{"params.prior_weight": 0.03}), row(**{"params.prior_weight": 1.0})]
    found = [
        (against, held) for against, held, _ in pairs([effective, entries, *rivals], "dreambooth_lora", 500)
    ]
    names = ["λ = 0", "prior preservation, weight 0.03", "prior preservation, weight 1"]
    assert found == [(name, held) for held in (effective, entries) for name in names]


def test_the_list_says_for_every_artefact_where_it_can_be_made(capsys):
    paper(list_=True)
    said = capsys.readouterr().out
    for each in ARTEFACTS:
        assert f"{each.name:<11} {each.title}" in said
        assert each.here != "none" or each.never
    # 30 subjects × 3 numbers of shots × (4330 + 745 + 880 + 2·(1545 + 160 + 375)) s, by hand: 252.9 h
    assert "253 h for SD 1.5" in said


def test_without_records_everything_is_not_run(tmp_path):
    for each in BUILT:
        for line in lines(each.build(Sources((tmp_path,)))):
            assert line["measured"] in ("", "not run")


def test_an_unknown_artefact_is_refused():
    with pytest.raises(ConfigError, match="table9"):
        paper(["table9"])
