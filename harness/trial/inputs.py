"""A plan with its data: the photos, prompts and seeds of one trial. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from PIL.Image import Image

from harness.api import Prompt, Subject
from harness.datasets.base import Dataset, chosen_prompts
from harness.diffusion.seeds import named_seed
from harness.trial.plan import Plan


class Case:
    """What a trial is about. It follows from the plan and the data set, never from the method."""

    def __init__(self, plan: Plan, dataset: Dataset) -> None:
        self.plan, self.dataset = plan, dataset
        self.trial, self.sampling = plan.trial, plan.trial.sampling

    @cached_property
    def subject(self) -> Subject:
        """The subject as a method sees it, with exactly its shots."""
        return self.dataset.shots(self.trial.subject, self.trial.shots, self.trial.seed)

    @cached_property
    def photos(self) -> Sequence[Image]:
        """All photos of the subject."""
        return self.dataset.photos(self.trial.subject)

    @cached_property
    def shots(self) -> list[int]:
        """Numbers of the photos that are learnt from."""
        return self._numbers(self.dataset.shot_names(self.trial.subject, self.trial.shots, self.trial.seed))

    @cached_property
    def references(self) -> list[int]:
        """Numbers of the photos that are held out."""
        return self._numbers(
            self.dataset.reference_names(self.trial.subject, self.trial.shots, self.trial.seed)
        )

    def _numbers(self, names: Sequence[str]) -> list[int]:
        every = self.dataset.photo_names(self.trial.subject)
        return [every.index(name) for name in names]

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The test prompts."""
        return chosen_prompts(self.dataset, self.trial.subject, self.sampling.prompts)

    @property
    def prompt_of(self) -> list[int]:
        """Number of the prompt of each picture, in the order of sampling."""
        return [number for number in range(len(self.prompts)) for _ in range(self.sampling.images)]

    @property
    def seeds(self) -> list[int]:
        """Seed of each picture: from the sampling seed, the prompt's wording and the picture's number."""
        return [
            named_seed("picture", self.sampling.seed, prompt.template, image)
            for prompt in self.prompts
            for image in range(self.sampling.images)
        ]

    def texts(self, phrase: str) -> list[str]:
        """Prompts in full, the phrase in the subject's place."""
        return [prompt.text(phrase) for prompt in self.prompts]

    def prior_texts(self, n: int) -> Mapping[str, Sequence[str]]:
        """Return n prior prompts of the subject's class, by group."""
        return self.dataset.prior_prompts(self.subject.category, n)
