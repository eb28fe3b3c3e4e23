"""What a process does of the toy: a world's base model, or a stack of its arms with their records.

Everything comes and goes as plain data. Writes no file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from harness.records import Record
from harness.toy import fitting, measures
from harness.toy.experiment import BACKBONE, NAIVE, Arm
from harness.toy.fitting import Fit, World
from harness.toy.gaussians import OLD_CLASSES, Schedule, new_points
from harness.toy.networks import Weights
from harness.trial import provenance

POINTS_SHOWN = 150
BASE, NOISE, PROBE, TRUTH = 5, 6, 7, 8  # purposes of a world's generators
SAMPLES = "samples"

Outcome = tuple[Record, list[Any]]
"""A record, and the first points of every class to two decimals [6][150][2]: what figures show."""


def one_thread() -> None:
    """Make this process compute with one thread, and keep memory that is freed for the next step."""
    torch.set_num_threads(1)
    # glibc hands large blocks back to the system, and every step asks for them anew, until a block as large
    # as this has been freed once: a third of a step's time.
    torch.empty(7_000_000)


def base(seed: int, steps: int) -> bytes:
    """Train a world's base model: its weights and its samples [6, n, 2], as safetensors."""
    world, schedule = World.drawn(seed), Schedule.cosine()
    weights = fitting.pretrain(world, schedule, steps)
    samples = measures.sample(weights, schedule, world.generator(NOISE))[0]
    return save({**weights, SAMPLES: samples.contiguous()})


def fit_of(arm: Arm) -> Fit:
    """Give what holds the copy of an arm back."""
    return Fit(
        penalty=arm.penalty,
        prior=arm.params.get("prior_weight", 0.0),
        preserve=arm.params.get("preserve_weight", 0.0),
        alone=arm.method == "class_embedding",
    )


def outcomes(
    seed: int, arms: Sequence[Arm], keys: Mapping[str, str], base: bytes, steps: int
) -> list[Outcome]:
    """Tune and measure arms of one world side by side; ``keys`` has the key of every title.

    All have the same kind of second batch. Arms that differ in α alone share a fit.
    """
    world, schedule = World.drawn(seed), Schedule.cosine()
    start = load(base)
    samples = start.pop(SAMPLES)
    fits = list(dict.fromkeys(fit_of(arm) for arm in arms if arm.method != "frozen"))
    began = time.perf_counter()
    tuned = fitting.tune(fits, start, world, schedule, steps, samples[:OLD_CLASSES]) if fits else start
    seconds = (time.perf_counter() - began) / max(1, len(fits))
    found = []
    for arm in arms:
        frozen = arm.method == "frozen"
        copy = 0 if frozen else fits.index(fit_of(arm))
        weights = start if frozen else _read_out(tuned, copy, start, arm.alpha)
        scores, drift, points = _measured(weights, start, samples, world, schedule, frozen=frozen)
        record = _record(arm, seed, keys[arm.title], scores, drift, 0.0 if frozen else seconds)
        found.append((record, _short(points)))
    return found


def _read_out(tuned: Weights, copy: int, base: Weights, alpha: float) -> Weights:
    """θ0 + α(θ − θ0) of one copy."""
    one = {name: tensor[copy : copy + 1] for name, tensor in tuned.items()}
    if alpha == 1:
        return one
    return {name: base[name] + alpha * (tensor - base[name]) for name, tensor in one.items()}


def _measured(
    weights: Weights, base: Weights, samples: Tensor, world: World, schedule: Schedule, *, frozen: bool
) -> tuple[dict[str, float], dict[str, float], Tensor]:
    """Measure one copy. The base model has the floors: drift by other noises, fit of true points."""
    points = measures.sample(weights, schedule, world.generator(BASE if frozen else NOISE))[0]
    new = world.new if frozen else points[-1]
    truth = new_points(world.generator(TRUTH))
    drift = {
        "old_energy": measures.class_drift(points, samples),
        "noise_l2": measures.noise_l2(weights, base, world.old, schedule, world.generator(PROBE))[0],
        "weight_l2": measures.weight_l2(weights, base)[0],
    }
    return {"new_energy": measures.energy_distance(new, truth)}, drift, points


def _short(points: Tensor) -> list[Any]:
    return [[[round(x, 2) for x in point] for point in each] for each in points[:, :POINTS_SHOWN].tolist()]


def _record(
    arm: Arm, seed: int, key: str, scores: dict[str, float], drift: dict[str, float], seconds: float
) -> Record:
    trial: dict[str, Any] = {
        "dataset": "five_gaussians",
        "backbone": BACKBONE,
        "method": arm.method,
        "title": arm.title,
        "label": NAIVE if arm.penalty or 0 < arm.alpha < 1 else arm.title,
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
