"""How far the estimate of a sweep's time left was from the truth: finished records, replayed in their order.

    python benchmarks/estimate.py runs/fewshot
    python benchmarks/estimate.py results/tuning-search --schedule

Without ``--schedule`` trials end when their records say; the sweep must have run in one go. With it they are
put on workers one after the other, in the order of the records, each for its recorded seconds: for records of
several sweeps, or of machines with other work beside.
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.config import experiment as config
from harness.records import Record, read
from harness.specs import Trial
from harness.sweep.catalog import Installed
from harness.sweep.observer import Status
from harness.sweep.time_left import TimeLeft
from harness.sweep.worklist import Task, in_order
from harness.sweep.workload import workloads
from harness.trial.plan import Keys

SHARES = (0.05, 0.10, 0.25, 0.50, 0.75)
STEPS = 100
STARTING = 10.0
"""Seconds before the first trial begins: workers load the networks."""


@dataclass(frozen=True)
class Ran:
    """A record with the seconds at which its trial began and ended."""

    record: Record
    began: float
    ended: float

    def status(self, at: float) -> Status:
        """What the trial's progress would have been: its stages take their seconds in turn."""
        since = at - self.began
        for stage in ("fit", "sample"):
            took = self.record.own_seconds.get(stage, 0.0)
            if since < took:
                return Status(stage, int(STEPS * since / took), STEPS)
            since -= took
        return Status("score", 0, 1)


def scheduled(records: list[Record], workers: int) -> list[Ran]:
    """Put records on workers, in their order, each for its seconds."""
    free = [STARTING] * workers
    ran = []
    for record in records:
        began = heapq.heappop(free)
        ended = began + sum(record.own_seconds.values())
        heapq.heappush(free, ended)
        ran.append(Ran(record, began, ended))
    return sorted(ran, key=lambda each: each.ended)


def as_recorded(records: list[Record], started: float) -> list[Ran]:
    """Let trials end at the times in their records."""
    ran = []
    for record in records:
        ended = datetime.fromisoformat(record.provenance["finished"]).timestamp() - started
        ran.append(Ran(record, ended - sum(record.own_seconds.values()), ended))
    return sorted(ran, key=lambda each: each.ended)


def task_of(record: Record) -> Task:
    """The task that a record was made by."""
    trial = {name: record.trial[name] for name in Trial.model_fields if name in record.trial}
    return Task(Trial.model_validate(trial, strict=False), Keys(**record.keys), "fit")


def estimates(ran: list[Ran], folder: Path, workers: int, moments: list[float]) -> list[float | None]:
    """Replay a sweep; give the seconds left that were estimated at each of the moments."""
    tasks = {each.record.key: task_of(each.record) for each in ran}
    experiment = config.load(folder / "experiment.yaml", ())
    pending = in_order(list(tasks.values()))
    loads = dict(
        zip(
            [t.keys.sample for t in pending],
            workloads(pending, experiment, Installed(experiment)),
            strict=True,
        )
    )
    left, waiting, answers = TimeLeft(loads, workers), list(ran), []
    at = 0.0
    for moment in moments:
        while at <= moment:
            while waiting and waiting[0].ended <= at:
                left.recorded(waiting.pop(0).record)
            busy = [each for each in waiting if each.began <= at]
            left.running({n: (tasks[each.record.key], each.status(at)) for n, each in enumerate(busy)}, at)
            at += 0.5
        answers.append(left.seconds())
    return answers


def main() -> None:
    """Print estimate, truth and error at shares of the whole, and the worst from the second minute on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a run directory, or committed results")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--schedule", action="store_true", help="by recorded seconds in place of recorded times"
    )
    asked = parser.parse_args()
    records = [record for record in read(asked.folder) if record.status == "done"]
    if asked.schedule:
        ran = scheduled(records, asked.workers)
    else:
        ran = as_recorded(records, (asked.folder / "lock").stat().st_mtime)
    whole = ran[-1].ended
    moments = [share * whole for share in SHARES] + [float(at) for at in range(60, int(whole * 0.9), 15)]
    order = sorted(moments)
    found = dict(zip(order, estimates(ran, asked.folder, asked.workers, order), strict=True))
    print(f"{len(ran)} trials, {whole:.0f} s, {asked.workers} workers")
    for share, at in zip(SHARES, moments):
        print(f"  at {share:4.0%} ({at:5.0f} s)  {_said(found[at], whole - at)}")
    later = moments[len(SHARES) :]
    errors = [found[at] / (whole - at) - 1 if found[at] is not None else None for at in later]
    told = [error for error in errors if error is not None]
    within = sum(abs(error) <= 0.25 for error in told)
    print(
        f"  from 60 s to 90 %, every 15 s: {within} of {len(told)} within 25 %, "
        f"worst {max(told, key=abs):+.0%}, {len(errors) - len(told)} without an estimate"
    )


def _said(estimate: float | None, truth: float) -> str:
    if estimate is None:
        return f"estimating; {truth:.0f} s left"
    return f"{estimate:6.0f} s left estimated, {truth:6.0f} s true: {estimate / truth - 1:+.0%}"


if __name__ == "__main__":
    main()
