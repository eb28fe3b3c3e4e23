"""A sweep of the fakes in a process of its own: ``python sweeping.py RUNS EXPERIMENT [ADDRESS]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fakes import FakeCatalog

from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.sweep.run import run_sweep


class Herald:
    """Says on stdout what happens, so that a test knows when to strike."""

    def started(self, tasks, pending, workers):
        print("started", flush=True)

    def running(self, now):
        for _, status in now.values():
            print(f"running {status.stage}", flush=True)

    def recorded(self, record):
        print(f"recorded {record.status} {record.key}", flush=True)

    def proposed(self, tasks):
        print(f"proposed {len(tasks)}", flush=True)

    def amended(self, record):
        print(f"amended {record.key}", flush=True)


def main() -> None:
    experiment = strict_yaml.check(Experiment, json.loads(sys.argv[2]), source="x.yaml")
    summary = run_sweep(
        experiment,
        runs=Path(sys.argv[1]),
        catalog=FakeCatalog(),
        workers=2,
        address=sys.argv[3] if len(sys.argv) > 3 else None,
        worker_factory="fakes:FakeWorker",
        observers=[Herald()],
    )
    sys.exit(130 if summary.interrupted else 1 if summary.failed else 0)


if __name__ == "__main__":
    main()
