"""Reading the shipped networks: the generator as a plain diffusers folder, the encoders and the probe.

The repository holds configurations and half-precision weights only; the generator's folder is completed with
the tokenizer in a cache, once for each revision of the weights. A damaged file there is written again.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecordsError
from harness.files import cache_root, file_digest
from harness.toybox.tokenizer import write_tokenizer

if TYPE_CHECKING:
    from torch import nn

    from harness.toybox.probe import Probe

WEIGHTS = Path(__file__).parent / "weights"
CLIP_NAME = "toybox-clip"
CHECKSUMS = "checksums.json"
ASSEMBLY_VERSION = 2
"""Raised when ``assemble`` writes another folder from the same weights: part of the folder's name."""


LATER = re.compile(r"-\d+\.(json|safetensors)$")
"""What the names of later versions' files end in: ``dino-2.safetensors`` is version 2 of ``dino``."""


@cache
def revision(weights: Path = WEIGHTS, *, network: str = "", version: int = 1) -> str:
    """A content hash of shipped weights and configurations: 12 hexadecimal digits.

    The first versions, trained together, share one; a later version of a network has its own.
    """
    if version > 1:
        return files_digest(weights, sorted(weights.glob(f"{network}-{version}.*")))
    paths = sorted(path for path in weights.rglob("*") if path.is_file())
    return files_digest(weights, [path for path in paths if not LATER.search(path.name)])


def folder_digest(folder: Path) -> str:
    """A content hash of a folder's files and their names; raises ``FileNotFoundError`` if there are none."""
    return files_digest(folder, sorted(path for path in folder.rglob("*") if path.is_file()))


def files_digest(folder: Path, paths: Sequence[Path]) -> str:
    """A content hash of files and their names in a folder; raises ``FileNotFoundError`` if there are none."""
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
    Raises RecordsError where the cache cannot be written.
    """
    entry = cache_root() / "toybox-sd" / f"{folder_digest(weights / 'sd')}-v{ASSEMBLY_VERSION}"
    if not _is_whole(entry):
        try:
            _write_entry(entry, weights)
        except OSError as error:
            raise RecordsError(
                f"{entry}: cannot be written: {error.strerror or error}; HARNESS_CACHE names another folder"
            ) from error
    return entry / "toybox-sd"


def _write_entry(entry: Path, weights: Path) -> None:
    """Write an entry of the cache, or what is damaged of it."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".assembling-") as place:
        fresh = Path(place) / "entry"
        assemble(fresh / "toybox-sd", weights=weights)
        (fresh / CHECKSUMS).write_text(json.dumps(_checksums(fresh)))
        if entry.exists():
            _mend(entry, fresh)
        else:
            move_unless_there(fresh, entry)


def _checksums(entry: Path) -> dict[str, str]:
    files = sorted(path for path in (entry / "toybox-sd").rglob("*") if path.is_file())
    return {path.relative_to(entry).as_posix(): file_digest(path) for path in files}


def _is_whole(entry: Path) -> bool:
    try:
        return bool(json.loads((entry / CHECKSUMS).read_text()) == _checksums(entry))
    except (OSError, ValueError):
        return False


def _mend(entry: Path, fresh: Path) -> None:
    """Replace the files of an entry that are not those of a fresh one, naming each; others may be in use."""
    for path in sorted(path for path in fresh.rglob("*") if path.is_file()):
        there = entry / path.relative_to(fresh)
        if not there.is_file() or file_digest(there) != file_digest(path):
            warnings.warn(f"{there}: is damaged: its checksum is wrong; written again", stacklevel=1)
            there.parent.mkdir(parents=True, exist_ok=True)
            path.replace(there)


def move_unless_there(source: Path, target: Path) -> None:
    """Rename a folder; when another process was first, theirs stays."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def assemble(folder: Path, *, weights: Path = WEIGHTS) -> None:
    """Write a complete Stable Diffusion folder: the shipped parts in single precision, and the tokenizer.

    Single precision, because loaders without a type of their own take the files', and training scripts
    refuse half precision.
    """
    shutil.copytree(weights / "sd", folder, copy_function=shutil.copyfile)
    for path in sorted(folder.rglob("*.safetensors")):
        widen(path)
    configuration = folder / "text_encoder" / "config.json"
    settings = json.loads(configuration.read_text())
    configuration.write_text(json.dumps({**settings, "dtype": "float32"}, indent=2))
    write_tokenizer(folder / "tokenizer")


def widen(path: Path) -> None:
    """Rewrite a safetensors file in single precision."""
    import numpy as np
    from safetensors.numpy import load, save

    tensors = load(path.read_bytes())
    wide = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    path.write_bytes(save(wide, {"format": "pt"}))


def export(folder: Path) -> None:
    """Write the generator as a plain diffusers folder; raises ``FileExistsError`` unless it is empty."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    shutil.copytree(pipeline_folder(), folder, dirs_exist_ok=True)


def load_clip(weights: Path = WEIGHTS) -> tuple[nn.Module, Callable, Callable]:
    """Toybox-clip through open_clip: (model, preprocessing of a PIL image, tokenizer), float32."""
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


def stem(network: str, version: int) -> str:
    """The name, without its ending, of a version's files."""
    return network if version == 1 else f"{network}-{version}"


def load_dino(weights: Path = WEIGHTS, *, version: int = 1) -> tuple[nn.Module, Callable]:
    """Toybox-dino through timm: (model giving features [n, d], preprocessing of a PIL image)."""
    import timm
    from torchvision import transforms

    name = stem("dino", version)
    settings = json.loads((weights / f"{name}.json").read_text())
    model = timm.create_model(
        settings["architecture"],
        pretrained=False,
        checkpoint_path=str(weights / f"{name}.safetensors"),
        **settings["options"],
    )
    size = settings.get("size") or settings["options"]["img_size"]
    preprocess = transforms.Compose(
        [
            transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(settings["mean"], settings["std"]),
        ]
    )
    return model.float().eval().requires_grad_(False), preprocess


def load_probe(weights: Path = WEIGHTS, *, version: int = 1) -> Probe:
    """A version of the attribute probe."""
    from safetensors.torch import load_file

    from harness.toybox.probe import Probe, ProbeNetwork

    name = stem("probe", version)
    settings = json.loads((weights / f"{name}.json").read_text())
    network = ProbeNetwork(settings["channels"], settings["labels"])
    network.load_state_dict(load_file(weights / f"{name}.safetensors"))
    return Probe(network.float(), settings["labels"])
