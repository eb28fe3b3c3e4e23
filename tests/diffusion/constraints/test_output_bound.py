"""The bound on outputs: dual ascent on a bank, by hand; what 0 steps give; drift near the bound."""

import math

import pytest
import torch

from harness.api import Lipschitz
from harness.diffusion.bank import make_bank
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.constraints.combination import Combination
from harness.diffusion.constraints.output_bound import OutputBound
from harness.diffusion.training import Example, Trainer

TEXTS = ["a photo of a dog", "a red mug on a box", "a cat in the snow"]


def active(backbone, bank, **settings):
    constraint = Lipschitz.of({"output_bound": 0.5, **settings})
    return ActiveConstraints(constraint, backbone.terms(), backbone=backbone, bank=bank, seed=3)


def moved(backbone, by):
    weights = backbone.parameters("attention")
    generator = torch.Generator().manual_seed(1)
    for weight in weights.values():
        weight.data.add_(by * torch.randn(weight.shape, generator=generator))
        weight.requires_grad_(True)
        weight.grad = torch.zeros_like(weight)
    return weights


def squares(backbone, entries):
    predicted = backbone.predict(
        entries.noisy(backbone), entries.timesteps, backbone.conditioning(entries.captions)
    )
    return (predicted - entries.base).square().sum((1, 2, 3))


def test_multiplier_and_gradient_are_those_of_the_definition(backbone):
    bank = make_bank(backbone, TEXTS)
    constraints = active(backbone, bank, dual_rate=0.2, bank_batch=2)
    weights = moved(backbone, 0.3)
    rounds = bank.rounds(2, seed=3)
    seen, multiplier = [], 0.0
    for _ in range(12):
        for weight in weights.values():
            weight.grad = torch.zeros_like(weight)
        constraints.add_gradient()
        entries = next(rounds)
        mean = squares(backbone, entries).mean()
        expected = torch.autograd.grad(multiplier * mean / entries.base[0].numel(), list(weights.values()))
        for weight, gradient in zip(weights.values(), expected, strict=True):
            torch.testing.assert_close(weight.grad, gradient)
        seen = [*seen, float(mean.detach())][-10:]
        multiplier = max(0.0, multiplier + 0.2 * (sum(seen) / len(seen) / 0.5**2 - 1))
    proof = constraints.proof()
    assert proof["output_multiplier"] == pytest.approx(multiplier) and multiplier > 0
    assert proof["output_bank_l2"] == pytest.approx(math.sqrt(sum(seen) / 10))
    assert proof["output_bound"] == 0.5


def test_within_the_bound_nothing_is_added(backbone):
    bank = make_bank(backbone, TEXTS)
    constraints = active(backbone, bank)
    weights = moved(backbone, 0.0)
    constraints.add_gradient()
    assert all(not weight.grad.any() for weight in weights.values())
    assert constraints.proof()["output_multiplier"] == 0


def fit(backbone, photos, lipschitz):
    trainer = Trainer(seed=0, lipschitz=lipschitz, bank_texts=lambda: TEXTS)
    trainer.prepare(backbone)
    parameters = backbone.parameters("denoiser")
    examples = [Example(photo, ("a photo of a sks dog",)) for photo in photos[:2]]
    trainer.fit(backbone, parameters=parameters, examples=examples, steps=30, lr=1e-3, batch=1)
    bank = trainer.bank(backbone) if lipschitz else None
    return trainer, bank


def test_a_fit_ends_near_the_bound_that_it_would_leave_without(backbone, photos):
    bound = {"output_bound": 2.0, "dual_rate": 1.0}
    trainer, bank = fit(backbone, photos, Lipschitz.of(bound))
    every = bank.entries(range(len(bank)))
    with torch.no_grad():
        held = float(squares(backbone, every).mean().sqrt())
    assert trainer.bound["output_multiplier"] > 0
    backbone.restore()
    fit(backbone, photos, None)
    with torch.no_grad():
        free = float(squares(backbone, every).mean().sqrt())
    assert free > 2.5 and held < 0.8 * free


def test_a_bound_below_what_0_steps_give_is_refused(backbone):
    bank = make_bank(backbone, TEXTS)
    with pytest.raises(ValueError, match=r"output_bound: 1e-12 is below the .* that 0 steps give"):
        active(
            backbone, type(bank)(**{**vars(bank), "predictions": bank.predictions + 1}), output_bound=1e-12
        )


def test_its_words():
    combination = Combination.read({"output_bound": 3.0, "penalty": 5.0, "bound": 2.0})
    assert combination.short == ["λ=5", "B=2", "b=3 †"] and combination.long[-1] == "‖Δε‖≤3 †"
    assert combination.output_limit == 3.0 and combination.uses_bank
    other = OutputBound(3.0, dual_rate=0.1, bank_batch=8)
    assert other.short == "b=3 † η=0.1 bank batch 8"
    assert other.scale == ", η=0.1, bank batch 8"
    assert Combination.read({"penalty": 5.0}).output_limit is None
