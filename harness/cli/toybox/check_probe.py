"""What the attribute probe reads, in both versions: words, subjects' looks, answers, and garbage as nothing.

Everything is measured on scenes, subjects and answers that no training saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from harness.cli.toybox.figures import Figure
from harness.cli.toybox.networks import SEED, ToyboxNetworks
from harness.toybox.captions import ACCESSORY_PHRASES, article
from harness.toybox.probe import Reading
from harness.toybox.requested import requested
from harness.toybox.scenes import attributes
from harness.toybox.scenes.backdrops import BACKDROPS
from harness.toybox.scenes.render import render
from harness.toybox.scenes.world import ACCESSORIES, BACKGROUNDS, COLOURS, Scene, Split, pick, sample_scene
from harness.toybox.subjects import ToySubject, subjects

VERSIONS = (1, 2)


def truth(scene: Scene) -> dict[str, str]:
    """A scene's labels, without a main colour that has no name."""
    words = {**attributes.words(scene), **attributes.shape_words(scene)}
    return {
        name: word for name, word in words.items() if not (name == "colour" and word == attributes.NAMELESS)
    }


def agreement(reading: Reading, truths: Sequence[dict[str, str]], name: str) -> float:
    """Share of pictures whose likeliest label is the true one, of those whose truth names the attribute."""
    pairs = [
        (word, truth[name]) for word, truth in zip(reading.words(name), truths, strict=True) if name in truth
    ]
    return float(np.mean([word == true for word, true in pairs]))


def check_probe(shelf: ToyboxNetworks) -> Iterator[Figure]:
    """Accuracies on autoencoded unseen renders, subjects and answers, and rejections of garbage."""
    rng = np.random.default_rng([SEED, 4])
    scenes = [sample_scene(rng, split="any") for _ in range(500)]
    shown, truths = shelf.reconstruct(render(scenes)), [truth(scene) for scene in scenes]
    texts = [text for text, _ in asked(rng, 100, "train")]
    for version in VERSIONS:
        reading = shelf.read(shown, version=version)
        for name, floor in {
            "category": 0.95, "background": 0.95, "colour": 0.90, "accessory": None, "pattern": None
        }.items():  # fmt: skip
            yield Figure(f"probe {version}: {name}, autoencoded", agreement(reading, truths, name), floor)
        yield from check_photos(shelf, f"probe {version}, subjects", subjects(), version=version)
        yield from check_answers(shelf, version=version)
        yield from check_rejection(shelf, texts, version=version)


def check_photos(
    shelf: ToyboxNetworks, part: str, everyone: Sequence[ToySubject], *, version: int
) -> Iterator[Figure]:
    """What the probe reads off autoencoded photos of subjects, their patterns and shapes among it."""
    photos = [scene for subject in everyone for scene in subject.photos]
    reading, truths = shelf.read(shelf.reconstruct(render(photos)), version=version), list(map(truth, photos))
    for name in ("category", "background"):
        yield Figure(f"{part}: {name}", agreement(reading, truths, name), 0.95)
    pattern = agreement(reading, truths, "pattern")
    yield Figure(f"{part}: pattern", pattern, LOOKS_FLOORS["pattern"] if version > 1 else None)
    if version > 1:
        right = float(np.mean([agreement(reading, truths, name) for name in attributes.SHAPE]))
        yield Figure(f"{part}: thirds of shape parameters", right, LOOKS_FLOORS["shape"])


LOOKS_FLOORS = {"pattern": 0.80, "shape": 0.70}
ANSWER_FLOORS = {"category": 0.95, "colour": 0.95, "pattern": 0.65, "accessory": 0.85, "background": 0.95}
"""Of version 2; version 1 informs. Guessing the third of a shape parameter is right in .33."""


def check_answers(shelf: ToyboxNetworks, *, version: int) -> Iterator[Figure]:
    """What the probe reads off subjects as prompts ask for them, recoloured as a whole, autoencoded."""
    rng = np.random.default_rng([SEED, 8])
    answers = [
        requested(
            subject.look,
            {"colour": colour, "background": pick(rng, BACKGROUNDS), "accessory": pick(rng, ACCESSORIES)},
            rng,
        )
        for subject in subjects()
        for colour in COLOURS
    ]
    reading = shelf.read(shelf.reconstruct(render(answers)), version=version)
    truths = list(map(truth, answers))
    for name, floor in ANSWER_FLOORS.items():
        words = f"probe {version}, recoloured subjects: {name}"
        yield Figure(words, agreement(reading, truths, name), floor if version > 1 else None)


def check_rejection(shelf: ToyboxNetworks, texts: Sequence[str], *, version: int) -> Iterator[Figure]:
    """How much of decoded noise and of half-denoised samples the probe rejects."""
    noise = torch.randn(len(texts), 16, 8, 8, generator=torch.Generator().manual_seed(SEED))
    for name, latents in (
        ("decoded noise", noise),
        ("half-denoised samples", shelf.latents(texts, until=0.5)),
    ):
        rejected = shelf.read(shelf.decode(latents), version=version).rejected().float().mean().item()
        yield Figure(f"probe {version}: rejects {name}", rejected, 0.90)


def asked(rng: np.random.Generator, count: int, split: Split) -> list[tuple[str, dict[str, str]]]:
    """Prompts naming class, main colour, background and, for half of them, an accessory; their truths."""
    found: dict[str, dict[str, str]] = {}
    while len(found) < count:
        scene = sample_scene(rng, split=split)
        thing = article(f"{scene.colours[0]} {scene.category}")
        extra = f" {ACCESSORY_PHRASES[scene.accessory]}" if scene.accessory != "none" else ""
        wanted = {name: truth(scene)[name] for name in ("category", "background", "colour")}
        if extra:
            wanted["accessory"] = scene.accessory
        found[f"a photo of {thing}{extra} {BACKDROPS[scene.background].phrase}"] = wanted
    return list(found.items())
