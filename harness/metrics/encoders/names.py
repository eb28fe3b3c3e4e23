"""Whether an encoder of a name exists, and is of the wanted kind. Loads neither torch nor timm."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness.errors import one_of
from harness.metrics.encoders.base import EncoderError
from harness.metrics.encoders.registry import GROUP, family_of, offers
from harness.plugins import plug_ins
from harness.specs import EncoderSpec

_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)
FROM_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")
"""How names begin that timm and open_clip look up themselves."""


@cache
def timm_names() -> frozenset[str]:
    """Read the names of timm's architectures off its sources. EncoderError where it is missing."""
    package = find_spec("timm")
    if package is None or package.origin is None:
        raise EncoderError("timm is not installed: pip install timm")
    sources = sorted((Path(package.origin).parent / "models").glob("*.py"))
    return frozenset(name for path in sources for name in _REGISTERED.findall(path.read_text("utf-8")))


def check_name(kind: str, spec: EncoderSpec) -> None:
    """Refuse an encoder that no library has, or one of another kind. Raises EncoderError."""
    found = family_of(spec)
    own = spec.model in offers() or spec.model.partition(":")[0] in {each.name for each in plug_ins(GROUP)}
    architecture = spec.model.partition(".")[0]
    elsewhere = own or spec.model.startswith(FROM_ELSEWHERE)
    if found == "dino" and not elsewhere and architecture not in timm_names():
        raise EncoderError(f"encoders.{kind}: {one_of(architecture, _near(architecture), noun='encoder')}")
    if found != kind:
        raise EncoderError(f"encoders.{kind}: {spec.model!r} is a {found} encoder")


def _near(name: str) -> list[str]:
    """What is worth naming instead: encoders of the harness, and timm's names that begin alike."""
    alike = [known for known in sorted(timm_names()) if known[:4] == name[:4]]
    return [*offers(), *alike[:8]]
