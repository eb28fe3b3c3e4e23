"""Each family's tiny pipeline twice: as the harness loads it, and as diffusers does."""

from __future__ import annotations

import pytest
from recipes.comparison import Pair
from recipes.restated import Reference, sharpen

from harness.diffusion.backbones.loading import load_backbone

FIXTURES = {"sd": "tiny_sd", "sd_v": "tiny_sd_v", "sdxl": "tiny_sdxl", "sd3": "tiny_sd3"}


@pytest.fixture(scope="session", params=FIXTURES)
def loaded_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = request.getfixturevalue(FIXTURES[request.param])
    backbone = load_backbone(str(folder), cache=tmp_path_factory.mktemp("cache"))
    sharpen(backbone.networks.autoencoder)
    return Pair(backbone.family, backbone, Reference.load(folder, backbone.family))


@pytest.fixture
def pair(loaded_pair: Pair) -> Pair:
    """Both at their pretrained weights."""
    return Pair(loaded_pair.family, loaded_pair.backbone, loaded_pair.reference.fresh())
