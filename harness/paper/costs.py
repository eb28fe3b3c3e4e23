"""Pages for Figure 2 (seconds) and Theorem 2 (the ratio of output drift to weight drift)."""

from __future__ import annotations

from harness.paper.pages import Entry, Page, Part, Printed
from harness.paper.sources import Sources, missing, own, pairs
from harness.paper.tables import FILES, METHODS, RELEASED_PENALTY, sweep
from harness.report.rows import Row
from harness.report.tables.published_results import values

ARMS = {"prior_preservation": "prior preservation", "penalty": "penalty"}


def figure2(sources: Sources) -> Page:
    """Set the seconds of a personalization beside those of Toybox, class images charged."""
    published = []
    for each in values()["seconds"]:
        experiment = FILES[each["backbone"]]
        rows = _timed(sources.rows(experiment), each["method"])
        for arm, words in ARMS.items():
            found = own(rows[arm], "seconds_fit", experiment) if arm in rows else None
            published.append(
                Entry(
                    f"{each['backbone']}, {each['method']}, {words}",
                    "seconds_fit",
                    Printed(float(each[arm]), each["source"], each["origin"]),
                    found,
                    "" if found else sweep(experiment),
                )
            )
    return Page(
        "figure2",
        "Figure 2: seconds",
        "What does a personalization cost with prior preservation, and with the penalty?",
        (
            Part("Published, on the authors' GPU (not named); ours on DreamBench.", tuple(published)),
            Part(
                "On Toybox at one recipe (50 steps), one thread: class images and banks charged to each fit.",
                _fits(sources, "figure2", "experiments/paper/figure2.yaml"),
                twin=True,
            ),
            Part(
                "On Toybox at the settings of the search, one thread: class images charged, steps differ.",
                _fits(sources, "fewshot", "experiments/fewshot.yaml"),
                twin=True,
            ),
        ),
        ("Published seconds compare recipes of different lengths.",),
    )


def _fits(sources: Sources, experiment: str, file: str) -> tuple[Entry, ...]:
    """Give the seconds to fit of every row of an experiment on Toybox."""
    found = [
        Entry(row.title, "seconds_fit", measured=seconds)
        for row in sources.rows(experiment)
        if (seconds := own(row, "seconds_fit", experiment))
    ]
    return tuple(found or missing("all methods", ("seconds_fit",), f"harness sweep {file}"))


def _timed(rows: list[Row], method: str) -> dict[str, Row]:
    """Find a method's rows with the penalty and with prior preservation at the same recipe."""
    names = {title: name for name, title in METHODS.items()}
    for against, penalized, rival in pairs(rows, names[method], RELEASED_PENALTY):
        if against.startswith("prior"):
            return {"penalty": penalized, "prior_preservation": rival}
    return {}


def hours(backbone: str) -> float:
    """Reckon the hours of a file's fits from the seconds read off Figure 2: GPU unknown, sampling left out.

    30 subjects × 3 numbers of shots, each method at λ = 0, with the penalty and with prior preservation.
    """
    of_backbone = [each for each in values()["seconds"] if each["backbone"] == backbone]
    return 30 * 3 * sum(each["prior_preservation"] + 2 * each["penalty"] for each in of_backbone) / 3600


def along_hours() -> float:
    """Reckon the hours of figure6_sd15's fits in the same way: 30 subjects × 6 λ."""
    (full,) = (e for e in values()["seconds"] if (e["backbone"], e["method"]) == ("SD 1.5", "DreamBooth"))
    return 30 * 6 * full["penalty"] / 3600


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
