"""What an optimizer step of each method costs, against plain DreamBooth's, on the embedded benchmark.

    python benchmarks/step_price.py [--steps 24] [--rounds 3]

One worker of the harness in this process, one thread, batch 4, a subject of Toybox with 5 shots, every
method at its preset. A step's seconds are those between two reports of the training loop: nothing that is
made once before (the bank's images, second moments, latents) is in them. Methods take turns, because a
machine's speed drifts; a round's price is the mean of its steps over the mean of plain DreamBooth's in the
same round: no median, since the metric of activations is asked for at every fourth step alone. Measure on an
idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PLAIN = "DreamBooth"
BANK = {"prior_weight": 0.3, "prior_prompts": "bank"}
ROWS: dict[str, dict[str, Any]] = {
    PLAIN: {"name": "dreambooth"},
    "DreamBooth + Lipschitz λ": {"name": "dreambooth", "lipschitz": {"penalty": 200}},
    "λ in the metric of activations †": {
        "name": "dreambooth",
        "lipschitz": {"penalty": 0.289, "norm": "activation"},
    },
    "DreamBooth + bound of 3 on outputs †": {"name": "dreambooth", "lipschitz": {"output_bound": 3}},
    "DreamBooth + bank images": {"name": "dreambooth", "params": BANK},
    "DreamBooth, aligned ‡": {
        "name": "dreambooth",
        "alignment": {"dino": 0.1, "encoders": {"dino": "toybox-dino:1"}},
    },
    "Output preservation †": {"name": "output_preservation"},
    "DCO": {"name": "dco"},
    "SVDiff": {"name": "svdiff"},
    "OFT": {"name": "oft"},
    "DreamBooth-LoRA": {"name": "dreambooth_lora"},
    "T-LoRA": {"name": "t_lora"},
    "Token-LoRA": {"name": "token_lora"},
    "Custom Diffusion": {"name": "custom_diffusion"},
    "Textual Inversion": {"name": "textual_inversion"},
}


class Bench:
    """One worker and the single trial of each method, which can be carried out again and again."""

    def __init__(self, rows: dict[str, dict[str, Any]], steps: int) -> None:
        from harness.trial.worker import Worker

        self._place = tempfile.TemporaryDirectory()
        folder = Path(self._place.name)
        made = {name: _planned(row, folder, steps) for name, row in rows.items()}
        self.plans = {name: plan for name, (plan, *_) in made.items()}
        _, experiment, catalog = next(iter(made.values()))
        (spec,) = experiment.backbone
        self.worker = Worker(
            backbone=spec,
            dataset=experiment.dataset,
            encoders=catalog.encoders(spec),
            cache=folder / "cache",
            threads=1,
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.cleanup()

    def seconds(self, name: str) -> float:
        """Carry out a method's trial; give the mean of the seconds between two steps."""
        told: list[tuple[str, float]] = []
        outcome = self.worker.run(
            self.plans[name], lambda stage, *_: told.append((stage, time.perf_counter()))
        )
        assert outcome.status == "done", outcome.error
        times = [at for stage, at in told if stage == "fit"]  # the first steps warm up
        return statistics.mean([after - before for before, after in pairwise(times)][3:])


def _planned(row: dict[str, Any], folder: Path, steps: int) -> tuple[Any, Any, Any]:
    from harness.config import strict_yaml
    from harness.config.experiment import Experiment
    from harness.sweep import worklist
    from harness.sweep.catalog import Installed

    asked = {
        "name": "step_price",
        "subjects": ["mossy-mug"],
        "shots": 5,
        "methods": [{"preset": "toybox", **row, "params": {"steps": steps, **row.get("params", {})}}],
        "sampling": {"steps": 1, "prompts": 1},
        "drift": {"prompts": 4, "timesteps": 4, "images": 0},
    }
    experiment = strict_yaml.check(Experiment, asked, source="benchmark")
    catalog = Installed(experiment)
    (plan,) = worklist.plans(worklist.tasks(experiment, catalog, [], folder), experiment, folder)
    return plan, experiment, catalog


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with Bench(ROWS, options.steps) as bench:
        rounds = [{name: bench.seconds(name) for name in ROWS} for _ in range(options.rounds)]
    table = Table("Method", "seconds a step", "÷ plain", "rounds")
    for name in ROWS:
        prices = [each[name] / each[PLAIN] for each in rounds]
        table.add_row(
            name,
            f"{statistics.median(each[name] for each in rounds):.3f}",
            f"{statistics.median(prices):.2f}",
            " ".join(f"{price:.2f}" for price in prices),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
