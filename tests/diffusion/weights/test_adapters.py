"""Low-rank adapters on a small network: where they start, which layers, what they leave when taken out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from harness.diffusion.seeds import named_seed
from harness.diffusion.weights import adapters
from harness.diffusion.weights.adaptation import Adaptation
from harness.diffusion.weights.adapters import LoRA

TWO = LoRA(rank=2, alpha=3.0, targets=("to_q", "to_v"))


@pytest.fixture(scope="module")
def network():
    """A U-Net of one block down and one up, with attention in both."""
    with torch.random.fork_rng(devices=[]):
        return UNet2DConditionModel(
            sample_size=4,
            block_out_channels=(8,),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",),
            cross_attention_dim=12,
            attention_head_dim=4,
            norm_num_groups=4,
        )


@pytest.fixture
def denoiser(network):
    """The network; adapters that a test leaves are taken out."""
    yield network
    if adapters.layers(network):
        adapters.remove(network)


def test_the_details_build_the_same_adaptation_again():
    assert TWO.details() == {"rank": 2, "alpha": 3.0, "targets": ("to_q", "to_v")}
    assert LoRA.read(TWO.details()) == TWO


@pytest.mark.parametrize("start", ["kaiming", "gaussian"])
def test_a_is_drawn_from_the_seed_and_b_is_zero(denoiser, start):
    state = torch.get_rng_state()
    adapters.insert(denoiser, TWO, seed=4, start=start)
    assert torch.equal(torch.get_rng_state(), state)
    generator = torch.Generator().manual_seed(named_seed("adapters", 4))
    factors = adapters.factors(denoiser)
    assert len(factors) == 2 * len(adapters.layers(denoiser)) > 0
    for name, layer in adapters.layers(denoiser):
        assert name.endswith(("to_q", "to_v"))
        down, up = factors[f"{name}.lora_A"], factors[f"{name}.lora_B"]
        wide = layer.base_layer.in_features
        if start == "kaiming":
            wanted = torch.empty(2, wide).uniform_(
                -1 / math.sqrt(wide), 1 / math.sqrt(wide), generator=generator
            )
        else:
            wanted = torch.empty(2, wide).normal_(0.0, 1 / 2, generator=generator)
        torch.testing.assert_close(down.detach(), wanted)
        assert up.shape == (layer.base_layer.out_features, 2) and not up.any()
        assert down.dtype == up.dtype == torch.float32
        assert not down.requires_grad and not up.requires_grad
        assert layer.scaling["default"] == 3.0 / 2
        assert all(p == 0.0 for p in (getattr(drop, "p", 0.0) for drop in layer.lora_dropout.values()))


def test_kaiming_is_the_start_unless_said(denoiser):
    text = SimpleNamespace(rows=None)
    whole = Adaptation(denoiser, [text], name="tiny", groups={}, family="sd", revision="1")
    found = []
    for said in ({}, {"start": "kaiming"}, {"start": "gaussian"}):
        factors = whole.adapters(rank=2, alpha=3.0, targets=TWO.targets, seed=4, **said)
        found.append([value.detach().clone() for value in factors.values()])
        whole.restore()
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1]))
    assert not all(torch.equal(a, b) for a, b in zip(found[0], found[2]))


def test_terms_are_the_changes_of_the_layers_that_are_asked_for(denoiser):
    adapters.insert(denoiser, TWO, seed=0, start="kaiming")
    layers = adapters.layers(denoiser)
    every = adapters.terms(denoiser)
    assert [term.name for term in every] == [name for name, _ in layers]
    for term, (name, layer) in zip(every, layers):
        assert term.down is adapters.factors(denoiser)[f"{name}.lora_A"]
        assert term.up is adapters.factors(denoiser)[f"{name}.lora_B"]
        assert term.base is layer.base_layer.weight
        assert term.scale == 1.5
    first = layers[0][0]
    assert [t.name for t in adapters.terms(denoiser, [f"{first}.lora_A", f"{first}.lora_B"])] == [first]
    assert adapters.terms(denoiser, [f"{first}.lora_A"]) == []
    named = adapters.terms(denoiser, [f"denoiser.{first}.lora_B"], prefix="denoiser.")
    assert [term.name for term in named] == [f"denoiser.{first}"]


def test_taken_out_the_layers_are_the_very_modules_that_they_were(denoiser):
    before = dict(denoiser.named_modules())
    adapters.insert(denoiser, TWO, seed=0, start="kaiming")
    adapters.remove(denoiser)
    after = dict(denoiser.named_modules())
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


@pytest.mark.parametrize(("target", "message"), [("conv1", "is not a linear layer"), ("to_x", "to_x")])
def test_layers_that_cannot_be_adapted_are_refused_and_nothing_stays(denoiser, target, message):
    before = [name for name, _ in denoiser.named_modules()]
    with pytest.raises(ValueError, match=message):
        adapters.insert(denoiser, LoRA(2, 2.0, (target,)), seed=0, start="kaiming")
    assert [name for name, _ in denoiser.named_modules()] == before
    adapters.insert(denoiser, TWO, seed=0, start="kaiming")
    assert adapters.layers(denoiser)


def test_factors_stay_on_the_device_of_their_layer(monkeypatch):
    def factor(*size):
        return {"default": nn.Linear(*size, bias=False, device="meta")}

    layer = SimpleNamespace(base_layer=nn.Linear(5, 4), lora_A=factor(5, 2), lora_B=factor(2, 4))
    monkeypatch.setattr(adapters, "layers", lambda _: [("layer", layer)])
    adapters._initialize(None, 0, "kaiming")
    assert layer.lora_A["default"].weight.device.type == layer.lora_B["default"].weight.device.type == "meta"
