"""Measured rows beside the published ones of the same model, method and constraint.

What counts as the same is decided here: by name, never by nearness of numbers. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.diffusion.constraints.penalty import Penalty
from harness.errors import ConfigError, one_of
from harness.records import Record
from harness.report.rows import COLUMNS, Row, select
from harness.report.tables.footnotes import encoder
from harness.report.tables.markup import EMPTY, RENDERERS, Block, Section, Sheet, Text, spread
from harness.report.tables.published_results import OPENING, READ_OFF, REMARKS, RESULTS, Published, digits

BACKBONES = {
    "stable-diffusion-v1-5": "SD 1.5",
    "stable-diffusion-xl-base-1.0": "SDXL",
    "stable-diffusion-3-medium-diffusers": "SD 3",
}
"""Names of hub models → how the publications call them."""

METHODS = {
    "dreambooth": "DreamBooth",
    "dreambooth_lora": "DreamBooth LoRA",
    "custom_diffusion": "Custom Diffusion",
    "textual_inversion": "Textual Inversion",
    "svdiff": "SVDiff",
    "oft": "OFT",
    "real": "Real images",
}

RELEASED = {
    ("SD 1.5", "DreamBooth"): Penalty(500.0, "tensor_mean"),
    ("SD 1.5", "Custom Diffusion"): Penalty(175.0, "tensor_mean"),
    ("SD 1.5", "DreamBooth LoRA"): Penalty(1e-7, "sum"),
    ("SDXL", "Custom Diffusion"): Penalty(50.0, "tensor_mean"),
    ("SDXL", "DreamBooth LoRA"): Penalty(1e-6, "sum"),
    ("SD 3", "Custom Diffusion"): Penalty(10.1, "tensor_mean"),
}
"""The penalty of the authors' released scripts, where these add one to the loss."""

SCORES = ("dino", "clip_t", "clip_i")


def table(records: Sequence[Record], *, where: Sequence[str] = (), format: str = "markdown") -> str:
    """Render the measured scores (mean ± standard error over subjects) with the published ones beside them.

    As ``markdown`` or ``tex``. Raises ConfigError for another format, and where no row has a published one:
    results on Toybox never have.
    """
    if format not in RENDERERS:
        raise ConfigError(f"--published: {one_of(format, RENDERERS, noun='format')}")
    rows = select(records, where).rows
    lines = [_line(row, result) for row in rows for result in counterparts(row)]
    if not lines:
        known = ", ".join(BACKBONES)
        raise ConfigError(f"--published: no row here has a published one: photos and one of {known}")
    titles = [f"{COLUMNS[name].title} ↑" for name in SCORES]
    headings = [heading for title in titles for heading in (title, "published")]
    block = Block(
        "Measured: mean ± standard error over n subjects. Published: without their spread.",
        ("Method", "Backbone", "Shots", "n", *headings, "Source"),
        (Section(None, tuple(lines)),),
    )
    used = [f"{COLUMNS[name].title}: {encoder(records, name) or 'encoder not recorded'}" for name in SCORES]
    measured = f"Measured with: {'; '.join(used)}. Photos are taken to be DreamBench's; that is not checked."
    return RENDERERS[format](Sheet((OPENING,), (block,), (*REMARKS, READ_OFF, measured)))


def counterparts(row: Row) -> Iterator[Published]:
    """Give the published results of a row's model, method and constraint."""
    if row.setting["dataset"].startswith("toybox") or row.method not in METHODS:
        return
    method = METHODS[row.method]
    backbone = "–" if row.role == "ceiling" else BACKBONES.get(row.setting["backbone"])
    wanted = {(backbone, name) for name in _names(row, backbone, method)}
    yield from (result for result in RESULTS if (result.backbone, result.method) in wanted)


def _names(row: Row, backbone: str | None, method: str) -> Iterator[str]:
    """Give what a row's method and constraint are called in print."""
    constraints = row.constraints.members
    if not any(each.strength or not isinstance(each, Penalty) for each in constraints):
        yield method
    if len(constraints) != 1 or row.setting.get("params.prior_weight"):
        return  # the authors' penalty stands in place of prior preservation
    (penalty,) = constraints
    if penalty == RELEASED.get((str(backbone), method)):
        yield f"{method} + Lipschitz"
    if method == "DreamBooth" and penalty == Penalty(penalty.strength):
        yield f"{method} + Lipschitz {penalty.short}"


def _line(row: Row, result: Published) -> tuple[Text, ...]:
    printed = {"dino": result.dino, "clip_t": result.clip_t, "clip_i": result.clip_i}
    cells = []
    for name in SCORES:
        cell = row.cells.get(name)
        cells += [EMPTY if cell is None else spread(cell.mean, cell.error, 4), digits(result, printed[name])]
    source = result.source + (f" [{result.remark}]" if result.remark else "")
    words = (
        row.title,
        row.setting["backbone"],
        "all" if row.all_shots else str(row.shots or EMPTY),
        str(row.subjects),
        *cells,
        source,
    )
    return tuple(map(Text, words))
