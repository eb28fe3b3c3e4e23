"""Variance components: planted ones are found; the allocation by hand."""

import numpy as np
import pytest

from harness.report.comparison.variance import Components, best_prompts, components


def test_planted_components_are_found():
    rng = np.random.default_rng(0)
    shape = (400, 4, 10)
    drawn = rng.normal(0, 0.3, (400, 1, 1)) + rng.normal(0, 0.2, (400, 4, 1)) + rng.normal(0, 0.5, shape)
    found = components(drawn)
    assert found.subject == pytest.approx(0.09, rel=0.15)
    assert found.seed == pytest.approx(0.04, rel=0.15)
    assert found.prompt == pytest.approx(0.25, rel=0.05)


def test_two_of_everything_by_hand():
    """Fit means 1, 3 | 5, 7; subject means 2, 6; within-fit variance 2: mean squares 2, 4, 32."""
    values = np.array([[[0.0, 2.0], [2.0, 4.0]], [[4.0, 6.0], [6.0, 8.0]]])
    found = components(values)
    assert (found.prompt, found.seed, found.subject) == (2.0, 1.0, 7.0)
    assert found.total == 10.0
    assert found.error(2, 2, 2) == pytest.approx(np.sqrt((7 + (1 + 2 / 2) / 2) / 2))


def test_an_estimate_below_zero_counts_as_zero():
    values = np.array([[[0.0, 2.0], [0.0, 2.0]], [[0.0, 2.0], [0.0, 2.0]]])
    assert components(values) == Components(0.0, 0.0, 2.0)


def test_one_of_anything_is_refused():
    for shape in ((4, 1, 10), (1, 4, 10), (4, 10, 1)):
        with pytest.raises(ValueError, match="at least 2 subjects, seeds and prompts"):
            components(np.zeros(shape))


def test_the_best_number_of_prompts_by_hand():
    """√(.04/.01 · 40/.4) = √400."""
    assert best_prompts(Components(0.006, 0.004, 0.04), fit=40, image=0.4) == pytest.approx(20)
    assert best_prompts(Components(0.0, 0.0, 0.04), fit=40, image=0.4) == np.inf
