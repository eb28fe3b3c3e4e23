"""Stage ``probe``: the attribute probe learns from clean, autoencoded and slightly noisy pictures, and from
garbage.

Garbage is what a failing generator gives: latents far from clean, decoded, and pure noise. Its category is
"nothing" and its other attributes are not asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.toybox.pretrain import autoencoder, shipping
from harness.toybox.pretrain.loop import Draw, TrainingSchedule, averaged, shortened, train
from harness.toybox.pretrain.renders import Pool, as_signed
from harness.toybox.pretrain.unet import alphas, noised
from harness.toybox.probe import NOTHING, ProbeNetwork
from harness.toybox.scenes.attributes import LABELS, numbers

CHANNELS = (48, 96, 160, 224)
ANSWERS = {name: LABELS[name] for name in ("category", "background", "colour", "pattern", "accessory")}
ANSWERS = {**ANSWERS, "category": (*ANSWERS["category"], NOTHING)}
COURSE = TrainingSchedule(
    pictures=250_000, batch=64, warmup=200, cooldown=0.4, average=0.995, seed=16, evaluate_every=25_000
)
WIDE_SHARE = 0.4
DECODED, FAINT, GARBAGE = 16, 8, 8  # of each batch: autoencoded, slightly noisy in latents, garbage
FAINT_UNTIL, GARBAGE_FROM = 80, 350  # time steps


def build() -> ProbeNetwork:
    """Make the network with its initial weights."""
    torch.manual_seed(COURSE.seed)
    return ProbeNetwork(CHANNELS, ANSWERS)


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
    """Mean cross-entropy over attributes of logits [n, labels]; targets [n, attributes], -100: left out."""
    columns = {name: targets[:, list(LABELS).index(name)] for name in ANSWERS}
    losses = [
        F.cross_entropy(logits[name].float(), column, label_smoothing=0.02)
        for name, column in columns.items()
    ]
    return torch.stack(losses).mean()


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on named and wide looks; the curve holds accuracies, autoencoded and unseen, and rejections."""
    course = shortened(COURSE, pictures, cooldown)
    pools, coder = (Pool(workdir, "named"), Pool(workdir, "wide")), autoencoder.trained(workdir)
    labels = [numbers(pool.scenes) for pool in pools]
    wide = round(WIDE_SHARE * course.batch)
    unseen = {name: unseen_batch(workdir, name, coder) for name in ("validation", "validation_wide")}
    garbage = unseen_garbage(workdir, coder)

    def loss(network: Any, draw: Draw) -> Tensor:
        sizes = (course.batch - wide, wide)
        indices = [draw.numpy.integers(len(pool), size=size) for pool, size in zip(pools, sizes, strict=True)]
        shown = torch.cat([pool.pictures(chosen) for pool, chosen in zip(pools, indices, strict=True)])
        targets = torch.cat([rows[chosen] for rows, chosen in zip(labels, indices, strict=True)])
        order = torch.from_numpy(draw.numpy.permutation(course.batch))
        shown, targets = as_signed(shown[order]), targets[order]
        with torch.no_grad():
            shown = disturb(coder, shown, draw)
        rejected = slice(DECODED + FAINT, DECODED + FAINT + GARBAGE)
        targets[rejected] = -100
        targets[rejected, 0] = ANSWERS["category"].index(NOTHING)
        return answer_loss(network(shown), targets)

    def evaluate(network: Any) -> dict[str, float]:
        figures = {}
        for pool, (shown, targets) in unseen.items():
            for name, logits in network(shown).items():
                right = logits.argmax(1) == targets[:, list(LABELS).index(name)]
                figures[f"{name}_{pool}"] = right.float().mean().item()
        confidence = network(garbage)["category"].softmax(1)[:, :-1].amax(1)
        return {**figures, "rejected": (confidence < 0.5).float().mean().item()}

    train(
        "probe", build(), loss=loss, evaluate=evaluate, course=course, workdir=workdir,
        encoder=autoencoder.encoder_digest(workdir),
    )  # fmt: skip


@torch.no_grad()
def unseen_batch(workdir: Path, name: str, coder: Any, count: int = 500) -> tuple[Tensor, Tensor]:
    """Autoencoded pictures of a validation pool and their labels."""
    pool = Pool(workdir, name)
    shown = autoencoder.reconstruct(coder, as_signed(pool.pictures(range(count))))
    return shown, numbers(pool.scenes[:count])


@torch.no_grad()
def unseen_garbage(workdir: Path, coder: Any, count: int = 200) -> Tensor:
    """Unseen pictures decoded from half the schedule's noise and more."""
    draw = Draw.of(1_016, 0)
    shown = as_signed(Pool(workdir, "validation").pictures(range(count)))
    steps = torch.randint(500, 1_000, (count,), generator=draw.torch)
    return decoded_at(coder, shown, steps, draw.normal(count, 16, 8, 8))


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``probe.json``, channels and labels, and ``probe.safetensors``."""
    shipping.write(averaged("probe", build(), workdir), weights / "probe.safetensors")
    (weights / "probe.json").write_text(
        json.dumps({"channels": CHANNELS, "labels": ANSWERS}, indent=2) + "\n"
    )


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``probe.safetensors``."""
    network = shipping.read(build(), weights / "probe.safetensors")
    shipping.begin("probe", network, course=COURSE, workdir=workdir)
