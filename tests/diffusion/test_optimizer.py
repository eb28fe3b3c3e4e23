"""The optimizers' first step and the learning rate along the course, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.diffusion import optimizer
from harness.diffusion.optimizer import optimizer_of, set_rate


@pytest.mark.parametrize(
    ("name", "start", "weight_decay", "expected"),
    [
        ("adam", 2.0, 0.0, 2 - 0.1),  # the first step is as long as the rate
        ("adamw", 2.0, 0.0, 2 - 0.1),
        ("adamw", -2.0, 3.0, -2 * (1 - 0.1 * 3) - 0.1),  # decay apart from the gradient
        ("adam", -2.0, 1.0, -2 - 0.1),
        ("adam", -2.0, 3.0, -2 + 0.1),  # decay within it: 4 − 3·2 < 0
    ],
)
def test_the_first_step_down_a_gradient_of_four_by_hand(name, start, weight_decay, expected):
    weight = torch.nn.Parameter(torch.tensor([start]))
    weight.grad = torch.tensor([4.0])
    optimizer_of(name, [weight], 0.1, weight_decay).step()
    assert float(weight.detach()) == pytest.approx(expected)


@pytest.mark.parametrize(("device", "fused"), [("cpu", True), ("cuda", True), ("mps", False)])
def test_steps_are_fused_where_torch_can(monkeypatch, device, fused):
    asked = []
    monkeypatch.setitem(optimizer.OPTIMIZERS, "adam", lambda trained, **given: asked.append((trained, given)))
    trained = [SimpleNamespace(device=torch.device(device))]
    optimizer_of("adam", trained, 0.3, 0.2)
    assert asked == [(trained, {"lr": 0.3, "weight_decay": 0.2, "fused": fused})]


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="unknown optimizer 'adamm'; did you mean 'adam'"):
        optimizer_of("adamm", [torch.nn.Parameter(torch.zeros(1))], 0.1, 0.0)


def rates(decay, steps):
    """The rates of two groups along a course at rate 8."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    update = torch.optim.SGD(groups, lr=8.0)
    found = []
    for step in range(1, steps + 1):
        set_rate(update, 8.0, decay, step=step, steps=steps)
        found.append(tuple(group["lr"] for group in update.param_groups))
    return found


def test_a_linear_decay_ends_one_step_before_zero_and_none_stays():
    assert rates("linear", 4) == [(8.0, 8.0), (6.0, 6.0), (4.0, 4.0), (2.0, 2.0)]
    assert rates("none", 3) == [(8.0, 8.0)] * 3
