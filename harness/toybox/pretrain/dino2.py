"""Stage ``dino2``: toybox-dino, version 2, learns what version 1 overlooked by comparing near misses.

A vision transformer of 8-pixel patches, version 1's kind, learns palettes first and patterns hardly at all:
this is a convolutional network with group normalization, from scratch. Each batch shows groups of things that
differ in one property (class, pattern, shape, which material has which colour), two views of each: views of
one thing attract each other, all else repels. A thing whose hues are turned by 15 to 30 degrees has a cosine
of its own to come to. Colours are permuted and images mirrored, alike within a group. Two linear heads,
thrown away afterwards, name class and pattern.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.toybox.pretrain import autoencoder, dino, shipping
from harness.toybox.pretrain.loop import Draw, TrainingSchedule, averaged, shortened, train
from harness.toybox.pretrain.renders import POOLS, NearMisses, Pool, as_signed
from harness.toybox.scenes.attributes import LABELS, numbers
from harness.toybox.scenes.renditions import RENDITIONS
from harness.toybox.scenes.world import lab

ARCHITECTURE: dict[str, Any] = {
    "architecture": "resnet10t",
    "options": {
        "layers": (2, 2, 2, 1), "channels": (96, 128, 160, 224), "stem_type": "deep", "stem_width": 32,
        "norm_layer": "groupnorm", "num_classes": 0,
    },
    "size": 64,
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}  # fmt: skip
COURSE = TrainingSchedule(
    pictures=240_000, batch=120, lr=0.02, adam=1e-3, warmup=100, cooldown=0.4, average=0.99, seed=17,
    evaluate_every=20_000,
)  # fmt: skip
THINGS = ("itself", *RENDITIONS)
TURNED = THINGS.index("hue")
VIEWS = 2
GROUPS = COURSE.batch // (VIEWS * len(THINGS))
TEMPERATURE = 0.1
FORGOTTEN = 50.0
"""Distance of palettes, L*a*b* units, at which the cosine of a turned thing should have come to nothing."""
HUE_WEIGHT, NAMED_WEIGHT = 2.0, 0.5
NAMED = ("category", "pattern")
RECONSTRUCTED = 4  # one in so many images has passed through the autoencoder


class Learner(nn.Module):
    """The encoder with the heads that name class and pattern."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(
            {name: nn.Linear(encoder.num_features, len(LABELS[name])) for name in NAMED}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features [n, d] of images [n, 3, 64, 64] in [-1, 1]."""
        return self.encoder(images)


def build() -> Learner:
    """Make the network with its initial weights."""
    torch.manual_seed(COURSE.seed)
    return Learner(
        timm.create_model(ARCHITECTURE["architecture"], pretrained=False, **ARCHITECTURE["options"])
    )


def relations() -> tuple[Tensor, Tensor]:
    """Which rows of a batch show one thing, and which show a thing and itself with its hues turned.

    Two bool [batch, batch]; rows are ordered by group, thing and view.
    """
    row = torch.arange(COURSE.batch)
    group, thing = row // (VIEWS * len(THINGS)), row // VIEWS % len(THINGS)
    akin = group[:, None] == group[None]
    same = akin & (thing[:, None] == thing[None])
    first, second = thing[:, None], thing[None]
    hues = akin & (((first == 0) & (second == TURNED)) | ((first == TURNED) & (second == 0)))
    return same, hues


def near_miss_loss(features: Tensor, apart: Tensor) -> Tensor:
    """InfoNCE over cosines of [batch, d], and the squared error of the cosines of turned things; a scalar.

    ``apart``: distance in L*a*b* units between each group's palette and the turned one's, [groups].
    """
    features = F.normalize(features.float(), dim=-1)
    cosines = features @ features.T
    same, hues = relations()
    itself = torch.eye(len(features), dtype=torch.bool)
    logits = (cosines / TEMPERATURE).masked_fill(itself | hues, -torch.inf)
    contrast = -(logits.log_softmax(dim=1)[same & ~itself]).mean()
    target = (1 - apart / FORGOTTEN).clamp_min(0).repeat_interleave(VIEWS * len(THINGS))
    wanted = target[:, None].expand_as(cosines)
    return contrast + HUE_WEIGHT * F.mse_loss(cosines[hues], wanted[hues])


def draw_rows(rng: np.random.Generator, recipe: NearMisses, size: int) -> np.ndarray:
    """Two different pictures of every thing of random groups of a pool of ``size``, in order: [batch]."""
    groups = rng.choice(size // recipe.group, size=GROUPS, replace=False)
    rows = []
    for start in groups * recipe.group:
        place = 0
        for number in (recipe.views, *[recipe.others] * len(RENDITIONS)):
            rows.append(start + place + rng.choice(number, size=VIEWS, replace=False))
            place += number
    return np.concatenate(rows)


def as_groups(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Permute colours of [batch, 3, h, w] and mirror, alike within a group; brighten each by a factor."""
    shown = images.clone()
    for part in shown.split(VIEWS * len(THINGS)):
        if rng.random() < 0.4:
            part[:] = part[:, rng.permutation(3)]
        if rng.random() < 0.5:
            part[:] = part.flip(-1)
    gain = torch.from_numpy(rng.uniform(0.8, 1.15, size=(len(shown), 1, 1, 1))).float()
    return ((shown + 1) * gain - 1).clamp(-1, 1)


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on near misses; the curve holds how well each kind is told apart."""
    course = shortened(COURSE, pictures, cooldown)
    pool, coder, recipe = Pool(workdir, "near"), autoencoder.shipped(), near_recipe("near")
    palettes = torch.tensor(np.array([[lab(rgb) for rgb in scene.palette] for scene in pool.scenes])).float()
    labels = numbers(pool.scenes)

    def loss(network: Any, draw: Draw) -> Tensor:
        rows = draw_rows(draw.numpy, recipe, len(pool))
        shown = as_groups(as_signed(pool.pictures(rows)), draw.numpy)
        with torch.no_grad():
            chosen = draw.numpy.choice(len(shown), size=len(shown) // RECONSTRUCTED, replace=False)
            shown[chosen] = autoencoder.reconstruct(coder, shown[chosen]).float()
        grouped = palettes[rows].view(GROUPS, len(THINGS), VIEWS, 3, 3)[:, :, 0]
        apart = (grouped[:, TURNED] - grouped[:, 0]).norm(dim=-1).mean(dim=-1)
        features = network(shown)
        named = sum(
            F.cross_entropy(head(features).float(), labels[rows, list(LABELS).index(name)])
            for name, head in network.heads.items()
        )
        return near_miss_loss(features, apart) + NAMED_WEIGHT * named

    def evaluate(network: Any) -> dict[str, float]:
        unseen = Pool(workdir, "validation_near")
        shown = as_signed(unseen.pictures(range(len(unseen))))
        features = torch.cat([network(part) for part in shown.split(100)])
        return told_apart(features, near_recipe("validation_near"))

    train("dino2", build(), loss=loss, evaluate=evaluate, course=course, workdir=workdir)


def near_recipe(pool: str) -> NearMisses:
    """The recipe of a pool of near misses."""
    recipe = POOLS[pool]
    assert isinstance(recipe, NearMisses)
    return recipe


def told_apart(features: Tensor, recipe: NearMisses) -> dict[str, float]:
    """AUC of cosines, same thing against each kind of near miss, of [groups * group, d]; and mean cosines."""
    features = F.normalize(features.float(), dim=-1).view(-1, recipe.group, features.shape[-1])
    first = features[:, : recipe.views]
    upper = torch.ones(recipe.views, recipe.views).triu(1).bool()
    positives = (first @ first.transpose(1, 2))[:, upper].flatten()
    figures = {"same": positives.mean().item()}
    parts = features[:, recipe.views :].split(recipe.others, dim=1)
    for name, part in zip(RENDITIONS, parts, strict=True):
        negatives = (first @ part.transpose(1, 2)).flatten()
        figures |= {f"auc_{name}": dino.auc(positives, negatives), f"cosine_{name}": negatives.mean().item()}
    return figures


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``dino-2.json``, timm's constructor and arguments, and ``dino-2.safetensors``."""
    shipping.write(averaged("dino2", build(), workdir).encoder, weights / "dino-2.safetensors")
    (weights / "dino-2.json").write_text(json.dumps(ARCHITECTURE, indent=2) + "\n")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``dino-2.safetensors``; the heads begin anew."""
    learner = build()
    shipping.read(learner.encoder, weights / "dino-2.safetensors")
    shipping.begin("dino2", learner, course=COURSE, workdir=workdir)
