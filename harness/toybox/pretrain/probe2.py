"""Stage ``probe2``: the attribute probe, version 2, reads subjects as well as words.

Version 1 was taught named looks and plain views: it missed the colour of a thing recoloured as a prompt asks,
and the pattern on it. Version 2 begins with it and also learns from near misses, seen from farther around,
and from pictures as prompts ask for them (:mod:`harness.toybox.requested`). Four more heads say in which
third of its range each shape parameter lies.
"""

from __future__ import annotations

from pathlib import Path

from harness.toybox.pretrain import autoencoder
from harness.toybox.pretrain.loop import TrainingSchedule, shortened
from harness.toybox.pretrain.probe import ANSWERS, Lesson, begin, ship, teach
from harness.toybox.scenes.attributes import SHAPE

LESSON = Lesson(
    stage="probe2",
    answers={**ANSWERS, **SHAPE},
    shares={"named": 22, "near": 22, "asked": 20},
    first={"named": 20_000},
    unseen=("validation", "validation_wide", "validation_near", "validation_asked"),
    course=TrainingSchedule(
        pictures=250_000, batch=64, warmup=200, cooldown=0.4, average=0.995, seed=18, evaluate_every=25_000
    ),
    begins="probe",
)


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on named looks, near misses and pictures as asked for; the curve as version 1's."""
    course = shortened(LESSON.course, pictures, cooldown)
    teach(LESSON, autoencoder.shipped(), workdir=workdir, course=course)


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``probe-2.json`` and ``probe-2.safetensors``."""
    ship(LESSON, workdir=workdir, weights=weights, name="probe-2")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``probe-2.safetensors``."""
    begin(LESSON, workdir=workdir, weights=weights, name="probe-2")
