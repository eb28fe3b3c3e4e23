"""Tables: numbers, bold, footnotes, formats; the same bytes whatever the order of the records."""

import io
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import ConfigError
from harness.report.rows import COLUMNS, select
from harness.report.tables.markup import escape, spread
from harness.report.tables.method_table import COMPACT, FORMATS, MECHANISM, best, table

UNLEARNT = "Not two standard errors above the base model"


def rows_of(text: str) -> dict[str, list[str]]:
    """Parse the first Markdown table: title → cells."""
    block = text[text.index("| Method") :].split("\n\n")[0]
    parsed = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.splitlines()]
    assert len({len(line) for line in parsed}) == 1
    return {line[0]: line[1:] for line in parsed}


def pair(make, method, values, **trial):
    return [make(method, subject=f"s{i}", scores={"dino": value}, **trial) for i, value in enumerate(values)]


def test_a_cell_is_mean_and_standard_error_by_hand(make):
    text = table(pair(make, "dreambooth", [0.5, 0.6, 0.7]), measures=["dino"])
    assert rows_of(text)["DreamBooth"] == ["3", "0.600 ± 0.058"]  # .1 / √3 = .0577


def test_one_subject_has_no_spread_and_no_bold(make):
    text = table(pair(make, "dreambooth", [0.5]), measures=["dino"])
    assert rows_of(text)["DreamBooth"] == ["1", "0.500"]
    assert "One subject: no spread" in text


def test_bold_is_what_a_paired_interval_cannot_tell_from_the_best(make):
    records = [
        *pair(make, "dreambooth", [0.60, 0.70, 0.80]),
        # .02, .05 and −.01 below: mean .02, s.e. .0173, t(2) = 4.3: cannot be told apart
        *pair(make, "dreambooth_lora", [0.58, 0.65, 0.81]),
        # always .010 ± .001 below: told apart though far within the spread over subjects
        *pair(make, "custom_diffusion", [0.590, 0.689, 0.791]),
        *pair(make, "frozen", [0.9, 0.9, 0.9]),
        *pair(make, "real", [1.0, 1.0, 1.0]),
    ]
    rows = rows_of(table(records, measures=["dino"]))
    assert rows["DreamBooth"][1].startswith("**")
    assert rows["DreamBooth-LoRA"][1].startswith("**")
    assert not rows["Custom Diffusion"][1].startswith("**")
    assert not rows["Frozen"][1].startswith("**")
    assert not rows["Real photos"][1].startswith("**")


def test_bold_is_decided_at_95_percent(make):
    # Behind by x − .01, x and x + .01: the lead is t = x·√3/.01 standard errors; t(.975; 2) = 4.303.
    first = [0.6, 0.7, 0.8]

    def behind(t):
        x = t * 0.01 / math.sqrt(3)
        return [value - x + more for value, more in zip(first, (0.01, 0.0, -0.01))]

    records = [
        *pair(make, "dreambooth", first),
        *pair(make, "dreambooth_lora", behind(4.25)),
        *pair(make, "custom_diffusion", behind(4.35)),
    ]
    assert bold(records) == {"dreambooth", "dreambooth_lora"}


def test_best_follows_the_direction_and_the_number_of_shots(make):
    def records(method, value, shots):
        return [
            make(method, subject=s, shots=shots, drift={"weight_l2": value, "lipschitz_ratio": value})
            for s in "abc"
        ]

    selection = select(
        [
            *records("dreambooth", 3.0, 1),
            *records("dreambooth_lora", 2.0, 1),
            *records("dreambooth", 9.0, 5),
            *records("dreambooth_lora", 9.5, 5),
        ]
    )
    chosen = best(selection.rows, COLUMNS["weight_l2"])
    assert [(row.method, row.shots) for row in chosen] == [("dreambooth_lora", 1), ("dreambooth", 5)]
    assert best(selection.rows, COLUMNS["lipschitz_ratio"]) == []


def bold(records, measure="dino"):
    return {row.method for row in best(select(records).rows, COLUMNS[measure])}


def test_easy_subjects_win_nothing(make):
    everyone = pair(make, "dreambooth", [0.2, 0.3, 0.25, 0.91, 0.92, 0.93])
    # on s3, s4 and s5, which both have, always .010 ± .001 below; its mean over them is far above .585
    easy = pair(make, "custom_diffusion", [0, 0, 0, 0.900, 0.909, 0.921])[3:]
    assert bold([*everyone, *easy]) == {"dreambooth"}


def test_fewer_than_three_shared_subjects_compare_nothing(make):
    long = pair(make, "dreambooth", [0.5, 0.6, 0.7, 0.8])
    assert bold([*long, *pair(make, "custom_diffusion", [0.9, 0.9])]) == set()
    three = [*long, *pair(make, "dreambooth_lora", [0.1, 0.2, 0.3, 0.4])]
    assert bold([*three, *pair(make, "custom_diffusion", [0.9, 0.9])]) == {"dreambooth"}
    # .4, .3 and .2 above: .3 ± .25
    assert bold([*three, *pair(make, "custom_diffusion", [0.9, 0.9, 0.9])]) == {"custom_diffusion"}


def test_exact_zeros_and_lone_methods_are_not_bold(make):
    def drifts(method, value):
        return [make(method, subject=s, drift={"weight_l2": value}) for s in "abc"]

    untouched = drifts("textual_inversion", 0.0)
    assert bold([*untouched, *drifts("dreambooth", 2.0)], "weight_l2") == set()
    assert bold([*untouched, *drifts("dreambooth", 2.0), *drifts("custom_diffusion", 1.0)], "weight_l2") == {
        "custom_diffusion"
    }


def test_copying_has_no_better_end(make):
    records = [
        make(m, subject=s, scores={"copying": -0.5})
        for s in "abc"
        for m in ("dreambooth", "custom_diffusion")
    ]
    text = table(records, measures=["copying"])
    assert rows_of(text)["Method"] == ["n", "Copying"]
    assert "**" not in text


def test_a_score_of_zero_is_a_measurement(make):
    records = [make(subject=s, scores={"prompt_accuracy": 0.0}) for s in "ab"]
    assert rows_of(table(records, measures=["prompt_accuracy"]))["DreamBooth"] == ["2", "0.000 ± 0.000"]


def test_photos_of_ceilings_are_no_pictures_of_a_trial(make):
    records = [*pair(make, "dreambooth", [0.5, 0.6]), *pair(make, "real", [1.0, 1.0])]
    records[-1] = records[-1].model_copy(update={"images": 12})
    assert "; 10 pictures a trial;" in table(records)
    records[0] = records[0].model_copy(update={"images": 7})
    assert "; 7 to 10 pictures a trial;" in table(records)


def test_csv_says_which_constraint(make):
    constraint = {"bound": 0.01, "relative": True}
    parsed = pd.read_csv(io.StringIO(table([make(lipschitz=constraint, scores={"dino": 0.5})], format="csv")))
    line = parsed.iloc[0]
    assert (line["bound"], line["relative"], line["norm"], line["on"]) == (
        0.01,
        True,
        "tensor_mean",
        "effective",
    )
    assert pd.isna(line["penalty"])


def test_csv_and_table_tell_a_fits_readouts_apart(make):
    readouts = [None, {"kind": "scale", "value": 0.5}, {"kind": "steps", "value": 60}]
    records = []
    for number, readout in enumerate(readouts):
        plain = make(scores={"dino": 0.1 * number})
        trial = {**plain.trial, **({"readout": readout} if readout else {})}
        records.append(plain.model_copy(update={"key": f"k{number}", "trial": trial}))
    parsed = pd.read_csv(io.StringIO(table(records, format="csv")), keep_default_na=False)
    assert parsed[["row", "readout"]].values.tolist() == [
        ["DreamBooth", ""],
        ["DreamBooth, at 60 steps", "steps:60"],
        ["DreamBooth, α = 0.5", "scale:0.5"],
    ]
    assert "readout" not in table(records[:1], format="csv")
    only = table(records, where=["readout=scale:0.5"], format="csv")
    assert "α = 0.5" in only and "60 steps" not in only


def test_structural_zeros_are_exact(make):
    records = [make("frozen", subject=s, drift={"weight_l2": 0.0}) for s in "ab"]
    records += [make(subject=s, drift={"weight_l2": v}) for s, v in (("a", 1.0), ("b", 2.0))]
    assert rows_of(table(records, measures=["weight_l2"]))["Frozen"] == ["2", "0"]


def test_a_cell_with_fewer_subjects_says_so(make):
    records = [
        make(subject="a", scores={"dino": 0.5, "div": 0.3}),
        make(subject="b", scores={"dino": 0.7, "div": None}),
    ]
    assert rows_of(table(records, measures=["dino", "div"]))["DreamBooth"][2] == "0.300 (n 1)"


def test_headings_name_direction_unit_and_encoder(experiment):
    text = table(experiment, where=["shots=5"])
    assert "DINO held out ↑" in text
    assert "PRES ↓" in text
    assert "cosine, toybox-dino 3f2a v1" in text
    assert "‖Δθ‖₂, ‖Δε‖₂: L2" in text


def test_an_encoder_that_was_not_recorded_is_missed(make):
    record = make(scores={"div": 0.4})
    assert "LPIPS, lpips encoder not recorded" in table([record], measures=["div"])


def test_columns_empty_everywhere_are_left_out_with_their_reason(make):
    records = [
        make(
            subject=s,
            scores={"clip_t": 0.3, "prompt_accuracy": None},
            notes={"prompt_accuracy": "photos have no attributes"},
        )
        for s in "ab"
    ]
    text = table(records)
    assert "Prompt accuracy ↑" not in text
    assert "Left out, empty everywhere: Prompt accuracy (photos have no attributes)." in text


def test_full_matrix_scores_stand_in_for_held_out_ones(make):
    records = [make(subject=s, scores={"dino": 0.5, "dino_heldout": None}) for s in "ab"]
    text = table(records)
    assert rows_of(text)["Method"] == ["n", "DINO ↑"]
    assert "Left out, empty everywhere: DINO held out" in text


def test_failed_trials_are_counted_and_named(make):
    records = [
        *pair(make, "dreambooth", [0.5, 0.6]),
        make(subject="s2", status="failed", error="loss is NaN at step 40"),
    ]
    text = table(records, measures=["dino"])
    assert (
        "1 trial failed and does not count: DreamBooth, 5 shots, s2, seed 0 (loss is NaN at step 40)." in text
    )
    assert "2 records; 1 failed" in text
    assert rows_of(text)["DreamBooth"][0] == "2"


def test_no_finished_trial_is_said(make):
    text = table([make(status="failed", error="no memory")])
    assert "No finished trial." in text
    assert "no memory" in text
    assert "| Method" not in text


def test_toybox_speaks_about_mechanism_and_photos_do_not(make):
    assert MECHANISM in table(pair(make, "dreambooth", [0.5, 0.6]))
    assert MECHANISM in table(pair(make, "dreambooth", [0.5, 0.6], dataset="folder"))  # embedded backbone
    assert MECHANISM not in table(pair(make, "dreambooth", [0.5, 0.6], dataset="folder", backbone="sd15"))


def test_provenance_stands_below(experiment):
    text = table(experiment, experiment="fewshot")
    assert (
        f"{len(experiment)} records of experiment fewshot; 0 failed; commit 0123456789; "
        "backbone toybox-sd (revision aaaabbbbccccdddd); data toybox (revision 1111222233334444); "
        "device cpu; ddim 20 steps, guidance 5; 10 pictures a trial; seeds 0." in text
    )


@pytest.mark.parametrize("format", FORMATS)
def test_shuffled_records_render_the_same_bytes(experiment, format):
    expected = table(experiment, format=format, everything=True)
    shuffled = random.Random(0).sample(experiment, len(experiment))
    assert table(shuffled, format=format, everything=True) == expected


def test_csv_is_tidy_and_complete(experiment):
    parsed = pd.read_csv(io.StringIO(table(experiment, where=["shots=5"], format="csv")))
    assert not parsed.duplicated(["row", "shots", "measure"]).any()
    assert set(parsed.measure) >= {"kid_floor", "lipschitz_ratio", *COMPACT}
    line = parsed[(parsed.row == "Frozen") & (parsed.measure == "dino")].iloc[0]
    cell = next(r for r in select(experiment).rows if r.method == "frozen").cells["dino"]
    assert (line["mean"], line["se"], line["n"]) == (cell.mean, cell.error, 4)
    assert line["low"] < line["mean"] < line["high"]
    assert (line["unit"], line["direction"], line["version"]) == ("cosine", "higher", 1)


def test_csv_of_one_subject_leaves_spread_empty(make):
    parsed = pd.read_csv(io.StringIO(table(pair(make, "dreambooth", [0.5]), format="csv")))
    line = parsed[parsed.measure == "dino"].iloc[0]
    assert line["mean"] == 0.5
    assert pd.isna(line["se"])
    assert pd.isna(line["low"])


def test_tex_has_as_many_cells_in_every_line_and_nothing_unescaped(experiment):
    text = table(experiment, where=["shots=5"], format="tex")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    for block in re.findall(r"\\begin\{tabular\}\{(lr+)\}(.*?)\\end\{tabular\}", text, re.S):
        columns, body = len(block[0]), block[1]
        lines = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {columns}
    assert r"P\&P" in text
    assert text.isascii()


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("50 % & a_b", r"50 \% \& a\_b"),
        ("‖Δθ‖₂ ↓", r"$\Vert\Delta\theta\Vert_2$ $\downarrow$"),
        ("$λ", r"\$$\lambda$"),
    ],
)
def test_tex_escapes(words, written):
    assert escape(words) == written


@pytest.mark.parametrize(
    ("mean", "error", "places", "written"),
    [
        (0.6, 0.0577, 3, "0.600 ± 0.058"),
        (-0.00001, 0.2, 3, "0.000 ± 0.200"),
        (-0.5, None, 2, "−0.50"),
        (0.012, 0.001, 2, "0.012 ± 0.001"),
        (5.2e-7, 1e-8, None, "5.20e−07 ± 1.00e−08"),
    ],
)
def test_numbers_are_written_with_the_digits_they_have(mean, error, places, written):
    assert spread(mean, error, places) == written


def test_wrong_measures_and_formats_name_the_alternatives(make):
    with pytest.raises(ConfigError, match="did you mean 'dino_heldout'"):
        table([make()], measures=["dino_heldouts"])
    with pytest.raises(ConfigError, match=r"unknown format 'latex'; .*known: csv, markdown, tex"):
        table([make()], format="latex")


def test_compact_columns_exist():
    assert set(COMPACT) <= set(COLUMNS)


def test_rendering_loads_neither_torch_nor_ray_nor_mlflow():
    """Imports are checked for each module elsewhere; here what a table loads on the way: methods, kinds."""
    folder = Path(__file__).parents[3] / "results" / "lipschitz_bounds"
    code = (
        "import sys; from pathlib import Path; from harness import records;"
        "from harness.report.tables import method_table, best_settings, published_table;"
        f"method_table.table(records.read(Path({str(folder)!r})));"
        "print([name for name in ('torch', 'ray', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_microseconds_are_nothing_among_seconds():
    assert spread(6.9e-6, 7e-7, 1, finer=False) == "0.0 ± 0.0"


DRIFT_SIZES = {"prompts": 32, "timesteps": 8, "images": 128, "seed": 0}


def drifts(make, method, name, values, sizes=DRIFT_SIZES, **more):
    """One record for each value, of another subject each; ``more`` are other drifts, the same for all."""
    found = []
    for number, value in enumerate(values):
        record = make(method, subject=f"s{number}", drift={name: value, **more})
        found.append(record.model_copy(update={"trial": {**record.trial, "drift": sizes}}))
    return found


def test_no_error_over_subjects_is_given_where_they_share_prompts_and_seeds(make):
    records = drifts(make, "dreambooth", "noise_l2", [1.0, 2.0, 3.0], weight_l2=4.0)
    text = table(records, measures=["noise_l2", "weight_l2"])
    assert rows_of(text)["DreamBooth"] == ["3", "2.00", "4.00 ± 0.00"]
    assert "‖Δε‖₂: over prior prompts and seeds that subjects share" in text
    assert "share" not in table(records, measures=["weight_l2"])
    parsed = pd.read_csv(io.StringIO(table(records, format="csv", measures=["noise_l2"])))
    assert parsed["mean"].tolist() == [2.0] and parsed[["se", "low", "high"]].isna().all(axis=None)


def test_over_how_much_a_drift_was_measured_is_shown(make):
    records = drifts(make, "dreambooth", "noise_l2", [1.0, 2.0, 3.0], kid=0.1)
    text = table(records, measures=["noise_l2", "kid"])
    assert "‖Δε‖₂: L2 over 32 prior prompts × 8 timesteps" in text
    assert "KID: MMD² over 128 prior pictures" in text
    other = drifts(make, "custom_diffusion", "noise_l2", [1.0], {**DRIFT_SIZES, "prompts": 16})
    both = table([*records, *other], measures=["noise_l2"])
    assert "L2 over 16 prior prompts × 8 timesteps / 32 prior prompts × 8 timesteps" in both


def test_drifts_over_unequal_numbers_of_prompts_do_not_compete(make):
    lower = drifts(make, "dreambooth", "noise_l2", [1.0, 1.1, 1.2])
    higher = drifts(make, "custom_diffusion", "noise_l2", [2.0, 2.1, 2.2])
    beside = drifts(make, "dreambooth_lora", "noise_l2", [9.0, 9.1, 9.2], {**DRIFT_SIZES, "timesteps": 4})
    found = best(select([*lower, *higher, *beside]).rows, COLUMNS["noise_l2"])
    assert [row.method for row in found] == ["dreambooth"]


def test_the_base_model_s_own_kid_does_not_compete(make):
    unmoved = drifts(make, "textual_inversion", "kid", [0.0, 0.01, 0.02], weight_l2=0.0, image_drift=0.0)
    moved = drifts(make, "dreambooth", "kid", [0.1, 0.2, 0.3], weight_l2=9.0, image_drift=0.5)
    farther = drifts(make, "custom_diffusion", "kid", [0.5, 0.6, 0.7], weight_l2=9.0, image_drift=0.5)
    found = best(select([*unmoved, *moved, *farther]).rows, COLUMNS["kid"])
    assert [row.method for row in found] == ["dreambooth"]


def test_a_number_of_another_version_of_its_measure_is_left_out_and_the_footnote_says_so(make):
    records = []
    for record in pair(make, "dreambooth", [0.5, 0.6, 0.7]):
        named = {"kid": "toybox-dino (toybox:1), v2", "dino": "toybox-dino (toybox:1), v1"}
        update = {"drift": {"kid": 0.3}, "provenance": {**record.provenance, "encoders": named}}
        records.append(record.model_copy(update=update))
    text = table(records, measures=["dino", "kid"])
    assert rows_of(text)["Method"] == ["n", "DINO ↑"]
    assert rows_of(text)["DreamBooth"] == ["3", "0.600 ± 0.058"]
    assert "Left out, empty everywhere: KID (recorded as version 2, now 3; a sweep scores it again)" in text


def test_a_row_that_shows_no_more_of_the_subject_than_the_base_model_says_so(make):
    base = pair(make, "frozen", [0.30, 0.40, 0.50], shots=0)
    clear = pair(make, "dreambooth", [0.40, 0.49, 0.61])  # .10 ± .006 above it
    # .03, −.01 and .04 above: mean .02, s.e. .0153
    doubtful = pair(make, "dreambooth_lora", [0.33, 0.39, 0.54])
    below = pair(make, "custom_diffusion", [0.28, 0.38, 0.49])  # .0167 below it, s.e. .0033
    between = pair(make, "dreambooth", [0.30, 0.40, 0.50], readout={"kind": "scale", "value": 0.1})
    said = [
        line for line in table([*base, *clear, *doubtful, *below, *between]).splitlines() if UNLEARNT in line
    ]
    (line,) = said
    assert line.endswith(
        "in DINO (paired): DreamBooth-LoRA, 5 shots (+0.020 ± 0.015); "
        "Custom Diffusion, 5 shots (−0.017 ± 0.003)."
    )
    assert UNLEARNT not in table([*base, *clear])
    assert UNLEARNT not in table([*doubtful])  # no base model to set it against
    assert UNLEARNT not in table([*base[:2], *doubtful[:2]])  # two subjects say nothing
