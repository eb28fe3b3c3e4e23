"""What ten thousand trials cost beside their computing: planning, resuming, tables, figures.

    python benchmarks/scale.py [--trials 10000] [--plan 100000]

Writes an experiment of so many trials on the embedded benchmark, and a record for each, made up from
results/fewshot (numbers moved at random, seed fixed). Then runs the commands as a user would, each in a
process of its own, and prints seconds of wall and processor, and the most memory that the process held.
``--plan``: how many trials are planned without any record. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness import records
from harness.config import experiment as config
from harness.records import Record
from harness.sweep.catalog import Installed
from harness.sweep.worklist import tasks

ROOT = Path(__file__).parents[1]
SUBJECTS, PENALTIES = 16, 25

EXPERIMENT = """
name: {name}
question: What do many trials cost beside their computing?
backbone: toybox
dataset: toybox
subjects: {{split: test, count: {subjects}}}
shots: 5
seeds: [{seeds}]
methods:
  - frozen
  - real_ae
  - name: dreambooth
    preset: toybox
    lipschitz: {{penalty: [{penalties}]}}
sampling: {{sampler: ddim, steps: 20, guidance: 5.0, prompts: 10, images: 1}}
drift: {{prompts: 32, timesteps: 4, images: 16}}
"""


def written(name: str, trials: int, folder: Path) -> Path:
    """Write an experiment of at least so many trials."""
    seeds = range(-(-trials // (SUBJECTS * PENALTIES)))
    path = folder / f"{name}.yaml"
    path.write_text(
        EXPERIMENT.format(
            name=name,
            subjects=SUBJECTS,
            seeds=", ".join(map(str, seeds)),
            penalties=", ".join(str(number) for number in range(1, PENALTIES + 1)),
        )
    )
    return path


def invented(experiment: Path, folder: Path) -> Iterator[Record]:
    """Make a record for every trial: one of results/fewshot by its method, with numbers moved."""
    loaded = config.load(experiment)
    models = {record.trial["method"]: record for record in records.read(ROOT / "results/fewshot")}
    chance = random.Random(0)
    catalog = Installed(loaded, plan_only=True)
    for task in tasks(loaded, catalog, [], folder):
        model = models[task.trial.method]
        moved = {
            part: {
                name: None if value is None else value + chance.gauss(0, 0.05)
                for name, value in getattr(model, part).items()
            }
            for part in ("scores", "drift")
        }
        yield model.model_copy(
            update={
                **moved,
                "key": task.keys.sample,
                "keys": {"fit": task.keys.fit, "sample": task.keys.sample, "score": task.keys.score},
                "trial": {**loaded.described(), **task.trial.summary()},
            }
        )


def write_records(experiment: Path, folder: Path) -> None:
    """Fill a run directory with invented records."""
    folder.mkdir(parents=True)
    data = b"".join(record.line() for record in invented(experiment, folder))
    records.Lines(folder).path.write_bytes(data)


def measured(*words: str) -> tuple[float, float, float]:
    """Run a command of the harness: seconds of wall and processor, MiB at most."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "harness", *words]
    with tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(running.pid, 0)
        if status:
            said.seek(0)
            raise SystemExit(f"harness {' '.join(words)} failed\n{said.read()}")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Write both experiments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--plan", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        done, planned = written("done", given.trials, home), written("planned", given.plan, home)
        runs = home / "runs"
        # in a process of its own: a child's memory is counted from its parent's on
        writing = multiprocessing.get_context("spawn").Process(
            target=write_records, args=(done, runs / "done")
        )
        writing.start()
        writing.join()
        size = records.Lines(runs / "done").path.stat().st_size / 2**20
        print(f"{given.trials:,} records of {size:.0f} MB; {os.cpu_count()} processors")
        print(f"{'':44}{'wall s':>8}{'CPU s':>8}{'MiB':>7}")
        where = ("--runs", str(runs))
        for title, *words in (
            ("an experiment of one screen", "sweep", "smoke", "--dry-run"),
            (f"plan {given.trials:,} trials", "sweep", str(done), "--dry-run", "--runs", str(home / "none")),
            (f"plan {given.plan:,} trials", "sweep", str(planned), "--dry-run"),
            (f"resume over {given.trials:,} records", "sweep", str(done), "--dry-run", *where),
            ("table", "table", "done", *where),
            ("figures", "figures", "done", *where, "--out", str(home / "figures")),
        ):
            wall, spent, most = measured(*words)
            print(f"{title:44}{wall:8.1f}{spent:8.1f}{most:7.0f}")


if __name__ == "__main__":
    main()
