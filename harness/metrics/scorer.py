"""The score stage: pictures and photos in, numbers out, each with the reason where it cannot be had.

Needs encoders only, no backbone: saved pictures can be scored again. No picture is embedded twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from harness.metrics.registry import ATTRIBUTES, GROUPS
from harness.metrics.scorer_inputs import (
    Exhibit,
    Eyes,
    Features,
    Missing,
    PriorPictures,
    PriorPrompt,
    Scores,
    Values,
)
from harness.metrics.scores import prompt_accuracy, similarity
from harness.metrics.scores.averages import by_prompt, mean
from harness.metrics.scores.kid import kid


class Examiner:
    """Computes the scores of one exhibit; features and readings are shared between scores."""

    def __init__(self, exhibit: Exhibit, eyes: Eyes) -> None:
        self.exhibit, self.eyes = exhibit, eyes

    def scores(self, names: Sequence[str]) -> Scores:
        """Compute the named scores."""
        result = Scores()
        for name in names:
            try:
                self._score(name, result)
            except Missing as reason:
                result.values[name] = None
                result.notes[name] = str(reason)
        return result

    def _score(self, name: str, result: Scores) -> None:
        if name == "pres":
            result.values[name] = self._preservation()
            return
        if name in ("div", "div_dino"):
            prompts = self._diversity(name)
        else:
            pictures = self._by_picture(name, result)
            result.by_picture[name] = pictures
            if self.exhibit.photo_of is not None:
                result.values[name] = _required(mean(pictures))
                return
            prompts = by_prompt(pictures, self.exhibit.prompt_of, self.exhibit.prompts)
        result.by_prompt[name] = prompts
        result.values[name] = _required(mean(prompts))

    def _by_picture(self, name: str, result: Scores) -> Values:
        exhibit = self.exhibit
        everything = range(len(exhibit.subject.photos))
        match name:
            case "clip_i":
                return self._fidelity(self._seen("clip"), everything)
            case "dino":
                return self._fidelity(self._seen("dino"), everything)
            case "clip_i_heldout":
                return self._fidelity(self._seen("clip"), self._held_out())
            case "dino_heldout":
                return self._fidelity(self._seen("dino"), self._held_out())
            case "clip_t":
                return self._text_alignment(result)
            case "copying":
                return self._copying()
            case "prompt_accuracy":
                return [prompt_accuracy.share_right(answer) for answer in self._answers]
            case _ if name.removeprefix("prompt_accuracy_") in ATTRIBUTES:
                return self._accuracy(name.removeprefix("prompt_accuracy_"))
        raise ValueError(f"no such score: {name!r}")

    def _seen(self, kind: str) -> Features:
        found = getattr(self.eyes, kind)
        if found is None:
            raise Missing(f"no {kind} encoder")
        return found

    def _held_out(self) -> Sequence[int]:
        if not self.exhibit.subject.references:
            raise Missing("every photo of the subject is a shot")
        return self.exhibit.subject.references

    def _fidelity(self, features: Features, chosen: Sequence[int]) -> Values:
        exhibit = self.exhibit
        same = None
        if exhibit.photo_of is not None:
            same = np.equal.outer(np.asarray(exhibit.photo_of), np.asarray(chosen))
        cosines = similarity.similarity_to_references(
            features.of(exhibit.pictures), features.of(exhibit.subject.photos)[list(chosen)], same
        )
        return [None if math.isnan(value) else value for value in cosines.tolist()]

    def _text_alignment(self, result: Scores) -> Values:
        exhibit, clip = self.exhibit, self._seen("clip")
        if exhibit.photo_of is not None:
            raise Missing("photos follow no prompt")
        if cut := clip.encoder.cut_texts(exhibit.texts):
            result.notes["clip_t"] = "; ".join(cut)
        texts = clip.of_texts(exhibit.texts)[list(exhibit.prompt_of)]
        return similarity.paired_cosine(clip.of(exhibit.pictures), texts).tolist()

    def _copying(self) -> Values:
        exhibit, dino = self.exhibit, self._seen("dino")
        if not exhibit.subject.shots:
            raise Missing("nothing was learnt from photos")
        photos = dino.of(exhibit.subject.photos)
        unseen = [index for index in range(len(exhibit.subject.photos)) if index not in exhibit.subject.shots]
        ceiling = similarity.copying_ceiling(photos[list(exhibit.subject.shots)], photos[unseen])
        if ceiling is None:
            raise Missing("the subject has a single photo: nothing to compare copying with")
        nearest = similarity.nearest_shot(dino.of(exhibit.pictures), photos[list(exhibit.subject.shots)])
        return (nearest - ceiling).tolist()

    @cached_property
    def _answers(self) -> list[dict[str, float]]:
        exhibit = self.exhibit
        if exhibit.photo_of is not None:
            raise Missing("photos follow no prompt")
        asked = [{name: each[name] for name in ATTRIBUTES if name in each} for each in exhibit.asked]
        if not any(asked):
            raise Missing("the prompts' ground truth is not known (Toybox only)")
        if self.eyes.probe is None:
            raise Missing("no attribute probe")
        read = self.eyes.probe.read(exhibit.pictures)
        return [prompt_accuracy.agreement(asked[p], reading) for p, reading in zip(exhibit.prompt_of, read)]

    def _accuracy(self, attribute: str) -> Values:
        values = [answer.get(attribute) for answer in self._answers]
        if not any(value is not None for value in values):
            raise Missing(f"no prompt asks for {attribute}")
        return values

    def _diversity(self, name: str) -> Values:
        exhibit = self.exhibit
        if exhibit.photo_of is not None:
            raise Missing("photos follow no prompt")
        groups = [
            [p for p, n in zip(exhibit.pictures, exhibit.prompt_of) if n == i] for i in range(exhibit.prompts)
        ]
        if max(map(len, groups)) < 2:
            raise Missing("needs at least 2 pictures per prompt (sampling.images)")
        if name == "div_dino":
            dino = self._seen("dino")
            return [similarity.diversity(dino.of(group)) if len(group) > 1 else None for group in groups]
        if self.eyes.lpips is None:
            raise Missing("no LPIPS weights (encoders: {lpips: {model: lpips-alex, checkpoint: FILE}})")
        lpips = self.eyes.lpips
        return [similarity.mean_pairwise(lpips.pairwise(g)) if len(g) > 1 else None for g in groups]

    def _preservation(self) -> float:
        prior = self._prior()
        of_class = [image for image, prompt in zip(prior.tuned, prior.prompts) if prompt.group == "class"]
        if not of_class:
            raise Missing("no prior picture of the class (drift.images)")
        dino = self._seen("dino")
        return similarity.preservation(dino.of(of_class), dino.of(self.exhibit.subject.photos))

    def _prior(self) -> PriorPictures:
        if self.exhibit.prior is None:
            raise Missing("photos, not a model")
        if not self.exhibit.prior.prompts:
            raise Missing("no prior pictures (drift.images is 0)")
        return self.exhibit.prior

    def drift(self) -> Scores:
        """Compute the drift measures that look at prior pictures."""
        result = Scores()
        kinds = {"image_drift": self._image_drift, "kid": self._kid, "prior_clip_t": self._prior_clip_t}
        for names, measure in kinds.items():
            try:
                measure(result)
            except Missing as reason:
                for suffix in ("", *(f"_{group}" for group in GROUPS)):
                    for name in _names(names, suffix):
                        result.values[name] = None
                        result.notes[name] = str(reason)
        return result

    def _image_drift(self, result: Scores) -> None:
        prior, dino = self._prior(), self._seen("dino")
        distances = similarity.paired_distance(dino.of(prior.tuned), dino.of(prior.base)).tolist()
        result.by_picture["image_drift"] = distances
        _add_groups(result, "image_drift", distances, prior.prompts)

    def _prior_clip_t(self, result: Scores) -> None:
        prior, clip = self._prior(), self._seen("clip")
        told = [index for index, prompt in enumerate(prior.prompts) if prompt.text]
        if not told:
            raise Missing("every prior prompt is empty")
        prompts = [prior.prompts[index] for index in told]
        texts = clip.of_texts([prompt.text for prompt in prompts])
        tuned, base = (
            similarity.paired_cosine(clip.of(pictures)[told], texts) for pictures in (prior.tuned, prior.base)
        )
        _add_groups(result, "prior_clip_t", tuned.tolist(), prompts, groups=GROUPS[:2])
        _add_groups(result, "prior_clip_t_fall", (base - tuned).tolist(), prompts, groups=GROUPS[:2])

    def _kid(self, result: Scores) -> None:
        prior, dino = self._prior(), self._seen("dino")
        tuned, base, floor = (dino.of(pictures) for pictures in (prior.tuned, prior.base, prior.floor))
        for group in (None, *GROUPS):
            chosen = [i for i, prompt in enumerate(prior.prompts) if group in (None, prompt.group)]
            suffix = f"_{group}" if group else ""
            for name, pictures in (("kid", tuned), ("kid_floor", base)):
                if len(chosen) < 2:
                    result.values[name + suffix] = None
                    result.notes[name + suffix] = "needs at least 2 prior pictures (drift.images)"
                else:
                    result.values[name + suffix] = kid(
                        pictures[chosen], floor[chosen], gamma=1.0, paired=True
                    )


def _names(family: str, suffix: str) -> list[str]:
    """The measures of a family for one group of prior prompts."""
    if family == "kid":
        return [f"kid{suffix}", f"kid_floor{suffix}"]
    if family == "prior_clip_t":
        return [] if suffix == "_empty" else [f"prior_clip_t{suffix}", f"prior_clip_t_fall{suffix}"]
    return [f"{family}{suffix}"]


def _add_groups(
    result: Scores,
    name: str,
    values: Sequence[float],
    prompts: Sequence[PriorPrompt],
    *,
    groups: Sequence[str] = GROUPS,
) -> None:
    """Add the mean over all prior prompts, and over each group."""
    result.values[name] = mean(values)
    for group in groups:
        chosen = [value for value, prompt in zip(values, prompts) if prompt.group == group]
        result.values[f"{name}_{group}"] = mean(chosen)
        if not chosen:
            result.notes[f"{name}_{group}"] = f"no prior prompt of the group {group!r} (drift.images)"


def _required(value: float | None) -> float:
    if value is None:
        raise Missing("a single photo: nothing to compare it with")
    return value
