"""Distances of noise predictions, by hand."""

import pytest
import torch

from harness.metrics.scores.noise_drift import lipschitz_ratio, noise_distance, noise_mse


def test_noise_distance_by_hand():
    base = torch.zeros(2, 1, 2, 2)
    tuned = base.clone()
    tuned[0] = 1.0
    tuned[1, 0, 0, 0] = 3.0
    assert noise_distance(tuned, base) == pytest.approx([2.0, 3.0])
    assert noise_mse(tuned, base) == pytest.approx([1.0, 9 / 4])


def test_equal_predictions_have_distance_exactly_zero():
    predictions = torch.randn(3, 2, 4, 4)
    assert (noise_distance(predictions, predictions.clone()) == 0).all()


def test_noise_distance_refuses_other_shapes():
    with pytest.raises(ValueError, match="equal shapes"):
        noise_distance(torch.zeros(2, 3), torch.zeros(3, 3))


def test_lipschitz_ratio_is_empty_where_nothing_moved():
    assert lipschitz_ratio(6.0, 3.0) == 2.0
    assert lipschitz_ratio(0.0, 0.0) is None
    assert lipschitz_ratio(6.0, 1.0) == 6.0


def test_distances_are_computed_in_float64():
    tuned, base = torch.full((1, 3), 0.1), torch.zeros(1, 3)
    square = float(torch.tensor(0.1)) ** 2
    for half in (tuned, tuned.double()):
        assert noise_distance(half, base).dtype == noise_mse(half, base).dtype == "float64"
        assert noise_mse(half, base)[0] == pytest.approx(square, rel=1e-15)
