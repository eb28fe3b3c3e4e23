"""Singular values in place of weights: restated in numpy, put back bit for bit, scaled as an effect."""

import numpy as np
import pytest
import torch

from harness.diffusion.weights import spectral
from harness.diffusion.weights.delta import Delta


@pytest.fixture
def shifted(backbone):
    """The base weights by layer, and shifts of every singular value, some of them below zero."""
    layers = dict(backbone.networks.denoiser.named_modules())
    values = backbone.adaptation.singular_values()
    names = [name.removeprefix("denoiser.").removesuffix(".singular_values") for name in values]
    base = {name: layers[name].parametrizations.weight.original.detach().clone() for name in names}
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in values.values():
            value.add_(0.3 * value.max() * torch.randn(value.shape, generator=generator))
    assert any((value < 0).any() for value in values.values())
    return backbone, base, {name: value.detach() for name, value in zip(names, values.values())}


def test_weights_are_those_of_plain_numpy(shifted):
    backbone, base, values = shifted
    layers = dict(backbone.networks.denoiser.named_modules())
    for name, weight in base.items():
        left, sigma, right = np.linalg.svd(
            weight.double().numpy().reshape(len(weight), -1), full_matrices=False
        )
        delta = values[name].double().numpy() - sigma
        expected = left @ np.diag(np.maximum(sigma + delta, 0)) @ right
        found = layers[name].weight.detach().reshape(len(weight), -1)
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_without_a_shift_the_weights_are_the_base_models_bit_for_bit(backbone):
    before = {name: value.clone() for name, value in backbone.networks.denoiser.state_dict().items()}
    order = [name for name, _ in backbone.networks.denoiser.named_parameters()]
    backbone.adaptation.singular_values()
    for name, module in backbone.networks.denoiser.named_modules():
        if f"{name}.weight" in before and torch.nn.utils.parametrize.is_parametrized(module):
            assert torch.equal(module.weight, before[f"{name}.weight"])
    assert backbone.distance().l2 == 0
    backbone.restore()
    assert order == [name for name, _ in backbone.networks.denoiser.named_parameters()]
    after = backbone.networks.denoiser.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_distance_is_that_of_the_weights_while_no_value_is_cut_off(backbone):
    values = backbone.adaptation.singular_values()
    with torch.no_grad():
        for value in values.values():
            value.mul_(1.1)
    changes = [layer.parametrizations.weight[0] for layer in backbone.networks.denoiser.modules()
               if torch.nn.utils.parametrize.is_parametrized(layer)]  # fmt: skip
    moved = sum(
        float((each.left * (each.values - each.base) @ each.right).square().sum()) for each in changes
    )
    assert backbone.distance().l2 == pytest.approx(moved**0.5, rel=1e-4)
    assert backbone.distance().relative == pytest.approx(0.1, rel=1e-4)


def test_a_share_of_the_change_and_the_way_through_a_file(shifted):
    backbone, base, _ = shifted
    layers = dict(backbone.networks.denoiser.named_modules())
    whole = {name: layers[name].weight.detach() - weight for name, weight in base.items()}
    tuned = backbone.delta()
    backbone.interpolate(tuned, 0.25)
    for name, weight in base.items():
        torch.testing.assert_close(layers[name].weight - weight, whole[name] / 4, atol=1e-5, rtol=1e-3)
    backbone.interpolate(tuned, 0.0)
    assert backbone.distance().l2 == 0
    backbone.apply(Delta.from_bytes(tuned.to_bytes()))
    assert backbone.delta().to_bytes() == tuned.to_bytes()
    assert spectral.layers(backbone.networks.denoiser).keys() == base.keys()
