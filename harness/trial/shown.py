"""What a trial shows its scorer: images, photos, prompts and their truth; neither backbone nor files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.metrics.encoders.pixels import as_pil
from harness.metrics.scorer_inputs import PriorImages, ScorerInputs
from harness.trial.data import TrialData
from harness.trial.plan import Plan
from harness.trial.reference import BaseReference
from harness.trial.stages import Fitted, Sampled


def scorer_inputs(
    plan: Plan,
    data: TrialData,
    fitted: Fitted,
    sampled: Sampled,
    reference: BaseReference,
    *,
    truth: Callable[[], Mapping[str, Mapping[str, str]]],
) -> ScorerInputs:
    """Gather what the metrics of one trial look at.

    ``truth``: what an image of each prior prompt must show, by its text; asked where a model was sampled.
    """
    if fitted.phrase is None:
        return ScorerInputs(sampled.images, data.photos, photo_of=range(len(data.photos.photos)))
    noun = data.subject.category if plan.trial.sampling.clip_text == "class" else fitted.phrase
    return ScorerInputs(
        sampled.images,
        data.photos if fitted.ceiling is None else data.learnable(),
        prompt_of=data.prompt_of,
        texts=data.texts(noun),
        requested=[prompt.attributes for prompt in data.prompts],
        kinds=[prompt.kind for prompt in data.prompts],
        prior=_prior(sampled, reference, truth()) if fitted.ceiling is None else None,
    )


def _prior(sampled: Sampled, reference: BaseReference, truth: Mapping[str, Mapping[str, str]]) -> PriorImages:
    asked = [truth.get(prompt.text, {}) for prompt in reference.prompts]
    base, floor = as_pil(reference.images), as_pil(reference.floor)
    return PriorImages(reference.prompts, sampled.prior, base, floor, asked)
