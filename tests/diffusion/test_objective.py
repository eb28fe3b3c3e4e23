"""Ways to average squares under masks, and the start token's gradient: numbers by hand."""

from __future__ import annotations

import pytest
import torch
from diffusion.plain import KEY, Line

from harness.diffusion.objective import reduce, start_token

SQUARES = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]], [[[7.0, 0.0]], [[1.0, 4.0]]]])  # [2, 2, 1, 2]
MASKS = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]]])


@pytest.mark.parametrize(
    ("reduction", "masks", "expected"),
    [
        ("area", MASKS, ((1 + 3) / 1 + 12 / 2) / 2),
        ("mean", MASKS, ((1 + 3) / 2 + 12 / 4) / 2),
        ("whole", MASKS, 23 / 8),
        ("area", None, 23 / 4),
        ("mean", None, 23 / 8),
        ("whole", None, 23 / 8),
    ],
)
def test_three_ways_to_average_by_hand(reduction, masks, expected):
    assert float(reduce(SQUARES, masks, reduction)) == pytest.approx(expected)


def test_a_mask_counts_in_both_directions_of_an_image():
    squares = torch.arange(12.0).view(1, 2, 2, 3)  # channel 0: 0…5, channel 1: 6…11
    masks = torch.tensor([[[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]])
    inside = 0 + 2 + 4 + 6 + 8 + 10
    assert float(reduce(squares, masks, "area")) == pytest.approx(inside / 3)
    assert float(reduce(squares, masks, "mean")) == pytest.approx(inside / 6)


def slope(layers, treatment):
    """The key's gradient for a text of the tokens 2 and 5, and what the layer gives for it."""
    line = Line()
    line.to_k.weight.requires_grad_(True)
    with start_token(line, layers, treatment):
        found = line.to_k(torch.tensor([[[2.0], [5.0]]]))
    found.sum().backward()
    return float(line.to_k.weight.grad), found.flatten().tolist(), line


@pytest.mark.parametrize(
    ("layers", "treatment", "expected"),
    [("to_k", "detached", 5.0), ("to_k", "trained", 7.0), (None, "detached", 7.0), ("to_v", "detached", 7.0)],
)
def test_the_first_token_s_key_teaches_nothing_where_it_is_detached(layers, treatment, expected):
    gradient, values, _ = slope(layers, treatment)
    assert gradient == expected
    assert values == [2 * KEY, 5 * KEY]


def test_afterwards_every_token_teaches_again_whatever_happened_inside():
    line = slope("to_k", "detached")[2]
    with pytest.raises(RuntimeError, match="inside"), start_token(line, "to_k", "detached"):
        raise RuntimeError("inside")
    line.to_k.weight.grad = None
    line.to_k(torch.tensor([[[2.0], [5.0]]])).sum().backward()
    assert float(line.to_k.weight.grad) == 7.0
