"""What harness compare prints beside curves: verdicts, readouts as curves, damage, luck, errors."""

import numpy as np
import pytest

from harness.errors import ConfigError
from harness.report.comparison.arms import arms_of
from harness.report.comparison.recovered import recovered
from harness.report.rows import select
from harness.report.tables.comparison_table import table
from harness.report.tables.variance_table import differences, variance_block

SUBJECTS = "abcd"


def trial(make, method="dreambooth", subject="a", level=0.5, drift=3.0, **more):
    scores = {"dino_context": level, "prompt_accuracy_accessory": 1 - level}
    moved = {"noise_l2": drift, "weight_l2": 2 * drift, "image_drift": 9 - drift, "prior_accuracy_other": 0.9}
    moved["prior_accuracy_fall_other"] = drift / 100
    return make(method, subject=subject, scores=scores, drift=moved, **more)


def base(make, subjects=SUBJECTS):
    return [trial(make, "frozen", s, 0.0, 0.0) for s in subjects]


def photos(make):
    return [make("real_ae", subject=s, scores={"dino_context": 0.9}) for s in SUBJECTS]


def read_out(make, subjects=SUBJECTS):
    """A fit that drifts 4, read out at half of it, and at its tenth step."""
    readouts = [
        (None, 0.6, 4.0),
        ({"kind": "scale", "value": 0.5}, 0.3, 2.0),
        ({"kind": "steps", "value": 10}, 0.25, 2.0),
    ]
    return [trial(make, "dreambooth", s, level, d, readout=r) for r, level, d in readouts for s in subjects]


def test_a_fits_end_belongs_to_the_paths_of_its_readouts(make):
    arms = {arm.key: arm for arm in arms_of(select(read_out(make)))}
    assert {key: len(arm.rows) for key, arm in arms.items()} == {
        "dreambooth": 1,
        "dreambooth@scale": 2,
        "dreambooth@steps": 2,
    }
    assert arms["dreambooth@scale"].name == "DreamBooth, along α"


def test_paths_are_compared_at_equal_drift_and_at_equal_fidelity(make):
    text = table([*base(make), *photos(make), *read_out(make)], "dreambooth@steps", drifts=["noise_l2"])
    assert "Difference to dreambooth@steps at equal drift" in text
    assert "0.025 [0.025, 0.025]" in text  # from .05 at drift 2 to 0 at the common end
    assert "at equal fidelity" in text and "Area ↑" in text


def test_every_pair_gets_a_verdict(make):
    single = [trial(make, "dreambooth_lora", s, 0.55 + 0.001 * i, 3.0) for i, s in enumerate(SUBJECTS)]
    text = table([*base(make), *read_out(make), *single], "dreambooth@scale")
    (line,) = [line for line in text.splitlines() if line.startswith("| DreamBooth-LoRA")]
    assert "cannot be told with 4 subjects" in line or "the same within" in line
    points = table(
        [*base(make), *single, *(r for r in read_out(make) if not r.trial.get("readout"))], "dreambooth"
    )
    assert "nothing (as they stand)" in points and "exploratory" in points


def test_budgets_bring_the_families(make):
    at = [{"kind": "budget", "value": b, "measure": "noise_l2"} for b in (2, 3, 4)]
    records = base(make)
    for i, s in enumerate(SUBJECTS):
        for r in (None, *at):
            drift = r["value"] if r else 8.0
            records.append(trial(make, "dreambooth", s, drift / 10, drift, readout=r))
            more = {"lipschitz": {"penalty": 50.0}, "readout": r}
            records.append(trial(make, "dreambooth", s, drift / 10 + 0.001 * i, drift, **more))
    text = table(records, "dreambooth")
    assert "Q1: does the penalty beat shrinking afterwards? Holm over 6 tests; exploratory:" in text
    assert "the same within 0.03" in text and "P(dominance)" in text
    assert "dreambooth+penalty does not dominate dreambooth" in text
    assert "Q2: does a method beat P&P?" in table(records, "dreambooth+penalty")


def test_the_drift_that_tracks_damage_is_named(make):
    records = base(make)
    for i in range(6):
        records += [trial(make, "dreambooth", s, 0.1 * i, 1.0 + i, params={"steps": i}) for s in SUBJECTS]
    text = table([*records, *lora(make)], "dreambooth")
    assert "Which drift measure is damage? Spearman's ρ over 8 settings" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| Image drift ")]
    assert "−1.00" in line
    assert "tracks the damage (Fall of prior accuracy, other prompts) best, ρ 1.00 [1.00, 1.00]" in text


def lora(make):
    return [
        trial(make, "dreambooth_lora", s, 0.2 * k, 2.5 + k, params={"rank": k})
        for k in (1, 2)
        for s in SUBJECTS
    ]


def test_two_encoders_of_one_measure_are_refused(make):
    records = [*base(make), *read_out(make), *lora(make)]
    one, two = ({"dino_context": f"toybox-dino {name}, v1"} for name in ("1", "2"))
    mixed = [
        r.model_copy(update={"provenance": {**r.provenance, "encoders": one if i % 2 else two}})
        for i, r in enumerate(records)
    ]
    with pytest.raises(
        ConfigError, match=r"dino_context: recorded with two encoders \(toybox-dino 1, v1 and"
    ):
        table(mixed, "dreambooth@scale")


def test_two_common_subjects_are_one_line(make):
    pair = [trial(make, method, s) for method in ("dreambooth", "dreambooth_lora") for s in "ab"]
    with pytest.raises(ConfigError, match="2 common subjects with dino_context, at least 3 are needed"):
        table([*base(make, "ab"), *pair], "dreambooth")


def test_a_method_that_is_not_there_is_named(make):
    with pytest.raises(ConfigError, match="--against dreambooth_loar: unknown method"):
        table([*base(make), *read_out(make), *lora(make)], "dreambooth_loar")


def test_scores_are_recovered_from_the_values_by_prompt(make):
    by_prompt = {
        "dino_heldout": [0.2, 0.4, 0.9],
        "prompt_accuracy": [1.0, 1.0, 0.0],
        "prompt_accuracy_colour": [None, None, 0.0],
    }
    (record,) = recovered([make(by_prompt=by_prompt, scores={"dino_heldout": 0.5})])
    assert record.scores["dino_context"] == pytest.approx(0.3)
    (known,) = recovered([make(by_prompt=by_prompt, scores={"dino_context": 0.7})])
    assert known.scores["dino_context"] == 0.7


def seeded(make, method, values, **more):
    return [
        make(
            method,
            subject=s,
            seed=k,
            by_prompt={"dino_context": list(values[i, k])},
            scores={"dino_context": float(values[i, k].mean())},
            seconds={"fit": 30.0, "sample": 8.0, "score": 2.0},
            **more,
        )
        for i, s in enumerate(SUBJECTS)
        for k in range(values.shape[1])
    ]


def test_variance_is_split_between_subjects_seeds_and_prompts(make):
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 0.1, (2, 4, 3, 6))
    records = [*seeded(make, "dreambooth", first), *seeded(make, "dreambooth_lora", second)]
    a, b = select(records).of("method")
    assert differences(a, b, "dino_context") == pytest.approx(first - second)
    block = variance_block(select(records))
    (section,) = block.sections
    assert [text.words for text in section.rows[0]][1:3] == ["DINO in context", "4 × 3 × 6"]
    assert variance_block(select([r for r in records if r.trial["seed"] == 0])) is None
