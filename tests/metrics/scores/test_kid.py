"""KID by hand, against torch-fidelity and torchmetrics' kernels, and as an unbiased estimate."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.scores.kid import kid


def test_kid_by_hand():
    # d = 1: k(x, y) = (xy + 1)³; X = {0, 1}, Y = {1, 2}
    # within X: k(0,1) = 1; within Y: k(1,2) = 27; across: k = 1, 1, 8, 27 → mean 9.25
    assert kid([[0.0], [1.0]], [[1.0], [2.0]]) == pytest.approx(1 + 27 - 2 * 9.25)


def test_paired_kid_leaves_out_pairs_of_one_prompt_by_hand():
    # As above; across without the diagonal: k(0, 2) = 1, k(1, 1) = 8 → mean 4.5
    assert kid([[0.0], [1.0]], [[1.0], [2.0]], paired=True) == pytest.approx(1 + 27 - 2 * 4.5)


def test_paired_kid_of_two_prompts_has_expectation_zero_where_each_prompt_has_one_distribution():
    # Prompt A draws 0 or 1, prompt B draws 2 or 4, each evenly; every one of the 16 outcomes of two
    # independent sets. Expected kernels: across prompts (1 + 1 + 27 + 125) / 4 = 38.5; within A
    # (1 + 1 + 1 + 8) / 4 = 2.75; within B (125 + 729 + 729 + 4913) / 4 = 1624. So the unpaired estimate
    # expects 2 · 38.5 − 2 · (2.75 + 1624 + 2 · 38.5) / 4 = −774.875, and the paired one 0.
    outcomes = list(itertools.product((0.0, 1.0), (2.0, 4.0), (0.0, 1.0), (2.0, 4.0)))
    paired = [kid([[a], [b]], [[c], [d]], paired=True) for a, b, c, d in outcomes]
    unpaired = [kid([[a], [b]], [[c], [d]]) for a, b, c, d in outcomes]
    assert np.mean(paired) == pytest.approx(0.0, abs=1e-9)
    assert np.mean(unpaired) == pytest.approx(-774.875)


def test_paired_kid_equals_the_u_statistic_written_out():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(7, 4)), rng.normal(0.4, 1, size=(7, 4))

    def k(u, v):
        return (float(np.dot(u, v)) / 4 + 1) ** 3

    terms = [
        k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i])
        for i, j in itertools.permutations(range(7), 2)
    ]
    assert kid(x, y, paired=True) == pytest.approx(sum(terms) / (7 * 6), rel=1e-10)


def test_pairs_of_unequal_sets_are_refused():
    with pytest.raises(ValueError, match="as many rows on both sides, got 2 and 3"):
        kid(np.zeros((2, 1)), np.zeros((3, 1)), paired=True)


def test_kid_equals_torch_fidelity_for_sets_of_equal_size():
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 16)), rng.normal(0.3, 1, size=(20, 16))
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    theirs = mmd2(kernel_poly(a, a, **options), kernel_poly(a, b, **options), kernel_poly(b, b, **options))
    assert kid(a, b) == pytest.approx(theirs, rel=1e-10)


def test_kid_equals_torchmetrics():
    import torch
    from torchmetrics.image.kid import poly_mmd

    generator = torch.Generator().manual_seed(0)
    a = torch.randn(12, 8, generator=generator, dtype=torch.float64)
    b = torch.randn(12, 8, generator=generator, dtype=torch.float64) + 0.5
    assert kid(a, b) == pytest.approx(float(poly_mmd(a, b)), rel=1e-10)
    assert kid(a, b, gamma=1.0) == pytest.approx(float(poly_mmd(a, b, gamma=1.0)), rel=1e-10)


def test_kid_is_unbiased_where_the_two_distributions_are_one():
    rng = np.random.default_rng(1)
    values = [kid(rng.normal(size=(8, 3)), rng.normal(size=(6, 3))) for _ in range(400)]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0


def test_kid_grows_with_the_shift():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(40, 5)), rng.normal(size=(40, 5))
    values = [kid(a, b + shift) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)


@given(st.permutations(range(6)), st.integers(0, 99))
def test_order_of_pictures_changes_nothing(order, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))
    assert kid(a[list(order)], b) == pytest.approx(kid(a, b), abs=1e-10)


def test_too_few_pictures_are_refused():
    with pytest.raises(ValueError, match="at least 2 rows"):
        kid([[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match="at least 2 rows"):
        kid([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="of equal width"):
        kid([[1.0], [3.0]], [[1.0, 2.0], [3.0, 4.0]])
