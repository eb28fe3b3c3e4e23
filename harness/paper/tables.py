"""Pages for Tables 1 and 2: gains by backbone, and all baselines."""

from __future__ import annotations

from harness.paper.pages import Entry, Page, Part, Printed
from harness.paper.sources import PRIOR, Sources, contrast, missing, own, pairs
from harness.report.rows import Row
from harness.report.tables.published_results import REMARKS, RESULTS, Published
from harness.report.tables.published_table import counterparts

SCORES = ("dino", "clip_t", "clip_i")
TWIN = ("dino_heldout", "clip_t", "clip_i_heldout", "noise_l2")
FILES = {"SD 1.5": "dreambench_sd15", "SDXL": "dreambench_sdxl", "SD 3": "dreambench_sd3"}
"""Backbone as published → the experiment that measures its rows."""

METHODS = {
    "dreambooth": "DreamBooth",
    "custom_diffusion": "Custom Diffusion",
    "dreambooth_lora": "DreamBooth LoRA",
}
RELEASED_PENALTY = 500.0

NOT_HERE = ("BLIP-Diffusion", "IP-Adapter")
"""Published rows of methods with an encoder, which are not trained per subject and are not here."""


def sweep(experiment: str) -> str:
    """Write the command that runs a GPU file."""
    return f"harness sweep experiments/{experiment}.yaml --set dataset.path=FOLDER"


def table1(sources: Sources) -> Page:
    """Set the gains of the penalty by backbone beside recipe-matched pairs on Toybox."""
    twin: list[Entry] = []
    for method, title in METHODS.items():
        found = list(_contrasts(sources, method, title))
        twin += found or missing(
            f"{title}: penalty − rival at equal recipe", TWIN, "harness sweep experiments/paper/table1.yaml"
        )
    return Page(
        "table1",
        "Table 1: gains by backbone",
        "What does the penalty change at equal recipes?",
        (
            Part(
                "DreamBench (photographs): published, and ours at the authors' recipes.",
                _published("P&P, Table 1", sources),
            ),
            Part(
                "On Toybox: penalty − rival, all else equal, paired 95 % intervals.",
                tuple(twin),
                twin=True,
            ),
        ),
        REMARKS,
    )


def _contrasts(sources: Sources, method: str, title: str) -> list[Entry]:
    entries = []
    for experiment in ("table1", "fewshot", "lipschitz_bounds"):
        for against, penalized, rival in pairs(sources.rows(experiment), method, RELEASED_PENALTY):
            name = f"{title} {penalized.constraints.leading.short} − {against} ({experiment})"  # type: ignore[union-attr]
            entries += [
                Entry(name, each, measured=found)
                for each in TWIN
                if (found := contrast(penalized, rival, each, experiment))
            ]
    return entries


def table2(sources: Sources) -> Page:
    """Set all baselines beside the methods that train on Toybox."""
    twin = [
        Entry(row.title, name, measured=found)
        for row in sources.rows("fewshot")
        for name in TWIN
        if (found := own(row, name, "fewshot"))
    ] or missing("all methods", TWIN, "harness sweep experiments/fewshot.yaml")
    return Page(
        "table2",
        "Table 2: all baselines",
        "Which method keeps the subject and follows the prompt?",
        (
            Part("DreamBench (photographs): published, and ours.", _published("P&P, Table 2", sources)),
            Part("The same question on Toybox, 5 shots.", tuple(twin), twin=True),
        ),
        (*REMARKS, f"{' and '.join(NOT_HERE)} have an encoder trained on photographs and are not fitted per "
         "subject: not here."),
    )  # fmt: skip


def _published(source: str, sources: Sources) -> tuple[Entry, ...]:
    entries = []
    for result in (each for each in RESULTS if each.source == source):
        experiment = FILES[result.backbone]
        row = _row_of(result, sources.rows(experiment))
        command = "" if result.method in NOT_HERE else sweep(experiment)
        for name in SCORES:
            value = getattr(result, name)
            printed = None if value is None else Printed(value, result.source, result.origin)
            measured = own(row, name, experiment) if row else None
            entries.append(
                Entry(
                    f"{result.backbone}, {result.method}",
                    name,
                    printed,
                    measured,
                    "" if measured else command,
                )
            )
    return tuple(entries)


def _row_of(result: Published, rows: list[Row]) -> Row | None:
    """Give the row of the same name: the published DreamBooth has prior preservation, so that goes first."""
    alike = [row for row in rows if result in counterparts(row)]
    return max(alike, key=lambda row: bool(row.setting.get(PRIOR)), default=None)
