"""Kills real sweeps at random moments, resumes them until they are done, and compares with an unbroken one.

    python benchmarks/kills.py [--kills 100] [--seed 0]

A sweep of the embedded benchmark is started as a user starts it. At a random moment SIGKILL goes to its
driver, to one of its workers, to a process of Ray's own, or to all of them at once, or SIGTERM to the driver
(``term``); whenever the command ends before the sweep is done it is given again. Every number of every
record must equal that of the unbroken sweep, nothing may be lost or doubled, the tracking server must hold
every run once, finished, and no process may be left. Prints a line for each sweep, then how many kills of
which kind there were. Exit status 1 where something is not as it should be.

``kill_and_resume.py`` chooses the moments that hurt most; here chance does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from kill_and_resume import EXPERIMENT, differences, records_of, sweep

MARK, WORKER = "HARNESS_KILLS", "ray::ResourceTrainable"
"""What every process of a sweep has in its environment, and what Ray calls one that does trials."""
KINDS = ("driver", "worker", "ray", "all", "term")
PATIENCE = 330.0
"""Seconds within which what a sweep started must be gone once it has ended. Ray's agents try to tell its
control service that they end; where that was killed with the driver, they give up after a minute, one that
was just starting after the five that a busy control service is given (``harness.sweep.ray_session``)."""


def processes(mark: str) -> dict[int, str]:
    """Find the living processes that carry a mark in their environment: number → command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return {pid: words for pid, words in found.items() if words}


def victims(kind: str, driver: int, mark: str, chance: random.Random) -> list[int]:
    """Choose whom to kill: of workers and of Ray's own processes any one."""
    there = processes(mark)
    workers = sorted(pid for pid, words in there.items() if words.startswith(WORKER))
    match kind:
        case "driver" | "term":
            return [driver]
        case "worker":
            return chance.sample(workers, min(1, len(workers)))
        case "ray":
            others = sorted(there.keys() - {driver, *workers})
            return chance.sample(others, min(1, len(others)))
        case _:
            return list(there)


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal; whether anybody was there to get it."""
    hit = False
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            hit = True
    return hit


def run_once(
    yaml: Path, runs: Path, mark: str, chance: random.Random, seconds: float
) -> tuple[int, list[str]]:
    """Run the command, killing once at a random moment; its exit status and the kinds of kill that hit."""
    environment = dict(os.environ, HARNESS_CACHE=str(yaml.parent / "cache"), **{MARK: mark})
    command = [sys.executable, "-m", "harness", "sweep", str(yaml), "--runs", str(runs)]
    with (runs.parent / f"{runs.name}.log").open("ab") as log:
        driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        kind = chance.choice(KINDS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return driver.wait(chance.uniform(0.5, seconds)), []
        number = signal.SIGTERM if kind == "term" else signal.SIGKILL
        hit = kill(victims(kind, driver.pid, mark, chance), number)
        return driver.wait(), [kind] if hit else []


def left_over(mark: str) -> tuple[list[str], float]:
    """Name what outlives a sweep for too long, which is killed then; say how long the last one did."""
    began = time.monotonic()
    while (there := processes(mark)) and time.monotonic() < began + PATIENCE:
        time.sleep(0.5)
    kill(list(there))
    return [f"left over: {words[:60]}" for words in there.values()], time.monotonic() - began


def main() -> None:
    """Kill so many times, over as many sweeps as it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, counts, bad, number, longest = random.Random(options.seed), Counter[str](), 0, 0, 0.0
    with tempfile.TemporaryDirectory() as place:
        yaml = Path(place) / "kills.yaml"
        yaml.write_text(EXPERIMENT)
        sweep(yaml, Path(place) / "first")  # fills the cache
        started = time.monotonic()
        if sweep(yaml, Path(place) / "whole"):
            sys.exit((Path(place) / "whole.log").read_text())
        seconds = time.monotonic() - started
        reference = records_of(Path(place) / "whole")
        while counts.total() < options.kills:
            number += 1
            runs, mark, hits, status = Path(place) / f"sweep-{number}", f"{os.getpid()}-{number}", [], 1
            wrong: list[str] = []
            while status:
                status, hit = run_once(yaml, runs, mark, chance, seconds)
                hits += hit
                left, lasted = left_over(mark)
                wrong, longest = wrong + left, max(longest, lasted)
                if status and not hit:
                    wrong.append(f"ended with {status} though nobody killed it")
                    break
            counts.update(hits)
            wrong += differences(runs, reference)
            bad += bool(wrong)
            print(
                f"sweep {number}: killed {', '.join(hits) or 'never'}; {'; '.join(wrong) or 'same'}",
                flush=True,
            )
            if wrong:
                print((runs.parent / f"{runs.name}.log").read_text()[-3000:], file=sys.stderr)
    kinds = ", ".join(f"{kind} {counts[kind]}" for kind in KINDS)
    print(f"{counts.total()} kills ({kinds}) over {number} sweeps; {bad} sweeps not as they should be")
    print(f"the last process of a sweep outlived it by {longest:.0f} s at most")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
