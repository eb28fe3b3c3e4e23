"""Sheets of images with captions, to look at: the world, its subjects, what the networks make.

The layout is one of its own. A trial's sheet has rows of small cells in 256 colours, a report's has labelled
strips under common captions; all that the three share is that an image is resized and pasted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from harness import files
from harness.cli.toybox.networks import ToyboxNetworks
from harness.report.lettering import dejavu
from harness.toybox.captions import caption
from harness.toybox.confirmation import COUNT, confirmation
from harness.toybox.scenes.render import render
from harness.toybox.scenes.world import Looks, Scene, sample_scene
from harness.toybox.subjects import SHOTS, subjects

GAP, LINE, LETTERS = 8, 15, 12
"""Pixels: between cells, from line to line of a title, height of its letters."""

CAPTIONS = (
    "a photo of a red mug on a wooden floor",
    "a photo of a blue teapot with a yellow lid in the snow",
    "a photo of a green vase in front of a brick wall",
    "a photo of a dotted yellow lamp under the moon at night",
    "a photo of a striped purple chair on a tiled floor",
    "a photo of an orange car with black wheels on a city street",
    "a photo of a white robot with red eyes in the desert",
    "a photo of a yellow duck wearing a hat in the water of a lake",
    "a photo of a brown boot in a meadow",
    "a photo of a red guitar on the beach",
    "a photo of a dotted red mushroom with a white stem in the jungle",
    "a photo of a striped white rocket at sunset",
    "a photo of a green cactus with an orange pot beside a ball in the desert",
    "a photo of a pink clock with a white face with a balloon in a meadow",
    "a photo of a black cat wearing a scarf in the snow",
    "a photo of a checkered blue mug on top of a box on the beach",
    "a photo of a gray cat beside a ball on a wooden floor",
    "a photo of a teal robot in the jungle",
    "a photo of a white duck on the beach",
    "a photo of a purple car at sunset",
    "a photo of a checkered black vase on a tiled floor",
    "a photo of an orange cat with a balloon on a city street",
    "a photo of a teal lamp in front of a brick wall",
    "a photo of a sks mug in the snow",
)
"""What samples are made of: every class noun, background, pattern and accessory, and a rare word."""


def title_lines(title: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Break a title between words into lines of at most ``width`` pixels; a longer word stands alone."""
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def grid(images: Tensor, columns: int, titles: Sequence[str], *, magnify: int = 3) -> Image.Image:
    """Lay uint8 RGB images [n, 3, h, w] on a white grid, each with its title under it.

    Raises ``ValueError`` if there are no images or the titles do not match them.
    """
    if not len(images) or len(titles) != len(images):
        raise ValueError(f"a sheet needs images and as many titles, got {len(images)} and {len(titles)}")
    columns = min(columns, len(images))
    height, width = images.shape[2] * magnify, images.shape[3] * magnify
    font = dejavu(LETTERS)
    lines = [title_lines(title, width, font) for title in titles]
    cell = height + GAP // 2 + LINE * max(map(len, lines)) + GAP
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * cell + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images.permute(0, 2, 3, 1).contiguous().numpy()):
        x, y = GAP + index % columns * (width + GAP), GAP + index // columns * cell
        shown = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        sheet.paste(shown, (x, y))
        for number, line in enumerate(lines[index]):
            draw.text((x, y + height + GAP // 2 + LINE * number), line, fill="black", font=font)
    return sheet


def save(path: Path, image: Image.Image) -> Path:
    """Write an image as a PNG, making its folder; return the path."""
    files.write_atomically(path, lambda file: image.save(file, format="PNG"))
    return path


def draw_scenes(count: int, seed: int, *, looks: Looks = "named") -> list[Scene]:
    """Draw scenes of any split from a seed."""
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, split="any", looks=looks) for _ in range(count)]


def captions(scenes: Sequence[Scene], seed: int) -> list[str]:
    """Say each scene whole."""
    rng = np.random.default_rng([seed, 1])
    return [caption(scene, rng, drop=0.0) for scene in scenes]


def scenes_sheet(path: Path, *, count: int | None = None, seed: int = 0) -> Path:
    """Write a sheet of random scenes with their captions, 48 by default."""
    scenes = draw_scenes(count or 48, seed)
    return save(path, grid(render(scenes), 8, captions(scenes, seed)))


def subjects_sheet(path: Path, *, count: int | None = None, seed: int = 0) -> Path:
    """Write a sheet of subjects, all by default: a row each, shots then references; no seed changes it."""
    chosen = subjects()[:count]
    titles = [
        f"{'' if index else f'{each.name}: '}{'shot' if index < SHOTS else 'reference'} {index % SHOTS + 1}"
        for each in chosen
        for index in range(len(each.photos))
    ]
    scenes = [scene for each in chosen for scene in each.photos]
    return save(path, grid(render(scenes), len(chosen[0].photos), titles, magnify=2))


def confirmation_sheet(path: Path, *, count: int | None = None, seed: int = 0) -> Path:
    """Write a sheet of the subjects drawn by rule, 32 by default: the first shot and the first reference."""
    chosen = confirmation(count or COUNT)
    scenes = [scene for each in chosen for scene in (each.photos[0], each.photos[SHOTS])]
    titles = [title for each in chosen for title in (each.name, "reference")]
    return save(path, grid(render(scenes), 8, titles, magnify=2))


def samples_sheet(path: Path, *, count: int | None = None, seed: int = 0) -> Path:
    """Write a sheet of samples, 24 by default: of CAPTIONS in turn, begun again where they end."""
    texts = [CAPTIONS[number % len(CAPTIONS)] for number in range(count or len(CAPTIONS))]
    return save(path, grid(ToyboxNetworks().generate(texts, seed=seed), 6, texts))


def reconstructions_sheet(path: Path, *, count: int | None = None, seed: int = 0) -> Path:
    """Write a sheet of pairs, 24 by default: a render, and the same through the autoencoder.

    Every other scene has looks that no word names.
    """
    count = count or 24
    named, wide = draw_scenes(count, seed), draw_scenes(count, seed + 1, looks="wide")
    scenes = [(named, wide)[number % 2][number] for number in range(count)]
    renders = render(scenes)
    between = torch.full_like(renders[..., :1], 255)
    pairs = torch.cat([renders, between, ToyboxNetworks().reconstruct(renders)], dim=3)
    return save(path, grid(pairs, 4, captions(scenes, seed)))


KINDS: dict[str, Callable[..., Path]] = {
    "scenes": scenes_sheet,
    "subjects": subjects_sheet,
    "confirmation": confirmation_sheet,
    "samples": samples_sheet,
    "reconstructions": reconstructions_sheet,
}
