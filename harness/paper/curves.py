"""Pages for Figure 6 (along λ, and drift in weights against outputs) and for the FLUX.2 adapters."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.paper.pages import Entry, Page, Part, Printed
from harness.paper.sources import Sources, missing, own
from harness.paper.tables import sweep
from harness.report.comparison.arms import Arm, aligned, arms_of, trains_on_outputs
from harness.report.figures.curves import LINES, MARKS
from harness.report.figures.decades import decades
from harness.report.figures.published_adapters import against_drift
from harness.report.figures.style import drawing
from harness.report.rows import COLUMNS, Row
from harness.report.tables.published_adapters import quadratic
from harness.report.tables.published_results import RESULTS, values

ALONG = ("dino_heldout", "clip_i_heldout", "clip_t", "weight_l2", "noise_l2")
FINE_TUNES = ("dreambooth", "output_preservation")
"""Methods that train the whole denoiser, in Figure 6."""
IN_BOTH = ("dreambooth+penalty", "dreambooth@scale")
"""Curves that stand in both lines of panels over drift."""
PUBLISHED_LOOK = {"color": "#555555", "marker": "D", "markerfacecolor": "white", "linestyle": "--"}
MEASURED_LOOK = {"color": "#0072B2", "marker": "o", "linestyle": "-"}


def figure6(sources: Sources) -> Page:
    """Set scores along λ and |Δθ| against |Δε| beside the sweep on Toybox."""
    rows = [row for row in sources.rows("lipschitz_bounds") if row.method == "dreambooth"]
    selection = sources.selection("curves")
    arms = [arm for arm in arms_of(selection) if arm.rows[0].method in FINE_TUNES] if selection else []
    along = list({id(row): row for arm in arms for row in arm.rows}.values())
    twin = [
        Entry(row.title, name, measured=found)
        for row in rows
        for name in ALONG
        if (found := own(row, name, "lipschitz_bounds"))
    ] or missing("DreamBooth along λ", ALONG, "harness sweep experiments/lipschitz_bounds.yaml")
    twin += [
        Entry(f"{row.title} (curves)", name, measured=found)
        for row in along
        for name in ALONG
        if (found := own(row, name, "curves"))
    ] or missing(
        "DreamBooth along λ, α, steps, bounds, images and outputs",
        ALONG,
        "harness sweep experiments/curves.yaml",
    )
    return Page(
        "figure6",
        "Figure 6: along λ",
        "How does fidelity trade against drift along λ, and how does |Δε| follow |Δθ|?",
        (
            Part("DreamBench (photographs), full fine-tune of SD 1.5: read off the plot.", _published()),
            Part(
                "The same question on Toybox: λ, hard bounds and other ways to drift less.",
                tuple(twin),
                twin=True,
            ),
        ),
        ("|Δθ| and |Δε| are not defined exactly in the paper: no axis is shared.",),
        draw=lambda: _figure6(rows, arms),
    )


def _published() -> tuple[Entry, ...]:
    entries = []
    command = sweep("paper/figure6_sd15")
    along = [each for each in RESULTS if each.source == "P&P, Figure 6"]
    for result, drift in zip(along, values()["drift"], strict=True):
        pairs = {"dino": result.dino, "clip_i": result.clip_i, "clip_t": result.clip_t}
        pairs |= {name: float(drift[name]) for name in ("weight_l2", "noise_l2")}
        entries += [
            Entry(
                f"λ = {drift['penalty']}", name, Printed(value, result.source, result.origin), command=command
            )
            for name, value in pairs.items()
            if value is not None
        ]
    return tuple(entries)


def _figure6(rows: Sequence[Row], arms: Sequence[Arm]) -> Figure:
    lines = _lines(arms)
    down = 2 + len(lines)
    counts = " and ".join(str(n) for n in dict.fromkeys(_subjects(rows, arms)))
    figure = drawing(
        11,
        2.8 * down,
        "Above: published, read off Figure 6 (SD 1.5). "
        f"Below: measured on Toybox, means over {counts} subjects (intervals in the table).",
    )
    grid = figure.subplots(down, 4)
    for panels, line in zip(grid[2:], lines, strict=True):
        _against_drift(panels, line)
    drifts = values()["drift"]
    along = [each for each in RESULTS if each.source == "P&P, Figure 6"]
    ordered = [each["penalty"] for each in drifts]
    for axes, name in zip(grid[0], ("dino", "clip_i", "clip_t"), strict=False):
        axes.plot(ordered, [getattr(each, name) for each in along], **PUBLISHED_LOOK)
        _along(axes, COLUMNS[name].title)
    grid[0][3].plot([e["weight_l2"] for e in drifts], [e["noise_l2"] for e in drifts], **PUBLISHED_LOOK)
    held = sorted(
        (row for row in rows if row.strength("penalty")), key=lambda row: row.strength("penalty") or 0
    )
    bounded = sorted(
        (row for row in rows if row.strength("bound")), key=lambda row: row.strength("bound") or 0
    )
    for axes, name in zip(grid[1], ALONG[:3], strict=False):
        found = [row for row in held if name in row.cells]
        axes.plot(
            [row.strength("penalty") for row in found],
            [row.cells[name].mean for row in found],
            **MEASURED_LOOK,
        )
        _along(axes, COLUMNS[name].title)
    for found, look, label in (
        (held, MEASURED_LOOK, "λ"),
        (bounded, {**MEASURED_LOOK, "color": "#D55E00"}, "bound"),
    ):
        xy = [
            (row.cells["weight_l2"].mean, row.cells["noise_l2"].mean)
            for row in found
            if "noise_l2" in row.cells
        ]
        grid[1][3].plot([x for x, _ in xy], [y for _, y in xy], label=label, **look)
    grid[1][3].legend()
    for axes in (grid[0][3], grid[1][3]):
        axes.set_xlabel("|Δθ|")
        axes.set_title("|Δε| against |Δθ|")
    return figure


def _subjects(rows: Sequence[Row], arms: Sequence[Arm]) -> list[int]:
    """Count the subjects of the lines along λ, then of those over drift."""
    return [row.subjects for row in rows[:1]] + [arm.rows[0].subjects for arm in arms[:1]]


def _lines(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Divide arms over lines of panels: what acts on weights, then what is shown images, outputs or features.

    λ and shrinking along α come first in both.
    """
    both = [arm for key in IN_BOTH for arm in arms if arm.key == key]
    others = [arm for arm in arms if arm not in both]
    shown = [
        arm for arm in others if trains_on_outputs(arm.rows[0]) or "+bank" in arm.key or aligned(arm.rows[0])
    ]
    lines = [both + [arm for arm in others if arm not in shown], both + shown]
    return [line for line, own in zip(lines, (arms, shown), strict=True) if own]


def _against_drift(panels: Sequence[Axes], arms: Sequence[Arm]) -> None:
    """Draw every way to drift less: scores, and the change of weights, against ‖Δε‖₂."""
    for axes, name in zip(panels, (*ALONG[:3], "weight_l2"), strict=True):
        for arm, style, mark in zip(arms, LINES, MARKS, strict=False):
            held = [row for row in arm.rows if {name, "noise_l2"} <= set(row.cells)]
            xy = sorted((row.cells["noise_l2"].mean, row.cells[name].mean) for row in held)
            axes.plot(
                [x for x, _ in xy],
                [y for _, y in xy],
                linestyle=style,
                marker=mark,
                markersize=4,
                label=arm.name,
            )
        axes.set_xlabel(COLUMNS["noise_l2"].title)
        axes.set_title(COLUMNS[name].title)
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))


def _along(axes: Axes, title: str) -> None:
    axes.set_xscale("symlog", linthresh=1)
    decades(axes.xaxis)
    axes.set_xlabel("λ")
    axes.set_title(title)


def adapters(sources: Sources) -> Page:
    """Show thirty published adapters on FLUX.2: similarity against drift, one quadratic through all."""
    found = values()["adapters"]
    entries = [
        Entry(each["method"], name, Printed(each[name], each["source"], each["origin"]))
        for each in found
        for name in ("similarity", "drift")
    ]
    fit = quadratic()
    return Page(
        "flux2",
        "Thirty adapters on FLUX.2-klein (PEFT's benchmark)",
        "Do adapters differ in more than how far they drift?",
        (
            Part(
                "Published: similarity to the subject (DINOv2) and drift, one subject and seed each.",
                tuple(entries),
            ),
        ),
        (
            f"One quadratic in drift explains {fit.explained:.0%} of the variance in similarity; "
            f"residual s.d. {fit.deviation:.3f}.",
            "No counterpart here: FLUX.2 is no family of this version. Full fine-tuning has no drift there.",
        ),
        draw=against_drift,
    )
