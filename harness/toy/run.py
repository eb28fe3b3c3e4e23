"""Runs the toy and writes its records: a line for each arm and world, as any experiment's.

Two processes with a thread each share the worlds. What is done is not done again: after a kill it goes on
with the base models and the stacks of arms that are not on disk.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from harness import files
from harness.config import strict_yaml
from harness.files import locked
from harness.records import WANTED, Lines, read
from harness.toy import tasks
from harness.toy.experiment import Arm, ToyExperiment, arms

VERSION = 1
POINTS_FILE, BASES = "points.json", "bases"
WORKERS = 2

Keys = dict[tuple[int, str], str]
"""Seed and the arm's title → key."""


def keys(experiment: ToyExperiment) -> Keys:
    """Give the key of every trial: a hash of all that decides its numbers."""
    steps = (experiment.pretrain_steps, experiment.tune_steps)
    return {
        (seed, arm.title): files.json_digest(
            ["toy", VERSION, *steps, arm.method, arm.params, arm.penalty, arm.alpha, seed], 16
        )
        for arm in arms(experiment)
        for seed in experiment.seeds
    }


def stacks(experiment: ToyExperiment, done: set[str]) -> Iterator[tuple[int, list[Arm]]]:
    """Give seed and arms of what is to be done: those of one world with the same kind of second batch."""
    wanted = keys(experiment)
    for kind in ("", "preserve", "prior"):
        for seed in experiment.seeds:
            of_kind = [arm for arm in arms(experiment) if tasks.fit_of(arm).second_batch == kind]
            if left := [arm for arm in of_kind if wanted[seed, arm.title] not in done]:
                yield seed, left


def run(experiment: ToyExperiment, runs: Path, *, say: Callable[[str], None], workers: int = WORKERS) -> int:
    """Do what the run directory lacks; return how many trials were done now.

    Raises BusyError if a sweep holds the directory, RecordsError if it cannot be written.
    """
    folder = runs.resolve() / experiment.name
    with locked(folder):
        wanted = keys(experiment)
        lines = Lines(folder)
        lines.repair()
        before = {record.key for record in read(folder)}
        resolved = strict_yaml.dump(experiment.model_dump(mode="json"))
        files.write_atomically(folder / "experiment.yaml", resolved)
        files.write_atomically(folder / WANTED, json.dumps(list(wanted.values()), indent=0).encode())
        todo = list(stacks(experiment, before))
        count = 0
        for seed, outcomes in _outcomes(experiment, todo, folder / BASES, workers):
            for record, points in outcomes:
                if seed == experiment.seeds[0]:
                    _show(folder / POINTS_FILE, record.key, points, set(wanted.values()))
                lines.append(record)
                count += 1
            titles = ", ".join(record.trial["title"] for record, _ in outcomes)
            say(f"world {seed}: {titles}: {outcomes[-1][0].seconds['fit']:.0f} s a fit")
    return count


def _outcomes(
    experiment: ToyExperiment, todo: list[tuple[int, list[Arm]]], bases: Path, workers: int
) -> Iterator[tuple[int, list[tasks.Outcome]]]:
    """Train the base models that are not in ``bases``, and the stacks of a world as soon as it has one."""
    if not todo:
        return
    wanted = keys(experiment)
    coming: dict[Future[list[tasks.Outcome]], int] = {}
    pool = ProcessPoolExecutor(
        min(workers, len(todo)), multiprocessing.get_context("spawn"), initializer=_started
    )

    def tune(seed: int, base: bytes) -> None:
        for stack in (stack for of, stack in todo if of == seed):
            named = {arm.title: wanted[seed, arm.title] for arm in stack}
            coming[pool.submit(tasks.outcomes, seed, stack, named, base, experiment.tune_steps)] = seed

    try:
        making: dict[Future[bytes], int] = {}
        for seed in dict.fromkeys(seed for seed, _ in todo):
            if (path := _base(experiment, seed, bases)).is_file():
                tune(seed, path.read_bytes())
            else:
                making[pool.submit(tasks.base, seed, experiment.pretrain_steps)] = seed
        while making or coming:
            under_way: list[Future[Any]] = [*making, *coming]
            done = wait(under_way, return_when=FIRST_COMPLETED).done
            for made in [future for future in making if future in done]:
                seed = making.pop(made)
                files.write_atomically(_base(experiment, seed, bases), made.result())
                tune(seed, made.result())
            for tuned in [future for future in coming if future in done]:
                yield coming.pop(tuned), tuned.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _base(experiment: ToyExperiment, seed: int, bases: Path) -> Path:
    digest = files.json_digest(["toy base", VERSION, experiment.pretrain_steps, seed], 16)
    return bases / f"{digest}.safetensors"


def _show(path: Path, key: str, points: list[Any], wanted: set[str]) -> None:
    """Add what figures show of a trial; of trials that are no longer wanted nothing is kept."""
    shown = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept = {name: each for name, each in {**shown, key: points}.items() if name in wanted}
    files.write_atomically(path, json.dumps(kept).encode())


def _started() -> None:
    """Set a process up: one thread, and no life without its parent."""
    tasks.one_thread()
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End this process when its parent has ended, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
