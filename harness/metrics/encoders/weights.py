"""Weights of encoders: safetensors from local files, or from the Hub; a clear line where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

from harness.metrics.encoders.base import EncoderError, checkpoint_file
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
    """Put tensors, each [...] as the network has it, into a network.

    Raises EncoderError saying which are missing, unexpected or of another shape.
    """
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


def from_hub(spec: EncoderSpec, load: Callable[[], T]) -> T:
    """Load what may have to be downloaded; EncoderError saying what to do instead where that fails."""
    try:
        return load()
    except (OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise EncoderError(
            f"encoder {spec.model!r}: its weights could not be downloaded from the Hub ({why}); "
            "give a local safetensors file as 'checkpoint'"
        ) from None
