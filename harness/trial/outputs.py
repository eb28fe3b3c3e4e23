"""From numbers and pictures to what is kept of a trial: its record, and the files in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.metrics.registry import MEASURES
from harness.metrics.scorer_inputs import Exhibit, Scores
from harness.trial import provenance
from harness.trial.images import contact_sheet, to_png
from harness.trial.inputs import Case
from harness.trial.stages import Fitted, Sampled
from harness.trial.timing import Clock

CEILING_NOTE = "photos, not a model"
SHEET_PHOTOS = 6


@dataclass(frozen=True)
class Result:
    """All that came out of a trial."""

    case: Case
    fitted: Fitted
    sampled: Sampled
    exhibit: Exhibit
    scores: Scores
    drift: Scores


def record(
    result: Result, clock: Clock, *, encoders: Mapping[str, Any], scored: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Write the worker's part of a record; see :class:`harness.trial.plan.Outcome`.

    Device, versions and memory are the fit's; ``scored`` is the origin of scores that were computed later.
    """
    scores, drift = result.scores, result.drift
    sampled, notes = _sample_drift(result)
    return {
        "status": "done",
        "scores": scores.values,
        "drift": {**sampled, **drift.values},
        "by_prompt": scores.by_prompt,
        "notes": {**notes, **scores.notes, **drift.notes},
        "seconds": {stage: clock.seconds.get(stage, 0.0) for stage in ("fit", "sample", "score")},
        "peak_memory_bytes": result.fitted.peak_memory_bytes,
        "images": len(result.sampled.pictures),
        "bound": result.fitted.bound,
        "provenance": {
            **result.fitted.origin,
            "encoders": encoders_of({**scores.values, **drift.values}, encoders),
            "preprocessing": {each.name: each.preprocessing for each in encoders.values()},
            **({"scored": dict(scored)} if scored else {}),
        },
    }


def origin(clock: Clock, revisions: Mapping[str, str]) -> dict[str, Any]:
    """Say where and with what a stage was computed: commit, versions, platform, device, revisions."""
    return {**provenance.of_process(), "device": clock.device_name, **revisions}


def _sample_drift(result: Result) -> tuple[dict[str, float | None], dict[str, str]]:
    """The measures of the sample stage, and why some are empty."""
    names = [measure.name for measure in MEASURES.values() if measure.stage == "sample"]
    values = {name: result.fitted.drift.get(name) for name in names}
    empty = {name for name in names if values[name] is None}
    if result.fitted.ceiling is not None:
        return values, dict.fromkeys(empty, CEILING_NOTE)
    reasons = {"lipschitz_ratio": "Δθ = 0", "token_l2": "no token was taught"}
    return values, {
        name: reasons.get(name, "no prior prompt of this group (drift.prompts)") for name in empty
    }


def encoders_of(values: Mapping[str, float | None], encoders: Mapping[str, Any]) -> dict[str, str]:
    """Say which encoder, which weights and which version of the measure stand behind each number."""
    return {
        name: f"{encoders[kind].name} ({encoders[kind].revision}), v{MEASURES[name].version}"
        for name, value in values.items()
        if value is not None and (kind := MEASURES[name].encoder or "") in encoders
    }


def files(result: Result) -> dict[str, bytes]:
    """Encode what is looked at: per-picture numbers and the contact sheet."""
    return {"images.json": _images_json(result), "contact_sheet.png": _sheet(result)}


def picture_files(result: Result) -> dict[str, bytes]:
    """Encode the pictures themselves, so that they can be scored again."""
    pictures = {
        name: to_png(image)
        for name, image in zip(picture_names(result.case, result.fitted), result.sampled.pictures)
    }
    if result.exhibit.prior is None:
        return pictures
    names = prior_names([prompt.group for prompt in result.exhibit.prior.prompts])
    return pictures | {name: to_png(image) for name, image in zip(names, result.sampled.prior)}


def picture_names(case: Case, fitted: Fitted) -> list[str]:
    """Name the files of the pictures: prompt and number; a ceiling has one prompt, its photos."""
    if fitted.ceiling is not None:
        return [f"pictures/00-{number:02d}.png" for number in range(len(case.photos))]
    images = case.sampling.images
    return [
        f"pictures/{number:02d}-{image:02d}.png"
        for number in range(len(case.prompts))
        for image in range(images)
    ]


def prior_names(groups: list[str]) -> list[str]:
    """Name the files of the prior pictures: group and number within it."""
    return [f"prior/{group}-{groups[:index].count(group):02d}.png" for index, group in enumerate(groups)]


def _images_json(result: Result) -> bytes:
    case, fitted, exhibit = result.case, result.fitted, result.exhibit
    entries: list[dict[str, Any]] = []
    texts = case.texts(fitted.phrase) if fitted.phrase is not None else []
    for index, name in enumerate(picture_names(case, fitted)):
        told = {}
        if texts:
            number = exhibit.prompt_of[index]
            told = {"prompt": texts[number], "clip_text": exhibit.texts[number], "seed": case.seeds[index]}
        numbers = {score: values[index] for score, values in result.scores.by_picture.items()}
        entries.append({"file": name, **told, "scores": numbers})
    prior = []
    if exhibit.prior is not None:
        names = prior_names([prompt.group for prompt in exhibit.prior.prompts])
        drift = result.drift.by_picture
        prior = [
            {
                "file": name,
                "prompt": p.text,
                "group": p.group,
                "seed": p.seed,
                **{k: v[i] for k, v in drift.items()},
            }
            for i, (name, p) in enumerate(zip(names, exhibit.prior.prompts))
        ]
    return json.dumps({"pictures": entries, "prior": prior}, indent=1, ensure_ascii=False).encode()


def _sheet(result: Result) -> bytes:
    case, exhibit = result.case, result.exhibit
    photos = [case.photos[number] for number in case.shots] or list(case.photos[:SHEET_PHOTOS])
    title = f"{case.trial.subject}: {len(photos)} {'shots' if case.shots else 'photos'}"
    firsts = range(0, len(result.sampled.pictures), case.sampling.images if exhibit.texts else 1)
    captions = case.texts(result.fitted.phrase) if result.fitted.phrase is not None else None
    asked = [(result.sampled.pictures[i], captions[exhibit.prompt_of[i]] if captions else "") for i in firsts]
    return to_png(contact_sheet([(title, [(photo, "") for photo in photos]), (case.trial.title, asked)]))
