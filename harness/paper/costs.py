"""Pages for Figure 2 (seconds) and Theorem 2 (the ratio of output drift to weight drift)."""

from __future__ import annotations

from harness.paper.pages import Entry, Page, Part, Printed
from harness.paper.sources import Sources, missing, own
from harness.paper.tables import FILES, sweep
from harness.report.tables.published_results import values

ARMS = {"prior_preservation": "prior preservation", "penalty": "penalty"}


def figure2(sources: Sources) -> Page:
    """Set the seconds of a personalization beside those of Toybox, class images charged."""
    published = [
        Entry(
            f"{each['backbone']}, {each['method']}, {words}",
            "seconds_fit",
            Printed(float(each[arm]), each["source"], each["origin"]),
            command=sweep(FILES[each["backbone"]]),
        )
        for each in values()["seconds"]
        for arm, words in ARMS.items()
    ]
    twin = [
        Entry(row.title, "seconds_fit", measured=found)
        for row in sources.rows("fewshot")
        if (found := own(row, "seconds_fit", "fewshot"))
    ] or missing("all methods", ("seconds_fit",), "harness sweep experiments/fewshot.yaml")
    return Page(
        "figure2",
        "Figure 2: seconds",
        "What does a personalization cost with prior preservation, and with the penalty?",
        (
            Part("Published, on the authors' GPU (not named); ours on DreamBench.", tuple(published)),
            Part(
                "On Toybox, one thread: seconds to fit, class images charged.",
                tuple(twin),
                twin=True,
            ),
        ),
        (
            "Published seconds compare recipes of different lengths. Rows on Toybox have the settings of the "
            "search, so that steps differ as well.",
        ),
    )


def theorem2(sources: Sources) -> Page:
    """Measure ‖Δε‖₂/‖Δθ‖₂ by method: how far from constant the Lipschitz constant is."""
    twin = [
        Entry(f"{row.title} ({experiment})", "lipschitz_ratio", measured=found)
        for experiment in ("fewshot", "lipschitz_bounds")
        for row in sources.rows(experiment)
        if (found := own(row, "lipschitz_ratio", experiment))
    ]
    means = [entry.measured.interval.mean for entry in twin if entry.measured]
    remarks = ["Theorem 2 assumes a constant; nothing of it was published as a number."]
    if means:
        remarks.append(
            f"The measured ratio goes from {min(means):.3g} to {max(means):.3g} over {len(means)} rows, "
            f"a factor of {max(means) / min(means):.3g}: it depends on the method and on "
            "how far the weights went."
        )
    command = "harness sweep experiments/lipschitz_bounds.yaml"
    return Page(
        "theorem2",
        "Theorem 2: the ratio ‖Δε‖₂/‖Δθ‖₂",
        "How far from constant is the Lipschitz constant?",
        (
            Part(
                "The same question on Toybox: ‖Δε‖₂/‖Δθ‖₂ of every method, 5 shots.",
                tuple(twin or missing("all methods", ("lipschitz_ratio",), command)),
                twin=True,
            ),
        ),
        remarks,
    )
