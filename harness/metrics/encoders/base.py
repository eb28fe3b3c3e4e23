"""What an encoder is, and which weights one stands for: CLIP (open_clip), DINO (timm), LPIPS, the probe.

Importing this loads neither torch nor a model, so that names and revisions can be checked before anything is
slow. Weights come from the hub or from a local safetensors file; pickles are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import HarnessError
from harness.specs import EncoderSpec

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.encoders.pixels import Pictures

TOYBOX: dict[str, str] = {"clip": "toybox-clip", "dino": "toybox-dino", "probe": "toybox-probe"}
"""The embedded encoder of each kind."""


class Encoder(Protocol):
    """Pictures in, features out.

    name           as in the experiment file
    revision       content hash of local weights, or the hub's tag
    preprocessing  what happens to a picture first, in words
    """

    name: str
    revision: str
    preprocessing: str

    def embed_images(self, images: Pictures) -> Tensor:
        """Embed uint8 or float (0..1) pictures [n, 3, H, W], or PIL images: float32 unit rows [n, d]."""
        ...

    def to(self, device: Any) -> Encoder:
        """Move the network, in place."""
        ...


class TextEncoder(Encoder, Protocol):
    """An encoder that places texts in the same space as pictures (CLIP)."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: float32 unit rows [n, d]. Texts beyond the context are cut."""
        ...

    def cut_texts(self, texts: Sequence[str]) -> list[str]:
        """Say of each text that is longer than the context how much of it is seen."""
        ...


class EncoderError(HarnessError):
    """An encoder that is unknown, lacks its weights, or comes in a form that is refused."""


def family_of(spec: EncoderSpec) -> str:
    """Tell the kind of an encoder by its name, loading nothing; "dino" for what timm may know."""
    for kind, name in TOYBOX.items():
        if spec.model == name:
            return kind
    if spec.model.startswith("lpips"):
        return "lpips"
    if spec.model.startswith(("hf-hub:", "local-dir:")) or spec.model.partition(":")[0] in known_names():
        return "clip"
    return "dino"


@cache
def known_names() -> frozenset[str]:
    """Names of open_clip's models, read off its folder of configurations: importing it would load torch."""
    from importlib.util import find_spec

    package = find_spec("open_clip")
    if package is None or package.origin is None:
        raise EncoderError("open_clip is not installed: pip install open_clip_torch")
    return frozenset(path.stem for path in Path(package.origin).parent.glob("model_configs/*.json"))


def revision(spec: EncoderSpec) -> str:
    """Identify an encoder's weights without loading them, for the keys of trials.

    A local file: 16 hex digits over its content and the model's name; a folder: over its
    weights and configuration. The embedded ones: the revision of Toybox's weights. From the
    hub: the name of the pretrained weights.
    """
    if spec.checkpoint is not None or local_folder(spec):
        path, folder = checkpoint_file(spec), local_folder(spec)
        told = [_file_sha256(each) for each in sorted(folder.glob("*.json"))] if folder else [spec.model]
        content = "\n".join([_file_sha256(path), *told])
        return f"sha256:{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if spec.model in TOYBOX.values():
        from harness.toybox.loading import revision as toybox_revision

        return f"toybox:{toybox_revision()}"
    clip_without_tag = family_of(spec) == "clip" and ":" not in spec.model
    return f"hub:{spec.model}:openai" if clip_without_tag else f"hub:{spec.model}"


def local_folder(spec: EncoderSpec) -> Path | None:
    """Return the folder that ``local-dir:FOLDER`` names, None for another kind of name."""
    prefix, _, folder = spec.model.partition("local-dir:")
    return Path(folder) if folder and not prefix else None


def checkpoint_file(spec: EncoderSpec) -> Path:
    """Return the local weights of a spec; EncoderError where they are missing or no safetensors file."""
    folder = local_folder(spec)
    path = folder / "open_clip_model.safetensors" if folder else Path(str(spec.checkpoint))
    if not path.is_file():
        raise EncoderError(f"encoder {spec.model!r}: {path}: no such file")
    if path.suffix != ".safetensors":
        raise EncoderError(
            f"encoder {spec.model!r}: {path} is refused: only .safetensors is read (a pickle can run code)"
        )
    return path


def _file_sha256(path: Path) -> str:
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
