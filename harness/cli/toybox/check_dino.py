"""What toybox-dino sees, in both versions: instances apart, near misses apart, and backgrounds not.

Everything is measured on subjects and instances that no training saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from harness.cli.toybox.figures import Figure
from harness.cli.toybox.networks import SEED, ToyboxNetworks
from harness.toybox.pretrain.dino import separation
from harness.toybox.pretrain.dino2 import told_apart
from harness.toybox.pretrain.renders import NearMisses
from harness.toybox.scenes.render import render
from harness.toybox.scenes.renditions import RENDITIONS
from harness.toybox.scenes.world import CLASSES, Scene, another_view, sample_scene
from harness.toybox.subjects import ToySubject, subjects


def check_dino(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """Subjects against each other, and new instances against others of their class; then near misses."""
    strangers, instances, classes = new_instances()
    for version in (1, 2):
        yield from check_apart(shelf, f"dino {version}", subjects(), version=version)
        others = separation(shelf.dino_features(strangers, version=version), instances, classes)
        yield Figure(f"dino {version}: new instances of one class, AUC", others["auc_class"], 0.90)
    yield from check_near_misses(shelf)


def check_apart(
    shelf: ToyboxNetworks, part: str, everyone: Sequence[ToySubject], *, version: int
) -> Iterator[Figure]:
    """Whether photos of one subject are told from those of another, and of another of its class."""
    photos = [scene for subject in everyone for scene in subject.photos]
    count = len(photos) // len(everyone)
    kinds = torch.tensor([CLASSES.index(scene.category) for scene in photos])
    features = shelf.dino_features(render(photos), version=version)
    ours = separation(features, torch.arange(len(photos)) // count, kinds)
    yield Figure(f"{part}: same or different subject, AUC", ours["auc"], 0.95)
    yield Figure(f"{part}: subjects of one class, AUC", ours["auc_class"], 0.90)
    yield Figure(f"{part}: real-vs-real above real-vs-other", ours["gap"], 0.25)


def new_instances(count: int = 200, views: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Renders, instance and class of unseen wide instances, ``views`` pictures each."""
    rng = np.random.default_rng([SEED, 3])
    scenes: list[Scene] = []
    for _ in range(count):
        scene = sample_scene(rng, split="any", looks="wide")
        scenes += [scene, *(another_view(scene, rng) for _ in range(views - 1))]
    kinds = torch.tensor([CLASSES.index(scene.category) for scene in scenes])
    return render(scenes), torch.arange(len(scenes)) // views, kinds


NEAR_FLOORS = {"class": 0.95, "pattern": 0.95, "materials": 0.95, "shape": None, "hue": None}
"""AUC of one thing against its renditions at equal palette, version 2; the others inform."""


def check_near_misses(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """Photos of the subjects against photos of their renditions: which properties are seen?"""
    rng = np.random.default_rng([SEED, 7])
    recipe = NearMisses(seed=0, pictures=0, views=12, others=6)
    scenes: list[Scene] = []
    for subject in subjects():
        scenes += subject.photos
        for change in RENDITIONS.values():
            missed = change(subject.look, rng)
            scenes += [another_view(missed, rng) for _ in range(recipe.others)]
    renders = render(scenes)
    for version in (1, 2):
        found = told_apart(shelf.dino_features(renders, version=version), recipe)
        yield Figure(f"dino {version}: cosine of a thing in other backgrounds and views", found["same"])
        for name, floor in NEAR_FLOORS.items():
            words = f"dino {version}: same thing or another {name}"
            yield Figure(f"{words}, AUC", found[f"auc_{name}"], floor if version == 2 else None)
            yield Figure(f"{words}, cosine", found[f"cosine_{name}"])
