"""Rotations of inputs: PEFT's layers against plain numpy, the constraint's maths, what is put back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.api import Lipschitz
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.export import write
from harness.diffusion.lipschitz import Full, penalty_value, project
from harness.diffusion.quadratic import Moments, Weighted
from harness.diffusion.rotated import Rotated
from harness.diffusion.weights.delta import Delta
from harness.diffusion.weights.rotations import OFT, layers
from harness.errors import BackboneError

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


def turned(backbone, scale=0.2, **options):
    """Rotations by random angles."""
    values = backbone.adaptation.rotations(OFT(TARGETS, **options))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in values.values():
            value.copy_(scale * torch.randn(value.shape, generator=generator))
    return values


def cayley(entries, blocks, n):
    """The block-diagonal R of upper triangles [blocks, n(n − 1)/2], one block after the other, in numpy."""
    whole = np.zeros((blocks * n, blocks * n))
    for block in range(blocks):
        skew, place = np.zeros((n, n)), 0
        for row in range(n):
            for column in range(row + 1, n):
                skew[row, column], skew[column, row] = entries[block, place], -entries[block, place]
                place += 1
        part = slice(block * n, (block + 1) * n)
        whole[part, part] = (np.eye(n) - skew) @ np.linalg.inv(np.eye(n) + skew)
    return whole


def effective(layer):
    """The weight that a layer multiplies with, read off its outputs."""
    base = layer.base_layer
    with torch.no_grad():
        bias = 0 if base.bias is None else base.bias
        return (layer(torch.eye(base.in_features)) - bias).T


@pytest.mark.parametrize("options", [{"blocks": 4}, {"block_size": 8}, {"blocks": 1}])
def test_layers_are_the_block_orthogonal_cayley_transform_of_plain_numpy(backbone, options):
    values = turned(backbone, **options)
    terms = {term.name: term for term in backbone.terms()}
    for name, layer in layers(backbone.networks.denoiser):
        weight = layer.base_layer.weight.detach().double().numpy()
        entries = values[f"denoiser.{name}.oft_Q"].detach().double().numpy()
        blocks = len(entries)
        rotation = cayley(entries, blocks, weight.shape[1] // blocks)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(len(rotation)), atol=1e-10)
        np.testing.assert_allclose(effective(layer).numpy(), weight @ rotation.T, atol=2e-6)
        change = terms[f"denoiser.{name}"].change()
        np.testing.assert_allclose(change.numpy(), weight @ (rotation.T - np.eye(len(rotation))), atol=1e-6)


def test_the_constrained_form_keeps_q_within_eps(backbone):
    values = turned(backbone, blocks=4, eps=0.1)
    for (name, layer), term in zip(layers(backbone.networks.denoiser), backbone.terms(), strict=True):
        entries = values[f"denoiser.{name}.oft_Q"].detach().double().numpy().copy()
        norms = math.sqrt(2) * np.linalg.norm(entries, axis=1, keepdims=True)
        assert (norms > 0.05).all()  # 0.1/√4
        rotation = cayley(entries * 0.05 / norms, 4, layer.base_layer.in_features // 4)
        weight = layer.base_layer.weight.detach().double().numpy()
        expected = weight @ (rotation.T - np.eye(len(rotation)))
        np.testing.assert_allclose(term.change().numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(effective(layer).numpy() - weight, expected, atol=2e-6)
        held = math.sqrt(2) * values[f"denoiser.{name}.oft_Q"].detach().norm(dim=1)
        assert float(held.max()) <= 0.05 * (1 + 1e-5)


def test_without_a_rotation_no_bit_changes_and_all_of_it_can_be_taken_out(backbone):
    network = backbone.networks.denoiser
    before = dict(network.named_modules())
    noisy, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 700])
    conditioning = backbone.conditioning(["a dog", "a mug"])
    with torch.no_grad():
        base = backbone.predict(noisy, t, conditioning)
        values = backbone.adaptation.rotations(OFT(TARGETS))
        assert torch.equal(backbone.predict(noisy, t, conditioning), base)
        for value in values.values():
            value.add_(0.1)
        assert not torch.allclose(backbone.predict(noisy, t, conditioning), base)
        with backbone.adaptation.at_base():
            assert torch.equal(backbone.predict(noisy, t, conditioning), base)
    backbone.restore()
    after = dict(network.named_modules())
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


def test_a_share_of_the_change_is_linear_in_the_weights_and_goes_through_a_file(backbone):
    turned(backbone)
    whole = [effective(layer) - layer.base_layer.weight for _, layer in layers(backbone.networks.denoiser)]
    length, tuned = backbone.distance().l2, backbone.delta()
    assert length == pytest.approx(math.sqrt(sum(float(c.double().square().sum()) for c in whole)), rel=1e-5)
    backbone.interpolate(tuned, 0.25)
    for change, (_, layer) in zip(whole, layers(backbone.networks.denoiser), strict=True):
        torch.testing.assert_close(effective(layer) - layer.base_layer.weight, change / 4, rtol=0, atol=1e-6)
    assert backbone.distance().l2 == pytest.approx(length / 4, rel=1e-6)
    part = backbone.delta().to_bytes()
    backbone.apply(Delta.from_bytes(part))
    assert backbone.distance().l2 == pytest.approx(length / 4, rel=1e-6)
    assert backbone.delta().to_bytes() == part
    backbone.interpolate(tuned, 0.0)
    assert backbone.distance().l2 == 0
    backbone.apply(Delta.from_bytes(tuned.to_bytes()))
    assert backbone.delta().to_bytes() == tuned.to_bytes()


def term(tolerance=None):
    generator = torch.Generator().manual_seed(1)
    value = torch.nn.Parameter(0.4 * torch.randn(3, 6, generator=generator, dtype=torch.float64))
    base = torch.randn(5, 12, generator=generator, dtype=torch.float64)
    return Rotated("layer", value, base, 1.0, tolerance)


def restated(value, base):
    """W(Rᵀ − I) with its graph, R by an inverse of the whole block-diagonal matrix."""
    upper = torch.zeros(12, 12, dtype=torch.float64)
    for block in range(3):
        rows, columns = torch.triu_indices(4, 4, 1) + 4 * block
        upper = upper.index_put((rows, columns), value[block])
    skew, one = upper - upper.T, torch.eye(12, dtype=torch.float64)
    return base @ ((one - skew) @ torch.linalg.inv(one + skew)).T - base


@pytest.mark.parametrize("norm", ["tensor_mean", "sum"])
def test_the_penaltys_gradient_is_autograds(norm):
    each = term()
    each.value.grad = torch.zeros_like(each.value)
    ActiveConstraints(Lipschitz(penalty=3.0, norm=norm), [each]).add_gradient()
    change = restated(each.value, each.base)
    value = change.square().sum() / (each.base.numel() if norm == "tensor_mean" else 1)
    assert penalty_value([each], norm) == pytest.approx(float(value.detach()), rel=1e-9)
    (expected,) = torch.autograd.grad(3.0 * value, each.value)
    torch.testing.assert_close(each.value.grad, expected, rtol=1e-8, atol=1e-10)


def test_so_is_that_of_a_metric_of_activations():
    each, rows = term(), torch.randn(40, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    c = rows.T @ rows / 40
    change = restated(each.value, each.base)
    definition = torch.trace(change @ c @ change.T) / torch.trace(each.base @ c @ each.base.T)
    ((tensor, gradient),) = Weighted(each, Moments.of(each.base, c)).gradients()
    (expected,) = torch.autograd.grad(definition, each.value)
    assert tensor is each.value
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("radius", [0.0, 1e-3, 0.5, 2.0])
def test_a_bound_turns_back_to_its_radius_together_with_other_terms(radius):
    each = term()
    other = Full("other", torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64), 4)
    assert float(each.change().norm()) > 2
    project([each, other], radius)
    length = math.sqrt(float(each.change().square().sum() + other.change().square().sum()))
    assert length <= radius * (1 + 1e-5) and length >= radius * (1 - 1e-4)


@pytest.mark.parametrize(
    ("oft", "message"),
    [
        (OFT(TARGETS, blocks=5), r"blocks: 5 does not divide the \d+ inputs of .*; these do: 1, 2, 4"),
        (OFT(TARGETS, block_size=7), r"block_size: 7 does not divide"),
        (OFT(("conv1",)), "OFT target .*conv1' is not a linear layer"),
        (OFT(("to_x",)), "to_x"),
    ],
)
def test_what_cannot_be_turned_is_refused_and_nothing_stays(backbone, oft, message):
    before = [name for name, _ in backbone.networks.denoiser.named_modules()]
    with pytest.raises(ValueError, match=message):
        backbone.adaptation.rotations(oft)
    assert [name for name, _ in backbone.networks.denoiser.named_modules()] == before
    assert not backbone.changed


def test_diffusers_has_no_file_for_them(backbone, tmp_path):
    turned(backbone)
    with pytest.raises(BackboneError, match="no file for rotations"):
        write(backbone, tmp_path / "out")
