"""The published adapters as a figure, similarity against drift: not measured here, and marked so."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure

from harness.report.figures import point_labels
from harness.report.figures.style import drawing, handle, legend_below
from harness.report.tables.published_adapters import ADAPTERS, OPENING, quadratic


def against_drift() -> Figure:
    """Draw every adapter with its name, and the quadratic fit with its residual s.d. as a band."""
    fit = quadratic()
    figure = drawing(7.5, 4.8, "\n".join(textwrap.wrap(OPENING, 100)))
    axes = figure.subplots()
    places = np.linspace(0, max(adapter.drift for adapter in ADAPTERS), 200)
    line = np.array([fit.at(float(place)) for place in places])
    axes.fill_between(places, line - fit.deviation, line + fit.deviation, color="#dddddd", linewidth=0)
    axes.plot(places, line, color="#555555", linestyle="--", linewidth=1.4)
    axes.plot(
        [adapter.drift for adapter in ADAPTERS],
        [adapter.similarity for adapter in ADAPTERS],
        linestyle="",
        marker="o",
        color="#0072B2",
        markeredgecolor="white",
        zorder=3,
    )
    axes.set_xlabel("drift (as published, lower is less)")
    axes.set_ylabel("similarity to the subject (as published, higher is better)")
    explained = f"one quadratic: {fit.explained:.0%} of the variance, n = {len(ADAPTERS)}"
    words = f"{explained}; band: residual s.d. {fit.deviation:.3f}"
    legend_below(
        figure,
        [
            handle("#0072B2", "one adapter, one setting, one subject, one seed", marker="o", line=""),
            handle("#555555", words, marker="", line="--"),
        ],
    )
    point_labels.settle(figure)
    labels = [point_labels.Label(each.drift, each.similarity, each.name, "#333333") for each in ADAPTERS]
    point_labels.place(axes, labels)
    return figure
