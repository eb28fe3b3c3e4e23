"""The names that open_clip knows, without importing it: that would load torch."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness.metrics.encoders.base import EncoderError

DEFAULT_TAG = "openai"
"""The pretrained weights that a model's name alone stands for."""


@cache
def known_names() -> frozenset[str]:
    """Read the models' names off open_clip's folder of configurations. EncoderError where it is missing."""
    package = find_spec("open_clip")
    if package is None or package.origin is None:
        raise EncoderError("open_clip is not installed: pip install open_clip_torch")
    return frozenset(path.stem for path in Path(package.origin).parent.glob("model_configs/*.json"))
