"""``harness sweep``: what it says before, the sweep, what it writes and says after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import completion
from harness.errors import ConfigError

if TYPE_CHECKING:
    from harness.config.experiment import Experiment
    from harness.sweep.catalog import Installed
    from harness.sweep.grid import Expansion
    from harness.sweep.limits import Limits
    from harness.sweep.run import Summary

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
ENDINGS = {
    "signal": ("interrupted", INTERRUPTED),
    "time": ("stopped in time (--time)", 0),
    "failure": ("stopped at the first failure (--fail-fast)", 1),
}
"""What is said of a sweep that ended early, and its exit status, by :data:`harness.sweep.signals.Reason`."""

ExperimentFile = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT",
        help="The experiment's YAML file, or a name that `harness init` knows.",
        autocompletion=completion.experiments,
    ),
]
Runs = Annotated[Path, typer.Option(help="Where the run directories are.", envvar="HARNESS_RUNS")]
MLflow = Annotated[
    str | None,
    typer.Option(
        metavar="URI", envvar="MLFLOW_TRACKING_URI", help="MLflow store [default: RUNS/mlflow.db, sqlite]."
    ),
]
Reporting = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Name the figures left out for want of data.")]

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the file's setting, e.g. dataset.path=photos."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Trials at a time [default: resources.workers].")]
Address = Annotated[str | None, typer.Option(metavar="A", help="A Ray cluster, host:port or auto.")]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN",
        help="Stop cleanly after so long, e.g. --time 1h30m: start nothing that would take longer.",
    ),
]
Stall = Annotated[
    str,
    typer.Option(
        metavar="SPAN",
        help="Kill a worker that makes no progress for so long, e.g. --stall 15m, and try its trials once "
        "more; four times as long where a stage counts no steps; --stall never waits for ever.",
    ),
]
KeepGoing = Annotated[
    bool,
    typer.Option(
        "--keep-going/--fail-fast", help="After a failed trial go on, or stop, e.g. --fail-fast at first."
    ),
]


def sweep(
    experiment: ExperimentFile,
    changes: Changes = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the trials and run none.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="With --dry-run: a row for each setting, however many.")
    ] = False,
    runs: Runs = Path("runs"),
    workers: Workers = None,
    time: Time = None,
    stall: Stall = "30m",
    keep_going: KeepGoing = True,
    mlflow: MLflow = None,
    address: Address = None,
    report: Reporting = True,
    verbose: Verbose = False,
) -> None:
    """Run what an experiment still lacks: fit, sample, score; then tables, figures, report, MLflow.

    The same command continues after an interruption and does nothing twice.

    Example:  harness sweep experiments/fewshot.yaml --workers 2
    """
    from harness.cli.ending import show_results
    from harness.cli.lookup import experiment_file
    from harness.config import experiment as config
    from harness.sweep.catalog import Installed
    from harness.sweep.cluster_probe import check_cluster
    from harness.sweep.grid import expand
    from harness.toy.experiment import is_toy
    from harness.tracking.environment import check_address

    check_address(mlflow)
    limits = _limits(time, stall, keep_going=keep_going)
    path = experiment_file(experiment, runs)
    if path.is_file() and is_toy(path):
        _toy(path, changes or [], runs, dry_run=dry_run)
        return
    loaded = config.load(path, changes or ())
    if dry_run:
        _show_plan(loaded, runs, everything=everything, workers=workers)
        return
    if address is not None:
        check_cluster(address)
    catalog = Installed(loaded)
    expanded = expand(loaded, catalog)  # says what is wrong before anything slow
    _make(runs)
    options = {"workers": workers, "address": address, "limits": limits}
    summary = _swept(loaded, catalog, expanded, runs, options, mlflow=mlflow, verbose=verbose)
    if report and not summary.interrupted:
        _report(runs.resolve() / loaded.name)
    _conclude(summary, experiment, runs / loaded.name)
    show_results(runs / loaded.name, runs)


def _limits(time: str | None, stall: str, *, keep_going: bool) -> Limits:
    """Read what ends a sweep early; its time counts from here. Raises ConfigError."""
    from time import monotonic

    from harness.sweep.limits import Limits, seconds_of

    return Limits(
        deadline=None if time is None else monotonic() + seconds_of(time, option="--time"),
        stall=None if stall == "never" else seconds_of(stall, option="--stall"),
        fail_fast=not keep_going,
    )


def _make(runs: Path) -> None:
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--runs {runs}: cannot be made: {error.strerror or error}") from None


def _toy(path: Path, changes: list[str], runs: Path, *, dry_run: bool) -> None:
    """Run the toy of five Gaussians, which needs neither Ray nor MLflow."""
    from harness.toy.experiment import arms, load

    loaded = load(path, changes)
    titles = [arm.title for arm in arms(loaded)]
    if dry_run:
        typer.echo("\n".join([*titles, f"{len(titles) * len(loaded.seeds)} trials"]))
        return
    from harness.toy.run import run

    done = run(loaded, runs, say=lambda line: typer.echo(line, err=True))
    typer.echo(f"{done} trials done; figure: harness paper toy --runs {runs}")


def _swept(
    experiment: Experiment,
    catalog: Installed,
    expanded: Expansion,
    runs: Path,
    options: Mapping[str, Any],
    *,
    mlflow: str | None,
    verbose: bool,
) -> Summary:
    """Run the trials under a display and the MLflow mirror; write tables and figures unless interrupted.

    ``options`` are the rest of :func:`harness.sweep.run.run_sweep`'s.
    """
    from harness.cli.progress import Display
    from harness.sweep.run import run_sweep
    from harness.sweep.workload import workloads
    from harness.tracking.mirror import Mirror, Store

    display = Display(partial(workloads, experiment=experiment, catalog=catalog))
    with Mirror(Store(runs, experiment.name, mlflow), display.say) as mirror:
        with display:
            summary = run_sweep(
                experiment,
                runs=runs,
                catalog=catalog,
                expanded=expanded,
                observers=[display, mirror],
                **options,
            )
        if not summary.interrupted:
            written = _publish(runs.resolve() / experiment.name, display.say, verbose=verbose)
            mirror.close(failed=len(summary.failed), tables=written)
    return summary


def _publish(folder: Path, say: Callable[[str], None], *, verbose: bool) -> list[Path]:
    """Rewrite tables and figures, unless they are of these very records."""
    from harness.report import publish

    if publish.is_current(folder):
        return publish.published(folder)
    return publish.publish(folder, say=say, verbose=verbose)


def _report(folder: Path) -> None:
    """Write ``report.html`` where a trial is done, unless it is of these very records."""
    from harness.report import publish
    from harness.report.html import document

    if publish.is_current(folder) and not document.is_current(folder):
        document.write([folder], folder / document.FILE)


def _show_plan(experiment: Experiment, runs: Path, *, everything: bool, workers: int | None) -> None:
    from harness.cli.listing import console, dry_run
    from harness.cli.progress import what_is_left
    from harness.sweep.catalog import Installed

    catalog = Installed(experiment, plan_only=True)
    folder = runs / experiment.name
    plan, work, skips, cost = dry_run(experiment, catalog, folder, everything=everything, workers=workers)
    console().print(plan)
    for line in skips:
        typer.echo(line)
    typer.echo(what_is_left(work))
    if cost.passes:
        typer.echo(f"to come: {cost.words}\n         ({cost.pace})")
    if cost.alarm:
        typer.secho(cost.alarm, err=True, fg="red", bold=True)
    for remark in catalog.remarks:
        typer.echo(remark, err=True)


def _conclude(summary: Summary, experiment: Path, folder: Path) -> None:
    """Say how it ended, and leave with the status that says it too."""
    from harness.cli.progress import cell

    for record in summary.failed:
        typer.echo(f"failed {record.key}: {cell(record.trial)}: {record.error}", err=True)
    if summary.stopped:
        words, status = ENDINGS[summary.stopped]
        typer.echo(
            f"{words}; {summary.before + summary.done} of {summary.total} trials are done and safe; "
            f"to continue: harness sweep {experiment}",
            err=True,
        )
        raise typer.Exit(status)
    if summary.failed:
        typer.echo(
            f"{len(summary.failed)} of {summary.total} trials failed; run it again to retry them", err=True
        )
        raise typer.Exit(1)
    typer.echo(f"all {summary.total} trials are done; tables and figures: {folder}")
