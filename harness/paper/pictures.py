"""The page for Figure 5: pictures along λ beside pictures along α, from the same seeds."""

from __future__ import annotations

from PIL import Image

from harness.paper.pages import Entry, Page, Part
from harness.paper.sources import Sources, missing, own
from harness.report.figures.contact_sheets import subject_sheet

EXPERIMENT = "figure5"
COMMAND = "harness sweep experiments/paper/figure5.yaml"
MEASURES = ("dino_heldout", "noise_l2")


def figure5(sources: Sources) -> Page:
    """Lay out λ × prompt and α × prompt; needs a run directory with pictures, which are not committed."""
    found = sources.selection(EXPERIMENT)
    entries = [
        Entry(row.title, name, measured=value)
        for row in (found.of("method") if found else [])
        for name in MEASURES
        if (value := own(row, name, EXPERIMENT))
    ] or missing("λ × prompt and α × prompt", MEASURES, COMMAND)
    return Page(
        "figure5",
        "Figure 5: pictures along λ",
        "Does a smaller step from the base model (α) look like a larger penalty (λ)?",
        (Part("The same question on Toybox.", tuple(entries), twin=True),),
        ("The paper's pictures are not copied; ours are not committed: the sheet needs the run directory.",),
        draw=lambda: _sheet(sources),
    )


def _sheet(sources: Sources) -> Image.Image | None:
    found, folder = sources.selection(EXPERIMENT), sources.folder(EXPERIMENT)
    if found is None or folder is None:
        return None
    subject = min(record.trial["subject"] for record in found.records)
    return subject_sheet(found, folder, subject, experiment=EXPERIMENT)
