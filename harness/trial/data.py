"""What a plan and its data set settle before a method is run: photos, prompts and seeds. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PIL.Image import Image

from harness.api import Prompt, Subject
from harness.datasets.base import Dataset, DatasetError, chosen_prompts
from harness.diffusion.seeds import named_seed
from harness.metrics.scorer_inputs import SubjectPhotos
from harness.specs import Sampling
from harness.trial.plan import Plan
from harness.trial.prior_texts import bank_texts


@dataclass(frozen=True)
class TrialData:
    """The data of one trial; they never depend on the method.

    subject    as a method sees it, with exactly its shots
    photos     all of the subject's, with the numbers of the shots and of those held out
    prompts    the test prompts
    prompt_of  number of the prompt of each image, in the order of sampling
    seeds      seed of each image: from the sampling seed, the prompt's wording and the image's number
    asked      renders the subject as each image's prompt asks; raises DatasetError where that cannot be had
    learnable  the photos with all those numbered that a method might learn from
    bank_texts  the prompts of the class's bank; raises HarnessError where drift is measured on one of them
    """

    subject: Subject
    photos: SubjectPhotos
    prompts: Sequence[Prompt]
    prompt_of: Sequence[int]
    seeds: Sequence[int]
    asked: Callable[[], Sequence[Image]]
    learnable: Callable[[], SubjectPhotos]
    bank_texts: Callable[[], Sequence[str]]

    @classmethod
    def of(cls, plan: Plan, dataset: Dataset) -> TrialData:
        """Read what a plan asks of its data set. Raises DatasetError where it does not have it."""
        trial = plan.trial
        check_photos(plan, dataset)
        subject = dataset.shots(trial.subject, trial.shots, trial.seed)
        read = partial(subject_photos, dataset, trial.subject, seed=trial.seed, most_shots=plan.most_shots)
        prompts = chosen_prompts(dataset, trial.subject, trial.sampling.prompts)
        prompt_of = [number for number in range(len(prompts)) for _ in range(trial.sampling.images)]
        seeds = _seeds(prompts, trial.sampling)
        return cls(
            subject,
            read(shots=trial.shots),
            prompts,
            prompt_of,
            seeds,
            asked=partial(dataset.as_asked, trial.subject, [prompts[n] for n in prompt_of], seeds),
            learnable=partial(read, shots=dataset.most_shots(trial.subject)),
            bank_texts=partial(bank_texts, dataset, subject.category, plan.drift),
        )

    def texts(self, phrase: str) -> list[str]:
        """Write the prompts in full, the phrase in the subject's place."""
        return [prompt.text(phrase) for prompt in self.prompts]

    @staticmethod
    def spread(texts: Sequence[str], count: int) -> list[str]:
        """Take ``count`` texts spread evenly over all, or all where there are no more."""
        few = min(count, len(texts))
        return [texts[(2 * i + 1) * len(texts) // (2 * few)] for i in range(few)]


def check_photos(plan: Plan, dataset: Dataset) -> None:
    """Raise DatasetError where the subject's photos are not those that the plan's keys speak of."""
    subject = plan.trial.subject
    if plan.photos is not None and dataset.references_identity(subject) != plan.photos:
        raise DatasetError(f"the photos of {subject!r} changed while the sweep ran; run it again")


def subject_photos(
    dataset: Dataset, subject: str, *, shots: int, seed: int, most_shots: int | None = None
) -> SubjectPhotos:
    """Read the photos of a subject, and number those of a draw and those held out.

    Held out is what a draw of ``most_shots`` leaves: the same for trials of fewer shots. None: of ``shots``.
    """
    largest = shots if most_shots is None else most_shots
    names = dataset.photo_names(subject)
    return SubjectPhotos(
        dataset.photos(subject),
        [names.index(name) for name in dataset.shot_names(subject, shots, seed)],
        [names.index(name) for name in dataset.reference_names(subject, largest, seed)],
        looks=dataset.looks(subject),
        elsewhere=dataset.elsewhere(subject) if shots else (),
    )


def _seeds(prompts: Sequence[Prompt], sampling: Sampling) -> list[int]:
    return [
        named_seed("picture", sampling.seed, prompt.template, image)
        for prompt in prompts
        for image in range(sampling.images)
    ]
