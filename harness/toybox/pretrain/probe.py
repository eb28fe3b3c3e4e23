"""Stage ``probe``: the attribute probe learns from clean, autoencoded and slightly noisy pictures, and from
garbage.

Garbage is what a failing generator gives: latents far from clean, decoded, and pure noise. Its category is
"nothing" and its other attributes are not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from harness.toybox.pretrain import autoencoder, shipping
from harness.toybox.pretrain.loop import Draw, TrainingSchedule, averaged, shortened, train
from harness.toybox.pretrain.renders import Pool, as_signed
from harness.toybox.pretrain.unet import alphas, noised
from harness.toybox.probe import NOTHING, ProbeNetwork
from harness.toybox.scenes.attributes import LABELS, SHAPE, numbers

CHANNELS = (48, 96, 160, 224)
ANSWERS = {name: LABELS[name] for name in ("category", "background", "colour", "pattern", "accessory")}
ANSWERS = {**ANSWERS, "category": (*ANSWERS["category"], NOTHING)}
DECODED, FAINT, GARBAGE = 16, 8, 8  # of each batch: autoencoded, slightly noisy in latents, garbage
FAINT_UNTIL, GARBAGE_FROM = 80, 350  # time steps


ORDER = [*LABELS, *SHAPE]  # of the columns of targets


@dataclass(frozen=True)
class Lesson:
    """What a version of the probe learns, and for how long.

    ``shares``: how many pictures of each batch come from each pool; ``first``: how many pictures of a pool
    are used, the first ones, where not all; ``begins``: the shipped network whose layers it begins with,
    those that it shares.
    """

    stage: str
    answers: Mapping[str, tuple[str, ...]]
    shares: Mapping[str, int]
    first: Mapping[str, int]
    unseen: tuple[str, ...]
    course: TrainingSchedule
    begins: str | None = None

    def build(self) -> ProbeNetwork:
        """Make the network with its initial weights."""
        torch.manual_seed(self.course.seed)
        network = ProbeNetwork(CHANNELS, self.answers)
        if self.begins is not None:
            known = load_file(shipping.SHIPPED / f"{self.begins}.safetensors")
            network.load_state_dict({**network.state_dict(), **known})
        return network


LESSON = Lesson(
    stage="probe",
    answers=ANSWERS,
    shares={"named": 38, "wide": 26},
    first={},
    unseen=("validation", "validation_wide"),
    course=TrainingSchedule(
        pictures=250_000, batch=64, warmup=200, cooldown=0.4, average=0.995, seed=16, evaluate_every=25_000
    ),
)


def decoded_at(coder: Any, pictures: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
    """Encode images [n, 3, 64, 64], add noise at steps [n], decode: what a sampler holds that stops early."""
    factor = coder.config.scaling_factor
    latents = coder.encode(pictures).latent_dist.mode().float() * factor
    return coder.decode(noised(latents, noise, alphas()[steps]) / factor).sample.float().clamp(-1, 1)


def disturb(coder: Any, pictures: Tensor, draw: Draw) -> Tensor:
    """Replace the first of [n, 3, 64, 64] by autoencoded, faintly noisy and garbage versions."""
    count = DECODED + FAINT + GARBAGE
    faint = torch.randint(FAINT_UNTIL, (FAINT,), generator=draw.torch)
    garbage = torch.randint(GARBAGE_FROM, 1_000, (GARBAGE,), generator=draw.torch)
    steps = torch.cat([torch.zeros(DECODED, dtype=torch.int64), faint, garbage])
    noise = draw.normal(count, 16, 8, 8)
    noise[:DECODED] = 0
    changed = decoded_at(coder, pictures[:count], steps, noise)
    if draw.numpy.random() < 0.3:
        changed[-1] = draw.normal(3, 64, 64).mul(float(draw.numpy.uniform(0.1, 1))).clamp(-1, 1)
    return torch.cat([changed, pictures[count:]])


def answer_loss(logits: dict[str, Tensor], targets: Tensor) -> Tensor:
    """Mean cross-entropy over attributes of logits [n, labels]; targets [n, ORDER], -100: left out.

    The parameters of the shape count as one attribute together.
    """
    losses = {
        name: F.cross_entropy(told.float(), targets[:, ORDER.index(name)], label_smoothing=0.02)
        for name, told in logits.items()
    }
    shape = [losses.pop(name) for name in SHAPE if name in losses]
    return torch.stack([*losses.values(), *([torch.stack(shape).mean()] if shape else [])]).mean()


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on named and wide looks; the curve holds accuracies, autoencoded and unseen, and rejections."""
    course = shortened(LESSON.course, pictures, cooldown)
    coder, digest = autoencoder.trained(workdir), autoencoder.encoder_digest(workdir)
    teach(LESSON, coder, workdir=workdir, course=course, encoder=digest)


def teach(
    lesson: Lesson, coder: Any, *, workdir: Path, course: TrainingSchedule, encoder: str | None = None
) -> None:
    """Train a version of the probe with an autoencoder; ``encoder``: its digest, where it may change."""
    pools = [Pool(workdir, name, first=lesson.first.get(name)) for name in lesson.shares]
    labels = [numbers(pool.scenes, shape=True) for pool in pools]
    unseen = {name: unseen_batch(workdir, name, coder) for name in lesson.unseen}
    garbage = unseen_garbage(workdir, coder)

    def loss(network: Any, draw: Draw) -> Tensor:
        sizes = lesson.shares.values()
        indices = [draw.numpy.integers(len(pool), size=size) for pool, size in zip(pools, sizes, strict=True)]
        shown = torch.cat([pool.pictures(chosen) for pool, chosen in zip(pools, indices, strict=True)])
        targets = torch.cat([rows[chosen] for rows, chosen in zip(labels, indices, strict=True)])
        order = torch.from_numpy(draw.numpy.permutation(course.batch))
        shown, targets = as_signed(shown[order]), targets[order]
        with torch.no_grad():
            shown = disturb(coder, shown, draw)
        rejected = slice(DECODED + FAINT, DECODED + FAINT + GARBAGE)
        targets[rejected] = -100
        targets[rejected, 0] = lesson.answers["category"].index(NOTHING)
        return answer_loss(network(shown), targets)

    def evaluate(network: Any) -> dict[str, float]:
        figures = {}
        for pool, (shown, targets) in unseen.items():
            for name, logits in network(shown).items():
                right = logits.argmax(1) == targets[:, ORDER.index(name)]
                figures[f"{name}_{pool}"] = right.float().mean().item()
        confidence = network(garbage)["category"].softmax(1)[:, :-1].amax(1)
        return {**figures, "rejected": (confidence < 0.5).float().mean().item()}

    train(
        lesson.stage, lesson.build(), loss=loss, evaluate=evaluate, course=course, workdir=workdir,
        encoder=encoder,
    )  # fmt: skip


@torch.no_grad()
def unseen_batch(workdir: Path, name: str, coder: Any, count: int = 500) -> tuple[Tensor, Tensor]:
    """Autoencoded pictures of a validation pool and their labels."""
    pool = Pool(workdir, name)
    shown = autoencoder.reconstruct(coder, as_signed(pool.pictures(range(count))))
    return shown, numbers(pool.scenes[:count], shape=True)


@torch.no_grad()
def unseen_garbage(workdir: Path, coder: Any, count: int = 200) -> Tensor:
    """Unseen pictures decoded from half the schedule's noise and more."""
    draw = Draw.of(1_016, 0)
    shown = as_signed(Pool(workdir, "validation").pictures(range(count)))
    steps = torch.randint(500, 1_000, (count,), generator=draw.torch)
    return decoded_at(coder, shown, steps, draw.normal(count, 16, 8, 8))


def ship(lesson: Lesson, *, workdir: Path, weights: Path, name: str) -> None:
    """Write ``<name>.json``, channels and labels, and ``<name>.safetensors``."""
    shipping.write(averaged(lesson.stage, lesson.build(), workdir), weights / f"{name}.safetensors")
    (weights / f"{name}.json").write_text(
        json.dumps({"channels": CHANNELS, "labels": lesson.answers}, indent=2) + "\n"
    )


def begin(lesson: Lesson, *, workdir: Path, weights: Path, name: str) -> None:
    """Begin with ``<name>.safetensors``."""
    network = shipping.read(lesson.build(), weights / f"{name}.safetensors")
    shipping.begin(lesson.stage, network, course=lesson.course, workdir=workdir)


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``probe.json`` and ``probe.safetensors``."""
    ship(LESSON, workdir=workdir, weights=weights, name="probe")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``probe.safetensors``."""
    begin(LESSON, workdir=workdir, weights=weights, name="probe")
