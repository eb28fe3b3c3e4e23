"""Draw the published adapters on a real model: ``python docs/figures/draw_adapters.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from harness.report.figures import style
from harness.report.figures.published_adapters import against_drift

FIGURE = Path(__file__).with_name("adapters.png")


def draw() -> bytes:
    """Give the figure as a small PNG."""
    with matplotlib.rc_context(style.STYLE):
        return style.encoded(against_drift())


if __name__ == "__main__":
    FIGURE.write_bytes(draw())
