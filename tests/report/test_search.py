"""What records say of a search, by hand: merit found, edges, steps spared, tables and figures."""

from __future__ import annotations

import math

import pytest

from harness.report.figures import search_plots
from harness.report.rows import select
from harness.report.search import searched
from harness.report.tables import best_settings
from harness.report.tables.best_settings import ranked

MEASURES = ("dino_context", "prompt_accuracy_accessory")
OVER = {"lr": {"log": [1e-5, 1e-3]}, "steps": {"choice": [100, 200, 400]}, "lr_decay": {"choice": ["none"]}}


@pytest.fixture
def tried(make):
    """One record of a proposal: merit ``value`` for subject, at a checkpoint or the end."""

    def build(number, lr, steps, value, *, at=None, stopped=None, subject="mug_01", study="DreamBooth"):
        params = {"lr": lr, "steps": steps}
        record = make(subject=subject, params=params, scores=dict.fromkeys(MEASURES, value))
        if at is not None:
            trial = {**record.trial, "readout": {"kind": "steps", "value": at}}
            record = record.model_copy(update={"trial": trial, "key": f"{record.key}-{at}"})
        point = {**params, "lr_decay": "none"}
        mark = {"study": study, "proposal": number, "point": point, "over": OVER}
        mark |= {"stopped": {"rung": at, "why": "place 3 of 3"}} if stopped else {}
        return record.model_copy(update={"search": mark})

    return build


@pytest.fixture
def records(tried):
    """Three proposals: run to the end, stopped at its rung, run to the end and best at its rung."""
    return [
        *(tried(0, 1e-4, 200, v, at=100, subject=s) for s, v in (("mug_01", 0.3), ("lamp_07", 0.5))),
        *(tried(0, 1e-4, 200, v, subject=s) for s, v in (("mug_01", 0.4), ("lamp_07", 0.6))),
        *(tried(1, 5e-4, 400, 0.2, at=100, stopped=True, subject=s) for s in ("mug_01", "lamp_07")),
        *(tried(2, 9e-4, 200, 0.9, at=100, subject=s) for s in ("mug_01", "lamp_07")),
        *(tried(2, 9e-4, 200, 0.7, subject=s) for s in ("mug_01", "lamp_07")),
    ]


def test_merit_found_and_steps_trained_by_hand(records):
    (study,) = searched(records, MEASURES)
    first, second, third = study.proposals
    assert first.merits == pytest.approx({100: 0.4, 200: 0.5}) and first.end == pytest.approx(0.5)
    assert (second.end, second.stopped["rung"], third.best) == (None, 100, pytest.approx(0.9))
    assert study.found == pytest.approx([0.5, 0.5, 0.9])
    # 100 and again 200, 100 alone, 100 and again 200; all to their end: 200, 400, 200.
    assert study.spared == (700, 800)
    assert study.winner is third


def test_a_best_at_an_edge_is_said_loudly(records, tried):
    (study,) = searched(records, MEASURES)
    # log10(9e-4 / 1e-5) / 2 = .977; it was best at 100 steps, the fewest of three choices.
    assert study.edges() == [
        "lr = 0.0009 lies at the upper edge of its range (0.001)",
        "steps = 100 lies at the lower edge of its range (100)",
    ]
    text = best_settings.table(records)
    assert text.startswith("**AT AN EDGE: DreamBooth: the best, lr = 0.0009 lies at the upper edge")
    within = [tried(0, 1e-4, 200, 0.5), tried(1, 9e-4, 400, 0.1)]
    (study,) = searched(within, MEASURES)
    assert study.edges() == [] and "AT AN EDGE" not in best_settings.table(within)


def test_best_shows_merit_against_proposals(records):
    line = next(line for line in best_settings.table(records).splitlines() if "700 of 800" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["DreamBooth", "3", "1", "700 of 800", "0.500", "0.500", "0.900"]
    assert "Merit after" not in best_settings.table(
        [record.model_copy(update={"search": None}) for record in records]
    )


def test_a_checkpoint_is_a_setting_of_fewer_steps_and_there_once(tried):
    of_course = tried(0, 1e-4, 200, 0.6, at=100).model_copy(update={"search": None})
    own = tried(1, 1e-4, 100, 0.6).model_copy(update={"search": None})
    longer = tried(2, 1e-4, 200, 0.5).model_copy(update={"search": None})
    (group,) = ranked([of_course, own, longer])
    assert [each.steps for each in group] == [100, 200]
    assert group[0].row.setting.get("readout.kind") is None
    (group,) = ranked([of_course, longer])
    assert [each.steps for each in group] == [100, 200]


def test_what_lies_between_base_model_and_fit_is_weighed_against_its_like_alone(tried):
    end = tried(0, 1e-4, 200, 0.5).model_copy(update={"search": None})
    trial = {**end.trial, "readout": {"kind": "scale", "value": 0.5}}
    scaled = end.model_copy(update={"trial": trial, "key": "scaled"})
    assert [len(group) for group in ranked([end, scaled])] == [1, 1]


def test_a_search_has_its_figures_and_other_experiments_have_none(records, make):
    selection = select(records)
    assert search_plots.merit_found(selection) and search_plots.coordinates(selection)
    assert search_plots.importance(selection) is None  # two proposals ran to their end
    plain = select([make(scores=dict.fromkeys(MEASURES, 0.5))])
    assert search_plots.merit_found(plain) is None and search_plots.coordinates(plain) is None


def test_importance_finds_the_setting_that_decides(tried):
    rates = [10 ** (-5 + n / 6) for n in range(13)]
    records = [
        tried(n, rate, (100, 200, 400)[n % 3], 0.9 - 0.4 * abs(math.log10(rate) + 4))
        for n, rate in enumerate(rates)
    ]
    (study,) = searched(records, MEASURES)
    shares = search_plots._importance(study)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.__getitem__) == "lr" and shares["lr_decay"] == pytest.approx(0)
