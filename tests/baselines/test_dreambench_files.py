"""The DreamBench files run what was released: their resolved values beside a table of the released ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness import methods
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.sweep.grid import trials

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

RELEASED = """
file | method           | λ    | form           | optimizer | lr   | decay | clip | steps | batch | further
sd15 | dreambooth       | 500  | tensor_mean    | adam      | 2e-6 | 0     | -    | 1000  | 1x1   | prior_weight=0
sd15 | custom_diffusion | 175  | tensor_mean    | adamw     | 6e-5 | 1e-2  | 1    | 250   | 2x1   | prior_weight=0 init=ktn token=<new1> flip=True scale=True whole_from=0.6
sd15 | dreambooth_lora  | 1e-7 | sum on entries | adamw     | 1e-4 | 0     | 1    | 500   | 4x1   | rank=16 alpha=27 targets=to_q,to_v
sdxl | custom_diffusion | 50   | tensor_mean    | adamw     | 1e-4 | 1e-2  | 1    | 250   | 2x1   | prior_weight=0 init=ktn token=<new1> flip=True scale=True whole_from=0.6 scale_named=False
sdxl | dreambooth_lora  | 1e-6 | sum on entries | adamw     | 5e-4 | 1e-4  | 1    | 500   | 1x4   | rank=4 alpha=4 start=gaussian targets=to_q,to_k,to_v,to_out.0
sd3  | custom_diffusion | 10.1 | tensor_mean    | adamw     | 1e-4 | 1e-4  | 1    | 500   | 1x4   | prior_weight=0 learn_token=False precondition=True flip=False scale=False
sd3  | dreambooth_lora  | 15   | sum on entries | adamw     | 4e-4 | 1e-4  | 1    | 500   | 1x4   | rank=4 alpha=4 start=gaussian precondition=True targets=to_q,to_k,to_v,to_out.0,add_q_proj,add_k_proj,add_v_proj,to_add_out
sd15 | dreambooth       | -    | -              | adamw     | 5e-6 | 1e-2  | 1    | 800   | 1x1   | prior_weight=1 prior_count=200
sd15 | textual_inversion| -    | -              | adamw     | 2e-3 | 1e-2  | -    | 3000  | 1x4   | flip=True vectors=1
sd15 | custom_diffusion | -    | -              | adamw     | 4e-5 | 1e-2  | 1    | 250   | 2x1   | prior_weight=1 prior_count=200 flip=True scale=True
"""  # noqa: E501
"""The authors' rows (their λ), then diffusers'. lr and batch are per step: lr scaling is multiplied out."""


def rows():
    head, *lines = ([cell.strip() for cell in line.split("|")] for line in RELEASED.strip().splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


def number(text):
    return None if text == "-" else float(text)


def plain(value):
    if isinstance(value, list):
        return ",".join(value)
    return str(value) if isinstance(value, bool | str) else f"{value:g}"


def values(trial):
    """What a trial trains with, hyperparameters left out at their defaults filled in."""
    kind = methods.load(trial.method)
    return {**{key: getattr(kind(), key) for key in kind.__dataclass_fields__}, **trial.params}


def agrees(trial, row):
    found = values(trial)
    constraint = trial.lipschitz.settings() if trial.lipschitz else {}
    form = constraint.get("norm", "-") + (" on entries" if constraint.get("on") == "entries" else "")
    further = dict(item.split("=", 1) for item in row["further"].split())
    return (
        (trial.method, constraint.get("penalty")) == (row["method"], number(row["λ"]))
        and form == row["form"]
        and found.get("optimizer", "adamw") == row["optimizer"]
        and (found["lr"], found["weight_decay"]) == (number(row["lr"]), number(row["decay"]))
        and found.get("clip") == number(row["clip"])
        and found["steps"] == int(row["steps"])
        and f"{found['batch']}x{found.get('accumulate', 1)}" == row["batch"]
        and {key: plain(found[key]) for key in further} == further
    )


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['file']}-{row['method']}-{row['λ']}")
def test_the_dreambench_files_have_the_released_recipe(row):
    written = yaml.safe_load((EXPERIMENTS / f"dreambench_{row['file']}.yaml").read_text())
    moved = {"dataset": {"name": "toybox"}, "subjects": ["candy-mug"], "shots": [3]}
    made = strict_yaml.check(Experiment, {**written, **moved}, source=row["file"])
    assert sum(agrees(trial, row) for trial in trials(made)) == 1
