"""What a prompt can request of a scene: the attributes, their labels, and a scene's labels as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.toybox.scenes.parts import SHAPE_PARAMETERS
from harness.toybox.scenes.patterns import HELDOUT_PATTERNS, PATTERNS
from harness.toybox.scenes.world import ACCESSORIES, BACKGROUNDS, CLASSES, COLOURS, Scene

NAMELESS = "none"
NAMES = (*COLOURS, NAMELESS)
LABELS: dict[str, tuple[str, ...]] = {
    "category": CLASSES,
    "background": BACKGROUNDS,
    "colour": NAMES,
    "second_colour": NAMES,
    "detail_colour": NAMES,
    "pattern": (*PATTERNS, *HELDOUT_PATTERNS),
    "accessory": ACCESSORIES,
}
THIRDS = ("low", "middle", "high")
SHAPE: dict[str, tuple[str, ...]] = {f"shape_{number + 1}": THIRDS for number in range(SHAPE_PARAMETERS)}
"""In which third of its range each shape parameter lies; no prompt can ask for it."""


def words(scene: Scene) -> dict[str, str]:
    """A scene's label of each attribute; a colour that no name fits is "none"."""
    main, second, detail = (name or NAMELESS for name in scene.colours)
    return {
        "category": scene.category,
        "background": scene.background,
        "colour": main,
        "second_colour": second,
        "detail_colour": detail,
        "pattern": scene.pattern,
        "accessory": scene.accessory,
    }


def shape_words(scene: Scene) -> dict[str, str]:
    """In which third of its range each of a scene's shape parameters lies."""
    return {name: THIRDS[min(int(value * 3), 2)] for name, value in zip(SHAPE, scene.shape, strict=True)}


def numbers(scenes: Sequence[Scene], *, shape: bool = False) -> Tensor:
    """The scenes' labels as indices into ``LABELS``, in its order, and with ``shape`` then into ``SHAPE``.

    int64 [n, attributes].
    """
    known = {**LABELS, **SHAPE}
    told = [{**words(scene), **(shape_words(scene) if shape else {})} for scene in scenes]
    rows = [[known[name].index(word) for name, word in each.items()] for each in told]
    return torch.tensor(rows, dtype=torch.int64)
