"""The rivals of the penalty: what they keep, restated by hand, and what ties them to DreamBooth."""

import math

import pytest
import torch

from harness import methods
from harness.api import Subject
from harness.diffusion.bank import make_bank
from harness.diffusion.training import Trainer

TEXTS = [
    "a picture of a dog on a sofa",
    "a cat in a garden",
    "a dog by a lake",
    "a red mug",
    "a dog at night",
]
FAST = {"steps": 3, "batch": 2, "lr": 1e-3}


def fit(name, backbone, photos, texts=TEXTS, **params):
    """Fit a method; its trainer, and the weights that it left."""
    kind = methods.load(name)
    trainer = Trainer(seed=0, bank_texts=lambda: texts)
    method = methods.build(kind, methods.resolve_params(kind, {**FAST, **params}, "tiny"))
    method.fit(backbone, Subject("rex", "dog", photos), trainer)
    return trainer, {name: value.clone() for name, value in backbone.delta().weights.items()}


def drift(backbone, bank):
    """Mean ‖ε_θ − ε_θ0‖₂ over a bank."""
    asked = bank.entries(range(len(bank)))
    with torch.no_grad():
        tuned = backbone.predict(
            asked.noisy(backbone), asked.timesteps, backbone.conditioning(asked.captions)
        )
    return float((tuned - asked.base).flatten(1).norm(dim=1).mean())


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_output_preservation_of_weight_zero_is_plain_dreambooth_bit_for_bit(backbone, photos):
    plain, weights = fit("dreambooth", backbone, photos)
    backbone.restore()
    kept, others = fit("output_preservation", backbone, photos, mu=0.0)
    assert plain.losses == kept.losses and same(weights, others)


def test_a_huge_weight_keeps_the_outputs(backbone, photos):
    course = {"steps": 80, "lr": 1e-4, "lr_decay": "linear"}
    bank = make_bank(backbone, TEXTS)
    fit("dreambooth", backbone, photos, **course)
    plain = drift(backbone, bank)
    backbone.restore()
    fit("output_preservation", backbone, photos, mu=1e6, bank_batch=8, **course)
    assert 0 < drift(backbone, bank) < 0.05 * plain


def test_output_preservation_takes_as_many_entries_as_it_is_told(backbone, photos):
    found = []
    for entries in (None, 2, 1):
        found.append(fit("output_preservation", backbone, photos, bank_batch=entries)[1])
        backbone.restore()
    usual, two, one = found
    assert same(usual, two) and not same(usual, one)


def test_prior_prompts_from_the_bank_learn_its_noise_and_not_the_base_models_answers(backbone, photos):
    bank_noise, _ = fit("dreambooth", backbone, photos, prior_weight=1.0, prior_prompts="bank")
    backbone.restore()
    outputs, _ = fit("output_preservation", backbone, photos, mu=1.0)
    backbone.restore()
    bank = make_bank(backbone, TEXTS)
    first = next(bank.rounds(2, seed=0))
    against_noise = float((first.base - first.noise).square().mean())
    assert bank_noise.losses[0] - outputs.losses[0] == pytest.approx(against_noise, rel=1e-3)


def test_the_first_loss_of_dco_restated_by_hand(backbone, photos):
    drawn = []

    def recorded(batches):
        for each in batches:
            drawn.append(each)
            yield each

    kind = methods.load("dco")
    trainer = Trainer(seed=0, draws=recorded)
    method = kind(steps=2, lr=1e-3, batch=2, beta=50.0)
    method.fit(backbone, Subject("rex", "dog", photos), trainer)
    backbone.restore()
    first, errors = drawn[0], {}
    noisy = backbone.add_noise(first.latents, first.noise, first.timesteps)
    for phrase in ("sks dog", "dog"):  # θ is θ0 before the first step
        with torch.no_grad():
            told = backbone.conditioning([f"a photo of a {phrase}"] * 2)
            predicted = backbone.predict(noisy, first.timesteps, told)
        errors[phrase] = float((first.noise - predicted).square().mean())
    gain = 50.0 * (errors["sks dog"] - errors["dog"])
    assert abs(gain) > 1e-3
    assert trainer.losses[0] == pytest.approx(math.log1p(math.exp(gain)), rel=1e-3)


def test_the_gradient_of_dco_is_that_of_the_squared_error_times_what_is_left_to_win():
    from harness.diffusion.denoising import Preference

    tuned = torch.tensor(0.31, dtype=torch.float64, requires_grad=True)
    Preference(20.0, {}).loss(tuned, torch.tensor(0.30, dtype=torch.float64)).backward()
    left = 1 / (1 + math.exp(-20.0 * 0.01))
    assert float(tuned.grad) == pytest.approx(20.0 * left, rel=1e-9)


@pytest.mark.parametrize("kind", ["denoiser", "adapters"])
def test_at_base_is_the_base_model_and_back_is_bit_for_bit(backbone, kind):
    bank = make_bank(backbone, TEXTS)
    if kind == "denoiser":
        trained = backbone.parameters("denoiser")
    else:
        trained = backbone.adapters(rank=2, alpha=2.0, targets=("to_q", "to_v"), seed=0)
    with torch.no_grad():
        for value in trained.values():
            value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    before = {name: value.clone() for name, value in trained.items()}
    assert drift(backbone, bank) > 1e-3
    with backbone.adaptation.at_base():
        assert drift(backbone, bank) < 1e-5
    assert same(before, dict(trained)) and drift(backbone, bank) > 1e-3


@pytest.mark.parametrize(
    ("name", "params", "uses"),
    [
        ("dreambooth", {"prior_weight": 1.0}, False),
        ("dreambooth", {"prior_prompts": "bank"}, False),
        ("dreambooth", {"prior_prompts": "bank", "prior_weight": 1.0}, True),
        ("output_preservation", {}, True),
        ("output_preservation", {"mu": 0.0}, False),
    ],
)
def test_a_bank_is_asked_for_only_where_it_is_learnt(name, params, uses):
    assert methods.build(methods.load(name), params).uses_bank is uses


def test_a_method_that_learns_outputs_says_so_and_the_footnote_explains_the_mark():
    assert methods.trains_on_outputs("output_preservation") and not methods.trains_on_outputs("dreambooth")
    for name in methods.known():
        assert methods.load(name).title.endswith("†") == methods.trains_on_outputs(name)
