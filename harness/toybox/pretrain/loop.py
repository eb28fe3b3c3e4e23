"""The training loop that every stage shares: resumable at any kill, bit for bit, and usable at any moment.

It knows nothing of pictures or captions: a stage gives it networks, a loss of (networks, draw) and an
evaluation. All randomness of a step comes from its ``Draw``, which depends on the seed and the number of the
step alone, so that a checkpoint holds weights, their average and the optimizers' state, and no generator's.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.errors import ConfigError
from harness.files import write_atomically
from harness.toybox.pretrain.muon import Muon

THINNEST = 4  # Muon takes matrices with at least so many rows and columns


@dataclass(frozen=True)
class Course:
    """How long and how fast a stage trains.

    ``pictures`` are seen in all, ``batch`` at a step. The learning rates, ``lr`` of Muon for matrices and
    ``adam`` of Adam for everything else, climb over ``warmup`` steps, stay, and fall linearly to zero over
    the last share ``cooldown`` of the pictures: without it a stage has no horizon, and more pictures simply
    continue it. ``average`` is the decay of the moving average of the weights, which is what evaluations and
    exports use.
    """

    pictures: int
    batch: int
    lr: float = 0.02
    adam: float = 1e-3
    warmup: int = 200
    cooldown: float = 0.0
    average: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    evaluate_every: int = 20_000

    @property
    def steps(self) -> int:
        """The number of steps in all."""
        return math.ceil(self.pictures / self.batch)

    def pace(self, step: int) -> float:
        """What the learning rates are multiplied with at step ``step`` (from 0): in [0, 1]."""
        climb = min(1.0, (step + 1) / self.warmup)
        last = max(1, round(self.cooldown * self.steps))
        cool = min(1.0, (self.steps - step) / last) if self.cooldown else 1.0
        return climb * cool

    def decay(self, step: int) -> float:
        """The decay of the average at step ``step``: small at first, so that the start is forgotten."""
        return min(self.average, (1 + step) / (10 + step))


def shortened(course: Course, pictures: int | None, cooldown: float | None) -> Course:
    """The course with another number of pictures or another cool-down, where one is given."""
    given: dict[str, Any] = {"pictures": pictures, "cooldown": cooldown}
    return replace(course, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Draw:
    """The randomness of one step."""

    numpy: np.random.Generator
    torch: torch.Generator

    @classmethod
    def of(cls, seed: int, step: int) -> Draw:
        """Derive the generators of step ``step`` under ``seed``."""
        numpy = np.random.default_rng([seed, step])
        return cls(numpy, torch.Generator().manual_seed(int(numpy.integers(2**62))))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32."""
        return torch.randn(*shape, generator=self.torch)


Loss = Callable[[Any, Draw], Tensor]
Evaluate = Callable[[Any], Mapping[str, float]]


class Training:
    """The state of a stage: networks, their moving average, the optimizers and the step.

    ``encoder`` is the digest of the autoencoder that the stage's pictures or latents come through.
    """

    def __init__(self, networks: Any, course: Course, *, encoder: str | None = None) -> None:
        self.networks, self.course, self.encoder, self.step = networks, course, encoder, 0
        self.averaged = deepcopy(networks).requires_grad_(False).eval()
        self.parameters = [weight for weight in networks.parameters() if weight.requires_grad]
        matrices, others = weight_groups(networks)
        self.optimizers = {
            "muon": Muon(matrices, lr=course.lr, weight_decay=course.weight_decay),
            "adam": torch.optim.AdamW(
                others, lr=course.adam, betas=(0.9, 0.99), weight_decay=0.0, fused=True
            ),
        }
        self._average = [
            mean for mean, weight in zip(self.averaged.parameters(), networks.parameters(), strict=True)
            if weight.requires_grad
        ]  # fmt: skip

    def advance(self, loss: Loss) -> float:
        """Take one step; return its loss."""
        course = self.course
        for name, rate in (("muon", course.lr), ("adam", course.adam)):
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * course.pace(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(self.networks, Draw.of(course.seed, self.step))
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, course.clip)
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        torch._foreach_lerp_(self._average, self.parameters, 1 - course.decay(self.step))
        self.step += 1
        return float(value.detach())

    def save(self, path: Path) -> None:
        """Write the state in one move: a reader sees the old file or the new one."""
        state = {
            "step": self.step,
            "course": asdict(self.course),
            "encoder": self.encoder,
            "networks": self.networks.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }
        write_atomically(path, lambda file: torch.save(state, file))

    def restore(self, path: Path) -> None:
        """Continue from what ``save`` wrote; raises ConfigError if it is of another course or encoder."""
        state = torch.load(path, weights_only=True)
        refuse_other_course(state, path, self.course)
        refuse_other_encoder(state, path, self.encoder)
        self.step = state["step"]
        self.networks.load_state_dict(state["networks"])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


FREE = ("pictures", "cooldown", "evaluate_every")
"""What of a course may change when a stage is continued."""


def refuse_other_course(state: Mapping[str, Any], path: Path, course: Course) -> None:
    """Raise ConfigError if a checkpoint that says its course was trained otherwise."""
    for name, value in asdict(course).items():
        if name not in FREE and (held := state.get("course", {}).get(name, value)) != value:
            raise ConfigError(f"{path}: trained with {name} {held}, now {value}; move it away to begin anew")


def refuse_other_encoder(state: Mapping[str, Any], path: Path, encoder: str | None) -> None:
    """Raise ConfigError if a checkpoint that says its encoder was trained with another."""
    held = state.get("encoder")
    if None not in (held, encoder) and held != encoder:
        raise ConfigError(
            f"{path}: trained with the encoder {held}, autoencoder.pt now holds {encoder}; "
            "move it away to begin anew"
        )


def weight_groups(networks: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split trainable weights into matrices (filters among them) and the rest: vectors, tables, thin ones.

    Nothing but matrices decays: a decaying table would shrink every row at every step, the thousands of words
    that no caption holds included.
    """
    tables = {id(module.weight) for module in networks.modules() if isinstance(module, nn.Embedding)}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for weight in networks.parameters():
        if weight.requires_grad:
            wide = weight.ndim >= 2 and min(weight.shape[0], weight[0].numel()) >= THINNEST
            (matrices if wide and id(weight) not in tables else others).append(weight)
    return matrices, others


class Curve:
    """A stage's log: one CSV row per evaluation. Rows past the checkpoint go when a stage is resumed."""

    def __init__(self, path: Path, *, step: int) -> None:
        self.path = path
        self.rows = [row for row in self._read() if int(row["step"]) <= step]
        self._write()

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue().encode())

    def append(self, **values: float) -> None:
        """Add a row."""
        self.rows.append({name: f"{value:.6g}" for name, value in values.items()})
        self._write()


def train(
    name: str,
    networks: Any,
    *,
    loss: Loss,
    evaluate: Evaluate,
    course: Course,
    workdir: Path,
    encoder: str | None = None,
    checkpoint_seconds: float = 120.0,
    report_seconds: float = 20.0,
    stop_after: int | None = None,
) -> Training:
    """Train ``networks`` to the end of the course, continuing from the stage's checkpoint if there is one.

    Raises ConfigError if the checkpoint says another course, or another ``encoder`` than this one.

    Leaves ``NAME.pt`` (the state) and ``NAME.csv`` (the curve) in ``workdir``. ``stop_after`` leaves, without
    a last checkpoint, after so many steps of this call: what a kill would do.
    """
    training = Training(networks, course, encoder=encoder)
    checkpoint = workdir / f"{name}.pt"
    if checkpoint.exists():
        training.restore(checkpoint)
    curve = Curve(workdir / f"{name}.csv", step=training.step)
    first, began, saved, reported = training.step, time.monotonic(), time.monotonic(), 0.0
    losses: list[float] = []
    networks.train()
    with sdpa_kernel(SDPBackend.MATH):  # fused attention's backward pass took 38 % of a step
        while training.step < course.steps:
            if stop_after is not None and training.step - first >= stop_after:
                return training
            losses.append(training.advance(loss))
            now = time.monotonic()
            if now - reported > report_seconds:
                reported = now
                print(
                    progress(name, training, losses, done=training.step - first, seconds=now - began),
                    flush=True,
                )
            if crossed(training.step, course) or training.step == course.steps:
                record(training, curve, losses, evaluate)
                print(
                    f"{name}: " + ", ".join(f"{key} {value}" for key, value in curve.rows[-1].items()),
                    flush=True,
                )
                losses.clear()
            if now - saved > checkpoint_seconds:
                training.save(checkpoint)
                saved = time.monotonic()
    training.save(checkpoint)
    return training


def crossed(step: int, course: Course) -> bool:
    """Say whether step number ``step`` passed a multiple of ``evaluate_every`` pictures."""
    seen = step * course.batch
    return seen // course.evaluate_every > (seen - course.batch) // course.evaluate_every


def record(training: Training, curve: Curve, losses: list[float], evaluate: Evaluate) -> None:
    """Evaluate the averaged networks and add a row to the curve."""
    with torch.no_grad():
        figures = evaluate(training.averaged)
    seen = training.step * training.course.batch
    mean = float(np.mean(losses)) if losses else math.nan
    curve.append(step=training.step, pictures=seen, loss=mean, **figures)


def progress(name: str, training: Training, losses: list[float], *, done: int, seconds: float) -> str:
    """One line: where a stage stands, how fast it is and when it will end."""
    course = training.course
    pace = seconds / max(1, done)
    left = (course.steps - training.step) * pace / 60
    recent = np.mean(losses[-100:]) if losses else math.nan
    return (
        f"{name}: {training.step * course.batch:,} of {course.pictures:,} pictures, loss {recent:.4f}, "
        f"{1000 * pace / course.batch:.2f} ms a picture, {left:.1f} min left"
    )


def averaged(name: str, networks: Any, workdir: Path, *, encoder: str | None = None) -> Any:
    """Load a stage's averaged weights into ``networks``.

    Raises ConfigError naming the stage, or if they were trained with another ``encoder``.
    """
    path = workdir / f"{name}.pt"
    if not path.exists():
        raise ConfigError(f"{path}: not there; run the stage {name!r} first")
    state = torch.load(path, weights_only=True, mmap=True)
    refuse_other_encoder(state, path, encoder)
    networks.load_state_dict(state["averaged"])
    return networks.requires_grad_(False).eval()
