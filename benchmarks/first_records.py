"""What the first records say, beside what was stated of them: ``python benchmarks/first_records.py``.

Reads tuning-toybox, lipschitz_bounds, toybox_floors and fewshot as toybox-dino version 1 scored them; the
numbers needed are kept beside the tests. Of other records: ``python benchmarks/first_records.py results``.
A line without "corrected" agrees to the last digit that was stated.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.records import Record, read
from harness.report.comparison.arms import Arm, arms_of, floor_of
from harness.report.comparison.curves import Resampled, bootstrap, mean_difference, own_differences
from harness.report.comparison.damage import rank_correlation
from harness.report.comparison.paired import difference
from harness.report.comparison.power import smallest_effect, subjects_needed
from harness.report.comparison.recovered import recovered
from harness.report.rows import Row, Selection, select

KEPT = Path(__file__).parents[1] / "tests" / "report" / "comparison" / "first_records.jsonl.gz"
FIDELITY, ACCESSORY = "dino_context", "prompt_accuracy_accessory"
LEARNT = ("dreambooth", "dreambooth_lora", "custom_diffusion")


class Line(NamedTuple):
    """One figure: what it is, as it was stated, as the records give it."""

    what: str
    stated: str
    found: str

    @property
    def agrees(self) -> bool:
        """Whether nothing has to be corrected."""
        return self.stated == self.found


def kept() -> dict[str, list[Record]]:
    """Read the records that are kept beside the tests, by experiment."""
    found: dict[str, list[Record]] = {}
    for text in gzip.decompress(KEPT.read_bytes()).decode().splitlines():
        experiment, fields = json.loads(text)
        found.setdefault(experiment, []).append(Record(**fields))
    return found


def short(value: float, places: int = 3) -> str:
    """Write a signed number without the zero before the point: +.001."""
    return f"{value:+.{places}f}".replace("0.", ".", 1)


def lines(records: dict[str, list[Record]]) -> list[Line]:
    """Recompute every figure."""
    chosen = {name: select(recovered(held)) for name, held in records.items()}
    return [
        *_equal_drift(chosen["tuning-toybox"], chosen["lipschitz_bounds"]),
        *_damage(chosen["tuning-toybox"]),
        *_attributes(chosen["toybox_floors"]),
        *_merit(chosen["tuning-toybox"]),
        *_spread(records),
        *_power(chosen["tuning-toybox"], chosen["fewshot"]),
    ]


def _equal_drift(tuned: Selection, bounds: Selection) -> Iterator[Line]:
    asked = [
        (tuned, "dreambooth+penalty", "dreambooth", "noise_l2", "+.001 [-.028, +.030]"),
        (tuned, "dreambooth+penalty", "dreambooth", "pres", "-.001 [-.033, +.024]"),
        (tuned, "dreambooth+penalty", "dreambooth", "weight_l2", "+.054 [+.014, +.083]"),
        (tuned, "dreambooth_lora", "dreambooth", "noise_l2", "+.044 [-.022, +.099]"),
        (tuned, "dreambooth_lora", "dreambooth", "image_drift", "-.123 [-.170, -.090]"),
        (tuned, "dreambooth_lora", "dreambooth", "weight_l2", "-.205"),
        (bounds, "dreambooth+penalty", "dreambooth+bound", "noise_l2", "+.004"),
        (bounds, "dreambooth+penalty", "dreambooth+bound", "weight_l2", "+.062"),
    ]
    for selection, first, second, drift, stated in asked:
        result = at_equal(selection, first, second, drift)
        assert result.value is not None
        interval = f" [{short(result.low)}, {short(result.high)}]"
        yield Line(f"{first} less {second} in DINO at equal {drift}", stated, short(result.value) + interval)


def at_equal(selection: Selection, first: str, second: str, drift: str) -> Resampled:
    """Compare two methods in DINO in context at equal drift, as ``harness compare`` does."""
    pair = _curves(selection, first, second, drift, FIDELITY)
    return bootstrap(lambda w: mean_difference(pair[0].path(w), pair[1].path(w)), pair[0].drift.shape[1])


def _curves(selection: Selection, first: str, second: str, drift: str, score: str):  # type: ignore[no-untyped-def]
    arms = {arm.key: arm for arm in arms_of(selection)}
    floor = floor_of(selection, arms[first])
    assert floor is not None
    names = sorted(arms[first].subjects([drift, score]) & arms[second].subjects([drift, score]))
    return [arms[key].settings(drift, score, floor, names, fidelity=FIDELITY) for key in (first, second)]


def _damage(tuned: Selection) -> Iterator[Line]:
    arms = [arm for arm in arms_of(tuned) if arm.key != "textual_inversion"]
    rows = [row for arm in arms for row in arm.rows]
    yield Line("settings that change weights", "55", str(len(rows)))
    stated = {
        "weight_l2": "+.92",
        "image_drift_other": "+.72",
        "kid": "+.36",
        "noise_l2": "+.17",
        "pres": "+.06",
    }
    for name, words in stated.items():
        found = _ranks(rows, name, "prior_clip_t_fall")
        yield Line(f"ρ of {name} with the fall of prior CLIP-T", words, short(found, 2))
    for name, words in {"noise_l2": "+.93", "pres": "+.92"}.items():
        yield Line(f"ρ of {name} with DINO held out", words, short(_ranks(rows, name, "dino_heldout"), 2))
    families = [arm for arm in arms if arm.key in ("dreambooth", "dreambooth+penalty")]
    within = ("weight_l2", "image_drift_other", "noise_l2", "pres")
    least = min(_ranks(arm.rows, name, "prior_clip_t_fall") for arm in families for name in within)
    yield Line("least ρ within plain DreamBooth and the penalty", "+.86", short(least, 2))


def _ranks(rows: Sequence[Row], first: str, second: str) -> float:
    # Recorded numbers, also of a version that tables leave out since.
    pair = [
        np.array([np.mean([{**r.scores, **r.drift}[name] for r in row.records]) for row in rows])
        for name in (first, second)
    ]
    found = rank_correlation(*pair)
    assert found is not None
    return found


def _attributes(floors: Selection) -> Iterator[Line]:
    rows = {row.method: row for row in floors.rows}
    stated = {
        "class": (".99", ".99", "1.00"),
        "background": (".99", ".99", "1.00"),
        "accessory": (".19", ".49", ".92"),
        "colour": (".02", ".29", ".97"),
        "": (".77", ".84", ""),
    }
    for attribute, words in stated.items():
        name = "_".join(filter(None, ("prompt_accuracy", attribute)))
        for method, text in zip(("dreambooth", "dreambooth_lora", "frozen"), words, strict=True):
            if text:
                found = f"{rows[method].cells[name].mean:.2f}".removeprefix("0")
                yield Line(f"{name} of {method}, 16 subjects", text, found)


def _merit(tuned: Selection) -> Iterator[Line]:
    arms = {arm.key: arm for arm in arms_of(tuned)}
    plain, penalty = (_best(arms[key]) for key in ("dreambooth", "dreambooth+penalty"))
    found = f"{plain.setting['params.steps']} steps at {plain.setting['params.lr']:g}"
    yield Line("plain DreamBooth's best by √(DINO · accessory)", "200 steps at 5e-05", found)
    accuracy = f"{plain.cells[ACCESSORY].mean:.2f}".removeprefix("0")
    yield Line("its accessory accuracy", ".77", accuracy)
    yield Line("the penalty's best λ", "50", f"{penalty.strength('penalty'):g}")


def _best(arm: Arm) -> Row:
    def merit(row: Row) -> float:
        pair = [row.cells[name].by_subject for name in ("dino_heldout", ACCESSORY)]
        return float(np.mean([math.sqrt(max(0.0, pair[0][s]) * max(0.0, pair[1][s])) for s in pair[0]]))

    return max(arm.rows, key=merit)


def _spread(records: dict[str, list[Record]]) -> Iterator[Line]:
    floors = {(r.trial["method"], r.trial["subject"]): r for r in records["toybox_floors"]}
    share = _within(floors, "dino_heldout", "dreambooth", "dreambooth_lora")
    yield Line(
        "variance of a paired DINO difference between prompts", "6 %", f"{share:.0%}".replace("%", " %")
    )
    shares = [_within(floors, ACCESSORY, *pair) for pair in combinations(LEARNT, 2)]
    yield Line("of accessory accuracy", "27-61 %", f"{100 * min(shares):.0f}-{100 * max(shares):.0f} %")
    by_fit = {r.keys["fit"]: r for r in records["toybox_floors"]}
    twice = [
        (r, by_fit[r.keys["fit"]])
        for r in records["fewshot"]
        if r.keys["fit"] in by_fit and r.trial["method"] in LEARNT
    ]
    for name, stated, places in (("dino_heldout", "+.042", 3), (ACCESSORY, "+.17", 2), ("kid", "+.49", 2)):
        values = [[{**r.scores, **r.drift}[name] for r in pair] for pair in twice]
        spread = float(np.std([a - b for a, b in values], ddof=1))
        yield Line(f"s.d. of {name}, 10 × 1 against 25 × 4 images", stated, short(spread, places))


def _within(floors: dict[tuple[str, str], Record], name: str, first: str, second: str) -> float:
    """Share of the variance of a subject's mean difference that its prompts explain."""
    held = [
        [
            a - b
            for a, b in zip(*(floors[method, s].by_prompt[name] for method in (first, second)), strict=True)
            if a is not None and b is not None
        ]
        for s in sorted({subject for _, subject in floors})
    ]
    inner = np.mean([np.var(values, ddof=1) / len(values) for values in held])
    return float(inner / np.var([np.mean(values) for values in held], ddof=1))


def _power(tuned: Selection, fewshot: Selection) -> Iterator[Line]:
    pair = _curves(tuned, "dreambooth+penalty", "dreambooth", "weight_l2", "dino_heldout")
    yield Line("s.d. of DINO at equal drift (‖Δθ‖₂)", "+.037", short(_deviation(pair)))
    pair = _curves(tuned, "dreambooth+penalty", "dreambooth", FIDELITY, ACCESSORY)
    yield Line("s.d. of accessory accuracy at equal DINO", "+.092", short(_deviation(pair)))
    stated = {4: ".079 / .196", 16: ".028 / .069", 32: ".019 / .047", 48: ".015 / .038"}
    for n, words in stated.items():
        found = " / ".join(short(smallest_effect(s, n)).removeprefix("+") for s in (0.037, 0.092))
        yield Line(f"smallest effect of {n} subjects at s.d. .037 / .092", words, found)
    rows = [row for row in fewshot.of("method") if row.method == "dreambooth"]
    ours = next(row for row in rows if row.kind)
    prior = next(row for row in rows if row.setting.get("params.prior_weight"))
    for name, words in (("dino_heldout", "8"), ("prompt_accuracy", "25"), ("clip_t", "260")):
        found = difference(*(row.cells[name].by_subject for row in (ours, prior)))
        if name == "dino_heldout":
            text = f"{short(found.mean)} ± {short(found.deviation / found.n**0.5).removeprefix('+')}"
            yield Line("P&P less prior preservation in DINO", "+.091 ± .039", text)
        yield Line(
            f"subjects that {name} would have needed",
            words,
            str(subjects_needed(found.mean, found.deviation)),
        )


def _deviation(pair) -> float:  # type: ignore[no-untyped-def]
    return float(np.std([value for value in own_differences(*pair) if value is not None], ddof=1))


def main(arguments: Sequence[str]) -> None:
    """Print every figure; those that were stated otherwise are marked."""
    names = ("tuning-toybox", "lipschitz_bounds", "toybox_floors", "fewshot")
    records = {name: read(Path(arguments[0]) / name) for name in names} if arguments else kept()
    for line in lines(records):
        said = line.found if line.agrees else f"{line.found}   corrected; stated: {line.stated}"
        print(f"{line.what:64} {said}")


if __name__ == "__main__":
    main(sys.argv[1:])
