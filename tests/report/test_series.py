"""Which rows form a curve, what labels them, and at how many shots a figure looks."""

from harness.report.figures.contact_sheets import evenly, thinned
from harness.report.rows import select
from harness.report.series import reference_shots, series_of


def shown(records):
    selection = select(records)
    return selection, [row for row in selection.of("method") if row.shots == reference_shots(selection)]


def test_figures_look_where_most_constraints_are(experiment):
    assert reference_shots(select(experiment)) == 5
    assert reference_shots(select(experiment, ["shots=1,3"])) == 3  # as many at 1: the larger


def test_a_curve_begins_at_the_plain_row_with_the_same_parameters(experiment):
    _, rows = shown(experiment)
    curves = {curve.name: curve for curve in series_of(rows)}
    assert list(curves) == [
        "DreamBooth + Lipschitz λ",
        "DreamBooth + Lipschitz bound",
        "DreamBooth-LoRA + Lipschitz bound",
    ]
    penalties = curves["DreamBooth + Lipschitz λ"]
    assert [value for value, _ in penalties.rows] == [0, 5, 50, 500, 5e3, 5e4, 5e5]
    assert penalties.anchor.setting["params.prior_weight"] == 0
    assert [value for value, _ in curves["DreamBooth + Lipschitz bound"].rows] == [3, 2, 1.2, 0.7, 0.3, 0.1]


def test_penalties_of_another_norm_are_another_curve(make):
    records = [
        make(lipschitz={"penalty": penalty, "norm": norm}, scores={"dino": 0.5})
        for penalty in (1.0, 10.0)
        for norm in ("tensor_mean", "sum")
    ]
    _, rows = shown(records)
    assert {curve.name for curve in series_of(rows)} == {
        "DreamBooth + Lipschitz λ",
        "DreamBooth + Lipschitz λ, sum",
    }
    assert all(curve.anchor is None for curve in series_of(rows))


def test_early_stopping_is_a_curve_along_steps(make):
    records = [make(params={"steps": steps, "lr": 1e-4}, scores={"dino": 0.5}) for steps in (50, 200, 100)]
    _, rows = shown(records)
    (curve,) = series_of(rows)
    assert (curve.name, curve.kind) == ("DreamBooth, steps", None)
    assert [value for value, _ in curve.rows] == [200, 100, 50]


def test_two_values_or_two_differences_make_no_curve(make):
    pair = [make(params={"steps": steps}, scores={"dino": 0.5}) for steps in (50, 200)]
    assert series_of(shown(pair)[1]) == []
    several = [
        make(params={"steps": s, "lr": lr}, scores={"dino": 0.5}) for s, lr in ((1, 1), (2, 1), (2, 2))
    ]
    assert series_of(shown(several)[1]) == []


def test_thinning_keeps_the_ends_of_every_curve_and_all_that_stands_alone(experiment):
    _, rows = shown(experiment)
    kept = thinned(rows, most=11)
    titles = [row.title for row in kept]
    assert "DreamBooth + Lipschitz λ=0" in titles
    assert any("λ=500000" in title for title in titles)
    assert {"Custom Diffusion", "Textual Inversion", "DreamBooth (prior_weight=1)"} <= set(titles)
    assert len(kept) == 11
    assert thinned(rows, most=100) == rows


def test_evenly_keeps_first_and_last():
    assert evenly(range(10), 4) == [0, 3, 6, 9]
    assert evenly(range(3), 8) == [0, 1, 2]
