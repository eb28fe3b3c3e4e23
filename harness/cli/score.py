"""The command ``harness score``: external images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from harness.trial.external import ExternalScores


def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Images: 00-00.png, … or 00/*.png, ….")],
    subject: Annotated[str, typer.Option(help="The data set's subject that they should show.")],
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One prompt a line, {} for the subject [default: the data set's]."),
    ] = None,
    dataset: Annotated[str, typer.Option(help="toybox, dreambench or folder.")] = "toybox",
    path: Annotated[Path | None, typer.Option(help="Where the data set is, unless it is toybox.")] = None,
    shots: Annotated[int, typer.Option(min=0, help="How many photos were learnt from.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The draw of those photos.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Score external images by the code that scores a trial, so that no method need be ported.

    Example:  harness score other/mug --subject mossy-mug --prompts prompts.txt --shots 5
    """
    from harness.datasets.registry import load_dataset
    from harness.metrics.encoders.registry import default_encoders
    from harness.specs import BackboneSpec, DatasetSpec
    from harness.trial.external_images import ExternalImages, read_templates

    data = load_dataset(DatasetSpec(name=dataset, path=str(path) if path else None))
    data.check([subject], [shots])
    if prompts is None:
        templates = [prompt.template for prompt in data.prompts(subject)]
    else:
        templates = read_templates(prompts)
    made = ExternalImages.found_in(folder, len(templates))
    backbone = BackboneSpec(name="toybox") if dataset == "toybox" else BackboneSpec(name="none", path="none")
    from harness.trial import external  # loads torch: what can be wrong without it was looked at

    report = external.score(
        made,
        templates,
        dataset=data,
        subject=subject,
        shots=shots,
        seed=seed,
        encoders=default_encoders(backbone),
        device=device,
    )
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=1, ensure_ascii=False))
    else:
        from harness.cli.listing import console

        console().print(_table(report))


def _table(report: ExternalScores) -> Table:
    from rich import box
    from rich.table import Table

    from harness.metrics.registry import MEASURES

    table = Table(box=box.SIMPLE, title=f"{report.images} pictures of {report.prompts} prompts")
    for column in ("score", "value", "unit", "encoder, or why there is none"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for name, value in report.scores.values.items():
        shown = "–" if value is None else f"{value:.3f}"
        table.add_row(
            name, shown, MEASURES[name].unit, report.encoders.get(name, report.scores.notes.get(name, ""))
        )
    return table
