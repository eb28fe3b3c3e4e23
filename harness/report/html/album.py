"""Pictures as data URIs within a budget of bytes: as they are, or as WebP at their own size."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, UnidentifiedImageError

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Budget:
    """How much a report may hold: ``size`` in bytes of its pictures, ``quality`` of WebP (0..100).

    With ``webp`` off, PNG files go in untouched as long as all of them fit.
    """

    size: int
    webp: bool
    quality: int


FULL = Budget(20_000_000, webp=False, quality=85)
LIGHT = Budget(3_000_000, webp=True, quality=70)


@dataclass
class Album:
    """The pictures of a report, each once, numbered in the order in which they came."""

    budget: Budget
    untouched: bool
    size: int = 0
    _numbers: dict[str, int] = field(default_factory=dict)
    _by_path: dict[Path, int | None] = field(default_factory=dict)

    @property
    def uris(self) -> list[str]:
        """The pictures, in the order of their numbers."""
        return list(self._numbers)

    def add(self, path: Path) -> int | None:
        """Number a picture, taken in where it is new; None where the file is none."""
        if path not in self._by_path:
            uri = self._uri(path)
            if uri is not None and uri not in self._numbers:
                self._numbers[uri] = len(self._numbers)
                self.size += len(uri)
            self._by_path[path] = None if uri is None else self._numbers[uri]
        return self._by_path[path]

    @property
    def full(self) -> bool:
        """Whether the budget is spent."""
        return self.size >= self.budget.size

    def _uri(self, path: Path) -> str | None:
        try:
            data = path.read_bytes()
            if not self.untouched or not data.startswith(PNG):
                data = _webp(data, self.budget.quality)
        except (OSError, UnidentifiedImageError):
            return None
        kind = "png" if data.startswith(PNG) else "webp"
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def open_album(paths: Sequence[Path], budget: Budget) -> Album:
    """Open an album for these files: untouched if the budget allows that for all of them."""
    total = sum(path.stat().st_size for path in paths if path.is_file()) * 4 / 3
    return Album(budget, untouched=not budget.webp and total <= budget.size)


def _webp(data: bytes, quality: int) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        picture.convert("RGB").save(buffer, format="WEBP", quality=quality, method=2)
    return buffer.getvalue()
