"""Between a stage's checkpoint and the shipped half-precision weights: how stages write and adopt them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from harness.errors import ConfigError
from harness.toybox.pretrain.loop import Training, TrainingSchedule

SHIPPED = Path(__file__).parents[1] / "weights"
DIFFUSERS_FILE = "diffusion_pytorch_model.safetensors"
TRANSFORMERS_FILE = "model.safetensors"


def write(network: Any, path: Path) -> None:
    """Write a network's weights in half precision; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in network.half().state_dict().items()}, path)


def read(network: Any, path: Path) -> Any:
    """Load shipped weights into a network, in the network's own precision.

    Raises ConfigError where there are none or they are of another network.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such weights; give a folder that `harness pretrain --export` wrote")
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        first = " ".join(str(error).split("\n")[:2])
        raise ConfigError(f"{path}: not the weights of this stage's network ({first})") from error
    return network


def begin(name: str, networks: Any, *, course: TrainingSchedule, workdir: Path) -> None:
    """Write a stage's checkpoint at step 0, from which training continues.

    Raises ConfigError where the stage has one already: what was trained is not thrown away.
    """
    path = workdir / f"{name}.pt"
    if path.exists():
        raise ConfigError(f"{path}: is there already; adopt weights in another folder, or move it away")
    Training(networks, course).save(path)
