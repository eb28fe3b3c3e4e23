"""Figures of methods at drift budgets: every point and interval by hand, every verdict a mark of its own."""

import pytest
from matplotlib.colors import to_hex

from harness.errors import ConfigError
from harness.report.comparison.families import by_group
from harness.report.figures import budgets, contrasts, style, tips
from harness.report.figures.recipes import names_of
from harness.report.figures.render_all import PLOTS, render_all, verdicts
from harness.report.rows import select
from harness.report.stats import t_interval

SUBJECTS = "abcdefgh"
EASE = dict(zip(SUBJECTS, (0.0, 0.02, -0.02, 0.01, -0.01, 0.0, 0.005, -0.005), strict=True))
LUCK = dict(zip(SUBJECTS, (0.003, -0.003, 0.001, -0.001, 0.002, -0.002, 0.0, 0.0), strict=True))
"""What differs between two methods on a subject, beside the gain."""
DINO = 0.5


def readouts(make, method, *, at=(2, 3, 4), drift=9.0, gain=(0.0, 0.0, 0.0), **more):
    """A method at budgets and at its own end, the same score everywhere but for ease and gain."""
    found = []
    for s in SUBJECTS:
        for b in (None, *at):
            luck = LUCK[s] if any(gain) else 0.0
            scores = {"dino_context": DINO + EASE[s] + gain[0] + luck,
                      "prompt_accuracy_accessory": 0.8 - EASE[s] + gain[1] + luck}  # fmt: skip
            moved = {"noise_l2": min(drift, b or drift), "prior_accuracy_other": 0.9 + gain[2] + luck}
            readout = {"kind": "budget", "measure": "noise_l2", "value": b} if b else None
            found.append(make(method, subject=s, scores=scores, drift=moved, readout=readout, **more))
    return found


@pytest.fixture
def records(make):
    base = [make("frozen", subject=s, scores={"dino_context": 0.3}) for s in SUBJECTS]
    weak = readouts(make, "dreambooth", at=(3, 4), drift=3.5, lipschitz={"penalty": 20.0})
    strong = readouts(make, "dreambooth", at=(2,), drift=1.9, lipschitz={"penalty": 50.0})
    lora = readouts(make, "dreambooth_lora", drift=2.5, gain=(0.1, -0.2, 0.0))
    return [*base, *weak, *strong, *lora]


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def marks(axes):
    """Points, which are one mark each: place → value, hollow or not."""
    points = [line for line in axes.get_lines() if line.get_marker() not in ("", "None", None)]
    return {
        (round(float(p.get_xdata()[0]), 6), round(float(p.get_ydata()[0]), 6)): p.get_markerfacecolor()
        == "white"
        for p in points
    }


def test_a_recipe_is_one_line_over_all_strengths_of_its_constraint(records):
    figure = budgets.over_budgets(select(records), experiment="x")
    names = [entry.get_label() for entry in figure.legends[0].get_lines()]
    assert names[:2] == ["DreamBooth + Lipschitz λ", "DreamBooth-LoRA"]
    fidelity = shown(figure)[0]
    half = budgets.WIDTH / 2
    # side by side at every budget; LoRA drifts 2.5, which is less than nine tenths of 3 and 4
    assert marks(fidelity) == {
        **{(b - half, DINO): False for b in (2, 3)},
        (4 - half, DINO): True,  # λ = 20 drifts 3.5
        (2 + half, DINO + 0.1): False,
        **{(b + half, DINO + 0.1): True for b in (3, 4)},
    }


def test_whiskers_are_the_interval_over_subjects(records):
    fidelity = shown(budgets.over_budgets(select(records)))[0]
    expected = t_interval([DINO + ease for ease in EASE.values()])
    ends = [segment[:, 1].tolist() for c in fidelity.collections for segment in c.get_segments()]
    assert len(ends) == 6
    assert any(pair == pytest.approx([expected.low, expected.high]) for pair in ends)


def test_no_figure_for_one_recipe_or_without_budgets(make, records):
    assert budgets.over_budgets(select(readouts(make, "dreambooth"))) is None
    ends = [r for r in records if not r.trial.get("readout")]
    assert budgets.over_budgets(select(ends)) is None


def test_lines_have_colours_of_their_own_until_there_are_more_lines_than_colours(make):
    several = [r for k in range(8) for r in readouts(make, "dreambooth", params={"steps": k})]
    figure = budgets.over_budgets(select(several))
    entries = figure.legends[0].get_lines()[:8]
    assert len({entry.get_color() for entry in entries}) == 8
    assert len({entry.get_marker() for entry in entries}) == 8


def test_no_recipe_is_left_out_where_there_are_more_than_marks(make):
    many = [r for k in range(14) for r in readouts(make, "dreambooth", params={"steps": k})]
    assert len(marks(shown(budgets.over_budgets(select(many)))[0])) == 3 * 14


def test_the_figure_is_among_those_of_a_run(records, tmp_path):
    assert "budgets.png" in [p.name for p in render_all(records, tmp_path, tmp_path / "figures")]


def test_names_say_parameters_only_where_two_recipes_need_them(make):
    one = select(readouts(make, "dreambooth", lipschitz={"penalty": 2.0})).of("method")
    assert set(names_of(one)) == {"DreamBooth + Lipschitz λ"}


@pytest.fixture
def judged(records):
    return [family for group in by_group(select(records), "dreambooth+penalty") for family in group]


def test_every_verdict_has_its_place_mark_and_words(judged):
    figure = contrasts.forest(judged, "dreambooth+penalty", experiment="x")
    fidelity, composition, kept = shown(figure)[:3]
    better = contrasts.LOOKS["better"]
    (point,) = [line for line in fidelity.get_lines() if line.get_marker() == better[0]]
    assert point.get_xdata()[0] == pytest.approx(0.1) and to_hex(point.get_color()) == better[1].lower()
    (worse,) = [line for line in composition.get_lines() if line.get_marker() == contrasts.LOOKS["worse"][0]]
    assert worse.get_xdata()[0] == pytest.approx(-0.2)
    (same,) = [line for line in kept.get_lines() if line.get_marker() == contrasts.LOOKS["same"][0]]
    assert same.get_xdata()[0] == pytest.approx(0.0, abs=1e-9)
    assert [label.get_text() for label in fidelity.get_yticklabels()] == ["DreamBooth-LoRA"]
    figure.canvas.draw()
    assert any("better by 0.100" in tip.words for tip in tips.tips_of(figure))


def test_what_lies_beyond_the_panel_stands_at_its_edge_with_its_number(make, records):
    far = readouts(make, "token_lora", gain=(0.0, -0.7, 0.0))
    found = [f for group in by_group(select([*records, *far]), "dreambooth+penalty") for f in group]
    composition = shown(contrasts.forest(found, "x"))[1]
    assert composition.get_xlim() == pytest.approx((-0.3, 0.3))
    assert "-0.70" in [text.get_text() for text in composition.texts]


def test_verdicts_are_written_as_a_small_file_or_refused_in_a_line(judged, tmp_path):
    path = verdicts(judged, "dreambooth+penalty", tmp_path / "f" / "v.png")
    assert 0 < path.stat().st_size < style.MAX_BYTES
    with pytest.raises(ConfigError, match="no method was read at drift budgets"):
        verdicts([], "dreambooth", tmp_path / "none.png")
    with pytest.raises(ConfigError, match=r"ends in \.png"):
        verdicts(judged, "dreambooth+penalty", tmp_path / "v.pdf")
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


def test_other_figures_show_the_ends_of_fits_alone(make):
    """A fit with three readouts is one bar; its readouts are in the figure of budgets."""
    timed = {"seconds": {"fit": 5.0, "sample": 1.0, "score": 1.0}}
    kept = [make("frozen", subject=s, **timed) for s in SUBJECTS]
    lora, plain = (readouts(make, name, **timed) for name in ("dreambooth_lora", "dreambooth"))
    (axes,) = shown(PLOTS["cost"].draw(select([*kept, *lora, *plain]), experiment="x"))
    assert len(axes.get_yticklabels()) == 3  # base model, LoRA, DreamBooth
    assert not any("≤" in label.get_text() for label in axes.get_yticklabels())


def test_a_name_is_marked_once_where_its_row_trains_on_outputs(make):
    kept = readouts(make, "output_preservation")
    bounded = readouts(make, "dreambooth", lipschitz={"output_bound": 3.0})
    rows = [row for row in select([*kept, *bounded]).of("method") if "readout.kind" not in row.setting]
    names = names_of(rows)
    assert len(names) == 2 and all(name.count("†") == 1 for name in names)
