"""A safetensors file that claims more than it holds is refused in one line; nothing is reserved."""

from __future__ import annotations

import shutil
import tracemalloc

import pytest

from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.weights.delta import Delta
from harness.errors import BackboneError, HarnessError
from harness.metrics.encoders.registry import load_encoder
from harness.specs import EncoderSpec

CLAIM = (2 << 30).to_bytes(8, "little") + b'{"x":' + b" " * 64
"""A header of 2 GB, of which there are a few bytes."""


@pytest.fixture(autouse=True)
def frugal():
    """Fail a test that reserves a tenth of what the file claims."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (2 << 30) / 10


def test_a_base_model(tiny_sd, tmp_path, cache):
    shutil.copytree(tiny_sd, tmp_path / "sd")
    weights = next((tmp_path / "sd" / "unet").glob("*.safetensors"))
    weights.unlink()
    weights.write_bytes(CLAIM)
    with pytest.raises(BackboneError, match=rf"^{tmp_path}/sd/unet: [^\n]*$"):
        load_backbone(str(tmp_path / "sd"), cache=cache)


def test_an_encoder(tmp_path):
    path = tmp_path / "test_vit.safetensors"
    path.write_bytes(CLAIM)
    with pytest.raises(HarnessError, match=rf"{path} is not a whole safetensors file: [^\n]*$"):
        load_encoder(EncoderSpec(model="test_vit", checkpoint=str(path)), device="cpu", kind="dino")


def test_kept_weights():
    with pytest.raises(BackboneError, match=r"^the kept weights are damaged \([^\n]*\); remove their file"):
        Delta.from_bytes(CLAIM)
