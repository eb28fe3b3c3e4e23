"""What a fit with ten readouts costs, against the fit and ten times a readout.

    python benchmarks/readouts.py [--kind scale|steps|mixed] [--rounds 3] [--threads 1]

One worker of the harness in this process, on the embedded benchmark: DreamBooth at 5 shots, 24 images, 32
prior images, 32 × 4 noise predictions, ``dpmsolver++`` with 10 steps, scored. A trial without readouts gives
the seconds of the fit and, by what is left of its wall-clock time, those of a readout. Both sides take turns,
because a machine's speed drifts. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

STEPS = 200
READOUTS: dict[str, dict[str, list[Any]]] = {
    "scale": {"scale": [n / 11 for n in range(1, 11)]},
    "steps": {"steps": [STEPS * n // 11 for n in range(1, 11)]},
    "mixed": {"steps": [STEPS * n // 6 for n in range(1, 6)], "scale": [n / 6 for n in range(1, 6)]},
}
EXPERIMENT: dict[str, Any] = {
    "name": "readouts",
    "subjects": ["mossy-mug"],
    "shots": 5,
    "methods": [{"name": "dreambooth", "params": {"steps": STEPS, "batch": 4, "lr": 5e-5}}],
    "sampling": {"sampler": "dpmsolver++", "steps": 10, "prompts": 24},
    "drift": {"prompts": 32, "timesteps": 4, "images": 32},
}


class Side:
    """One experiment, whose single job can be carried out again and again."""

    def __init__(self, folder: Path, readouts: dict[str, Any], threads: int) -> None:
        from harness.config import strict_yaml
        from harness.config.experiment import Experiment
        from harness.sweep import worklist
        from harness.sweep.catalog import Installed
        from harness.sweep.job import jobs
        from harness.trial.worker import Worker

        experiment = strict_yaml.check(Experiment, EXPERIMENT | {"readouts": readouts}, source="benchmark")
        catalog = Installed(experiment)
        (job,) = jobs(worklist.tasks(experiment, catalog, [], folder))
        self.plans = worklist.plans(job.tasks, experiment, folder)
        (spec,) = experiment.backbone
        self.worker = Worker(
            backbone=spec,
            dataset=experiment.dataset,
            encoders=catalog.encoders(spec),
            cache=folder / "cache",
            threads=threads,
        )

    def seconds(self) -> tuple[float, float]:
        """Wall-clock seconds of the job, and those of its fit."""
        started = time.perf_counter()
        outcomes = list(self.worker.outcomes(self.plans, lambda *told: None))
        wall = time.perf_counter() - started
        assert all(outcome.status == "done" for outcome in outcomes), outcomes[0].error
        return wall, outcomes[0].seconds["fit"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kind", choices=READOUTS, default="mixed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        alone = Side(Path(folder), {}, options.threads)
        several = Side(Path(folder), READOUTS[options.kind], options.threads)
        alone.seconds(), several.seconds()  # fills the cache; the first calls are slower
        rounds = [(alone.seconds(), several.seconds()) for _ in range(options.rounds)]
    more, ratios = len(several.plans) - 1, []
    print(f"{'fit':>8}{'readout':>9}{'expected':>10}{'measured':>10}{'ratio':>8}   seconds")
    for (single, fit), (measured, _) in rounds:
        readout = single - fit
        expected = single + more * readout
        ratios.append(measured / expected)
        print(f"{fit:8.2f}{readout:9.2f}{expected:10.2f}{measured:10.2f}{ratios[-1]:8.3f}")
    median = statistics.median(ratios)
    print(f"{options.kind}: a fit with its end and {more} readouts, median ratio {median:.3f}")


if __name__ == "__main__":
    main()
