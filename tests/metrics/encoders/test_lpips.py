"""LPIPS against torchmetrics' implementation: the same random backbone, its published linear weights."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from harness.metrics.encoders.base import EncoderError
from harness.metrics.encoders.registry import load_encoder
from harness.specs import EncoderSpec


@pytest.fixture(scope="module")
def theirs():
    from torchmetrics.functional.image.lpips import _LPIPS

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _LPIPS(pretrained=True, net="alex", pnet_rand=True)


@pytest.fixture(scope="module")
def lpips(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("lpips") / "alex.safetensors"
    tensors = {
        name: value.clone() for name, value in theirs.state_dict().items() if not name.startswith("lins.")
    }
    save_file(tensors, path)
    return load_encoder(EncoderSpec(model="lpips-alex", checkpoint=str(path)), device="cpu", kind="lpips")


def test_distances_equal_torchmetrics(lpips, theirs):
    pictures = torch.randint(
        0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    distances = lpips.pairwise(pictures)
    scaled = pictures.float() / 255
    with torch.no_grad():
        for i in range(3):
            expected = theirs(scaled[i : i + 1].expand(3, -1, -1, -1), scaled, normalize=True).flatten()
            assert torch.allclose(distances[i], expected, rtol=1e-4, atol=1e-6)


def test_a_picture_has_distance_zero_to_itself(lpips):
    pictures = torch.randint(
        0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    distances = lpips.pairwise(pictures)
    assert (distances.diagonal() == 0).all()
    assert torch.equal(distances, distances.T)


def test_lpips_without_weights_says_what_to_give():
    with pytest.raises(EncoderError, match="needs a local safetensors file as 'checkpoint'"):
        load_encoder(EncoderSpec(model="lpips-alex"), device="cpu")
