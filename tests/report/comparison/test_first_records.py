"""What the first committed records say, to the last digit that was stated of them, or corrected."""

import first_records
import pytest

CORRECTED = {
    "dreambooth+penalty less dreambooth in DINO at equal noise_l2": "+.000 [-.030, +.045]",
    "dreambooth+penalty less dreambooth in DINO at equal pres": "-.003 [-.033, +.025]",
    "dreambooth+penalty less dreambooth in DINO at equal weight_l2": "+.066 [+.016, +.102]",
    "dreambooth_lora less dreambooth in DINO at equal noise_l2": "+.045 [+.005, +.101]",
    "dreambooth_lora less dreambooth in DINO at equal image_drift": "-.122 [-.175, -.065]",
    "dreambooth_lora less dreambooth in DINO at equal weight_l2": "-.197 [-.241, -.180]",
    "dreambooth+penalty less dreambooth+bound in DINO at equal noise_l2": "+.010 [-.006, +.026]",
    "dreambooth+penalty less dreambooth+bound in DINO at equal weight_l2": "+.077 [+.045, +.110]",
    "prompt_accuracy_class of dreambooth_lora, 16 subjects": ".98",
    "prompt_accuracy_background of dreambooth, 16 subjects": ".98",
    "prompt_accuracy_background of dreambooth_lora, 16 subjects": ".98",
    "prompt_accuracy_accessory of dreambooth_lora, 16 subjects": ".48",
    "s.d. of accessory accuracy at equal DINO": "+.044",
    "subjects that clip_t would have needed": "259",
}


@pytest.fixture(scope="module")
def found():
    return first_records.lines(first_records.kept())


def test_every_figure_agrees_or_is_corrected_as_written_here(found):
    assert {line.what: line.found for line in found if not line.agrees} == CORRECTED
    assert sum(line.agrees for line in found) == 35


def test_each_constraint_wins_on_the_axis_that_it_is_measured_by_and_on_no_other(found):
    said = {line.what: line.found for line in found}
    name = "dreambooth+penalty less dreambooth in DINO at equal {}"
    written = [said[name.format(axis)].split("[")[1][:-1] for axis in ("noise_l2", "pres", "weight_l2")]
    ends = [[float(end) for end in words.split(",")] for words in written]
    assert [low <= 0 <= high for low, high in ends] == [True, True, False]


def test_what_is_kept_is_small():
    assert first_records.KEPT.stat().st_size <= 200_000
