"""Stage ``dino``: toybox-dino, a timm vision transformer that tells instances apart.

Two renders of one instance in other views, backgrounds and lights attract each other, all else repels. Half
of each batch is of one class, so that instances of a class must be told apart too. Instance-supervised: views
cropped from one picture would teach it the backgrounds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.toybox.pretrain import autoencoder, shipping
from harness.toybox.pretrain.loop import Draw, TrainingSchedule, averaged, shortened, train
from harness.toybox.pretrain.renders import POOLS, Pool, as_signed
from harness.toybox.scenes.world import CLASSES

ARCHITECTURE: dict[str, Any] = {
    "architecture": "vit_tiny_patch16_224",
    "options": {"img_size": 64, "patch_size": 8, "depth": 6, "num_classes": 0},
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}
COURSE = TrainingSchedule(
    pictures=300_000, batch=128, warmup=200, cooldown=0.3, average=0.995, seed=15, evaluate_every=20_000
)
TEMPERATURE = 0.1
RECONSTRUCTED = 4  # one in so many pictures has passed through the autoencoder


def build() -> Any:
    """Make the network with its initial weights."""
    torch.manual_seed(COURSE.seed)
    return timm.create_model(ARCHITECTURE["architecture"], pretrained=False, **ARCHITECTURE["options"])


def instance_loss(features: Tensor) -> Tensor:
    """InfoNCE over cosines: rows 2i and 2i + 1 of [2n, d] show one instance."""
    features = F.normalize(features.float(), dim=-1)
    logits = (features @ features.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(features)) ^ 1)


def draw_instances(rng: np.random.Generator, classes: np.ndarray, count: int) -> np.ndarray:
    """Numbers of ``count`` instances, half of them of one random class."""
    same = np.flatnonzero(classes == rng.choice(classes))
    half = rng.choice(same, size=min(count // 2, len(same)), replace=False)
    others = rng.choice(len(classes), size=count, replace=False)
    rest = others[~np.isin(others, half)]
    return np.concatenate([half, rest[: count - len(half)]])


def two_views(rng: np.random.Generator, instances: np.ndarray, views: int) -> np.ndarray:
    """Two different pictures of each instance, next to each other."""
    first = rng.integers(views, size=len(instances))
    second = (first + rng.integers(1, views, size=len(instances))) % views
    return np.stack([instances * views + first, instances * views + second], axis=1).ravel()


def auc(positives: Tensor, negatives: Tensor) -> float:
    """Probability that one of positives [n] exceeds one of negatives [m]."""
    ranked = torch.sort(negatives).values
    below = torch.searchsorted(ranked, positives) + torch.searchsorted(ranked, positives, right=True)
    return (below.double() / 2 / len(negatives)).mean().item()


def separation(features: Tensor, instances: Tensor, classes: Tensor) -> dict[str, float]:
    """How cosines of [n, d] tell pairs of one instance [n] from others, all or of its class [n]."""
    features = F.normalize(features.float(), dim=-1)
    upper = torch.ones(len(features), len(features)).triu(1).bool()
    cosines, same = features @ features.T, instances[:, None] == instances[None]
    akin = classes[:, None] == classes[None]
    positives, others, kin = cosines[same & upper], cosines[~same & upper], cosines[~same & akin & upper]
    return {
        "auc": auc(positives, others),
        "auc_class": auc(positives, kin),
        "gap": (positives.mean() - others.mean()).item(),
        "same": positives.mean().item(),
    }


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on wide looks, some of them autoencoded; the curve holds the separation of unseen instances."""
    course = shortened(COURSE, pictures, cooldown)
    pool, coder, views = Pool(workdir, "wide"), autoencoder.trained(workdir), POOLS["wide"].views
    classes = np.array([CLASSES.index(scene.category) for scene in pool.scenes[::views]])
    unseen = Pool(workdir, "validation_wide")
    kinds = torch.tensor([CLASSES.index(scene.category) for scene in unseen.scenes])

    def loss(network: Any, draw: Draw) -> Tensor:
        instances = draw_instances(draw.numpy, classes, course.batch // 2)
        shown = as_signed(pool.pictures(two_views(draw.numpy, instances, views)))
        with torch.no_grad():
            chosen = draw.numpy.choice(len(shown), size=len(shown) // RECONSTRUCTED, replace=False)
            shown[chosen] = autoencoder.reconstruct(coder, shown[chosen]).float()
        return instance_loss(network(shown))

    def evaluate(network: Any) -> dict[str, float]:
        shown = as_signed(unseen.pictures(range(len(unseen))))
        features = torch.cat([network(part) for part in shown.split(100)])
        return separation(features, torch.arange(len(features)) // views, kinds)

    train(
        "dino", build(), loss=loss, evaluate=evaluate, course=course, workdir=workdir,
        encoder=autoencoder.encoder_digest(workdir),
    )  # fmt: skip


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``dino.json``, timm's constructor and arguments, and ``dino.safetensors``."""
    shipping.write(averaged("dino", build(), workdir), weights / "dino.safetensors")
    (weights / "dino.json").write_text(json.dumps(ARCHITECTURE, indent=2) + "\n")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``dino.safetensors``."""
    network = shipping.read(build(), weights / "dino.safetensors")
    shipping.begin("dino", network, course=COURSE, workdir=workdir)
