"""LPIPS by name. Loads no torch before it is used."""

from __future__ import annotations

from typing import Any

from harness.metrics.encoders.base import EncoderEntry
from harness.specs import EncoderSpec


def answers(model: str) -> bool:
    """Whether a name means an LPIPS."""
    return model.startswith("lpips")


def load(spec: EncoderSpec, device: Any, revision: str) -> Any:
    """Load the network."""
    from harness.metrics.encoders.lpips import load_lpips

    return load_lpips(spec, device=device, revision=revision)


ENCODER = EncoderEntry(
    kind="lpips",
    load=load,
    answers=answers,
    models={"lpips-alex": "LPIPS on AlexNet; needs a checkpoint (safetensors of lpips.LPIPS(net='alex'))"},
)
