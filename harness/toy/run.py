"""Runs the toy and writes its records: a line for each arm and world, as any experiment's.

One process does it in minutes, so that there are no workers; what is done is not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness import files
from harness.config import strict_yaml
from harness.records import WANTED, Lines, Record, locked, read
from harness.toy import fitting, measures
from harness.toy.experiment import BACKBONE, Arm, ToyExperiment, arms
from harness.toy.fitting import Fit, World
from harness.toy.gaussians import Schedule, new_points, old_points
from harness.toy.networks import Weights
from harness.trial import provenance

VERSION = 1
POINTS_FILE, POINTS_SHOWN = "points.json", 150
BASE, NOISE, PROBE, TRUTH = 5, 6, 7, 8  # purposes of a world's generators


@dataclass(frozen=True)
class Setup:
    """The worlds, their base models with samples [worlds, 6, n, 2], and true samples of the new class."""

    worlds: list[World]
    schedule: Schedule
    base: Weights
    samples: Tensor
    truth: list[Tensor]


def keys(experiment: ToyExperiment) -> dict[tuple[str, int], str]:
    """Give the key of every trial by the arm's title and the seed: a hash of all that decides its numbers."""
    steps = (experiment.pretrain_steps, experiment.tune_steps)
    return {
        (arm.title, seed): files.json_digest(
            ["toy", VERSION, *steps, arm.method, arm.params, arm.penalty, arm.alpha, seed], 16
        )
        for arm in arms(experiment)
        for seed in experiment.seeds
    }


def run(experiment: ToyExperiment, runs: Path, *, say: Callable[[str], None]) -> int:
    """Do what the run directory lacks; return how many trials were done now.

    Raises BusyError if a sweep holds the directory, RecordsError if it cannot be written.
    """
    folder = runs.resolve() / experiment.name
    with locked(folder):
        wanted = keys(experiment)
        done = {record.key for record in read(folder)}
        resolved = strict_yaml.dump(experiment.model_dump(mode="json"))
        files.write_atomically(folder / "experiment.yaml", resolved)
        files.write_atomically(folder / WANTED, json.dumps(list(wanted.values()), indent=0).encode())
        if set(wanted.values()) <= done:
            return 0
        lines = Lines(folder)
        shown: dict[str, Any] = {}
        count = 0
        for record, points in _records(experiment, wanted, say):
            if record.key not in done:
                lines.append(record)
                count += 1
            if record.trial["seed"] == experiment.seeds[0]:
                shown[record.trial["title"]] = _short(points)
        files.write_atomically(folder / POINTS_FILE, json.dumps(shown, ensure_ascii=False).encode())
    return count


def _short(points: Tensor) -> list[Any]:
    """The first points of every class to two decimals: what figures show."""
    return [[[round(x, 2) for x in point] for point in each] for each in points[:, :POINTS_SHOWN].tolist()]


def prepared(experiment: ToyExperiment) -> Setup:
    """Make the worlds and train their base models."""
    worlds, truth = [], []
    for seed in experiment.seeds:
        generator = World(seed, torch.empty(0), torch.empty(0)).generator(0)
        worlds.append(World(seed, old_points(generator), new_points(generator)))
        truth.append(new_points(worlds[-1].generator(TRUTH)))
    schedule = Schedule.cosine()
    base = fitting.pretrain(worlds, schedule, experiment.pretrain_steps)
    samples = measures.sample(base, schedule, [world.generator(NOISE) for world in worlds])
    return Setup(worlds, schedule, base, samples, truth)


def _records(
    experiment: ToyExperiment, wanted: dict[tuple[str, int], str], say: Callable[[str], None]
) -> Iterator[tuple[Record, Tensor]]:
    started = time.perf_counter()
    setup = prepared(experiment)
    say(f"base models: {len(setup.worlds)} in {time.perf_counter() - started:.0f} s")
    everything = [Arm("Base model", "frozen", {}, alpha=0.0), *arms(experiment)]
    tuned: dict[str, tuple[Weights, float]] = {}
    for arm in everything:
        fit = json.dumps([arm.method, arm.params, arm.penalty], sort_keys=True)
        if fit not in tuned:
            started = time.perf_counter()
            weights = _fitted(arm, experiment, setup) if arm.method != "frozen" else setup.base
            tuned[fit] = (weights, (time.perf_counter() - started) / len(setup.worlds))
        weights, seconds = tuned[fit]
        if 0 < arm.alpha < 1:
            weights = {
                name: setup.base[name] + arm.alpha * (value - setup.base[name])
                for name, value in weights.items()
            }
        say(f"{arm.title}: {seconds:.1f} s a fit")
        yield from _measured(arm, weights, seconds, setup, wanted)


def _fitted(arm: Arm, experiment: ToyExperiment, setup: Setup) -> Weights:
    fits = [
        Fit(
            world,
            penalty=arm.penalty,
            prior=arm.params.get("prior_weight", 0.0),
            preserve=arm.params.get("preserve_weight", 0.0),
            alone=arm.method == "class_embedding",
        )
        for world in range(len(setup.worlds))
    ]
    old = setup.samples[:, :-1]
    return fitting.tune(fits, setup.base, setup.worlds, setup.schedule, experiment.tune_steps, old)


def _measured(
    arm: Arm, weights: Weights, seconds: float, setup: Setup, wanted: dict[tuple[str, int], str]
) -> Iterator[tuple[Record, Tensor]]:
    """Measure an arm in every world. The base model's drift is that of other noises: the floor."""
    purpose = BASE if arm.method == "frozen" else NOISE
    samples = measures.sample(weights, setup.schedule, [w.generator(purpose) for w in setup.worlds])
    probes = [world.generator(PROBE) for world in setup.worlds]
    old = torch.stack([world.old for world in setup.worlds])
    noise = measures.noise_l2(weights, setup.base, old, setup.schedule, probes)
    moved = measures.weight_l2(weights, setup.base)
    for place, world in enumerate(setup.worlds):
        new = world.new if arm.method == "frozen" else samples[place, -1]
        drift = {
            "old_energy": measures.class_drift(samples[place], setup.samples[place]),
            "noise_l2": noise[place],
            "weight_l2": moved[place],
        }
        fit = {"new_energy": measures.energy_distance(new, setup.truth[place])}
        key = wanted.get((arm.title, world.seed)) or files.json_digest(["toy base", VERSION, world.seed], 16)
        yield _record(arm, world.seed, key, fit, drift, seconds), samples[place]


def _record(
    arm: Arm, seed: int, key: str, scores: dict[str, float], drift: dict[str, float], seconds: float
) -> Record:
    trial: dict[str, Any] = {
        "dataset": "five_gaussians",
        "backbone": BACKBONE,
        "method": arm.method,
        "title": arm.title,
        "params": arm.params,
        "lipschitz": {"penalty": arm.penalty, "norm": "tensor_mean"} if arm.penalty else None,
        "subject": f"world-{seed}",
        "shots": 1000,
        "seed": seed,
        "sampling": {"sampler": "ancestral", "steps": 99},
    }
    if 0 < arm.alpha < 1:
        trial["readout"] = {"kind": "scale", "value": arm.alpha}
    return Record(
        key=key,
        keys={"fit": key, "sample": key, "score": key},
        status="done",
        trial=trial,
        scores=dict(scores),
        drift=dict(drift),
        seconds={"fit": seconds},
        provenance=provenance.of_process(),
    )
