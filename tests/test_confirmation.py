"""The committed confirmation: complete, within its budgets, judged by the protocol, said as it was found."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import claims as c
import pytest

from harness import records
from harness.cli.report import splits_of
from harness.report import stats
from harness.report.comparison.families import by_group, dominating
from harness.report.comparison.protocol import (
    BUDGETS,
    COMPOSITION,
    FIDELITY,
    KEPT_PRIOR,
    PENALTY,
    PLAIN,
    SCORES,
)
from harness.report.rows import select
from harness.report.tables.curve_differences import compare
from harness.toybox.confirmation import confirmation

RESULTS = Path(__file__).parents[1] / "results"
CALIBRATED = 1.01
"""‖Δε‖₂ on the calibration probe against the budget that α was sought for."""


@cache
def recorded():
    return records.read(RESULTS / "equal_drift")


@cache
def selected():
    return select(recorded())


@cache
def families(against):
    tuned = select(records.read(RESULTS / "tuning-penalty")).of("method")
    (found,) = by_group(selected(), against, tuned=tuned, splits=splits_of(recorded()))
    return {family.name: family for family in found}


def test_every_row_has_every_subject():
    assert len(recorded()) == 1280
    names = {each.name for each in confirmation()}
    assert {record.trial["subject"] for record in recorded()} == names
    assert {row.subjects for row in selected().rows} == {len(names)} == {32}


def test_both_questions_were_asked_as_the_protocol_fixed_them():
    first, second = families(PLAIN)["Q1"], families(PENALTY)["Q2"]
    assert first.reasons == second.reasons == ()
    assert first.tests == 6 and [pair.first.budget for pair in first.pairs] == list(BUDGETS)
    assert second.tests == 3 * len(second.pairs) == 21
    judged = [
        verdict for each in (first, second) for pair in each.pairs for verdict in pair.verdicts.values()
    ]
    assert {verdict.contrast.difference.n for verdict in judged} == {32}
    assert {verdict.kind for verdict in judged} <= {"better", "worse", "same", "open"}


@pytest.mark.parametrize(("score", "widest"), [(FIDELITY, 0.02), (COMPOSITION, 0.05)], ids=lambda x: str(x))
def test_the_first_question_is_answered_as_finely_as_was_promised(score, widest):
    for pair in families(PLAIN)["Q1"].pairs:
        found = pair.verdicts[score.name].contrast.difference.interval
        assert (found.high - found.low) / 2 <= widest


def test_what_was_committed_as_text_is_what_the_command_says(capsys):
    from harness.cli import report

    for against, name in ((PLAIN, "shrinking.md"), (PENALTY, "rivals.md")):
        report.compare("equal_drift", against, runs=RESULTS, tuned_on="tuning-penalty", measure=None)
        assert capsys.readouterr().out == (RESULTS / "equal_drift" / name).read_text(encoding="utf-8")


def test_every_budget_is_held_on_the_probe_that_alpha_was_sought_on():
    read = [record.readout for record in recorded() if record.trial.get("readout")]
    assert len(read) == 26 * 32 and {found["limit"] for found in read} == set(BUDGETS)
    assert all(found["calibration"] <= found["limit"] * CALIBRATED for found in read)
    assert all(found["alpha"] == 1 or found["calibration"] >= 0.9 * found["limit"] for found in read)


def test_every_bound_on_outputs_is_held():
    held = [record.bound for record in recorded() if (record.bound or {}).get("output_bound")]
    assert held and all(found["output_l2"] <= found["output_bound"] for found in held)


def test_token_lora_leaves_the_prior_as_it_was():
    held = [record.drift["noise_l2"] for record in recorded() if record.trial["method"] == "token_lora"]
    assert len(held) == 128 and set(held) == {0.0}


def test_every_method_beats_the_base_model_in_fidelity():
    (frozen,) = [row for row in selected().of("floor") if row.method == "frozen"]
    for row in selected().of("method"):
        pairs = [cells.cells[FIDELITY.name].by_subject for cells in (row, frozen)]
        gains = stats.paired_differences(*pairs)
        assert stats.mean(gains) > 2 * stats.standard_error(gains)


QUESTIONS = {"Q1": PLAIN, "Q2": PENALTY}
KINDS = {
    ("Q1", "dreambooth+penalty", 2): "worse same same",
    ("Q1", "dreambooth+penalty", 3): "same open same",
    ("Q1", "dreambooth+penalty", 4): "open open same",
    ("Q2", "dreambooth", 3): "same open same",
    ("Q2", "dreambooth_lora", 3): "better worse worse",
    ("Q2", "output_preservation", 3): "better open same",
    ("Q2", "dreambooth+output_bound", 3): "better open same",
    ("Q2", "dreambooth+penalty:activation", 3): "better same same",
    ("Q2", "dreambooth+penalty+alignment", 3): "better same same",
    ("Q2", "token_lora", 3): "better worse same",
}
"""Verdicts on fidelity, composition and kept prior, as the texts say them."""
EVERYWHERE = ("results/README.md", "experiments/equal_drift.yaml")


def verdicts_of(question, method, budget):
    pairs = families(QUESTIONS[question])[question].pairs
    (found,) = [p.verdicts for p in pairs if (p.first.method, p.first.budget) == (method, budget)]
    return [found[score.name] for score in SCORES]


@pytest.mark.parametrize("asked", KINDS, ids=lambda asked: "-".join(map(str, asked)))
def test_the_texts_say_the_verdicts_with_their_intervals(asked):
    found = verdicts_of(*asked)
    assert " ".join(verdict.kind for verdict in found) == KINDS[asked]
    for verdict in found:
        said = verdict.contrast.difference
        words = f"{c.signed(said.mean)} {c.interval(said.interval)}"
        told = [name for name in EVERYWHERE if words in c.text(name)]
        # kept prior where it is the same goes without a number; the header names rows of its own alone
        silent = verdict.contrast.name == KEPT_PRIOR.name and verdict.kind == "same"
        assert silent or "results/README.md" in told


def test_readme_and_guide_repeat_what_the_verdicts_are():
    said = {
        f"{c.signed(v.contrast.difference.mean)} {c.interval(v.contrast.difference.interval)}"
        for asked in KINDS
        for v in verdicts_of(*asked)
    }
    number = r"[+-]\.\d{3} \[[+-]?\.\d{3}, [+-]?\.\d{3}\]"
    verdict = re.search(r"\*\*The verdict\*\*.*?docs/choose-a-method", c.text("README.md"))
    for text in (verdict.group(), c.text("docs/choose-a-method.md")):
        numbers = re.findall(number, text)
        assert len(numbers) >= 7 and set(numbers) <= said
    header = c.text("experiments/equal_drift.yaml")
    confirmed = re.findall(number, header[header.index("Found") : header.index("Nothing dominates P&P,")])
    assert len(confirmed) == 18 and set(confirmed) <= said


def test_nothing_dominates_the_penalty_nor_it_shrinking():
    of_rivals = dominating([*families(PENALTY).values()])
    assert len(of_rivals) == 7 and not any(enough for _, enough in of_rivals.values())
    of_plain = dominating([*families(PLAIN).values()])
    assert not of_plain["dreambooth+penalty"][1]
    assert of_plain["dreambooth+penalty:activation"] == ([2.0, 3.0, 4.0], True)


def row(title, budget):
    """The row that begins so in its records' titles, at a budget."""
    (found,) = [
        each
        for each in selected().of("method")
        if each.records[0].trial["title"].startswith(title) and each.setting.get("readout.value") == budget
    ]
    return found


FREE, DECAYED, LONG = "DreamBooth (preset=toybox)", "DreamBooth, rate decayed", "DreamBooth, 200 steps"
PLACES = {2: "DreamBooth (preset=toybox-penalty, λ=2000)", 3: "DreamBooth (preset=toybox-penalty, λ=500)"}
PLACES[4] = "DreamBooth (preset=toybox-penalty, λ=200)"


def less(first, second, budget, score=FIDELITY):
    return c.difference(row(first, budget), row(second, budget), score.name)


def test_the_explored_says_what_the_rows_say():
    text = c.text("results/README.md")
    longer = [[less(LONG, DECAYED, b, score) for b in (2, 3, 4)] for score in (FIDELITY, COMPOSITION)]
    fidelity, composition = ("{}, {} and {}".format(*found) for found in longer)
    assert f"have DINO {fidelity} at 2, 3 and 4, accessories {composition}." in text
    unshrunk = ", ".join(less(FREE, PLACES[b], b) for b in (2, 3, 4))
    assert f"is ahead of P&P in DINO at each budget, {unshrunk}." in text
    near = [less("DreamBooth, bounded", "Output preservation †", 3, score) for score in SCORES]
    assert "at 3 DINO {}, accessories {}, kept prior {};".format(*near) in text
    metric = [less("DreamBooth (preset=toybox-activation", DECAYED, b, COMPOSITION) for b in (2, 3, 4)]
    assert "outside its families: accessories {}, {} and {}.".format(*metric) in text


def test_the_explored_says_what_curves_at_equal_image_drift_say():
    names = tuple(score.name for score in SCORES)
    compared = compare(selected(), PENALTY, drifts=("image_drift",), scores=names)
    (held,) = [each.by_score for each in compared if each.arm.key.startswith("output_preservation")]
    words = "DINO in context {}, accessories {}, kept prior {};"
    said = words.format(*(f"{c.signed(held[name].value)} {c.interval(held[name])}" for name in names))
    assert said in c.text("results/README.md")
