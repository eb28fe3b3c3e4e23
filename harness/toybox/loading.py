"""Reading the shipped networks: the generator as a plain diffusers folder, the encoders and the probe.

The repository holds configurations and half-precision weights only; the generator's folder is completed with
the tokenizer in a cache, once for each revision of the weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import cache_root
from harness.toybox.tokenizer import write_tokenizer

if TYPE_CHECKING:
    from torch import nn

    from harness.toybox.probe import Probe

WEIGHTS = Path(__file__).parent / "weights"
CLIP_NAME = "toybox-clip"
ASSEMBLY_VERSION = 1
"""Raised when ``assemble`` writes another folder from the same weights: part of the folder's name."""


@cache
def revision(weights: Path = WEIGHTS) -> str:
    """A content hash of all shipped weights and configurations: 12 hexadecimal digits."""
    return folder_digest(weights)


def folder_digest(folder: Path) -> str:
    """A content hash of a folder's files and their names; raises ``FileNotFoundError`` if there are none."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise FileNotFoundError(f"{folder}: no weights there; `harness pretrain` makes them")
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:12]


def pipeline_folder(weights: Path = WEIGHTS) -> Path:
    """The generator as a complete Stable Diffusion folder, assembled in the cache on first use.

    ``StableDiffusionPipeline.from_pretrained`` reads it in any process, whether or not it knows this package.
    """
    folder = cache_root() / "toybox-sd" / f"{folder_digest(weights / 'sd')}-v{ASSEMBLY_VERSION}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".assembling-") as place:
            whole = Path(place) / "toybox-sd"
            assemble(whole, weights=weights)
            move_unless_there(whole, folder)
    return folder


def move_unless_there(source: Path, target: Path) -> None:
    """Rename a folder; when another process was first, theirs stays."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def assemble(folder: Path, *, weights: Path = WEIGHTS) -> None:
    """Write a complete Stable Diffusion folder: the shipped parts in single precision, and the tokenizer.

    Single precision because loaders that are told no type take the files', and training scripts refuse
    halves.
    """
    shutil.copytree(weights / "sd", folder, copy_function=shutil.copyfile)
    for path in sorted(folder.rglob("*.safetensors")):
        widen(path)
    configuration = folder / "text_encoder" / "config.json"
    told = json.loads(configuration.read_text())
    configuration.write_text(json.dumps({**told, "dtype": "float32"}, indent=2))
    write_tokenizer(folder / "tokenizer")


def widen(path: Path) -> None:
    """Rewrite a safetensors file in single precision."""
    from safetensors.torch import load, save

    tensors = load(path.read_bytes())
    path.write_bytes(save({name: tensor.float() for name, tensor in tensors.items()}, {"format": "pt"}))


def export(folder: Path) -> None:
    """Write the generator as a plain diffusers folder; raises ``FileExistsError`` unless it is empty."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    shutil.copytree(pipeline_folder(), folder, dirs_exist_ok=True)


def load_clip(weights: Path = WEIGHTS) -> tuple[nn.Module, Callable, Callable]:
    """Toybox-clip through open_clip: (model, preprocessing of a PIL picture, tokenizer), float32."""
    import open_clip

    with tempfile.TemporaryDirectory() as place:
        configuration = Path(place) / f"{CLIP_NAME}.json"
        shutil.copy(weights / "clip.json", configuration)
        open_clip.add_model_config(configuration)
        model, _, preprocess = open_clip.create_model_and_transforms(
            CLIP_NAME, pretrained=str(weights / "clip.safetensors"), precision="fp32"
        )
        tokenize = open_clip.get_tokenizer(CLIP_NAME)
    return model.eval().requires_grad_(False), preprocess, tokenize


def load_dino(weights: Path = WEIGHTS) -> tuple[nn.Module, Callable]:
    """Toybox-dino through timm: (model giving the class token [n, 192], preprocessing of a PIL picture)."""
    import timm
    from torchvision import transforms

    told = json.loads((weights / "dino.json").read_text())
    model = timm.create_model(
        told["architecture"],
        pretrained=False,
        checkpoint_path=str(weights / "dino.safetensors"),
        **told["options"],
    )
    size = told["options"]["img_size"]
    preprocess = transforms.Compose(
        [
            transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(told["mean"], told["std"]),
        ]
    )
    return model.float().eval().requires_grad_(False), preprocess


def load_probe(weights: Path = WEIGHTS) -> Probe:
    """The attribute probe."""
    from safetensors.torch import load_file

    from harness.toybox.probe import Probe, ProbeNetwork

    told = json.loads((weights / "probe.json").read_text())
    network = ProbeNetwork(told["channels"], told["labels"])
    network.load_state_dict(load_file(weights / "probe.safetensors"))
    return Probe(network.float(), told["labels"])
