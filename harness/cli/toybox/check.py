"""Whether the shipped networks are good enough: each figure of the data sheet with its floor.

Everything is measured on scenes, captions and subjects that no training saw.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.cli.toybox.check_dino import check_apart, check_dino
from harness.cli.toybox.check_probe import agreement, asked, check_photos, check_probe
from harness.cli.toybox.figures import Figure
from harness.cli.toybox.networks import SEED, ToyboxNetworks
from harness.metrics.scores.kid import kid
from harness.toybox import loading
from harness.toybox.captions import caption, look_phrase
from harness.toybox.confirmation import confirmation
from harness.toybox.scenes.render import rays, render, screen, trace
from harness.toybox.scenes.world import Scene, Split, sample_scene
from harness.toybox.subjects import ToySubject, prompts, references, shots, subjects

MEGABYTE = 1e6


def object_mask(scene: Scene, size: int = 64) -> Tensor:
    """Pixels at least half of whose four rays meet the object or its accessory: bool [size, size]."""
    hit, _ = trace(scene, *rays(scene, *screen(2 * size)))
    fine = torch.zeros(4 * size * size)
    fine[torch.from_numpy(hit)] = 1
    return F.avg_pool2d(fine.view(1, 1, 2 * size, 2 * size), 2)[0, 0] >= 0.5


def decibels(first: Tensor, second: Tensor, where: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of uint8 pictures in dB, over the pixels of bool [n, h, w] if given: [n]."""
    error = (first.float() - second.float()).square().mean(dim=1)
    where = torch.ones_like(error) if where is None else where.float()
    mean = (error * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2))
    return 10 * torch.log10(255**2 / mean.clamp_min(1e-6))


def check_autoencoder(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """PSNR of unseen pictures, named and wide looks alike, and of their objects' pixels alone."""
    rng = np.random.default_rng([SEED, 1])
    scenes = [sample_scene(rng, split="any", looks=looks) for looks in ("named", "wide") for _ in range(200)]
    pictures, masks = render(scenes), torch.stack([object_mask(scene) for scene in scenes])
    through = shelf.reconstruct(pictures)
    yield Figure("autoencoder: PSNR, whole pictures (dB)", decibels(through, pictures).mean().item(), 28)
    yield Figure(
        "autoencoder: PSNR, object pixels (dB)", decibels(through, pictures, masks).mean().item(), 24
    )


def check_clip(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """Caption to picture recall among 100 pictures with distinct full captions."""
    splits: tuple[tuple[Split, str, float], ...] = (
        ("any", "unseen", 0.85),
        ("heldout", "held-out triples", 0.8),
    )
    for split, words, floor in splits:
        rng = np.random.default_rng([SEED, 2])
        found: dict[str, Scene] = {}
        while len(found) < 500:
            scene = sample_scene(rng, split=split)
            found.setdefault(caption(scene, rng, drop=0.0), scene)
        yield Figure(
            f"clip: recall@1 among 100, {words}", recall(shelf, list(found.values()), list(found)), floor
        )


@torch.no_grad()
def recall(shelf: ToyboxNetworks, scenes: Sequence[Scene], texts: Sequence[str]) -> float:
    """Share of texts whose own picture is the nearest of its hundred."""
    model, _, tokenize = shelf.clip
    shown = shelf.clip_features(render(scenes)).split(100)
    said = model.encode_text(tokenize(list(texts)), normalize=True).split(100)
    hits = [
        (text @ image.T).argmax(1) == torch.arange(len(text)) for text, image in zip(said, shown, strict=True)
    ]
    return torch.cat(hits).float().mean().item()


def check_confirmation(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """The subjects drawn by rule: the floors of the listed ones."""
    for version in (1, 2):
        yield from check_apart(shelf, f"confirmation, dino {version}", confirmation(), version=version)
    for version in (1, 2):
        yield from check_photos(shelf, f"confirmation, probe {version}", confirmation(), version=version)


def check_generation(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """The probe's agreement with prompts, a third of them of held-out triples, and KID against renders."""
    rng = np.random.default_rng([SEED, 5])
    pairs = asked(rng, 200, "train") + asked(rng, 100, "heldout")
    pictures = shelf.generate([text for text, _ in pairs])
    floors = {"category": 0.85, "background": 0.90, "colour": 0.75, "accessory": 0.60}
    reading, truths = shelf.read(pictures, version=2), [wanted for _, wanted in pairs]
    for name, floor in floors.items():
        yield Figure(f"sd: {name} as asked", agreement(reading, truths, name), floor)
    held = shelf.read(pictures[200:], version=2)
    for name in floors:
        yield Figure(f"sd: {name} as asked, held-out triples", agreement(held, truths[200:], name))
    rejected = reading.rejected().float().mean().item()
    yield Figure("sd: pictures that the probe rejects", rejected)
    yield from check_distance(shelf, pictures[:200])


def check_distance(shelf: ToyboxNetworks, pictures: Tensor, *, sets: int = 6) -> Iterator[Figure]:
    """KID, in toybox-clip's features, of samples uint8 [n, 3, 64, 64] against renders, and of renders."""
    rng, size = np.random.default_rng([SEED, 6]), len(pictures)
    renders = shelf.clip_features(render([sample_scene(rng) for _ in range(sets * size)])).numpy()
    ours = kid(shelf.clip_features(pictures).numpy(), renders, gamma=1.0)
    folds = [slice(number * size, (number + 1) * size) for number in range(sets)]
    floors = [kid(renders[fold], np.delete(renders, fold, axis=0), gamma=1.0) for fold in folds]
    yield Figure("sd: KID against renders (x 1000)", 1_000 * ours)
    yield Figure("sd: KID of renders against renders, mean (x 1000)", 1_000 * float(np.mean(floors)))
    yield Figure("sd: KID of renders against renders, largest (x 1000)", 1_000 * max(floors))


def check_subjects(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """How far the best words stay from each subject, in DINO, below its own autoencoded photos."""
    gaps = {subject.name: subject_gap(shelf, subject) for subject in subjects()}
    worst = min(gaps, key=gaps.__getitem__)
    yield Figure("subjects: DINO(real_ae) - DINO(frozen_oracle), mean", float(np.mean(list(gaps.values()))))
    yield Figure(f"subjects: DINO(real_ae) - DINO(frozen_oracle), least ({worst})", gaps[worst], 0.15)


def subject_gap(shelf: ToyboxNetworks, subject: ToySubject, count: int = 10) -> float:
    """DINO of autoencoded shots less DINO of samples of the description, both against the references."""
    real = shelf.dino_features(render(references(subject)))
    through = shelf.dino_features(shelf.reconstruct(render(shots(subject))))
    phrase = look_phrase(subject.look)
    templates = [prompt for prompt in prompts(subject) if prompt.kind == "recontextualization"][:count]
    described = shelf.dino_features(shelf.generate([prompt.fill(phrase) for prompt in templates]))
    return (through @ real.T).mean().item() - (described @ real.T).mean().item()


def check_size(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """Bytes shipped, and the time to load everything: of a shelf that has loaded nothing yet."""
    sizes = [path.stat().st_size / MEGABYTE for path in shelf.weights.rglob("*") if path.is_file()]
    if not sizes:
        raise FileNotFoundError(f"{shelf.weights}: no weights there; `harness pretrain` makes them")
    yield Figure("weights: all files (MB)", sum(sizes), ceiling=80)
    yield Figure("weights: largest file (MB)", max(sizes), ceiling=20)
    began = time.perf_counter()
    shelf.load()
    yield Figure("weights: time to load (s)", time.perf_counter() - began, ceiling=3)


CHECKS: dict[str, Callable[[ToyboxNetworks], Iterator[Figure]]] = {
    "size": check_size,
    "autoencoder": check_autoencoder,
    "clip": check_clip,
    "dino": check_dino,
    "probe": check_probe,
    "generation": check_generation,
    "subjects": check_subjects,
    "confirmation": check_confirmation,
}


def check(
    parts: Collection[str] = tuple(CHECKS),
    *,
    weights: Path = loading.WEIGHTS,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Figure]:
    """Measure the figures of ``parts``, all by default, giving each as soon as it is known.

    In the order of CHECKS: the time to load is measured before anything is. ``say`` gets a line before each
    part. Raises ``ValueError`` for an unknown part, before anything is measured.
    """
    unknown = [part for part in parts if part not in CHECKS]
    if unknown:
        raise ValueError(f"unknown check {unknown[0]!r}; known: {', '.join(CHECKS)}")
    return _measured([part for part in CHECKS if part in parts], ToyboxNetworks(weights), say)


def _measured(parts: Sequence[str], shelf: ToyboxNetworks, say: Callable[[str], None]) -> Iterator[Figure]:
    for number, part in enumerate(parts, start=1):
        say(f"measuring {part} ({number} of {len(parts)})")
        yield from CHECKS[part](shelf)
