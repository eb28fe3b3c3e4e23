"""Penalties in a metric of the base model's: values and gradients are autograd's of the definition."""

import pytest
import torch

from harness.api import Lipschitz
from harness.diffusion.activations import input_moments, linear_layers, unfolded
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.bank import make_bank
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.lipschitz import Full, LowRank
from harness.diffusion.quadratic import Mean, Moments, Weighted, quadratic_value
from harness.diffusion.training import Example, Trainer

TEXTS = ["a photo of a dog", "a red mug on a box", "a cat in the snow"]


@pytest.fixture(scope="module", params=["tiny_sd", "tiny_sd_v", "tiny_sdxl", "tiny_sd3"])
def every(request, cache):
    return load_backbone(str(request.getfixturevalue(request.param)), cache=cache)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moments(width, seed=5):
    rows = random(40, width, seed=seed)
    return rows.T @ rows / 40


def low_rank():
    return LowRank(
        "layer",
        torch.nn.Parameter(random(3, 6, seed=1)),
        torch.nn.Parameter(random(8, 3, seed=2)),
        1.7,
        random(8, 6, seed=3),
    )


def full(*shape):
    base = random(*shape)
    value = torch.nn.Parameter(base + 0.1 * random(*shape, seed=1))
    return Full("layer", value, base, base.numel())


def definition(term, c):
    """tr(Δ C Δᵀ)/tr(W C Wᵀ) with the graph of its gradients, C [in, in]."""
    low = isinstance(term, LowRank)
    change = term.scale * term.up @ term.down if low else (term.value - term.base).flatten(1)
    weight = term.base.flatten(1)
    return torch.trace(change @ c @ change.T) / torch.trace(weight @ c @ weight.T)


@pytest.mark.parametrize("term", [full(7, 6), full(5, 2, 3, 3), low_rank()], ids=["linear", "conv", "lora"])
def test_value_and_gradient_are_autograd_of_the_definition(term):
    c = moments(term.base[0].numel())
    part = Weighted(term, Moments.of(term.base, c))
    expected = definition(term, c)
    assert quadratic_value([part]) == pytest.approx(float(expected.detach()), rel=1e-5)
    pairs = part.gradients()
    for (_, gradient), wanted in zip(
        pairs, torch.autograd.grad(expected, [p for p, _ in pairs]), strict=True
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-8)


def test_with_the_identity_it_is_the_relative_change_of_each_weight():
    terms = [full(7, 6), full(5, 2, 3, 3)]
    parts = [
        Weighted(t, Moments.of(t.base, torch.eye(t.base[0].numel(), dtype=torch.float64))) for t in terms
    ]
    by_hand = sum(float(t.change().square().sum() / t.base.square().sum()) for t in terms)
    assert quadratic_value(parts) == pytest.approx(by_hand, rel=1e-9)


def test_a_layer_that_gives_nothing_has_no_relative_change():
    assert Moments.of(torch.zeros(3, 4), torch.eye(4)) is None


@pytest.mark.parametrize("stride, padding", [(1, 1), (2, 1), (1, 0)])
def test_unfolded_inputs_times_weights_are_the_convolution(stride, padding):
    conv = torch.nn.Conv2d(3, 5, 3, stride=stride, padding=padding, bias=False)
    inputs = torch.randn(2, 3, 8, 8)
    rows = unfolded(conv, inputs) @ conv.weight.flatten(1).T
    expected = conv(inputs).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(rows, expected)


def fit(backbone, photos, lipschitz, *, lora=False, steps=2):
    trainer = Trainer(seed=0, lipschitz=lipschitz, bank_texts=lambda: TEXTS)
    trainer.prepare(backbone)
    if lora:
        parameters = backbone.adapters(rank=2, alpha=2, targets=["to_k", "to_v"], seed=0)
    else:
        parameters = backbone.parameters("denoiser")
    examples = [Example(photo, ("a photo of a sks dog",)) for photo in photos[:2]]
    trainer.fit(backbone, parameters=parameters, examples=examples, steps=steps, lr=1e-3, batch=1)
    return trainer, backbone.delta()


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_it_holds_the_outputs_of_the_layers_on_any_family(every, photos, lora):
    values = []
    for lipschitz in (None, Lipschitz.of({"penalty": 100.0, "norm": "activation", "every": 1})):
        _, delta = fit(every, photos, lipschitz, lora=lora, steps=10)
        bank = make_bank_of_base(every, delta)
        layers = linear_layers(every.networks.denoiser, every.terms())
        found, _ = input_moments(every, bank, layers)
        forms = {name: Moments.of(base_of(every, name), found[name]) for name in layers}
        terms = [term for term in every.terms() if forms.get(term.name)]
        assert terms
        values.append(quadratic_value([Weighted(term, forms[term.name]) for term in terms]))
        every.restore()
    assert values[1] < 0.9 * values[0]


def make_bank_of_base(backbone, delta):
    backbone.restore()
    bank = make_bank(backbone, TEXTS)
    backbone.apply(delta)
    return bank


def base_of(backbone, name):
    return next(term.base for term in backbone.terms() if term.name == name)


def test_moments_are_the_mean_of_the_squared_inputs_and_the_weights_stay(backbone):
    bank = make_bank(backbone, TEXTS)
    weights = backbone.parameters("cross_attention_kv")
    with torch.no_grad():
        for weight in weights.values():
            weight.add_(0.01)
    moved = {name: weight.clone() for name, weight in weights.items()}
    layers = linear_layers(backbone.networks.denoiser, backbone.terms())
    found, _ = input_moments(backbone, bank, layers)
    asked = bank.entries(bank.spread(128))
    texts = backbone.conditioning(asked.captions).sequence.double().flatten(0, 1)
    expected = texts.T @ texts / len(texts)
    for moment in found.values():
        torch.testing.assert_close(moment.double(), expected, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(moved[name], weight) for name, weight in weights.items())


def test_no_penalty_is_the_plain_fit_bit_for_bit(backbone, photos):
    _, plain = fit(backbone, photos, None)
    backbone.restore()
    _, zero = fit(backbone, photos, Lipschitz(penalty=0.0, norm="activation"))
    assert all(torch.equal(value, zero.weights[name]) for name, value in plain.weights.items())


def test_the_gradient_is_recomputed_at_the_first_of_every_so_many_steps(backbone):
    bank = make_bank(backbone, TEXTS)
    weights = backbone.parameters("attention")

    def gradient(active, change):
        for weight in weights.values():
            weight.data.add_(change)
            weight.grad = torch.zeros_like(weight)
        active.add_gradient()
        return torch.cat([weight.grad.flatten() for weight in weights.values()])

    def active(**more):
        settings = {"penalty": 2.0, "norm": "activation", **more}
        return ActiveConstraints(Lipschitz.of(settings), backbone.terms(), backbone=backbone, bank=bank)

    kept, fresh = active(every=2), active(every=1)
    first = gradient(kept, 0.01)
    torch.testing.assert_close(first, gradient(fresh, 0.0))
    second = gradient(kept, 0.01)
    assert torch.equal(first, second)
    torch.testing.assert_close(gradient(kept, 0.0), gradient(fresh, 0.0))
    assert not torch.allclose(gradient(kept, 0.0), first)


def test_what_is_no_layer_keeps_the_mean_of_its_squares(backbone):
    bank = make_bank(backbone, TEXTS)
    parameters = backbone.parameters("denoiser")
    bias = parameters["denoiser.conv_in.bias"]
    bias.data.add_(0.5)
    bias.grad = torch.zeros_like(bias)
    settings = Lipschitz(penalty=3.0, norm="activation")
    ActiveConstraints(settings, backbone.terms(), backbone=backbone, bank=bank).add_gradient()
    torch.testing.assert_close(bias.grad, torch.full_like(bias, 3.0 * 2 * 0.5 / bias.numel()))
    term = full(4)
    assert quadratic_value([Weighted(term, Mean(4))]) == pytest.approx(float(term.change().square().mean()))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"norm": "activation"}, "no linear layer or convolution is trained"),
        ({"norm": "activation", "decoupled": True}, "decoupled goes with norm: tensor_mean or sum"),
        ({"norm": "sum", "every": 2}, "every goes with norm: activation or fisher, not sum"),
        ({"norm": "fisher"}, "norm: fisher: no weight of the denoiser is trained"),
        ({"norm": "fisher", "decoupled": True}, "decoupled goes with norm: tensor_mean or sum, not fisher"),
    ],
)
def test_mistakes_get_one_line(backbone, settings, message):
    bank = make_bank(backbone, TEXTS)
    backbone.token_rows(["<v>"], ["dog"])
    with pytest.raises(ValueError, match=message):
        ActiveConstraints(
            Lipschitz.of({"penalty": 1.0, **settings}),
            backbone.terms(),
            backbone=backbone,
            bank=bank,
            lr=1e-6,
        )
