"""From numbers and images to what is kept of a trial: its outcome, and the files in its folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from harness.metrics.registry import MEASURES, of_sample_stage
from harness.metrics.scorer_inputs import ScorerInputs, Scores
from harness.trial import provenance
from harness.trial.data import TrialData
from harness.trial.images import contact_sheet, to_png
from harness.trial.plan import Outcome, Plan
from harness.trial.stages import Fitted
from harness.trial.timing import Clock

CEILING_NOTE = "photos, not a model"
SHEET_PHOTOS = 6


def outcome(
    fitted: Fitted,
    inputs: ScorerInputs,
    scores: Scores,
    drift: Scores,
    clock: Clock,
    *,
    options: Collection[str],
    encoders: Mapping[str, Any],
    scored: Mapping[str, Any] | None,
) -> Outcome:
    """Gather what came out of a trial that succeeded, without its files.

    Device, versions and memory are the fit's; ``scored`` is the origin of scores that were computed later.
    ``options`` of the drift set add measures.
    """
    of_weights, notes = _drift_of_weights(fitted, options)
    measured = {**scores.values, **drift.values}
    return Outcome(
        status="done",
        scores=scores.values,
        drift={**of_weights, **drift.values},
        by_prompt=scores.by_prompt,
        notes={**notes, **scores.notes, **drift.notes},
        seconds={stage: clock.seconds.get(stage, 0.0) for stage in ("fit", "sample", "score")},
        peak_memory_bytes=fitted.peak_memory_bytes,
        images=len(inputs.images),
        bound=fitted.bound,
        readout=fitted.readout,
        provenance={
            **fitted.origin,
            "encoders": encoders_of(measured, encoders),
            "preprocessing": {each.name: each.preprocessing for each in encoders.values()},
            **({"scored": dict(scored)} if scored else {}),
        },
    )


def origin(clock: Clock, revisions: Mapping[str, str]) -> dict[str, Any]:
    """Say where and with what a stage was computed: commit, versions, platform, device, revisions."""
    return {**provenance.of_process(), "device": clock.device_name, **revisions}


def _drift_of_weights(
    fitted: Fitted, options: Collection[str]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Give the measures of the sample stage, and why some are empty."""
    measures = of_sample_stage(options)
    values = {measure.name: fitted.drift.get(measure.name) for measure in measures}
    empty = [measure for measure in measures if values[measure.name] is None]
    if fitted.ceiling is not None:
        return values, {measure.name: CEILING_NOTE for measure in empty}
    no_prompt = "no prior prompt of this group (drift.prompts)"
    return values, {measure.name: measure.empty or no_prompt for measure in empty}


def encoders_of(values: Mapping[str, float | None], encoders: Mapping[str, Any]) -> dict[str, str]:
    """Say which encoder, which weights and which version of the metric stand behind each number."""
    return {
        name: f"{encoders[kind].name} ({encoders[kind].revision}), v{MEASURES[name].version}"
        for name, value in values.items()
        if value is not None and (kind := MEASURES[name].encoder or "") in encoders
    }


def image_files(plan: Plan, data: TrialData, inputs: ScorerInputs) -> dict[str, bytes]:
    """Encode the images themselves, so that they can be scored again."""
    images = zip(image_names(plan, data, photos=inputs.photo_of is not None), inputs.images)
    files = {name: to_png(image) for name, image in images}
    if inputs.prior is None:
        return files
    names = prior_names([prompt.group for prompt in inputs.prior.prompts])
    return files | {name: to_png(image) for name, image in zip(names, inputs.prior.tuned)}


def image_names(plan: Plan, data: TrialData, *, photos: bool) -> list[str]:
    """Name the files of the images: prompt and number; photos in place of samples count as of one prompt."""
    if photos:
        return [f"pictures/00-{number:02d}.png" for number in range(len(data.photos.photos))]
    return [
        f"pictures/{number:02d}-{image:02d}.png"
        for number in range(len(data.prompts))
        for image in range(plan.trial.sampling.images)
    ]


def prior_names(groups: list[str]) -> list[str]:
    """Name the files of the prior images: group and number within it."""
    return [f"prior/{group}-{groups[:index].count(group):02d}.png" for index, group in enumerate(groups)]


def images_json(
    plan: Plan, data: TrialData, fitted: Fitted, inputs: ScorerInputs, scores: Scores, drift: Scores
) -> bytes:
    """Write the numbers of each image, and of each prior image, with their prompts and seeds."""
    entries: list[dict[str, Any]] = []
    texts = data.texts(fitted.phrase) if fitted.phrase is not None else None
    for index, name in enumerate(image_names(plan, data, photos=texts is None)):
        prompted: dict[str, Any] = {}
        if texts is not None:
            number = inputs.prompt_of[index]
            prompted = {
                "prompt": texts[number],
                "clip_text": inputs.texts[number],
                "seed": data.seeds[index],
            }
        numbers = {score: values[index] for score, values in scores.by_image.items()}
        entries.append({"file": name, **prompted, "scores": numbers})
    whole = {"pictures": entries, "prior": _prior_entries(inputs, drift)}
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()


def _prior_entries(inputs: ScorerInputs, drift: Scores) -> list[dict[str, Any]]:
    if inputs.prior is None:
        return []
    prompts = inputs.prior.prompts
    names = prior_names([prompt.group for prompt in prompts])
    return [
        {
            "file": name,
            "prompt": prompt.text,
            "group": prompt.group,
            "seed": prompt.seed,
            **{measure: values[index] for measure, values in drift.by_image.items()},
        }
        for index, (name, prompt) in enumerate(zip(names, prompts))
    ]


def sheet(plan: Plan, data: TrialData, fitted: Fitted, inputs: ScorerInputs) -> bytes:
    """Draw the contact sheet of a trial: what was learnt from, then the first image of each prompt."""
    every, shots = data.photos.photos, data.photos.shots
    photos = [every[number] for number in shots] or list(every[:SHEET_PHOTOS])
    title = f"{plan.trial.subject}: {len(photos)} {'shots' if shots else 'photos'}"
    firsts = range(0, len(inputs.images), plan.trial.sampling.images if inputs.texts else 1)
    captions = data.texts(fitted.phrase) if fitted.phrase is not None else None
    images = [(inputs.images[i], captions[inputs.prompt_of[i]] if captions else "") for i in firsts]
    return to_png(contact_sheet([(title, [(photo, "") for photo in photos]), (plan.trial.title, images)]))
