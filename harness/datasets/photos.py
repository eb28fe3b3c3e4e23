"""Reading photos: any size, JPEG or PNG, as upright RGB; a file that cannot be read is named in one line."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image, ImageOps

from harness.datasets.base import DatasetError
from harness.files import file_digest

T = TypeVar("T")

SUFFIXES = (".jpg", ".jpeg", ".png")
LONGEST_SIDE = 2048
"""Larger photos are reduced to this: no network uses more, and a worker keeps photos in memory."""
MOST_PIXELS = 100_000_000
"""What is decoded at most: a PNG of a few kilobytes may claim many more. JPEGs are decoded small."""
DECODED = 1000
"""So many photos of a folder are decoded before a sweep; of those behind them the headers are read."""
MOST_BYTES = 8 << 30
"""What the photos of a subject may take in a worker's memory."""
RESIZES = ("direct", "crop")
"""How a photo that is learnt from becomes a square: stretched, as the authors do, or its centre."""
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for a file that is damaged, or that was made to do harm."""
LEVELS = ((np.arange(65536) + 128) // 257).astype(np.uint8)
"""16-bit grey as 8 bits, rounded."""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[!.]*") if path.is_file())


def photos_in(folder: Path) -> list[Path]:
    """List the photos of a folder, sorted by name; none where it is missing or holds none."""
    return [path for path in _files(folder) if path.suffix.lower() in SUFFIXES]


def photo_files(folder: Path) -> list[Path]:
    """List the photos of a folder, sorted by name; DatasetError where it is missing or holds none."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    photos = photos_in(folder)
    if not photos:
        others = sorted({path.suffix or path.name for path in _files(folder)})
        found = f" (found {', '.join(others)})" if others else ""
        raise DatasetError(f"{folder}: no photos in it{found}; needs {', '.join(SUFFIXES)} files")
    return photos


def read_photo(path: Path) -> Image.Image:
    """Read a photo as upright RGB; transparency is laid on white. DatasetError where it cannot be decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                share = min(1.0, LONGEST_SIDE / max(file.size))
                file.draft(None, (int(file.width * share), int(file.height * share)))  # JPEG: 1/2, 1/4, 1/8
                if file.width * file.height > MOST_PIXELS:
                    raise ValueError(f"{file.width} × {file.height} pixels, more than {MOST_PIXELS:,}")
                file.load()
                photo = to_rgb(ImageOps.exif_transpose(file))
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    if max(photo.size) > LONGEST_SIDE:
        photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return photo


def check_photos(paths: Sequence[Path]) -> None:
    """Look at a subject's photos before a sweep: the first decoded, of very many others the headers alone.

    Raises DatasetError for one that cannot be read, and where all are more than a worker can hold.
    """
    for path in paths[:DECODED]:
        read_photo(path)
    size = sum(map(_kept_bytes, paths)) if len(paths) > DECODED else 0
    if size > MOST_BYTES:
        raise DatasetError(
            f"{paths[0].parent}: {len(paths)} photos take {size / 2**30:.0f} GB in memory, and every worker "
            f"keeps them; at most {MOST_BYTES >> 30} GB: take fewer or smaller ones"
        )


def _kept_bytes(path: Path) -> int:
    """What a photo takes in memory once it is read: three bytes a pixel, its longest side reduced."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                width, height = file.size
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    share = min(1.0, LONGEST_SIDE / max(width, height))
    return round(3 * width * share * height * share)


def _unreadable(path: Path, error: Exception) -> DatasetError:
    reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
    return DatasetError(f"{path}: not a readable photo ({reason}); replace or remove it")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16 bits scaled to 8, transparency on white."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = LEVELS[np.asarray(image).clip(0, 65535).astype(np.uint16)]
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def squared(photo: Image.Image, resize: str) -> Image.Image:
    """Crop a photo to the square in its middle for ``crop``; ``direct`` leaves it to be stretched."""
    if resize == "direct":
        return photo
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return photo.crop((left, top, left + side, top + side))


def photo_digest(path: Path) -> str:
    """Hash a photo's bytes to 64 hex digits; DatasetError where it cannot be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None


class Recent(Generic[T]):
    """Remembers the last ``size`` values by key."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._known: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Return the value of ``key``, made if it is not remembered."""
        if key not in self._known:
            self._known[key] = make()
            if len(self._known) > self.size:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def __reduce__(self) -> tuple[type[Recent[T]], tuple[int]]:
        return type(self), (self.size,)
