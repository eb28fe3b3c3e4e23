"""The command ``harness doctor``: can this sweep start, here and now?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.sweep import ExperimentFile, MLflow, Runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from harness.sweep.findings import Finding

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "stop": "[red]STOP[/]"}


def doctor(
    experiment: ExperimentFile,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change the file's setting, e.g. resources.gpus=0.5."
        ),
    ] = None,
    runs: Runs = Path("runs"),
    mlflow: MLflow = None,
) -> None:
    """Say what a sweep needs and what is there: weights, photos, licences, memory, disk, MLflow.

    The exit status is 0 where the sweep can start, else 1. Nothing is downloaded or written.

    Example:  harness doctor experiments/dreambench_sd15.yaml --set dataset.path=dreambooth
    """
    from harness.cli.listing import console
    from harness.cli.lookup import experiment_file
    from harness.config import experiment as config
    from harness.sweep.preflight import examine

    loaded = config.load(experiment_file(experiment, runs), changes or ())
    findings = examine(loaded, runs=runs, mlflow=mlflow)
    console().print(_table(findings))
    stops = sum(finding.verdict == "stop" for finding in findings)
    if stops:
        typer.echo(f"the sweep cannot start: {stops} of {len(findings)} findings stand against it", err=True)
        raise typer.Exit(1)
    typer.echo(f"the sweep can start: harness sweep {experiment}")


def _table(findings: Sequence[Finding]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), header_style="bold")
    for name in ("", "what", "needed", "there", "what to do"):
        table.add_column(name, overflow="fold")
    for each in findings:
        words = (each.what, each.needed, each.there, each.remedy)
        table.add_row(MARKS[each.verdict], *map(escape, words))
    return table
