"""With gradients an encoder sees what it sees without; what cannot be differentiated is refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from harness.metrics.encoders.base import EncoderError
from harness.metrics.encoders.differentiable import differentiable
from harness.metrics.encoders.registry import load_encoder
from harness.specs import EncoderSpec


def loaded(name, request):
    if name == "test_vit":
        path = request.getfixturevalue("tiny_vit")
        return load_encoder(EncoderSpec(model="test_vit", checkpoint=str(path)), device="cpu")
    if name == "tiny_clip":
        return load_encoder(
            EncoderSpec(model=f"local-dir:{request.getfixturevalue('tiny_clip')}"), device="cpu"
        )
    return load_encoder(EncoderSpec(model=name), device="cpu")


@pytest.mark.parametrize("name", ["toybox-dino:1", "toybox-dino:2", "toybox-clip", "test_vit", "tiny_clip"])
def test_features_are_those_that_score_and_have_gradients(name, request):
    encoder = loaded(name, request)
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = F.interpolate(coarse, (64, 64), mode="bilinear").requires_grad_(True)
    rows = differentiable(encoder)(images)
    assert rows.norm(dim=1).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    bytes_ = (images.detach() * 255).round().to(torch.uint8)
    scoring = encoder.embed_images(bytes_)
    assert (rows.detach() * scoring).sum(dim=1).min() > 0.999
    assert (rows.detach() * scoring.flip(0)).sum(dim=1).max() < (rows * scoring).sum(dim=1).min()
    (gradient,) = torch.autograd.grad(rows[:, 0].sum(), images)
    assert gradient.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in encoder.network.parameters())


def test_the_gradient_is_that_of_a_difference(request):
    features = differentiable(loaded("toybox-dino:1", request))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(features(images)[0, 0], images)
    step = 1e-3
    with torch.no_grad():
        ends = [features(images + way * step * direction)[0, 0] for way in (1, -1)]
    assert float((ends[0] - ends[1]) / (2 * step)) == pytest.approx(
        float((gradient * direction).sum()), rel=0.05, abs=1e-3
    )


def test_an_encoder_without_gradients_is_refused():
    class Remote:
        name = "remote"

    with pytest.raises(EncoderError, match="'remote' gives no gradients"):
        differentiable(Remote())
