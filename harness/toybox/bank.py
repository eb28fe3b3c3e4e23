"""Which prior prompts a bank may hold: half of the world, so that damage to the other half shows.

Knows no model and no subject.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import islice

import numpy as np

from harness.toybox.captions import ACCESSORY_PHRASES
from harness.toybox.prompts import ToyPrompt, class_prompts, draw_prompt, other_prompts
from harness.toybox.scenes.world import CLASSES

ACCESSORIES = 3
RESERVED = 128
"""So many prompts of the class, and as many of others, are left to drift sets and calibration probes."""


@dataclass(frozen=True)
class Divided:
    """The classes and accessories that the bank of a class holds; all others are held out of it.

    The class itself comes first, after it half of the others.
    """

    classes: tuple[str, ...]
    accessories: tuple[str, ...]

    @property
    def held_out_classes(self) -> tuple[str, ...]:
        """The classes of which the bank says nothing."""
        return tuple(each for each in CLASSES if each not in self.classes)

    @property
    def held_out_accessories(self) -> tuple[str, ...]:
        """The accessories of which the bank says nothing."""
        return tuple(each for each in ACCESSORY_PHRASES if each not in self.accessories)


def divided(category: str) -> Divided:
    """Divide the world for the bank of a class, always alike."""
    rng = np.random.default_rng(zlib.crc32(f"bank/{category}".encode()))
    others = [str(each) for each in rng.permutation([each for each in CLASSES if each != category])]
    accessories = [str(each) for each in rng.permutation(list(ACCESSORY_PHRASES))]
    return Divided((category, *others[: len(others) // 2]), tuple(accessories[:ACCESSORIES]))


def bank_prompts(category: str, n: int) -> tuple[ToyPrompt, ...]:
    """Return n different prompts, of the class and of the bank's other classes in turn; more n only adds.

    None is among the first 128 prior prompts of the class, nor of the others.
    """
    part = divided(category)
    taken = {each.text_template for each in class_prompts(category, RESERVED)}
    taken |= {each.text_template for each in other_prompts(category, RESERVED)}
    rng = np.random.default_rng(zlib.crc32(f"bank prompts/{category}".encode()))
    found: list[ToyPrompt] = []
    own, others = part.classes[:1], part.classes[1:]
    while len(found) < n:
        half = len(found) // 2
        asked = own[0] if len(found) % 2 == 0 else others[half % len(others)]
        prompt = draw_prompt(rng, asked)
        fits = prompt.attributes.get("accessory", part.accessories[0]) in part.accessories
        if fits and prompt.text_template not in taken:
            taken.add(prompt.text_template)
            found.append(prompt)
    return tuple(islice(found, n))
