"""The commands that read records: ``harness table``, ``best``, ``compare``, ``figures`` and ``report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import completion
from harness.cli.sweep import Runs
from harness.errors import ConfigError, one_of

Experiment = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="An experiment's YAML file, or its name under runs/.",
        autocompletion=completion.swept,
    ),
]


def table(
    experiment: Experiment,
    runs: Runs = Path("runs"),
    format: Annotated[str, typer.Option(help="markdown, csv or tex.")] = "markdown",
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only such trials, e.g. shots=5.")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this column; may be repeated.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All columns that hold a number.")] = False,
    published: Annotated[
        bool, typer.Option("--published", help="The scores that have a published counterpart, beside it.")
    ] = False,
) -> None:
    """Print the table of an experiment: mean ± s.e. over subjects.

    Example:  harness table fewshot --where shots=5 --format tex
    """
    folder = run_folder_of(experiment, runs)
    check_conditions(where or ())
    from harness.report.tables import method_table, published_table

    if published:
        sys.stdout.write(published_table.table(current_records(folder), where=where or (), format=format))
        return
    text = method_table.table(
        current_records(folder),
        where=where or (),
        format=format,
        measures=measure,
        everything=everything,
        experiment=folder.name,
    )
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def best(
    experiment: Experiment,
    runs: Runs = Path("runs"),
    format: Annotated[str, typer.Option(help="markdown or tex.")] = "markdown",
    measure: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Weigh these; may be repeated.")
    ] = None,
    merit: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Weigh those of composition (DINO in context, accessories as asked) or of accuracy (DINO "
            "held out, prompt accuracy) [default: composition on Toybox, else accuracy].",
        ),
    ] = None,
    unpaired: Annotated[
        bool, typer.Option("--unpaired", help="Within one standard error of the best merit itself.")
    ] = False,
) -> None:
    """Rank the settings of every method by the geometric mean of some measures.

    Bold is the one to take: the fewest steps whose paired difference to the best is within its error.

    Example:  harness best tuning-search
    """
    folder = run_folder_of(experiment, runs)
    from harness.report.tables import best_settings

    if merit is not None and measure:
        raise ConfigError("--merit and --measure: give one of them")
    if merit is not None and merit not in best_settings.MERITS:
        raise ConfigError(one_of(merit, best_settings.MERITS, noun="merit"))
    weighed = measure or (best_settings.MERITS[merit] if merit else None)
    sys.stdout.write(
        best_settings.table(current_records(folder), weighed, paired=not unpaired, format=format)
    )


def compare(
    experiment: Experiment,
    against: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="Compare with this one: dreambooth, dreambooth+penalty, ….",
            autocompletion=completion.methods,
        ),
    ],
    runs: Runs = Path("runs"),
    format: Annotated[str, typer.Option(help="markdown or tex.")] = "markdown",
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only such trials, e.g. shots=5.")
    ] = None,
    drift: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="At equal [default: noise_l2, image_drift, weight_l2]."),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Scores [default: the protocol's, dino_context and others, where recorded].",
        ),
    ] = None,
    power: Annotated[bool, typer.Option("--power", help="Say what so many subjects can show.")] = False,
    tuned_on: Annotated[
        str | None,
        typer.Option(
            metavar="EXPERIMENT", help="Where λ was tuned: drift there chooses it at each drift budget."
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the verdicts at drift budgets as a PNG, too.")
    ] = None,
) -> None:
    """Compare methods at equal drift, as curves or at drift budgets, and at equal fidelity.

    Every pair gets a verdict. Against dreambooth it is family Q1 of experiments/PROTOCOL.md, against
    dreambooth+penalty Q2; whatever departs from the protocol says that it is exploratory.

    Example:  harness compare tuning-search --against dreambooth --runs results --power
    """
    folder = run_folder_of(experiment, runs)
    check_conditions(where or ())
    tuned = current_records(run_folder_of(tuned_on, runs)) if tuned_on else ()
    from harness.report.tables import comparison_table as comparison

    records = current_records(folder)
    by: Any = {"where": where or (), "tuned": tuned, "splits": splits_of(records)}
    drifts = drift or comparison.DRIFTS
    sys.stdout.write(
        comparison.table(records, against, drifts=drifts, scores=measure, power=power, format=format, **by)
    )
    if figure:
        from harness.report.figures import render_all as drawing

        judged = comparison.judged(records, against, **by)
        note(str(drawing.verdicts(judged, against, figure, experiment=folder.name)))


def splits_of(records: Sequence[Any]) -> Any:
    """Name the subjects of Toybox that are tuned on and that the protocol compares on; none of other data."""
    from harness.report.comparison.families import Splits

    if any(record.trial["dataset"] != "toybox" for record in records):
        return Splits()
    from harness.toybox.confirmation import confirmation
    from harness.toybox.subjects import subjects

    return Splits(
        frozenset(each.name for each in subjects() if each.split == "dev"),
        frozenset(each.name for each in confirmation()),
    )


def figures(
    experiment: Experiment,
    runs: Runs = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(help="Where to [default: the run's figures/, figures/CONDITION/].")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only such trials, e.g. shots=5.")
    ] = None,
) -> None:
    """Draw the figures of an experiment as PNG files.

    Example:  harness figures lipschitz_bounds --out paper/figures
    """
    folder = run_folder_of(experiment, runs)
    check_conditions(where or ())
    from harness.report.figures import render_all as drawing

    for path in drawing.render_all(
        current_records(folder),
        folder,
        out or drawing.folder_of(folder, where or ()),
        where=where or (),
        experiment=folder.name,
        say=note,
    ):
        typer.echo(path)


def report(
    experiments: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERIMENT...",
            help="YAML files, or names under runs/.",
            autocompletion=completion.swept,
        ),
    ],
    runs: Runs = Path("runs"),
    out: Annotated[
        Path | None,
        typer.Option(help="The file [default: the run's report.html; RUNS/report.html for several]."),
    ] = None,
    light: Annotated[bool, typer.Option("--light", help="Fewer pictures, compressed.")] = False,
) -> None:
    """Write one HTML file: verdict, tables, figures, pictures; several experiments side by side.

    Example:  harness report fewshot lipschitz_bounds --runs results --out report.html
    """
    folders = list(dict.fromkeys(run_folder_of(name, runs) for name in experiments))
    from harness.report.html import document

    default = folders[0] if len(folders) == 1 else runs
    typer.echo(document.write(folders, out or default / document.FILE, light=light))


def note(line: str) -> None:
    """Say a line on stderr."""
    typer.echo(line, err=True)


def check_conditions(conditions: Sequence[str]) -> None:
    """Refuse a malformed condition before pandas is loaded. Raises ConfigError."""
    from harness.report import filters

    for condition in conditions:
        filters.split(condition)


def current_records(folder: Path) -> list[Any]:
    """Read the wanted records of a run directory; say how many others there are."""
    from harness.records import read_current

    current = read_current(folder)
    if current.remark:
        note(current.remark)
    return current.records


def run_folder_of(experiment: str, runs: Path) -> Path:
    """Look an experiment up among the run directories."""
    from harness.cli.lookup import run_folder

    return run_folder(experiment, runs)
