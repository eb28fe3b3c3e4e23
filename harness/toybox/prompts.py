"""The prompts of the embedded benchmark, each with its ground truth.

Knows nothing of the looks of any subject.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import cycle, islice

import numpy as np

from harness.toybox.captions import ACCESSORY_PHRASES, article
from harness.toybox.scenes.backdrops import BACKDROPS
from harness.toybox.scenes.world import BACKGROUNDS, CLASSES, COLOURS, LIVE, pick

PROPERTY_COLOURS = ("red", "yellow", "purple", "blue", "orange")
LIVE_BACKGROUNDS = 10
BALANCED_PLACES, BALANCED_ACCESSORIES, BALANCED_COLOURS = 8, 12, 4


@dataclass(frozen=True)
class ToyPrompt:
    """A prompt: text with "{}" for the subject's phrase (or none), its kind and its ground truth.

    ``kind``: recontextualization, property, accessory, prior. ``attributes``: what a right image
    shows, among the keys category, background, colour, accessory.
    """

    text_template: str
    kind: str
    attributes: dict[str, str] = field(default_factory=dict)

    def fill(self, phrase: str = "") -> str:
        """Return the text with the subject's phrase in its place, "a" made "an" where it must be."""
        text = self.text_template.replace("a {}", article(phrase)) if phrase else self.text_template
        return text.replace("{}", phrase)


def background_prompt(background: str) -> ToyPrompt:
    """Ask for the subject in a background."""
    return ToyPrompt(
        f"a {{}} {BACKDROPS[background].phrase}", "recontextualization", {"background": background}
    )


def accessory_prompt(accessory: str, kind: str, background: str | None = None) -> ToyPrompt:
    """Ask for the subject with an accessory, optionally in a background."""
    text, attributes = f"a {{}} {ACCESSORY_PHRASES[accessory]}", {"accessory": accessory}
    if background is None:
        return ToyPrompt(text, kind, attributes)
    return ToyPrompt(f"{text} {BACKDROPS[background].phrase}", kind, {**attributes, "background": background})


def property_prompt(colour: str) -> ToyPrompt:
    """Ask for the subject in another colour."""
    words = article(colour)
    return ToyPrompt(f"{words} {{}}", "property", {"colour": colour})


def subject_prompts(category: str, name: str) -> tuple[ToyPrompt, ...]:
    """Return 25 prompts in DreamBench's division, deterministic in the subject's name.

    Objects: 20 recontextualizations, 5 properties; live subjects: 10 recontextualizations,
    10 accessories, 5 properties.
    """
    rng = np.random.default_rng(zlib.crc32(f"prompts/{name}".encode()))
    places = [str(place) for place in rng.permutation(BACKGROUNDS)]
    live = category in LIVE
    kind = "accessory" if live else "recontextualization"
    chosen = sorted(places[:LIVE_BACKGROUNDS] if live else places, key=BACKGROUNDS.index)
    prompts = [background_prompt(place) for place in chosen]
    prompts += [accessory_prompt(accessory, kind) for accessory in ACCESSORY_PHRASES]
    both = list(ACCESSORY_PHRASES)[: 20 - len(prompts)]
    prompts += [
        accessory_prompt(accessory, kind, place) for accessory, place in zip(both, places, strict=False)
    ]
    return tuple(prompts + [property_prompt(colour) for colour in PROPERTY_COLOURS])


def balanced_prompts(name: str) -> tuple[ToyPrompt, ...]:
    """Return 24 prompts that weigh places, accessories and colours alike for live subjects and objects.

    8 backgrounds; 12 accessories, each of the five alone and then in turn in a background, those that do not
    stand alone first; 4 colours. Deterministic in the subject's name.
    """
    rng = np.random.default_rng(zlib.crc32(f"balanced/{name}".encode()))
    places = [str(place) for place in rng.permutation(BACKGROUNDS)]
    accessories = [str(accessory) for accessory in rng.permutation(list(ACCESSORY_PHRASES))]
    colours = [str(colour) for colour in rng.permutation(PROPERTY_COLOURS)]
    alone, others = places[:BALANCED_PLACES], places[BALANCED_PLACES:]
    left = BALANCED_ACCESSORIES - len(accessories)
    both = zip(islice(cycle(accessories), left), islice(cycle([*others, *alone]), left), strict=True)
    return (
        *(background_prompt(place) for place in alone),
        *(accessory_prompt(accessory, "accessory") for accessory in accessories),
        *(accessory_prompt(accessory, "accessory", place) for accessory, place in both),
        *(property_prompt(colour) for colour in colours[:BALANCED_COLOURS]),
    )


def draw_prompt(rng: np.random.Generator, category: str) -> ToyPrompt:
    """Draw a prompt for a class that no subject takes part in."""
    words, context, attributes = category, "", {"category": category}
    if rng.random() < 0.5:
        attributes["colour"] = pick(rng, tuple(COLOURS))
        words = f"{attributes['colour']} {category}"
    if rng.random() < 0.25:
        attributes["accessory"] = pick(rng, tuple(ACCESSORY_PHRASES))
        context += f" {ACCESSORY_PHRASES[attributes['accessory']]}"
    if rng.random() < 0.75:
        attributes["background"] = pick(rng, BACKGROUNDS)
        context += f" {BACKDROPS[attributes['background']].phrase}"
    opening = pick(rng, ("a photo of ", "", "a picture of "))
    return ToyPrompt(f"{opening}{article(words)}{context}", "prior", attributes)


def independent_prompts(
    category: str, n: int, *, seed: int, without: Collection[str] = ()
) -> tuple[tuple[str, ToyPrompt], ...]:
    """Draw n prompts independently of each other, each with its group; more n only adds, repeats occur.

    Half are of the class (``class``), half of any other (``other``), drawn again where their text is among
    ``without``.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"independent/{category}".encode())])
    others = tuple(each for each in CLASSES if each != category)
    found: list[tuple[str, ToyPrompt]] = []
    while len(found) < n:
        group = "class" if rng.random() < 0.5 else "other"
        prompt = draw_prompt(rng, category if group == "class" else pick(rng, others))
        if prompt.text_template not in without:
            found.append((group, prompt))
    return tuple(found)


def distinct(
    rng: np.random.Generator, categories: tuple[str, ...], n: int, first: list[ToyPrompt]
) -> tuple[ToyPrompt, ...]:
    """Return n prompts of different texts, going round the categories."""
    found = {prompt.text_template: prompt for prompt in first[:n]}
    while len(found) < n:
        prompt = draw_prompt(rng, categories[len(found) % len(categories)])
        found.setdefault(prompt.text_template, prompt)
    return tuple(found.values())


def class_prompts(category: str, n: int) -> tuple[ToyPrompt, ...]:
    """Return n different prompts of a class, without any subject; the first is the plain one."""
    rng = np.random.default_rng(zlib.crc32(f"class/{category}".encode()))
    plain = ToyPrompt(f"a photo of {article(category)}", "prior", {"category": category})
    return distinct(rng, (category,), n, [plain])


def other_prompts(category: str, n: int) -> tuple[ToyPrompt, ...]:
    """Return n different prompts of the classes other than this, in turn."""
    rng = np.random.default_rng(zlib.crc32(f"other/{category}".encode()))
    return distinct(rng, tuple(other for other in CLASSES if other != category), n, [])
