"""What all tests share: how many processes they run in, and tiny pipelines with random weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from harness.config import strict_yaml
from harness.config.experiment import Experiment

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "mutation",  # whether a test fails, not on which smallest example; the same examples each time
    settings.get_profile("any machine"),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
    max_examples=40,
)
settings.load_profile("any machine")

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))
"""One thread a process, before torch is loaded: networks this small gain nothing from a second one."""

MOST_PROCESSES = 2
"""Each holds torch, diffusers and Ray; ``-n 4`` asks for more."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Say how many processes ``-n auto`` is: a core each, and none beside pytest's own for single files."""
    folders = any(Path(words.split("::")[0]).is_dir() for words in config.args)
    processes = min(MOST_PROCESSES, os.cpu_count() or 1)
    return processes if folders and processes > 1 else 0


def _written(family: str, folder: Path) -> Path:
    from pipelines import WRITERS  # torch and diffusers, which half of the tests do without

    return WRITERS[family](folder)


@pytest.fixture(scope="session")
def tiny_sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Stable Diffusion 3, with tiny random networks."""
    return _written("sd3", tmp_path_factory.mktemp("pipelines") / "tiny-sd3")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Stable Diffusion XL, with tiny random networks."""
    return _written("sdxl", tmp_path_factory.mktemp("pipelines") / "tiny-sdxl")


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Stable Diffusion 1.5, predicting ε, with tiny random networks."""
    return _written("sd15", tmp_path_factory.mktemp("pipelines") / "tiny-sd")


@pytest.fixture(scope="session")
def tiny_sd_v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, predicting v, as Stable Diffusion 2.1 does."""
    return _written("sd21", tmp_path_factory.mktemp("pipelines") / "tiny-sd-v")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole session, away from the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def loaded(tiny_sd: Path, cache: Path):
    from harness.diffusion.backbones.loading import load_backbone

    return load_backbone(str(tiny_sd), cache=cache)


@pytest.fixture
def backbone(loaded):
    """The tiny backbone on the CPU, at its pretrained weights; restored afterwards."""
    yield loaded
    loaded.restore()


@pytest.fixture(scope="session")
def photos():
    """Five smooth random pictures of 48×40 pixels."""
    import numpy as np
    from PIL import Image

    def photo(i: int):
        coarse = np.random.default_rng(i).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((48, 40), Image.Resampling.BICUBIC)

    return tuple(photo(i) for i in range(5))


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in open_clip's layout: a CLIP of 32×32 pictures, CLIP's own vocabulary, random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("encoders") / "tiny-clip"
    folder.mkdir()
    model = {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {}}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of timm's smallest vision transformer, ``test_vit``, with a classifier's head."""
    import timm
    import torch
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("encoders") / "test_vit.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model("test_vit", pretrained=False)
    save_file(network.state_dict(), path)
    return path


Make = Callable[..., Experiment]


@pytest.fixture
def make() -> Make:
    """Build an experiment of the fakes from keywords, over small defaults."""

    def build(**changes: Any) -> Experiment:
        defaults = {
            "name": "x",
            "methods": ["frozen", {"name": "tuned", "params": {"lr": [0.001, 0.0001]}}],
            "subjects": {"split": "test", "count": 2},
            "shots": [1, 3],
        }
        return strict_yaml.check(Experiment, defaults | changes, source="x.yaml")

    return build


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs; the fakes' cache lies in it too."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return tmp_path / "runs"
