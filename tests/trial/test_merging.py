"""Shares by block: optima known by hand, those of another solver, and the limit that they keep to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from harness.trial.merging import Tradeoff, merged


def tradeoff(gains, gram):
    return Tradeoff(np.array(gains, dtype=float), np.array(gram, dtype=float))


def within(found, limit):
    """The shares whose predicted drift is a limit."""
    return found.path(limit / found.predicted(np.where(found.gains > 0, 1.0, 0.0)))


@pytest.mark.parametrize(
    ("gains", "gram", "limit", "expected"),
    [
        # a ∝ H⁻¹g inside of the box: a₁ = 4a₂ and a₁² + 4a₂² = ¼.
        ((1, 1), ((1, 0), (0, 4)), 0.5, (0.2**0.5, 0.2**0.5 / 4)),
        # The first is whole; what is left of the drift is the second's: 1 + 4a₂² = 2.
        ((1, 1), ((1, 0), (0, 4)), 2**0.5, (1.0, 0.5)),
        # What does the same for less is left out.
        ((1, 0.1), ((1, 0.8), (0.8, 1)), 0.3, (0.3, 0.0)),
        # What gives nothing counts where it takes drift back: a ∝ (0.92, 0.7).
        ((1, -0.1), ((1, -0.8), (-0.8, 1)), 0.1, np.array((0.92, 0.7)) * 0.1 / 0.3060**0.5),
        # Blocks of very different size: the cheap one is whole, and a₁² + 1e-8 = 1e-6.
        ((1, 1), ((1, 0), (0, 1e-8)), 1e-3, ((1e-6 - 1e-8) ** 0.5, 1.0)),
        # Blocks that do the same share evenly.
        ((1, 1), ((1, 1), (1, 1)), 1.0, (0.5, 0.5)),
    ],
)
def test_the_optimum_is_the_one_known_by_hand(gains, gram, limit, expected):
    found = tradeoff(gains, gram)
    shares = within(found, limit)
    assert shares == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert found.predicted(shares) == pytest.approx(limit, rel=1e-8)


def drawn(seed, blocks):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(blocks + 2, blocks)) * np.exp(rng.normal(size=blocks))
    return Tradeoff(rng.normal(0.3, 1.0, size=blocks), root.T @ root)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.05, 0.95))
def test_nothing_within_the_drift_gives_more(seed, blocks, part):
    found = drawn(seed, blocks)
    if not (found.gains > 0).any():
        return
    shares = found.path(part)
    limit = found.predicted(shares)
    assert (shares >= 0).all() and (shares <= 1).all()
    other = minimize(
        lambda a: -found.gains @ a,
        np.full(blocks, 1e-3),
        jac=lambda a: -found.gains,
        method="SLSQP",
        bounds=[(0, 1)] * blocks,
        constraints={"type": "ineq", "fun": lambda a: 1 - a @ found.gram @ a / limit**2},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert found.gains @ shares >= -other.fun - 1e-4 * abs(other.fun) - 1e-7


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 5), st.floats(0.01, 0.99))
def test_the_predicted_drift_is_the_part_that_was_asked_for(seed, blocks, part):
    found = drawn(seed, blocks)
    most = found.predicted(found.path(1.0))
    assert found.predicted(found.path(part)) == pytest.approx(part * most, rel=1e-6)


def test_one_block_is_plain_interpolation():
    found = tradeoff([0.02], [[7.0]])
    for part in (0.0, 0.1, 0.37, 1.0):
        assert found.path(part) == pytest.approx([part], abs=1e-9)


def test_where_no_block_gives_anything_nothing_is_left_of_the_change():
    found = merged(lambda a: 5 * float(a.sum()), 2, lambda: tradeoff([-1, -0.5], np.eye(2)), 3.0)
    assert found.shares.tolist() == [0.0, 0.0] and found.drift == 0.0


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.05, 0.9), st.floats(0.0, 0.5))
def test_the_measured_drift_is_within_one_percent_of_the_limit_whatever_was_predicted(seed, share, bend):
    found = drawn(seed, 4)
    found = Tradeoff(np.abs(found.gains), found.gram)

    def drift(shares):
        linear = found.predicted(shares)
        return linear * (1 + bend * linear / found.predicted(np.ones(4)))

    limit = share * drift(np.ones(4))
    result = merged(drift, 4, lambda: found, limit)
    assert 0.99 * limit <= result.drift == pytest.approx(drift(result.shares)) and result.drift <= limit


def test_a_change_within_the_limit_is_left_whole_and_nothing_else_is_measured():
    def never():
        raise AssertionError

    found = merged(lambda a: 2.0, 3, never, 2.0)
    assert found.shares.tolist() == [1.0, 1.0, 1.0]
    assert (found.drift, found.evaluations) == (2.0, 1)
