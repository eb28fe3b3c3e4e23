"""``harness paper``: every table and figure of arXiv 2505.19519 with its counterpart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.sweep import Runs
from harness.errors import ConfigError, one_of

REMARK = (
    "not: what cannot be reproduced, and why. GPU: hours of fits by arithmetic, from the seconds in the\n"
    "paper's Figure 2 (digitised, GPU not named); sampling is not counted. Nothing for GPUs was run here."
)


def paper(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ARTEFACT...]", help="Only these, e.g. table1 figure6.")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Say what can be made here, on a GPU, or not at all.")
    ] = False,
    runs: Runs = Path("runs"),
    results: Annotated[
        Path, typer.Option(help="Committed results, where a run directory is missing.")
    ] = Path("results"),
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("paper"),
) -> None:
    """Write the paper's tables and figures: published | ours | difference, and Toybox in its own block.

    Example:  harness paper table1 figure6 --out /tmp/paper
    """
    from harness.paper.artefacts import ARTEFACTS

    known = {each.name: each for each in ARTEFACTS}
    for name in names or ():
        if name not in known:
            raise ConfigError(one_of(name, known, noun="artefact"))
    chosen = [known[name] for name in names or known]
    if list_:
        for each in chosen:
            typer.echo(f"{each.name:<11} {each.title}")
            for place, words in (("here", each.here), ("GPU", each.gpu), ("not", each.never)):
                if words:
                    typer.echo(f"            {place + ':':<5} {words}")
        typer.echo(REMARK)
        return
    from harness.paper.rendering import write
    from harness.paper.sources import Sources

    sources = Sources((runs, results))
    for each in chosen:
        if each.build is None:
            typer.echo(f"{each.name}: {each.never}", err=True)
            continue
        for path in write(each.build(sources), out):
            typer.echo(path)
