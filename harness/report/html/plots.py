"""The figures of an experiment as inline SVG, each point with the words that hovering shows."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from harness.diffusion.constraints.registry import kinds
from harness.report.figures import render_all, style
from harness.report.figures.tips import Tip, tips_of
from harness.report.html.source import Source

TITLES = {
    "shots": "Scores against the number of shots",
    "drift": "Fidelity and prompt adherence against drift",
    "curves": "Methods as curves over drift",
    "budgets": "Methods at drift budgets",
    "search": "The search: merit of each proposal",
    "coordinates": "The search: every proposal across its ranges",
    "importance": "The search: which setting mattered",
    "cost": "What a trial costs",
    **{kind.key: f"Along the Lipschitz {kind.key.replace('_', ' ')}" for kind in kinds()},
}
SVG_STYLE = {**style.STYLE, "svg.fonttype": "none", "svg.hashsalt": "harness"}
REACH = 9
"""Radius around a point, in points of the figure, within which its words are shown."""


@dataclass(frozen=True)
class Plate:
    """One figure: its title, and an ``<svg>`` element whose ids no other plate has."""

    title: str
    svg: Markup


def plates(sources: Sequence[Source]) -> list[list[Plate]]:
    """Draw the figures of each experiment that its records allow."""
    count = iter(range(10_000))
    return [list(_plates(source, count)) for source in sources]


def _plates(source: Source, count: Iterator[int]) -> Iterator[Plate]:
    for suffix, selection in render_all.by_setting(source.selection):
        for name, plot in render_all.PLOTS.items():
            with matplotlib.rc_context(SVG_STYLE):
                figure = plot.draw(selection, experiment=source.name)
                if figure is not None:
                    title = TITLES[name] + suffix.replace("-", " · ", 1)
                    yield Plate(title, inline(figure, f"f{next(count)}-", title))


def inline(figure: Figure, prefix: str, title: str) -> Markup:
    """Draw a figure as an ``<svg>`` element with hover words; every id in it begins with ``prefix``."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    width, height = (72 * inches for inches in figure.get_size_inches())
    opening = Markup(
        '<svg role="img" aria-label="{}" viewBox="0 0 {:g} {:g}" style="min-width:{:.0f}px">'
    ).format(title, width, height, min(width, 640))
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"^<svg[^>]*>", "", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", text).rpartition("</svg>")[0]
    marks = Markup("").join(_mark(tip, width, height) for tip in tips_of(figure))
    return opening + Markup(text) + Markup('<g class="tips">{}</g></svg>').format(marks)


def _mark(tip: Tip, width: float, height: float) -> Markup:
    x, y = tip.x * width, (1 - tip.y) * height
    if tip.right is not None:
        return Markup(
            '<line class="tip" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"><title>{}</title></line>'
        ).format(x, tip.right * width, y, y, tip.words)
    return Markup('<circle class="tip" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>').format(
        x, y, REACH, tip.words
    )
