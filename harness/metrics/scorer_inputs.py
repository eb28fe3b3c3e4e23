"""What the scores of a trial look at, and through which eyes: pictures, photos, prior pictures, encoders."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

KEPT_FEATURES = 20_000

Values = list[float | None]


class Missing(Exception):
    """A score that cannot be had here; the text says why."""


class Features:
    """An encoder that remembers: each picture and each text is embedded once per worker.

    Each is embedded by itself, so that its numbers do not depend on its company, and thus on what a worker
    had seen before.
    """

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        self._rows: OrderedDict[str, Tensor] = OrderedDict()

    def of(self, pictures: Sequence[Image]) -> Tensor:
        """Embed pictures: float32 unit rows [n, d]. Equal pictures get the same row, bit for bit."""
        return self._remembered([_content(each) for each in pictures], pictures, self.encoder.embed_images)

    def of_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: float32 unit rows [n, d]."""
        return self._remembered([f"text {text}" for text in texts], texts, self.encoder.embed_texts)

    def _remembered(
        self, names: list[str], things: Sequence[Any], embed: Callable[[list[Any]], Tensor]
    ) -> Tensor:
        for name, thing in zip(names, things, strict=True):
            if name not in self._rows:
                self._rows[name] = embed([thing])[0]
        rows = torch.stack([self._rows[name] for name in names])
        for name in names:
            self._rows.move_to_end(name)
        while len(self._rows) > KEPT_FEATURES:
            self._rows.popitem(last=False)
        return rows


def _content(picture: Image) -> str:
    return hashlib.blake2b(picture.tobytes(), key=repr(picture.size).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Eyes:
    """A worker's encoders: features of CLIP and DINO, the attribute probe, LPIPS; None: there is none."""

    clip: Features | None = None
    dino: Features | None = None
    probe: Any = None
    lpips: Any = None

    @classmethod
    def of(cls, encoders: Mapping[str, Any]) -> Eyes:
        """Look through encoders by kind; those that are asked again and again remember."""
        seeing = ("clip", "dino")
        return cls(**{kind: Features(each) if kind in seeing else each for kind, each in encoders.items()})


@dataclass(frozen=True)
class PriorPrompt:
    """A prompt without a subject, with the seed of its picture and that of another, for the noise floor."""

    group: str
    text: str
    seed: int
    other_seed: int


@dataclass(frozen=True)
class PriorPictures:
    """The tuned model's pictures of prior prompts beside the base model's: same seeds, and other seeds."""

    prompts: Sequence[PriorPrompt]
    tuned: Sequence[Image]
    base: Sequence[Image]
    floor: Sequence[Image]


@dataclass(frozen=True)
class SubjectPhotos:
    """Photos of a subject, and the numbers of those learnt from and of those held out."""

    photos: Sequence[Image]
    shots: Sequence[int]
    references: Sequence[int]


@dataclass(frozen=True)
class Exhibit:
    """All that the scores of one trial look at.

    pictures      to be scored; ``prompt_of`` is the number of each one's prompt
    texts         per prompt, what CLIP-T compares with; ``asked``: its ground-truth attributes
    photo_of      of a ceiling, whose pictures are photos: the number of each; it has no prompts
    prior         None where no model was asked
    """

    pictures: Sequence[Image]
    subject: SubjectPhotos
    prompt_of: Sequence[int] = ()
    texts: Sequence[str] = ()
    asked: Sequence[Mapping[str, str]] = ()
    prior: PriorPictures | None = None
    photo_of: Sequence[int] | None = None

    @property
    def prompts(self) -> int:
        """How many prompts there are."""
        return len(self.texts)


@dataclass
class Scores:
    """Numbers by name, values by prompt, values by picture, and the reasons for what is empty."""

    values: dict[str, float | None] = field(default_factory=dict)
    by_prompt: dict[str, Values] = field(default_factory=dict)
    by_picture: dict[str, Values] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
