"""What a sweep takes besides its trials: from the command to the first fit, and from the last record on.

    python benchmarks/startup.py [--rounds 3]

Two trials of two steps on the embedded benchmark, one for each of two workers, as a user starts them. A first
sweep fills the cache and is not counted. When a fit began is told by its record: when the trial was finished,
less the seconds of its stages. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from harness import records

EXPERIMENT = """
name: startup
question: What does a sweep take besides its trials?
backbone: toybox
dataset: toybox
subjects: [mossy-mug]
shots: 2
seeds: [0, 1]
methods:
  - name: dreambooth
    preset: toybox
    params: {steps: 2}
sampling: {sampler: ddim, steps: 2, guidance: 5.0, prompts: 2, images: 1}
drift: {prompts: 4, timesteps: 2, images: 4}
"""


def timed(home: Path, number: int) -> tuple[float, float, float]:
    """Sweep once: seconds to the plan, to the first fit, and from the last record to the end."""
    runs = home / f"runs-{number}"
    command = [sys.executable, "-m", "harness", "sweep", str(home / "startup.yaml"), "--runs", str(runs)]
    environment = dict(os.environ, HARNESS_CACHE=str(home / "cache"))
    started = time.time()
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert running.stderr is not None
    running.stderr.readline()
    planned = time.time()
    said = running.stderr.read()
    if running.wait():
        raise SystemExit(said.decode())
    ended = time.time()
    found = records.read(runs / "startup")
    finished = [datetime.fromisoformat(record.provenance["finished"]).timestamp() for record in found]
    began = min(at - sum(record.own_seconds.values()) for at, record in zip(finished, found, strict=True))
    return planned - started, began - started, ended - max(finished)


def main() -> None:
    """Sweep so many times and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        (home / "startup.yaml").write_text(EXPERIMENT)
        timed(home, 0)
        print(f"{'seconds':>10}{'to the plan':>16}{'to the first fit':>20}{'after the last record':>26}")
        for number in range(1, rounds + 1):
            plan, fit, after = timed(home, number)
            print(f"{number:>10}{plan:>16.1f}{fit:>20.1f}{after:>26.1f}", flush=True)


if __name__ == "__main__":
    main()
