"""Contact sheets: pictures on a grid with captions, for people to look at."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from harness.toybox.captions import caption
from harness.toybox.render import render
from harness.toybox.subjects import ToySubject, subjects
from harness.toybox.world import Looks, Scene, Split, sample_scene

GAP = 4
LINE = 11


def title_lines(title: str, width: int) -> list[str]:
    """Wrap a title to a cell of this many pixels."""
    return textwrap.wrap(title, max(8, width // 6)) or [""]


def grid(
    images: torch.Tensor, columns: int, titles: Sequence[str] | None = None, *, magnify: int = 2
) -> Image.Image:
    """Lay uint8 RGB images [n, 3, h, w] on a white grid, each with a title under it.

    Raises ``ValueError`` if there are no images or the titles do not match them.
    """
    if not len(images) or (titles is not None and len(titles) != len(images)):
        raise ValueError(
            f"a sheet needs images and as many titles, got {len(images)} and {len(titles or ())}"
        )
    height, width = images.shape[2] * magnify, images.shape[3] * magnify
    lines = [title_lines(title, width) for title in titles] if titles else [[]] * len(images)
    cell = height + GAP + LINE * max(len(each) for each in lines)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (cell + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for index, picture in enumerate(images.permute(0, 2, 3, 1).contiguous().numpy()):
        x, y = GAP + index % columns * (width + GAP), GAP + index // columns * (cell + GAP)
        sheet.paste(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST), (x, y))
        for number, line in enumerate(lines[index]):
            draw.text((x, y + height + LINE * number), line, fill="black", font=font)
    return sheet


def save_grid(
    path: str | Path,
    images: torch.Tensor,
    columns: int,
    titles: Sequence[str] | None = None,
    *,
    magnify: int = 2,
) -> Path:
    """Write ``grid`` as a PNG, making its folder; return the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    grid(images, columns, titles, magnify=magnify).save(path, format="PNG")
    return path


def draw_scenes(n: int, seed: int, *, split: Split = "train", looks: Looks = "named") -> list[Scene]:
    """Draw n scenes from a seed."""
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, split=split, looks=looks) for _ in range(n)]


def scenes_sheet(
    path: str | Path,
    *,
    n: int = 48,
    columns: int = 8,
    seed: int = 0,
    split: Split = "train",
    looks: Looks = "named",
    magnify: int = 2,
) -> Path:
    """Write a sheet of random scenes with their captions."""
    scenes = draw_scenes(n, seed, split=split, looks=looks)
    rng = np.random.default_rng([seed, 1])
    titles = [caption(scene, rng, drop=0.1) for scene in scenes]
    return save_grid(path, render(scenes), columns, titles, magnify=magnify)


def subjects_sheet(path: str | Path, chosen: Sequence[ToySubject] | None = None, *, magnify: int = 2) -> Path:
    """Write a sheet of subjects: a row each, 6 shots then 6 references."""
    chosen = subjects() if chosen is None else chosen
    scenes = [scene for each in chosen for scene in each.photos]
    titles = [
        each.name if index == 0 else f"{'shot' if index < 6 else 'reference'} {index % 6 + 1}"
        for each in chosen
        for index in range(len(each.photos))
    ]
    return save_grid(path, render(scenes), len(chosen[0].photos), titles, magnify=magnify)
