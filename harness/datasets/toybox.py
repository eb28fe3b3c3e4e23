"""The embedded benchmark as a data set: rendered photos, cached on disk; ground truth with every prompt."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image

from harness.api import Prompt, Subject
from harness.datasets.base import DatasetEntry, DatasetError, DrawnPrompt
from harness.datasets.photos import Recent
from harness.datasets.shots import draw, fingerprint, group_sizes
from harness.errors import one_of
from harness.specs import DatasetSpec

if TYPE_CHECKING:
    from torch import Tensor

    from harness.toybox.prompts import ToyPrompt
    from harness.toybox.scenes.world import Scene
    from harness.toybox.subjects import ToySubject

SIZE = 64
RENDERER_VERSION = 1
"""Raise when the same scene is drawn differently."""
DRAWN = {"renderer": RENDERER_VERSION, "size": SIZE}

SPLITS = {"development": "dev", "test": "test"}
"""Those of the listed subjects. ``confirmation`` is a rule without an end: ``all`` does not hold it."""


class ToyboxDataset:
    """Toybox's subjects; see :class:`~.base.Dataset`. Six photos to learn from, six held out."""

    name = "toybox"
    resize = "direct"

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self._recent = Recent[list[Image]](32)
        self._elsewhere = Recent[list[Image]](32)

    @classmethod
    def open(cls, spec: DatasetSpec, cache: Path | None = None) -> ToyboxDataset:
        """Open it; it takes no path."""
        if spec.path is not None:
            raise DatasetError(
                "dataset: 'toybox' takes neither a path nor options; photos of your own: 'folder'"
            )
        return cls(cache)

    @property
    def revision(self) -> str:
        """Fingerprint of all scenes and prompts."""
        return fingerprint(
            [[name, self.references_identity(name), self.prompts_identity(name)] for name in self.subjects()]
        )

    def _subject(self, name: str) -> ToySubject:
        from harness.toybox.confirmation import named
        from harness.toybox.subjects import subjects

        known = {each.name: each for each in subjects()}
        found = known.get(name) or named(name)
        if found is None:
            raise DatasetError(one_of(name, known, noun="subject"))
        return found

    def subjects(self, split: str = "all", count: int | None = None) -> list[str]:
        """List the subjects of a split; of ``confirmation`` ``count``, by default 32."""
        from harness.toybox.confirmation import COUNT, confirmation
        from harness.toybox.subjects import subjects

        if split == "confirmation":
            return [each.name for each in confirmation(COUNT if count is None else count)]
        if split != "all" and split not in SPLITS:
            raise DatasetError(one_of(split, ("all", *SPLITS, "confirmation"), noun="split"))
        return [each.name for each in subjects() if split == "all" or each.split == SPLITS[split]]

    def category(self, subject: str) -> str:
        """Return the class noun."""
        return self._subject(subject).category

    def photo_names(self, subject: str) -> list[str]:
        """Number the photos: those to learn from, then the held-out ones."""
        return [f"{number:02d}" for number in range(len(self._subject(subject).photos))]

    def _to_learn_from(self, subject: str) -> list[str]:
        from harness.toybox.subjects import shots

        return self.photo_names(subject)[: len(shots(self._subject(subject)))]

    def shot_names(self, subject: str, shots: int, seed: int) -> list[str]:
        """Draw from the photos to learn from."""
        return draw(self._to_learn_from(subject), shots, seed, subject=subject)

    def most_shots(self, subject: str) -> int:
        """Count the photos to learn from."""
        return len(self._to_learn_from(subject))

    def reference_names(self, subject: str, shots: int, seed: int) -> list[str]:
        """List the photos that no method ever learns from."""
        return self.photo_names(subject)[len(self._to_learn_from(subject)) :]

    def photos(self, subject: str) -> list[Image]:
        """Render all photos of a subject."""
        return self._recent.get(subject, lambda: self._photos(subject))

    def _photos(self, subject: str) -> list[Image]:
        return self._render(self._subject(subject).photos)

    def shots(self, subject: str, shots: int, seed: int) -> Subject:
        """Render the drawn photos, and their outlines when asked; the description says the look in words."""
        from harness.toybox.captions import look_phrase

        toy = self._subject(subject)
        names = self.shot_names(subject, shots, seed)
        chosen = [toy.photos[self.photo_names(subject).index(name)] for name in names]
        photos = tuple(self._render(chosen))
        return Subject(
            subject,
            toy.category,
            photos,
            description=look_phrase(toy.look),
            renderable=True,
            outlines=partial(_outlines, chosen),
        )

    def prompts(self, subject: str) -> list[Prompt]:
        """Return the subject's 25 prompts; every one also asks for the class."""
        from harness.toybox.subjects import prompts

        return self._asking(subject, prompts(self._subject(subject)))

    def named_prompts(self, subject: str, name: str) -> list[Prompt]:
        """Return the 24 prompts of the set ``balanced``; every one also asks for the class."""
        from harness.toybox.prompts import balanced_prompts

        if name != "balanced":
            raise DatasetError(
                f"sampling.prompts: {one_of(name, ('all', 'balanced'), noun='set of prompts')}"
            )
        return self._asking(subject, balanced_prompts(subject))

    def _asking(self, subject: str, prompts: Sequence[ToyPrompt]) -> list[Prompt]:
        category = self._subject(subject).category
        return [
            Prompt(each.text_template, each.kind, {"class": category, **each.attributes}) for each in prompts
        ]

    def looks(self, subject: str) -> dict[str, str]:
        """Return the subject's class, pattern and the third of its range of each shape parameter."""
        from harness.toybox.scenes.attributes import shape_words

        look = self._subject(subject).look
        return {"class": look.category, "pattern": look.pattern, **shape_words(look)}

    def as_asked(self, subject: str, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Image]:
        """Render the subject with what each prompt asks for; views are drawn by the seeds."""
        import numpy as np

        from harness.toybox.requested import requested

        look, scenes = self._subject(subject).look, []
        for prompt, seed in zip(prompts, seeds, strict=True):
            if not prompt.attributes:
                raise DatasetError(
                    f"what {prompt.template!r} asks of a subject is not known; "
                    "real_asked needs the data set's own prompts"
                )
            scenes.append(requested(look, prompt.attributes, np.random.default_rng(seed)))
        return _as_images(_rendered(scenes)["picture"])

    def elsewhere(self, subject: str) -> list[Image]:
        """Render 200 other scenes of the subject; the last few subjects are kept."""
        return self._elsewhere.get(subject, lambda: self._other_scenes(subject))

    def _other_scenes(self, subject: str) -> list[Image]:
        import numpy as np

        from harness.cache import Cache
        from harness.toybox.requested import elsewhere

        rng = np.random.default_rng(zlib.crc32(f"elsewhere/{subject}".encode()))
        scenes = elsewhere(self._subject(subject).look, rng)
        content = {**DRAWN, "scenes": [scene.to_dict() for scene in scenes]}
        drawn = Cache(self.cache).tensors("toybox-elsewhere", content, partial(_rendered, scenes))
        return _as_images(drawn["picture"])

    def prior_prompts(self, category: str, n: int) -> dict[str, list[str]]:
        """Return prompts of the class, of the other classes in turn, and empty ones."""
        from harness.toybox.subjects import class_prompts, other_prompts

        sizes = group_sizes(n)
        return {
            "class": [each.text_template for each in class_prompts(category, sizes["class"])],
            "other": [each.text_template for each in other_prompts(category, sizes["other"])],
            "empty": [""] * sizes["empty"],
        }

    def prior_truth(self, category: str, n: int) -> dict[str, dict[str, str]]:
        """Return the attributes that each prior prompt asks for; an empty one asks for none."""
        from harness.toybox.subjects import class_prompts, other_prompts

        sizes = group_sizes(n)
        asked = (*class_prompts(category, sizes["class"]), *other_prompts(category, sizes["other"]))
        return {each.text_template: _truth(each) for each in asked}

    def bank_prompts(self, category: str, n: int) -> list[str]:
        """Return prompts of the class and half of the others, with three of the five accessories."""
        from harness.toybox.bank import bank_prompts

        return [each.text_template for each in bank_prompts(category, n)]

    def drawn_prompts(
        self, category: str, n: int, *, seed: int, without: Collection[str]
    ) -> list[DrawnPrompt]:
        """Draw from all captions of the class and of the others, with what each of them asks for."""
        from harness.toybox.prompts import independent_prompts

        drawn = independent_prompts(category, n, seed=seed, without=without)
        return [DrawnPrompt(each.text_template, group, _truth(each)) for group, each in drawn]

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        """Fingerprint of the drawn scenes."""
        toy = self._subject(subject)
        numbers = [self.photo_names(subject).index(name) for name in self.shot_names(subject, shots, seed)]
        return fingerprint(RENDERER_VERSION, SIZE, toy.category, [toy.photos[i].to_dict() for i in numbers])

    def references_identity(self, subject: str) -> str:
        """Fingerprint of all scenes of the subject."""
        return fingerprint(
            RENDERER_VERSION, SIZE, [scene.to_dict() for scene in self._subject(subject).photos]
        )

    def held_out_identity(self, subject: str, shots: int, seed: int) -> str | None:
        """Return None: the last six photos, whatever is drawn."""
        return None

    def prompts_identity(self, subject: str) -> str:
        """Fingerprint of the test prompts with their ground truth, and of the prior prompts."""
        prompts = [[prompt.template, prompt.kind, prompt.attributes] for prompt in self.prompts(subject)]
        return fingerprint(prompts, self.prior_prompts(self.category(subject), 64))

    def check(self, subjects: Sequence[str], shots: Sequence[int]) -> None:
        """Check names and counts; rendered photos are always readable."""
        for subject in subjects:
            for count in shots:
                self.shot_names(subject, count, 0)

    def _render(self, scenes: Sequence[Scene]) -> list[Image]:
        if not scenes:
            return []
        from harness.cache import Cache

        cache = Cache(self.cache)
        images = []
        for scene in scenes:
            content = {**DRAWN, "scene": scene.to_dict()}
            drawn = cache.tensors("toybox-photos", content, partial(_one_rendered, scene))
            images += _as_images(drawn["picture"][None])
        return images


def _truth(prompt: ToyPrompt) -> dict[str, str]:
    """The attributes that a prior prompt asks for, under the names of the probe."""
    return {"class" if name == "category" else name: value for name, value in prompt.attributes.items()}


def _rendered(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    from harness.toybox.scenes.render import render

    return {"picture": render(scenes, size=SIZE)}


def _one_rendered(scene: Scene) -> dict[str, Tensor]:
    return {"picture": _rendered([scene])["picture"][0]}


def _outlines(scenes: Sequence[Scene]) -> list[Image]:
    from harness.toybox.scenes.outlines import outlines

    return _as_images(outlines(scenes, size=SIZE))


def _as_images(drawn: Tensor) -> list[Image]:
    from torchvision.transforms.functional import to_pil_image

    return [to_pil_image(each) for each in drawn]


DATASET = DatasetEntry(
    name="toybox",
    description="the embedded benchmark: 4 development and 16 test subjects, more by rule, 12 photos each",
    open=ToyboxDataset.open,
)
