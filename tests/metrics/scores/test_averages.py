"""Averages and prompt accuracy by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.scores.averages import by_prompt, mean
from harness.metrics.scores.prompt_accuracy import agreement, share_right


def test_prompts_weigh_alike_whatever_their_number_of_pictures():
    prompts = by_prompt([1.0, 0.0, 0.0, 0.5], [0, 0, 0, 1], 2)
    assert prompts == pytest.approx([1 / 3, 0.5])
    assert mean(prompts) == pytest.approx((1 / 3 + 0.5) / 2)


def test_missing_values_are_left_out_and_a_prompt_without_any_is_empty():
    assert by_prompt([1.0, None, math.nan], [0, 0, 1], 3) == [1.0, None, None]
    assert mean([None, 1.0, None, 2.0]) == 1.5
    assert mean([None]) is None


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 2)), min_size=1, max_size=12), st.randoms())
def test_order_of_pictures_changes_no_bit(pictures, random):
    shuffled = list(pictures)
    random.shuffle(shuffled)
    straight = by_prompt([value for value, _ in pictures], [prompt for _, prompt in pictures], 3)
    assert by_prompt([value for value, _ in shuffled], [prompt for _, prompt in shuffled], 3) == straight


def test_agreement_counts_only_what_was_asked():
    read = {"class": "mug", "background": "beach", "colour": "red"}
    assert agreement({"class": "mug", "background": "snow"}, read) == {"class": 1.0, "background": 0.0}
    assert share_right({"class": 1.0, "background": 0.0}) == 0.5
    assert share_right({}) is None


def test_an_attribute_that_the_probe_does_not_read_is_an_error():
    with pytest.raises(KeyError):
        agreement({"mood": "happy"}, {"class": "mug"})
