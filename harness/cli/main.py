"""The command line. Composes the other modules and imports the heavy ones inside the commands."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import completion
from harness.cli.certify import certify
from harness.cli.doctor import doctor
from harness.cli.paper import paper
from harness.cli.report import (
    Experiment,
    best,
    compare,
    current_records,
    figures,
    note,
    report,
    run_folder_of,
    table,
)
from harness.cli.score import score
from harness.cli.shipped import init
from harness.cli.sweep import INTERRUPTED, MLflow, Runs, sweep
from harness.cli.toybox.commands import pretrain, toybox
from harness.errors import ConfigError, HarnessError, one_line, one_of

Key = Annotated[
    str,
    typer.Argument(metavar="KEY", help="A record's key, or how it starts.", autocompletion=completion.keys),
]
UsageError: Any = typer.BadParameter.__bases__[0]  # click's; some versions of typer bring their own click

app = typer.Typer(
    name="harness",
    help="Compare few-shot personalization methods of text-to-image models: one YAML file per question.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(sweep)
app.command()(init)
app.command()(score)
app.command()(certify)
app.command()(doctor)
app.command()(pretrain)
for command in (table, best, compare, figures, report, paper):
    app.command()(command)
app.add_typer(toybox, name="toybox")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options that hold for every command; ``--debug`` is read in :func:`main`."""


@app.command()
def ui(
    runs: Runs = Path("runs"),
    mlflow: MLflow = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 in a container.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
) -> None:
    """Open the MLflow UI on the mirrored runs, by default for this machine only (127.0.0.1).

    Example:  harness ui --port 5001
    """
    from harness.tracking.environment import check_address
    from harness.tracking.mlflow_store import default_uri
    from harness.tracking.server import serve

    if mlflow is None and not (runs / "mlflow.db").is_file():
        raise ConfigError(f"{runs / 'mlflow.db'}: not there yet; a sweep or `harness mirror` makes it")
    check_address(mlflow)
    note(f"http://{host}:{port}  (Ctrl-C ends it); the runs of each experiment:")
    raise typer.Exit(serve(mlflow or default_uri(runs), host, port, say=note))


@app.command()
def mirror(experiment: Experiment, runs: Runs = Path("runs"), mlflow: MLflow = None) -> None:
    """Bring MLflow up to date with an experiment's records; what is there already stays.

    Example:  harness mirror fewshot --mlflow http://tracking.example:5000
    """
    from harness.tracking.environment import check_address
    from harness.tracking.mirror import Store, catch_up

    check_address(mlflow)
    folder = run_folder_of(experiment, runs)
    current_records(folder)  # says what is left out
    store = Store(folder.parent, folder.name, mlflow)
    count = catch_up(store, tables=[folder / "tables", folder / "figures"])
    typer.echo(f"{count} records of {folder.name} are in {store.hide(store.uri)}")


@app.command(name="list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="methods, backbones, datasets, encoders or scores.",
            autocompletion=completion.lists,
        ),
    ],
) -> None:
    """List what there is to choose from in an experiment file.

    Example:  harness list methods
    """
    from harness.cli.listing import LISTS, console

    if what not in LISTS:
        raise ConfigError(one_of(what, LISTS, noun="list"))
    console().print(LISTS[what]())


@app.command()
def show(
    key: Key,
    runs: Runs = Path("runs"),
) -> None:
    """Show everything that is recorded of one trial.

    Example:  harness show 3fa9
    """
    from harness.cli.listing import console
    from harness.cli.lookup import find_record

    folder, record = find_record(key, runs)
    console().print_json(record.model_dump_json(exclude_none=True))
    typer.echo(f"files: {folder / record.key}")


@app.command()
def export(
    key: Key,
    out: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write; must not exist.")],
    runs: Runs = Path("runs"),
    device: Annotated[str, typer.Option(help="cpu or cuda, where it has to be fitted again.")] = "cpu",
) -> None:
    """Write a trial's tuned model in the files that diffusers reads; fitted again where it was not kept.

    Example:  harness export 3fa9 /tmp/my-mug
    """
    from harness.cli.lookup import find_record

    if out.exists():
        raise ConfigError(f"{out}: is there already; give a new folder")
    folder, record = find_record(key, runs)
    from harness.cli.progress import meter
    from harness.sweep.export import export_trial  # loads torch

    with meter() as progress:
        lines = export_trial(folder, record, out, progress=progress, device=device)
    typer.echo("\n".join(["# pipe: the base model's pipeline in diffusers", *lines]))


def main() -> None:
    """Run a command; a user's mistake is one line on stderr and exit status 2, another error 1."""
    debug = "--debug" in sys.argv
    gc.set_threshold(100_000, 20, 20)  # records by the thousand live to the end: there is little to collect
    warnings.formatwarning = lambda message, *where, **more: f"harness: {message}\n"
    try:
        sys.exit(app(prog_name="harness", standalone_mode=False) or 0)
    except HarnessError as error:
        if debug:
            raise
        _stop(one_line(error), 2 if isinstance(error, ConfigError) else 1)
    except UsageError as error:
        _misuse(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # what no command foresaw: a disk that is full or gone
        if debug:
            raise
        _stop(f"{error.filename}: {error.strerror}" if error.filename else one_line(error), 1)


def _stop(line: str, status: int) -> None:
    typer.echo(f"harness: {line}", err=True)
    sys.exit(status)


def _misuse(message: str) -> None:
    if message.startswith("Usage:"):  # no command was given: that is a question, not a mistake
        typer.echo(message)
        sys.exit(0)
    _stop(" ".join(message.split()), 2)
