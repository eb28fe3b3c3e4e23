"""The diagonal of JᵀJ: autograd's Jacobian on a tiny network, and what the penalty makes of it."""

from itertools import product

import pytest
import torch
from torch import nn

from harness.api import Lipschitz
from harness.cache import Cache
from harness.diffusion import fisher
from harness.diffusion.bank import make_bank
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.fisher import fisher_diagonal, squared_gradients
from harness.diffusion.training import Example, Trainer
from harness.diffusion.weights.rotations import OFT

TEXTS = ["a photo of a dog", "a red mug on a box"]


@pytest.fixture
def few(monkeypatch):
    """Four entries of the bank are asked."""
    monkeypatch.setattr(fisher, "ENTRIES", 4)


def jacobians(predict, weights, inputs):
    """Mean diagonal of JᵀJ over inputs, from the whole Jacobian."""
    found = [torch.autograd.functional.jacobian(lambda *w, x=x: predict(x, w), weights) for x in inputs]
    count = [len(weight.shape) for weight in weights]
    return [
        sum(each[i].flatten(0, -1 - count[i]).square().sum(0) for each in found) / len(inputs)
        for i in range(len(weights))
    ]


def test_over_all_signs_it_is_the_diagonal_of_autograds_jacobian():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    names, weights = zip(*net.named_parameters(), strict=True)
    inputs = torch.randn(5, 3, dtype=torch.float64)
    patterns = [torch.tensor(p, dtype=torch.float64) for p in product((-1, 1), repeat=2)]
    order = [(x, signs) for x in inputs for signs in patterns]
    chosen = iter([signs for _, signs in order])
    found = squared_gradients(
        (net(x) for x, _ in order), dict(zip(names, weights, strict=True)), lambda _: next(chosen)
    )

    def predict(x, given):
        return torch.func.functional_call(net, dict(zip(names, given, strict=True)), (x,))

    for name, expected in zip(names, jacobians(predict, weights, inputs), strict=True):
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-6, atol=1e-7)


def test_a_weight_that_no_output_sees_weighs_nothing():
    seen, unseen = (torch.ones(2, requires_grad=True) for _ in range(2))
    found = squared_gradients([3 * seen], {"seen": seen, "unseen": unseen}, torch.ones_like)
    assert found["seen"].tolist() == [9, 9] and not found["unseen"].any()


def test_signs_estimate_the_diagonal_of_a_denoiser(backbone, monkeypatch):
    bank = make_bank(backbone, TEXTS)
    bias = backbone.parameters("denoiser")["denoiser.conv_out.bias"]
    monkeypatch.setattr(fisher, "ENTRIES", 16)
    found, seconds = fisher_diagonal(backbone, bank, {"denoiser.conv_out.bias": bias})
    # ∂ε/∂bias is 1 for the cells of its channel: (Jᵀv)²/d is a squared sum of 64 signs over 256.
    assert seconds > 0 and found["denoiser.conv_out.bias"].shape == (4,)
    sums = found["denoiser.conv_out.bias"] * 256
    assert float(sums.mean()) == pytest.approx(64, rel=0.5)
    assert not bias.requires_grad


def test_it_is_measured_at_the_base_weights_and_they_come_back(backbone, few, tmp_path, monkeypatch):
    bank = make_bank(backbone, TEXTS)
    weights = backbone.parameters("cross_attention_kv")
    first, _ = fisher_diagonal(backbone, bank, weights)
    with torch.no_grad():
        for weight in weights.values():
            weight.add_(0.5)
    moved = {name: weight.clone() for name, weight in weights.items()}
    monkeypatch.setattr(backbone, "cache", Cache(tmp_path))  # nothing is stored there
    again, _ = fisher_diagonal(backbone, bank, weights)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(moved[name], weight) for name, weight in weights.items())


def fit(backbone, photos, lipschitz, steps=2):
    trainer = Trainer(seed=0, lipschitz=lipschitz, bank_texts=lambda: TEXTS)
    trainer.prepare(backbone)
    parameters = backbone.parameters("cross_attention_kv")
    examples = [Example(photo, ("a photo of a sks dog",)) for photo in photos[:2]]
    trainer.fit(backbone, parameters=parameters, examples=examples, steps=steps, lr=1e-2, batch=1)
    return backbone.delta().weights


def test_no_penalty_is_the_plain_fit_bit_for_bit_and_a_large_one_holds_back(backbone, photos, few):
    plain = fit(backbone, photos, None, steps=8)
    free = backbone.distance().l2
    backbone.restore()
    zero = fit(backbone, photos, Lipschitz(penalty=0.0, norm="fisher"), steps=8)
    assert all(torch.equal(value, zero[name]) for name, value in plain.items())
    backbone.restore()
    fit(backbone, photos, Lipschitz.of({"penalty": 1e6, "norm": "fisher", "every": 1}), steps=8)
    assert 0 < backbone.distance().l2 < free


@pytest.mark.parametrize("kind", ["full", "lora", "rotations", "values"])
def test_the_gradient_is_that_of_the_weighted_squares(backbone, few, kind):
    bank = make_bank(backbone, TEXTS)
    adaptation = backbone.adaptation
    parameters = {
        "full": lambda: backbone.parameters("attention"),
        "lora": lambda: backbone.adapters(rank=2, alpha=3.0, targets=["to_k"], seed=0),
        "rotations": lambda: adaptation.rotations(OFT(("to_k",), blocks=2)),
        "values": adaptation.singular_values,
    }[kind]()
    with torch.no_grad():
        for value in parameters.values():
            value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
            value.grad = torch.zeros_like(value)
    terms = backbone.terms()
    settings = Lipschitz(penalty=7.0, norm="fisher")
    active = ActiveConstraints(settings, terms, backbone=backbone, bank=bank)
    active.add_gradient()
    (member,) = active.members
    value = next(iter(parameters.values()))
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(2))

    def penalty(step):
        with torch.no_grad():
            value.add_(step * direction)
            total = 7.0 * sum(part.form.value(part.term) for part in member.parts)
            value.sub_(step * direction)
        return total

    slope = (penalty(1e-2) - penalty(-1e-2)) / 2e-2
    assert float((value.grad * direction).sum()) == pytest.approx(slope, rel=2e-2, abs=1e-7)
