"""What a sweep looks like while it runs: a live display on a terminal, plain dated lines elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.api import Progress
from harness.config.titles import counted, fits_and_readouts
from harness.metrics.registry import MEASURES, shown_in
from harness.records import Record
from harness.sweep.observer import Status
from harness.sweep.time_left import TimeLeft
from harness.sweep.worklist import Task
from harness.sweep.workload import Workload

SHOWN = shown_in("progress")
"""Of these the first three that a record has are shown as soon as it comes."""

LATEST = 5


class Display:
    """An observer of a sweep. Use as a context; outside of it, it only prints.

    ``reckon`` gives the workloads of tasks in the order in which they are run.
    """

    def __init__(
        self, reckon: Callable[[Sequence[Task]], Sequence[Workload]], console: Console | None = None
    ) -> None:
        self.console = console or Console(stderr=True)
        self._reckon = reckon
        self._time_left = TimeLeft({}, 1)
        self._live: Live | None = None
        self._begun = time.monotonic()
        self._total = self._before = self._done = self._failed = 0
        self._now: Mapping[int, tuple[Task, Status]] = {}
        self._latest: list[Record] = []

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """Print one line: above the live display, or with the time."""
        self._print(escape(line))

    def _print(self, markup: str) -> None:
        if self.console.is_terminal:
            self.console.print(markup, highlight=False)
        else:
            self.console.print(f"{time.strftime('%H:%M:%S')} {markup}", highlight=False, soft_wrap=True)

    def started(self, tasks: Sequence[Task], pending: Sequence[Task], workers: int) -> None:
        """Say what there is to do."""
        self._begun = time.monotonic()
        self._total, self._before = len(tasks), len(tasks) - len(pending)
        self._time_left = TimeLeft(self._loads(pending), workers)
        self.say(what_is_left(tasks))
        if not pending:
            return
        self.say(f"starting {workers} worker{'s' * (workers > 1)}…" if workers else "starting workers…")
        if self.console.is_terminal:
            self._live = Live(self._render(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def _loads(self, pending: Sequence[Task]) -> dict[str, Workload]:
        keys = [task.keys.sample for task in pending]
        return dict(zip(keys, self._reckon(pending), strict=True))

    def proposed(self, tasks: Sequence[Task]) -> None:
        """Count the trials of a proposal."""
        pending = [task for task in tasks if task.stage != "done"]
        self._total, self._before = self._total + len(tasks), self._before + len(tasks) - len(pending)
        self._time_left.expect(self._loads(pending))
        self._refresh()

    def amended(self, record: Record) -> None:
        """Say where a search stopped a proposal."""
        if stopped := (record.search or {}).get("stopped"):
            self._print(escape(f"stopped {cell(record.trial)}: {stopped['why']}"))

    def running(self, now: Mapping[int, tuple[Task, Status]]) -> None:
        """Show what the running trials are at."""
        self._now = now
        self._time_left.running(now, time.monotonic())
        self._refresh()

    def recorded(self, record: Record) -> None:
        """Count a result and show it."""
        self._time_left.recorded(record)
        if record.status == "done":
            self._done += 1
        else:
            self._failed += 1
        self._latest = [*self._latest, record][-LATEST:]
        if not self._live or record.status == "failed":
            self._print(f"{self._counts()}  {describe(record)}")
        self._refresh()

    def _refresh(self) -> None:
        if self._live:
            self._live.update(self._render())

    def _counts(self) -> str:
        finished = self._before + self._done + self._failed
        failed = f", {self._failed} failed" if self._failed else ""
        return f"[{finished}/{self._total}{failed}, {self._left()}]".replace("[", r"\[")

    def _left(self) -> str:
        seconds = self._time_left.seconds()
        return "estimating the time left" if seconds is None else f"about {clock(seconds)} left"

    def _render(self) -> RenderableType:
        finished = self._before + self._done + self._failed
        head = Table.grid(padding=(0, 2))
        elapsed = clock(time.monotonic() - self._begun)
        head.add_row(
            ProgressBar(total=self._total, completed=finished, width=30),
            f"{finished}/{self._total} trials",
            f"[red]{self._failed} failed[/]" if self._failed else "",
            f"{elapsed} elapsed, {self._left()}",
        )
        parts: list[RenderableType] = [head]
        if self._now:
            table = Table(box=None, padding=(0, 2), show_header=False)
            for task, status in self._now.values():
                step = f"{status.done}/{status.total}" if status.total else ""
                loss = f"loss {status.loss:.4f}" if status.loss is not None else ""
                table.add_row("▸", escape(cell(task.trial.model_dump())), status.stage, step, loss)
            parts.append(table)
        parts += [Text.from_markup(describe(record), overflow="ellipsis") for record in self._latest]
        return Group(*parts)


def what_is_left(tasks: Sequence[Task]) -> str:
    """Sum a worklist up: ``60 trials: 12 done, 3 to score again, 45 to run (2 failed before)``."""
    count: dict[str, int] = defaultdict(int)
    for task in tasks:
        count[task.stage] += 1
    words = [f"{count['done']} done"]
    words += [f"{count['score']} to score again"] if count["score"] else []
    words += [f"{count['sample']} to sample with kept weights"] if count["sample"] else []
    words += [f"{count['fit']} to run"] if count["fit"] else []
    retries = sum(task.retry for task in tasks)
    again = f" ({retries} failed before)" if retries else ""
    fits = len({task.keys.fit for task in tasks})
    shared = f" ({fits_and_readouts(fits, len(tasks))})" if fits < len(tasks) else ""
    return f"{len(tasks)} trials{shared}: {', '.join(words)}{again}"


def cell(trial: Mapping[str, Any]) -> str:
    """Name a trial within its sweep."""
    shots = f", {counted(trial['shots'], 'shot')}" if trial["shots"] else ""
    seed = f", seed {trial['seed']}" if trial["seed"] else ""
    return f"{trial['title']}, {trial['subject']}{shots}{seed}"


def describe(record: Record) -> str:
    """Describe a result in one line of rich markup: its trial, and a few scores or the error."""
    name = escape(cell(record.trial))
    if record.status == "failed":
        return f"[red]failed[/] {name}: {escape(record.error or 'no reason given')}"
    values = {**record.scores, **record.drift}
    shown = [name for name in SHOWN if values.get(name) is not None][:3]
    scores = "  ".join(f"{MEASURES[name].title} {values[name]:.3f}" for name in shown)
    return f"[green]done[/] {name}  {escape(scores)}  {clock(sum(record.own_seconds.values()))}"


def clock(seconds: float) -> str:
    """Write a duration: ``8 s``, ``2:05``, ``1:02:05``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    text = str(timedelta(seconds=round(seconds)))
    return text.removeprefix("0:").removeprefix("0")


@contextmanager
def meter() -> Iterator[Progress]:
    """Show the stages of a single trial as a bar with the time left, on stderr while the block runs."""
    with Bar(console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def report(stage: str, done: int, total: int, loss: float | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report
