"""Pretraining of the embedded benchmark: one module per stage, one resumable loop that they share.

The stages, in the order in which they depend on each other: ``renders`` draws the pools of images;
``autoencoder``, ``text``, ``clip`` and ``dino`` learn from them; ``unet`` needs the autoencoder and the text
tower, ``probe`` the autoencoder; ``decoder`` polishes the autoencoder's second half; ``dino2`` and ``probe2``
take the shipped autoencoder. Each stage keeps its state in the working folder and can be killed at any
moment; running it again continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

STAGES = ("renders", "autoencoder", "text", "clip", "dino", "dino2", "probe", "probe2", "unet", "decoder")
ADOPTING = ("autoencoder", "text", "clip", "dino", "dino2", "probe", "probe2", "unet")
"""Stages with weights of their own to begin with; ``decoder`` begins with the autoencoder's."""


def stage_module(stage: str) -> ModuleType:
    """Import the module of a stage; raises ``ValueError`` naming the known ones."""
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage!r}; known: {', '.join(STAGES)}")
    return import_module(f"harness.toybox.pretrain.{stage}")


def run(
    stage: str,
    *,
    workdir: Path,
    threads: int = 1,
    pictures: int | None = None,
    cooldown: float | None = None,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Run one stage until it has seen its images, continuing what ``workdir`` holds.

    ``pictures`` replaces the stage's own number (more images continue a finished stage) and ``cooldown``
    the share of them over which the learning rate falls to zero. ``part`` = (i, n) renders every n-th shard
    from the i-th, so that n processes share the work; the other stages ignore it.
    """
    module = stage_module(stage)
    with _fast(threads):
        if stage == "renders":
            module.run(workdir=workdir, pictures=pictures, part=part)
        else:
            module.run(workdir=workdir, pictures=pictures, cooldown=cooldown)


@contextmanager
def _fast(threads: int) -> Iterator[None]:
    """So many threads and no denormal numbers, as long as the block lasts."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def adopt(stage: str, *, workdir: Path, weights: Path) -> None:
    """Seed the working folder with a stage's shipped weights, from which training then continues.

    Raises ConfigError where the stage has a checkpoint already or ``weights`` does not hold its weights.
    """
    stage_module(stage).adopt(workdir=workdir, weights=weights)


def export(stage: str, *, workdir: Path, weights: Path) -> None:
    """Write a stage's averaged weights, as half-precision safetensors, into the folder of shipped weights."""
    if stage != "renders":
        stage_module(stage).export(workdir=workdir, weights=weights)
