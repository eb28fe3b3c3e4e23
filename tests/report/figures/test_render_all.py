"""Figures: which files come out, that they show something, that they are small and repeatable."""

import io
import json
import random
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from PIL import Image

from harness.diffusion.constraints.bound import Bound
from harness.diffusion.constraints.penalty import Penalty
from harness.diffusion.constraints.registry import kinds
from harness.errors import RecordsError
from harness.report.figures import curves, line_plots, point_labels, style, tradeoff
from harness.report.figures import render_all as figures
from harness.report.figures.contact_sheets import prompted, subject_sheet
from harness.report.figures.point_labels import Label
from harness.report.figures.render_all import render_all
from harness.report.rows import select


def save_pictures(run_dir, records, prompts=("a mug on a beach", "a mug in the snow", "a red mug")):
    for number, record in enumerate(records):
        folder = run_dir / record.key / "pictures"
        folder.mkdir(parents=True)
        for index in range(len(prompts)):
            colour = (40 * index + 30, number * 7 % 256, 180)
            Image.new("RGB", (64, 64), colour).save(folder / f"{index:02d}-00.png")
        entries = [
            {"file": f"pictures/{i:02d}-00.png", "prompt": p.replace("mug", "sks mug"), "clip_text": p}
            for i, p in enumerate(prompts)
        ]
        (run_dir / record.key / "images.json").write_text(json.dumps({"pictures": entries}))


@pytest.fixture(scope="module")
def rendered(experiment, tmp_path_factory):
    """All figures of the invented experiment, with pictures of two subjects, and what was said on the way."""
    run_dir = tmp_path_factory.mktemp("run")
    save_pictures(run_dir, [r for r in experiment if r.trial["subject"] in ("mug_03", "chair_11")])
    said = []
    files = render_all(experiment, run_dir, run_dir / "figures", experiment="fewshot", say=said.append)
    return files, said


def test_every_figure_is_written(rendered):
    files, said = rendered
    assert [path.name for path in files] == [
        "shots.png",
        "drift.png",
        "penalty.png",
        "bound.png",
        "cost.png",
        "pictures-chair_11.png",
        "pictures-mug_03.png",
    ]
    assert [line.partition(":")[0] for line in said] == [
        "output_bound.png",
        "null_space.png",
        "pictures-lamp_07.png",
        "pictures-teapot_02.png",
    ]


def test_figures_show_something_and_are_small(rendered):
    for path in rendered[0]:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
            assert "Software" not in picture.info
        assert pixels.shape[1] >= 400
        assert (pixels != 255).any(axis=2).mean() > 0.02, path
        assert path.stat().st_size < style.MAX_BYTES


@pytest.mark.parametrize(
    ("name", "draw"), [("shots", line_plots.against_shots), ("drift", tradeoff.against_drift)]
)
def test_shuffled_records_draw_the_same_bytes(rendered, experiment, name, draw):
    shuffled = random.Random(1).sample(experiment, len(experiment))
    with matplotlib.rc_context(style.STYLE):
        data = style.encoded(draw(select(shuffled), experiment="fewshot"))
    (path,) = [path for path in rendered[0] if path.stem == name]
    assert data == path.read_bytes()


def over_drift(make, subjects="abc"):
    """Two methods with two settings each, the base model and photos, scored as the protocol asks."""

    def trial(method, s, level, drift, **more):
        scores = {"dino_context": level, "prompt_accuracy_accessory": 1 - level}
        moved = {"noise_l2": drift, "prior_accuracy_other": 1 - level / 2}
        return make(method, subject=s, scores=scores, drift=moved, **more)

    records = [trial("frozen", s, 0.0, 0.0) for s in subjects]
    records += [make("real_ae", subject=s, scores={"dino_context": 0.9}) for s in subjects]
    for k in (1, 2):
        for place, s in enumerate(subjects):
            records.append(trial("dreambooth", s, 0.3 * k, 3.0 * k + place, params={"steps": k}))
            records.append(trial("dreambooth_lora", s, 0.2 * k, 2.0 * k, params={"rank": k}))
    return records


def test_curves_over_drift_have_a_panel_for_each_score_and_lines_of_their_own(make):
    figure = curves.over_drift(select(over_drift(make)), experiment="x")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title().partition(" (")[0] for axes in shown] == [
        "DINO in context",
        "Prompt accuracy: accessory",
        "Prior accuracy, other prompts",
    ]
    methods = [
        entry for entry in figure.legends[0].get_lines() if entry.get_marker() not in ("", "None", None)
    ]
    assert len({entry.get_marker() for entry in methods}) == len(methods) == 2
    assert len({str(entry.get_linestyle()) for entry in methods}) == 2
    assert "95 % intervals" in figure.get_suptitle() and "over 3 subjects" in figure.get_suptitle()
    (line,) = [line for line in shown[0].get_lines() if len(line.get_xdata()) == curves.PLACES][:1]
    assert line.get_ydata()[0] == pytest.approx(0.0)  # begins at the base model


def test_many_curves_have_no_bands_and_a_colour_each_few_have_their_methods(make):
    few, records = over_drift(make), over_drift(make)
    for name in ("custom_diffusion", "textual_inversion", "oft", "svdiff", "dco"):
        records += [
            record.model_copy(update={"trial": record.trial | {"method": name, "title": name, "label": name}})
            for record in few
            if record.trial["method"] == "dreambooth"
        ]
    figure = curves.over_drift(select(records))
    entries = [e for e in figure.legends[0].get_lines() if e.get_marker() not in ("", "None", None)]
    assert len({entry.get_color() for entry in entries}) == len(entries) == 7
    assert "95 %" not in figure.get_suptitle()
    drawn = [e for e in curves.over_drift(select(few)).legends[0].get_lines() if e.get_marker() in ("o", "s")]
    palette = style.palette_of(select(few))
    assert {entry.get_color() for entry in drawn} == {
        palette.of_method(name).lower() for name in ("dreambooth", "dreambooth_lora")
    }


def test_curves_are_left_out_silently_without_a_base_model_or_subjects(make, tmp_path):
    whole = over_drift(make)
    assert curves.over_drift(select([r for r in whole if r.trial["method"] != "frozen"])) is None
    assert curves.over_drift(select(over_drift(make, "ab"))) is None
    said = []
    written = render_all(over_drift(make, "ab"), tmp_path, tmp_path / "f", say=said.append)
    assert "curves.png" not in [path.name for path in written]
    assert not any(line.startswith("curves") for line in said)


def test_what_has_no_data_is_left_out_with_a_line(make, tmp_path):
    said = []
    assert render_all([make(scores={"dino": 0.5})], tmp_path, tmp_path / "f", say=said.append) == []
    assert [line.partition(",")[0] for line in said] == [
        *(
            f"{name}.png: left out"
            for name in ("shots", "drift", *(kind.key for kind in kinds()), "cost", "pictures-mug_01")
        ),
        "no figure: nothing in the records to draw",
    ]
    assert render_all([], tmp_path, tmp_path / "f", say=said.append) == []


def test_figures_under_a_condition_leave_the_runs_own_alone(tmp_path):
    whole, part = figures.folder_of(tmp_path, ()), figures.folder_of(tmp_path, ["shots=1,3", "method=frozen"])
    assert whole == tmp_path / "figures"
    assert part == whole / "shots-1-3-method-frozen"


def test_a_runs_former_figures_go_and_other_files_stay(make, tmp_path):
    own, other = tmp_path / "run" / "figures", tmp_path / "paper"
    for folder in (own, other):
        folder.mkdir(parents=True)
        for name in ("penalty.png", "bound-toybox-sdxl.png", "pictures-gone.png", "teaser.png", "notes.txt"):
            (folder / name).touch()
        render_all([make(seconds={"fit": 1.0})], tmp_path / "run", folder)
    assert sorted(path.name for path in own.iterdir()) == ["cost.png", "notes.txt", "teaser.png"]
    assert len(list(other.iterdir())) == 6


def along(make, *constraints, params=None):
    """A method at some constraints, with a drift that they shape."""
    return [
        make(subject=subject, lipschitz=constraint, params=params, drift={"weight_l2": 1.0 / (1 + number)})
        for number, constraint in enumerate(constraints)
        for subject in "ab"
    ]


def test_absolute_and_relative_bounds_share_no_axis(make):
    absolute = along(make, None, *({"bound": value} for value in (2.0, 1.0)))
    relative = along(make, *({"bound": value, "relative": True} for value in (0.1, 0.01, 0.0)))
    figure = line_plots.along_constraint(select([*absolute, *relative]), Bound)
    first, second = (axes for axes in figure.axes if axes.get_visible())
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in (first, second)]
    assert ticks == [["none", "2", "1"], ["none", "0.1", "0.01", "0"]]
    assert first.get_xlabel() == "bound on ‖Δθ‖₂, tighter →"
    assert second.get_xlabel() == "bound on ‖Δθ‖₂, relative, tighter →"


def test_penalties_of_another_norm_share_no_axis_and_have_another_mark(make):
    mean = along(make, *({"penalty": value} for value in (5.0, 50.0)))
    total = along(make, *({"penalty": value, "norm": "sum"} for value in (1e-7, 1e-6)))
    figure = line_plots.along_constraint(select([*mean, *total]), Penalty)
    assert [axes.get_xlabel() for axes in figure.axes] == ["λ, tighter →", "λ, sum, tighter →"]
    marks = [entry.get_marker() for entry in figure.legends[0].get_lines()]
    assert len(marks) == len(set(marks)) == 2


@pytest.mark.parametrize(
    "strengths",
    [
        (200.0, 229.0, 500.0, 2000.0),
        (2.0, 5.0, 10.0, 14.4, 20.0, 500.0),
        (0.01, 1.0, 1e5),
        (1.0, 1.5, 2.0, 3.0),
    ],
)
def test_no_name_of_a_strength_runs_into_another(make, strengths):
    records = along(make, None, *({"penalty": value} for value in strengths))
    figure = line_plots.along_constraint(select(records), Penalty)
    figure.draw_without_rendering()
    for axes in (axes for axes in figure.axes if axes.get_visible()):
        labels = axes.get_xticklabels()
        assert [label.get_text().strip() for label in labels] == ["none", *map(style.short, strengths)]
        lines = {at: [x for x in labels if x.get_text().startswith("\n") is at] for at in (False, True)}
        for line in lines.values():
            boxes = [label.get_window_extent() for label in line]
            assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_variants_of_one_method_differ_in_colour_and_mark(make):
    records = [record for rate in range(8) for record in along(make, None, params={"rank": 1 + rate})]
    selection = select([*records, *along(make, *({"penalty": p} for p in (5.0, 50.0)), params={"rank": 3})])
    palette = style.palette_of(selection)
    plain = [row for row in selection.rows if not row.constrained]
    assert len({palette[row] for row in plain[:5]}) >= 4
    assert len({(palette[row], palette.mark(row)) for row in plain}) == 8
    (main,) = [row for row in plain if row.setting["params.rank"] == 3]
    assert palette[main] == style.mixed(palette.of_method("dreambooth"), "white", 0.0)
    assert {palette[row] for row in selection.rows if row.constrained} == {palette[main]}


def test_drawing_leaves_matplotlibs_settings_alone(rendered):
    assert matplotlib.rcParams["axes.spines.top"] is True


def test_an_unwritable_folder_is_one_clear_line(experiment, tmp_path):
    (tmp_path / "figures").write_text("a file in the way")
    with pytest.raises(RecordsError, match=r"figures/shots.png: cannot be written"):
        render_all(experiment, tmp_path, tmp_path / "figures")


def test_one_backbone_for_each_figure(make, tmp_path):
    records = [
        make(
            subject=s, shots=shots, backbone=backbone, scores={"dino": 0.1 * shots}, drift={"weight_l2": 1.0}
        )
        for s in "ab"
        for shots in (1, 3)
        for backbone in ("sd15", "sdxl")
    ]
    names = {path.name for path in render_all(records, tmp_path, tmp_path)}
    assert {"shots-toybox-sd15.png", "shots-toybox-sdxl.png"} <= names


def test_sheet_titles_are_the_prompts_with_the_class_noun(experiment, tmp_path):
    record = next(r for r in experiment if r.trial["method"] == "dreambooth")
    save_pictures(tmp_path, [record])
    assert [words for words, _ in prompted(tmp_path, record)] == [
        "a mug on a beach",
        "a mug in the snow",
        "a red mug",
    ]
    (tmp_path / record.key / "images.json").write_text("{broken")
    assert [words for words, _ in prompted(tmp_path, record)] == ["prompt 00", "prompt 01", "prompt 02"]


def test_floors_alone_make_no_sheet(experiment, tmp_path):
    floors = [r for r in experiment if r.trial["method"] == "frozen"]
    save_pictures(tmp_path, floors)
    assert subject_sheet(select(floors), tmp_path, "mug_03") is None


def test_a_broken_picture_leaves_out_its_sheet_only(make, tmp_path):
    record = make(scores={"dino": 0.5}, seconds={"fit": 1.0})
    save_pictures(tmp_path, [record])
    (tmp_path / record.key / "pictures" / "00-00.png").write_bytes(b"no picture")
    said = []
    files = render_all([record], tmp_path, tmp_path / "figures", say=said.append)
    assert [path.name for path in files] == ["cost.png"]
    assert any(line.startswith("pictures-mug_01.png: left out") for line in said)


def test_labels_meet_neither_each_other_nor_a_point():
    figure = style.drawing(4, 3, "heading")
    axes = figure.subplots()
    points = [(0.01 * i, 0.01 * i) for i in range(6)] + [(1.0, 1.0)]
    axes.plot(*zip(*points, strict=True))
    point_labels.settle(figure)
    placed = point_labels.place(axes, [Label(x, y, f"{i}00", "black") for i, (x, y) in enumerate(points)])
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert 2 <= placed == len(boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert not any(box.contains(*axes.transData.transform(point)) for box in boxes for point in points)


def test_big_pictures_are_shrunk_to_the_limit(monkeypatch):
    monkeypatch.setattr(style, "MAX_BYTES", 20_000)
    noise = np.random.default_rng(0).integers(0, 256, (160, 240, 3), dtype=np.uint8)
    data = style.encoded_picture(Image.fromarray(noise))
    assert len(data) <= 20_000
    assert Image.open(io.BytesIO(data)).width < 240


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (0.25, "0.25"), (500.0, "500"), (5e4, "50k"), (2e6, "2M"), (1e-7, "1e-07")],
)
def test_strengths_are_written_short(value, words):
    assert style.short(value) == words
