"""Default test prompts and prior prompts for photos, in DreamBench's wording (arXiv 2208.12242)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection

from harness.api import Prompt
from harness.datasets.base import DatasetError, DrawnPrompt
from harness.datasets.shots import group_sizes

PLACES = (
    "in the jungle",
    "in the snow",
    "on the beach",
    "on a cobblestone street",
    "on top of pink fabric",
    "on top of a wooden floor",
    "with a city in the background",
    "with a mountain in the background",
    "with a blue house in the background",
    "on top of a purple rug in a forest",
)
OBJECT_PLACES = (
    "with a wheat field in the background",
    "with a tree and autumn leaves in the background",
    "with the Eiffel Tower in the background",
    "floating on top of water",
    "floating in an ocean of milk",
    "on top of green grass with sunflowers around it",
    "on top of a mirror",
    "on top of the sidewalk in a crowded street",
    "on top of a dirt road",
    "on top of a white rug",
)
OUTFITS = (
    "wearing a red hat",
    "wearing a santa hat",
    "wearing a rainbow scarf",
    "wearing a black top hat and a monocle",
    "in a chef outfit",
    "in a firefighter outfit",
    "in a police outfit",
    "wearing pink glasses",
    "wearing a yellow shirt",
    "in a purple wizard outfit",
)
PROPERTIES = ("red", "purple", "shiny", "wet", "cube shaped")
LIVE_NOUNS = frozenset({"bird", "cat", "dog", "hamster", "horse", "parrot", "rabbit"})
NOUNS = (
    "dog", "backpack", "cat", "bowl", "sneaker", "teapot", "candle", "boot", "clock", "vase",
    "toy", "can", "stuffed animal", "chair", "car", "bird",
)  # fmt: skip

BANK_PLACES = (
    "in a kitchen", "on a wooden table", "in a park", "by a lake", "on a sofa", "in a garden",
    "in front of a white wall", "next to a window", "on a staircase", "in the rain", "in a desert",
    "in a museum", "under a bridge", "on a balcony", "in a workshop", "at night",
)  # fmt: skip
BANK_OPENINGS = ("a picture of a {}", "a {}", "a close-up of a {}")
"""With places of its own a bank shares no prompt with the prior prompts, and no context with the test's."""

PRIOR_WORDINGS = (
    "a photo of a {}",
    *(f"a {{}} {place}" for place in (*PLACES, *OBJECT_PLACES)),
    *(f"a photo of a {{}} {place}" for place in (*PLACES, *OBJECT_PLACES)),
)
BANK_WORDINGS = tuple(
    f"{opening} {place}"
    for shift in range(len(BANK_OPENINGS))
    for opening, place in zip(itertools.cycle(BANK_OPENINGS[shift:] + BANK_OPENINGS[:shift]), BANK_PLACES)
)


def default_prompts(*, live: bool) -> list[Prompt]:
    """25 prompts for an object (20 contexts, 5 properties) or a live subject (10, 10 outfits, 5)."""
    contexts = [Prompt(f"a {{}} {place}", "recontextualization") for place in PLACES]
    if live:
        contexts += [Prompt(f"a {{}} {outfit}", "accessory") for outfit in OUTFITS]
    else:
        contexts += [Prompt(f"a {{}} {place}", "recontextualization") for place in OBJECT_PLACES]
    return contexts + [Prompt(f"a {word} {{}}", "property") for word in PROPERTIES]


def prior_prompts(category: str, n: int) -> dict[str, list[str]]:
    """Return n prompts that name no subject, by group: of the class, of other classes, empty.

    The first of the class is the plain one; the others are of NOUNS. A larger n only adds prompts; past the
    supply of wordings they repeat (and are told apart by their seeds).
    """
    sizes = group_sizes(n)
    others = [noun for noun in NOUNS if noun != category]
    of_class = (wording.format(category) for wording in itertools.cycle(PRIOR_WORDINGS))
    of_others = (
        wording.format(noun)
        for wording, noun in zip(itertools.cycle(PRIOR_WORDINGS), itertools.cycle(others))
    )
    return {
        "class": list(itertools.islice(of_class, sizes["class"])),
        "other": list(itertools.islice(of_others, sizes["other"])),
        "empty": [""] * sizes["empty"],
    }


def bank_prompts(category: str, n: int) -> list[str]:
    """Return n different prompts, of the class and of every second other class in turn; more n only adds.

    Raises DatasetError past the supply of wordings.
    """
    others = [noun for noun in NOUNS if noun != category][::2]
    if n > 2 * len(BANK_WORDINGS):
        raise DatasetError(
            f"bank: {n} prompts are asked for, there are wordings for {2 * len(BANK_WORDINGS)}"
        )
    pairs = zip(BANK_WORDINGS, itertools.cycle(others))
    texts = (text for words, other in pairs for text in (words.format(category), words.format(other)))
    return list(itertools.islice(texts, n))


def drawn_prompts(category: str, n: int, *, seed: int, without: Collection[str]) -> list[DrawnPrompt]:
    """Draw n prompts independently, with repeats: half of the class, half of the other nouns together.

    Each is one of all wordings that are not among ``without``. Raises DatasetError where none is left.
    """
    nouns = {"class": [category], "other": [noun for noun in NOUNS if noun != category]}
    left = {
        group: [
            text
            for words in (*PRIOR_WORDINGS, *BANK_WORDINGS)
            for noun in some
            if (text := words.format(noun)) not in without
        ]
        for group, some in nouns.items()
    }
    if not all(left.values()):
        raise DatasetError(
            f"every wording of {category!r} is in the drift set or the bank; lower drift.prompts"
        )
    rng = random.Random(f"independent/{category}/{seed}")
    groups = (rng.choice(("class", "other")) for _ in range(n))
    return [DrawnPrompt(rng.choice(left[group]), group) for group in groups]
