"""What a sweep leaves on the terminal when it is done: its table at a glance, and where to go from there."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from harness.cli.listing import console


def show_results(folder: Path, runs: Path) -> None:
    """Print the table at a glance of a run directory, and the three commands that read it further."""
    from rich.markup import escape
    from rich.table import Table

    from harness.records import read_current
    from harness.report.tables.at_a_glance import glance

    block = glance(read_current(folder).records)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for place, heading in enumerate(block.headings):
        table.add_column(escape(heading), justify="right" if place else "left", overflow="fold")
    for section in block.sections:
        for row in section.rows:
            table.add_row(
                *(f"[bold]{escape(text.words)}[/]" if text.bold else escape(text.words) for text in row)
            )
    out = console()
    out.print(table)
    out.print(block.caption, markup=False)
    typer.echo("\n".join(next_commands(folder.name, runs)))


def next_commands(name: str, runs: Path) -> list[str]:
    """Write the commands that follow a sweep, one a line, each with what it shows."""
    where = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
    steps = {
        f"harness table {name} --all{where}": "every measure, with its error",
        f"harness report {name}{where}": "one page: verdict, figures, pictures",
        f"harness ui{where}": "every trial in MLflow",
    }
    width = max(map(len, steps))
    return ["next:", *(f"  {command:<{width}}  {shows}" for command, shows in steps.items())]
