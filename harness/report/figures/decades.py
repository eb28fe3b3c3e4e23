"""Ticks of logarithmic axes in plain characters: figures parse no mathematics, for names may hold dollars."""

from __future__ import annotations

import math

from matplotlib.axis import Axis
from matplotlib.ticker import NullFormatter

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decades(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as 0 and 10ⁿ."""

    def written(value: float, position: float) -> str:
        if not value:
            return "0"
        power = f"10{f'{math.log10(abs(value)):.0f}'.translate(SUPERSCRIPTS)}"
        return power if value > 0 else f"−{power}"

    axis.set_major_formatter(written)
    axis.set_minor_formatter(NullFormatter())
