"""Stage ``renders``: the pools of pictures that the other stages learn from, drawn shard by shard.

A pool is a folder of shards, ``00000.npy`` (uint8 [n, 3, 64, 64]) with ``00000.json`` (its scenes). A shard
depends on the pool's seed and its own number alone, and is renamed into place when it is complete: a killed
stage continues, and several processes can draw one pool.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.errors import ConfigError
from harness.toybox.requested import requested
from harness.toybox.scenes.render import render
from harness.toybox.scenes.renditions import RENDITIONS, strong_view
from harness.toybox.scenes.world import (
    ACCESSORIES,
    BACKGROUNDS,
    COLOURS,
    Looks,
    Scene,
    Split,
    another_view,
    is_heldout,
    pick,
    sample_scene,
    triple,
)

SHARD = 1_000


@dataclass(frozen=True)
class Recipe:
    """How a pool is drawn: ``views`` pictures of each instance stand next to each other."""

    seed: int
    pictures: int
    split: Split = "train"
    looks: Looks = "named"
    views: int = 1

    def scenes(self, shard: int, size: int) -> list[Scene]:
        """Draw the scenes of a shard."""
        rng = np.random.default_rng([self.seed, shard])
        drawn: list[Scene] = []
        while len(drawn) < size:
            scene = sample_scene(rng, split=self.split, looks=self.looks)
            drawn += [scene, *(another_view(scene, rng) for _ in range(self.views - 1))]
        return drawn[:size]


@dataclass(frozen=True)
class NearMisses(Recipe):
    """Groups of pictures: ``views`` of an instance, then ``others`` of each of its renditions."""

    others: int = 3

    @property
    def group(self) -> int:
        """Pictures in a group."""
        return self.views + self.others * len(RENDITIONS)

    def scenes(self, shard: int, size: int) -> list[Scene]:
        """Draw the scenes of a shard."""
        rng = np.random.default_rng([self.seed, shard])
        drawn: list[Scene] = []
        while len(drawn) < size:
            scene = sample_scene(rng, split=self.split, looks=self.looks)
            things = [(scene, self.views)]
            things += [(change(scene, rng), self.others) for change in RENDITIONS.values()]
            drawn += [strong_view(thing, rng) for thing, views in things for _ in range(views)]
        return drawn[:size]


@dataclass(frozen=True)
class Asked(Recipe):
    """Pictures as prompts ask for them, of things off the vocabulary: most of them recoloured as a whole."""

    recoloured: float = 0.7

    def scenes(self, shard: int, size: int) -> list[Scene]:
        """Draw the scenes of a shard; none shows a held-out triple."""
        rng = np.random.default_rng([self.seed, shard])
        drawn: list[Scene] = []
        while len(drawn) < size:
            look = sample_scene(rng, split=self.split, looks=self.looks)
            asked = {"background": pick(rng, BACKGROUNDS), "accessory": pick(rng, ACCESSORIES)}
            if rng.random() < self.recoloured:
                asked["colour"] = pick(rng, tuple(COLOURS))
            scene = requested(look, asked, rng)
            if not is_heldout(*triple(scene)):
                drawn.append(scene)
        return drawn


POOLS: dict[str, Recipe] = {
    "validation": Recipe(seed=101, pictures=1_000),
    "validation_heldout": Recipe(seed=102, pictures=1_000, split="heldout"),
    "validation_wide": Recipe(seed=103, pictures=1_000, looks="wide", views=4),
    "validation_near": NearMisses(seed=104, pictures=2_000, split="any", looks="wide", views=5),
    "validation_asked": Asked(seed=105, pictures=1_000, looks="wide"),
    "named": Recipe(seed=1, pictures=60_000),
    "wide": Recipe(seed=2, pictures=40_000, looks="wide", views=4),
    "near": NearMisses(seed=3, pictures=60_000, looks="wide", views=5),
    "asked": Asked(seed=4, pictures=20_000, looks="wide"),
}


def pool_folder(workdir: Path, pool: str) -> Path:
    """The folder of a pool."""
    return workdir / "renders" / pool


def write_shard(scenes: Sequence[Scene], path: Path) -> None:
    """Render scenes into ``path`` (.npy) and its .json; the .npy appears last and whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.with_suffix(f".json.{os.getpid()}.part")
    text.write_text(json.dumps([scene.to_dict() for scene in scenes]))
    text.replace(path.with_suffix(".json"))
    part = path.with_suffix(f".npy.{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, render(scenes).numpy())
    part.replace(path)


def missing(workdir: Path, pictures: int | None, part: tuple[int, int]) -> Iterator[tuple[str, int]]:
    """Name (pool, shard) for what is not drawn yet, of this part's share.

    Validation pools come first, then the training pools in turn, three shards of named looks to two of wide
    ones, so that training can start on the first shards. ``pictures`` replaces the number of named ones.
    """
    plan = []
    for order, (pool, recipe) in enumerate(POOLS.items()):
        shards = -(-(pictures if pictures and pool == "named" else recipe.pictures) // SHARD)
        plan += [(shard / shards if shards > 1 else -1, order, pool, shard) for shard in range(shards)]
    for number, (_, _, pool, shard) in enumerate(sorted(plan)):
        if number % part[1] == part[0] and not (pool_folder(workdir, pool) / f"{shard:05d}.npy").exists():
            yield pool, shard


def run(*, workdir: Path, pictures: int | None = None, part: tuple[int, int] = (0, 1)) -> None:
    """Draw what is missing of this part's share of all pools."""
    todo = list(missing(workdir, pictures, part))
    began = time.monotonic()
    for done, (pool, shard) in enumerate(todo, start=1):
        write_shard(POOLS[pool].scenes(shard, SHARD), pool_folder(workdir, pool) / f"{shard:05d}.npy")
        pace = (time.monotonic() - began) / done
        left = (len(todo) - done) * pace / 60
        print(
            f"renders: {pool} {shard}, {pace * 1000 / SHARD:.1f} ms a picture, {left:.1f} min left",
            flush=True,
        )


class Pool:
    """A pool's shards that exist, or those of its ``first`` pictures, as one sequence."""

    def __init__(self, workdir: Path, name: str, *, first: int | None = None) -> None:
        folder = pool_folder(workdir, name)
        self.paths = sorted(folder.glob("?????.npy"))[: None if first is None else -(-first // SHARD)]
        if not self.paths:
            raise ConfigError(f"{folder}: no shards; run the stage 'renders' first")
        self.shards = [np.load(path, mmap_mode="r") for path in self.paths]
        self.starts = np.cumsum([0, *(len(shard) for shard in self.shards)])

    def __len__(self) -> int:
        """The number of pictures."""
        return int(self.starts[-1])

    @cached_property
    def scenes(self) -> list[Scene]:
        """The scenes, in the order of the pictures."""
        texts = (path.with_suffix(".json").read_text() for path in self.paths)
        return [Scene.from_dict(data) for text in texts for data in json.loads(text)]

    def pictures(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """The pictures at ``indices``: uint8 [n, 3, 64, 64]."""
        where = np.searchsorted(self.starts, indices, side="right") - 1
        rows = [
            self.shards[shard][index - self.starts[shard]]
            for shard, index in zip(where, indices, strict=True)
        ]
        return torch.from_numpy(np.stack(rows))


def as_signed(pictures: Tensor) -> Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return pictures.float() / 127.5 - 1
