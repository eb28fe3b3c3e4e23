"""What is said of a scene: a small grammar in DreamBench's wording, and the rare tokens.

Knows nothing of pixels or of subjects' prompts.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from harness.toybox.scenes.backdrops import BACKDROPS
from harness.toybox.scenes.patterns import PATTERNS
from harness.toybox.scenes.shapes import FORMS
from harness.toybox.scenes.world import ACCESSORIES, CLASSES, COLOURS, Scene, nearest_colour, pick

OPENINGS = (
    "a photo of {}",
    "a photo of {}",
    "{}",
    "{}",
    "the photo of {}",
    "a picture of {}",
    "a rendering of {}",
)
ACCESSORY_PHRASES = {
    "hat": "wearing a hat",
    "ball": "beside a ball",
    "box": "on top of a box",
    "balloon": "with a balloon",
    "scarf": "wearing a scarf",
}
NEAREST_PATTERN = {"zigzag": "striped", "rings": "striped", "crosses": "dotted"}
RARE_COUNT = 1000
RARE_FLOOR = 30000
REQUIRED_RARE = ("sks", "ktn")


def article(words: str) -> str:
    """Put "a" or "an" before words, by their first letter."""
    return f"{'an' if words[:1].lower() in 'aeio' and words else 'a'} {words}"


def part_phrase(colour: str, part: str) -> str:
    """Say a coloured part: "a white handle", but "white legs"."""
    words = f"{colour} {part}"
    return words if part.endswith("s") else article(words)


def noun_phrase(adjectives: list[str], category: str, parts: list[str]) -> str:
    """Join adjectives, class noun and parts: "red mug with a white handle and a blue rim"."""
    words = " ".join([*adjectives, category])
    return f"{words} with {' and '.join(parts)}" if parts else words


def caption(scene: Scene, rng: np.random.Generator, *, drop: float = 0.3, rare: float = 0.0) -> str:
    """Say a scene, each attribute left out with probability ``drop``; the class noun always stands.

    With probability ``rare`` a random rare token stands directly before the class noun, half of the
    time instead of the words for the object's looks. Colours and patterns without a name are not said.
    """
    kept = {
        key: rng.random() >= drop
        for key in ("pattern", "colour", "second", "detail", "accessory", "background")
    }
    token = pick(rng, rare_tokens()) if rare and rng.random() < rare else None
    if token and rng.random() < 0.5:
        kept.update(pattern=False, colour=False, second=False, detail=False)
    adjectives, parts = [], []
    if kept["pattern"] and scene.pattern in PATTERNS[1:]:
        adjectives.append(scene.pattern)
    if kept["colour"] and scene.colours[0]:
        adjectives.append(scene.colours[0])
    if token:
        adjectives.append(token)
    form = FORMS[scene.category]
    if kept["second"] and scene.colours[1]:
        parts.append(part_phrase(scene.colours[1], form.second))
    if kept["detail"] and scene.colours[2] and rng.random() < 0.5:
        parts.append(part_phrase(scene.colours[2], form.detail))
    context = []
    if kept["accessory"] and scene.accessory != "none":
        context.append(ACCESSORY_PHRASES[scene.accessory])
    if kept["background"]:
        context.append(BACKDROPS[scene.background].phrase)
    if rng.random() < 0.5:
        context.reverse()
    thing = article(noun_phrase(adjectives, scene.category, parts))
    return " ".join([pick(rng, OPENINGS).format(thing), *context])


def look_phrase(scene: Scene) -> str:
    """Say an object's looks in full, without article or context, by the nearest names.

    This is the most that words can tell of an instance: "striped green mug with a teal handle and a
    pink rim".
    """
    names = [known or nearest_colour(rgb)[0] for known, rgb in zip(scene.colours, scene.palette, strict=True)]
    pattern = NEAREST_PATTERN.get(scene.pattern, scene.pattern)
    adjectives = [names[0]] if pattern == "plain" else [pattern, names[0]]
    form = FORMS[scene.category]
    return noun_phrase(
        adjectives, scene.category, [part_phrase(names[1], form.second), part_phrase(names[2], form.detail)]
    )


def spoken_words() -> frozenset[str]:
    """Return every word that a caption may use with a meaning."""
    texts = [*CLASSES, *COLOURS, *PATTERNS, *ACCESSORIES, *OPENINGS, *ACCESSORY_PHRASES.values()]
    texts += [drop.phrase for drop in BACKDROPS.values()]
    texts += [word for form in FORMS.values() for word in (form.second, form.detail)]
    return frozenset(word for text in texts for word in text.split())


@cache
def rare_tokens() -> tuple[str, ...]:
    """Return rare strings, each of them one token of the CLIP vocabulary as a whole word.

    Three or four lowercase letters, first letter not a vowel, vocabulary rank from ``RARE_FLOOR``;
    those without any vowel first, then the rarest. "sks" and "ktn" are always among them; "ktn", Custom
    Diffusion's initializer, is the one exception to the rule: as a whole word it reads as two tokens
    (k, tn), for the vocabulary has it only inside words (id 42170).
    """
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    ranked = {
        token[:-4]: rank
        for token, rank in tokenizer.encoder.items()
        if rank >= RARE_FLOOR and re.fullmatch(r"[b-df-hj-np-tv-z][a-z]{2,3}</w>", token)
    }
    spoken = spoken_words()
    words = [word for word in ranked if word not in spoken and tokenizer.encode(word) == [ranked[word]]]
    words.sort(key=lambda word: (bool(set(word) & set("aeiouy")), -ranked[word]))
    rest = [word for word in words if word not in REQUIRED_RARE]
    return tuple(sorted([*REQUIRED_RARE, *rest[: RARE_COUNT - len(REQUIRED_RARE)]]))
