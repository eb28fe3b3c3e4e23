"""What the formulas of metrics are given: images, photos, prior images, encoders, a model that moved."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from PIL.Image import Image
from torch import Tensor

from harness.metrics.measure import Missing, Values

if TYPE_CHECKING:
    from harness.diffusion.weights.delta import Distance

KEPT_FEATURES = 20_000


class FeatureCache:
    """An encoder that remembers: each image and each text is embedded once per worker.

    Each is embedded by itself, so that its features depend neither on the batch that it is in nor on what
    the worker saw before.
    """

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        self._rows: OrderedDict[str, Tensor] = OrderedDict()

    def of(self, images: Sequence[Image]) -> Tensor:
        """Embed images: float32 unit rows [n, d]. Equal images get the same row, bit for bit."""
        return self._remembered([_content(each) for each in images], images, self.encoder.embed_images)

    def of_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: float32 unit rows [n, d]."""
        return self._remembered([f"text {text}" for text in texts], texts, self.encoder.embed_texts)

    def _remembered(
        self, names: list[str], things: Sequence[Any], embed: Callable[[list[Any]], Tensor]
    ) -> Tensor:
        for name, thing in zip(names, things):
            if name not in self._rows:
                self._rows[name] = embed([thing])[0]
        rows = torch.stack([self._rows[name] for name in names])
        for name in names:
            self._rows.move_to_end(name)
        while len(self._rows) > KEPT_FEATURES:
            self._rows.popitem(last=False)
        return rows


def _content(image: Image) -> str:
    return hashlib.blake2b(image.tobytes(), key=repr(image.size).encode(), digest_size=16).hexdigest()


class Encoders:
    """A worker's encoders by kind, as a formula asks for them. What was embedded or read is remembered."""

    def __init__(self, by_kind: Mapping[str, Any]) -> None:
        self._by_kind = by_kind
        self._features: dict[str, FeatureCache] = {}
        self._last_read: tuple[list[str], list[Mapping[str, str]]] = ([], [])

    def features(self, kind: str) -> FeatureCache:
        """Return the features of an encoder of images (and texts). Raises Missing where there is none."""
        if kind not in self._features:
            self._features[kind] = FeatureCache(self.model(kind, lacking=f"no {kind} encoder"))
        return self._features[kind]

    def model(self, kind: str, *, lacking: str) -> Any:
        """Return the encoder itself. Raises Missing with the text ``lacking`` where there is none."""
        if kind not in self._by_kind:
            raise Missing(lacking)
        return self._by_kind[kind]

    def readings(self, images: Sequence[Image]) -> list[Mapping[str, str]]:
        """Read the attributes of each image with the probe. Raises Missing where there is none."""
        probe = self.model("probe", lacking="no attribute probe")
        names = [_content(image) for image in images]
        if self._last_read[0] != names:
            self._last_read = names, probe.read(images)
        return self._last_read[1]


@dataclass(frozen=True)
class PriorPrompt:
    """A prompt without a subject, with the seed of its image and that of another, for the noise floor."""

    group: str
    text: str
    seed: int
    other_seed: int


@dataclass(frozen=True)
class PriorImages:
    """The tuned model's images of prior prompts beside the base model's: same seeds, and other seeds.

    ``requested``: the ground-truth attributes of each prompt; empty where they are not known.
    """

    prompts: Sequence[PriorPrompt]
    tuned: Sequence[Image]
    base: Sequence[Image]
    floor: Sequence[Image]
    requested: Sequence[Mapping[str, str]] = ()

    def of_group(self, group: str) -> PriorImages:
        """Keep the prompts of one group, with their images."""
        kept = [number for number, prompt in enumerate(self.prompts) if prompt.group == group]
        tuned, base, floor = ([images[n] for n in kept] for images in (self.tuned, self.base, self.floor))
        requested = [self.requested[number] for number in kept] if self.requested else ()
        return PriorImages([self.prompts[number] for number in kept], tuned, base, floor, requested)


@dataclass(frozen=True)
class SubjectPhotos:
    """Photos of a subject, and the numbers of those learnt from and of those held out.

    looks      what is known of its looks ({"pattern": "rings"}); empty where nothing is
    elsewhere  renders of it in other scenes; none where it cannot be rendered, or nothing was learnt from
    """

    photos: Sequence[Image]
    shots: Sequence[int]
    references: Sequence[int]
    looks: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Sequence[Image] = ()


@dataclass(frozen=True)
class ScorerInputs:
    """All that the metrics of one trial's score stage look at.

    images        to be scored; ``prompt_of`` is the number of each one's prompt
    texts         per prompt, what CLIP-T compares with; ``requested``: its ground-truth attributes;
                  ``kinds``: what kind it is of (``property`` asks for other looks than the subject's)
    photo_of      of a ceiling, whose images are photos: the number of each; it has no prompts
    prior         None where no model was sampled
    """

    images: Sequence[Image]
    subject: SubjectPhotos
    prompt_of: Sequence[int] = ()
    texts: Sequence[str] = ()
    requested: Sequence[Mapping[str, str]] = ()
    kinds: Sequence[str] = ()
    prior: PriorImages | None = None
    photo_of: Sequence[int] | None = None

    @property
    def prompts(self) -> int:
        """How many prompts there are."""
        return len(self.texts)

    def require_prompts(self) -> None:
        """Raise Missing where the images are photos, which belong to no prompt."""
        if self.photo_of is not None:
            raise Missing("photos follow no prompt")

    def prior_images(self, *, at_least: int = 1) -> PriorImages:
        """Return the prior images. Raises Missing where there are none, or fewer than the formula needs."""
        if self.prior is None:
            raise Missing("photos, not a model")
        if len(self.prior.prompts) < at_least:
            few = f"needs at least {at_least} prior pictures, not {len(self.prior.prompts)} (drift.images)"
            raise Missing("no prior pictures (drift.images is 0)" if at_least == 1 else few)
        return self.prior


@dataclass(frozen=True)
class MovedModel:
    """What the metrics of the sample stage look at: how far the weights moved, and what the model predicts.

    prompts      prior prompts [n], each at the same T timesteps
    tuned, base  noise predictions of the tuned and the base model [n·T, c, h, w], prompt by prompt
    subject      the same two on test prompts, the tuned model asked for the subject, the base model for its
                 class; None where the drift set does not ask for it
    """

    distance: Distance
    prompts: Sequence[PriorPrompt]
    tuned: Tensor
    base: Tensor
    subject: tuple[Tensor, Tensor] | None = None


@dataclass
class Scores:
    """Numbers by name, values by prompt, values by image, and the reasons for what is empty."""

    values: dict[str, float | None] = field(default_factory=dict)
    by_prompt: dict[str, Values] = field(default_factory=dict)
    by_image: dict[str, Values] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
