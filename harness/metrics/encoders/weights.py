"""Weights of encoders: safetensors from local files, or from the hub; a clear line where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from harness.metrics.encoders.base import EncoderError, checkpoint_file, family_of
from harness.specs import EncoderSpec

T = TypeVar("T")


def read_tensors(spec: EncoderSpec) -> dict[str, Tensor]:
    """Read the checkpoint of a spec; EncoderError where it is missing, damaged or not safetensors."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = checkpoint_file(spec)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise EncoderError(
            f"encoder {spec.model!r}: {path} is not a whole safetensors file: {error}"
        ) from None


def load_into(network: nn.Module, tensors: dict[str, Tensor], spec: EncoderSpec) -> None:
    """Put tensors into a network; EncoderError saying which are missing, unexpected or of another shape."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        wanted = network.state_dict()
        missing, extra = wanted.keys() - tensors.keys(), tensors.keys() - wanted.keys()
        shapes = [
            name for name in wanted.keys() & tensors.keys() if wanted[name].shape != tensors[name].shape
        ]
        why = ", ".join(
            f"{len(names)} {what} (first: {min(names)})"
            for what, names in (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
            if names
        )
        raise EncoderError(
            f"encoder {spec.model!r}: {checkpoint_file(spec)} holds the tensors of another model: {why}"
        ) from None


def in_hub_cache(spec: EncoderSpec) -> bool:
    """Whether the weights that a name stands for were downloaded before."""
    from huggingface_hub.constants import HF_HUB_CACHE

    name, _, tag = spec.model.partition(":")
    if family_of(spec) == "clip":
        import open_clip

        hub = (
            tag if name == "hf-hub" else open_clip.get_pretrained_cfg(name, tag or "openai").get("hf_hub", "")
        )
    else:
        import timm

        config = timm.models.get_pretrained_cfg(spec.model)
        hub = (config.hf_hub_id if config else "") or ""
        hub = f"timm/{spec.model}" if hub == "timm/" else hub
    folder = Path(HF_HUB_CACHE) / f"models--{hub.strip('/').replace('/', '--')}" / "snapshots"
    return (bool(hub) and any(folder.glob("*/*.safetensors"))) or any(folder.glob("*/*.bin"))


def from_hub(spec: EncoderSpec, load: Callable[[], T]) -> T:
    """Load what may have to be downloaded; EncoderError saying what to do instead where that fails."""
    try:
        return load()
    except (OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise EncoderError(
            f"encoder {spec.model!r}: its weights could not be had from the hub ({why}); "
            "give a local safetensors file as 'checkpoint'"
        ) from None
