"""Distances of weights and of noise predictions, by hand and against autograd-free restatements."""

import pytest
import torch

from harness.scores.movement import lipschitz_ratio, noise_distance, noise_mse, weight_l2, weight_tensor_mean


def test_weight_l2_by_hand():
    assert weight_l2([torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])]) == pytest.approx(5.0)
    assert weight_l2([]) == 0.0


def test_weight_tensor_mean_by_hand():
    # mean of (1, 9) is 5; mean of (4) is 4
    assert weight_tensor_mean([torch.tensor([1.0, 3.0]), torch.tensor([2.0])]) == pytest.approx(9.0)


def test_weight_distances_equal_the_flattened_vector():
    generator = torch.Generator().manual_seed(0)
    deltas = [torch.randn(3, 5, generator=generator), torch.randn(7, generator=generator)]
    flat = torch.cat([delta.flatten() for delta in deltas])
    assert weight_l2(deltas) == pytest.approx(float(torch.linalg.vector_norm(flat)), rel=1e-6)
    means = sum(torch.nn.functional.mse_loss(delta, torch.zeros_like(delta)) for delta in deltas)
    assert weight_tensor_mean(deltas) == pytest.approx(float(means), rel=1e-6)


def test_half_precision_deltas_do_not_overflow():
    assert weight_l2([torch.full((1000,), 300.0, dtype=torch.float16)]) == pytest.approx(300 * 1000**0.5)


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
