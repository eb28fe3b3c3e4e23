"""What a prompt can request of a scene: the attributes, their labels, and a scene's labels as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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


def numbers(scenes: Sequence[Scene]) -> Tensor:
    """The scenes' labels as indices into ``LABELS``, in its order: int64 [n, attributes]."""
    rows = [[LABELS[name].index(word) for name, word in words(scene).items()] for scene in scenes]
    return torch.tensor(rows, dtype=torch.int64)
