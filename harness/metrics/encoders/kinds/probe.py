"""The attribute probe of the embedded benchmark by name. Loads no torch before it is used."""

from __future__ import annotations

from typing import Any

from harness.metrics.encoders.base import EncoderEntry, embedded_version
from harness.specs import EncoderSpec

EMBEDDED = "toybox-probe:2"
MODELS = {
    "toybox-probe": "attribute probe of the embedded benchmark, the newest version",
    "toybox-probe:1": "version 1: misses the colour and pattern of things recoloured as a whole",
    "toybox-probe:2": "version 2: reads what prompts ask for, and subjects' patterns and shapes",
}


def load(spec: EncoderSpec, device: Any, revision: str) -> Any:
    """Load the network."""
    from harness.metrics.encoders.probe import load_probe

    version = embedded_version(EMBEDDED, spec.model)
    assert version is not None, spec.model
    return load_probe(spec, device=device, revision=revision, version=version)


ENCODER = EncoderEntry(kind="probe", load=load, answers=MODELS.__contains__, models=MODELS, toybox=EMBEDDED)
