"""The font of all text that is drawn onto images: matplotlib's DejaVu Sans, which has λ, Δ, θ, ‖ and ≤.

Any room above may use it. Imports neither pandas nor torch, and not matplotlib's drawing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@cache
def dejavu(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans in a size in pixels."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
