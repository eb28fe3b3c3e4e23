"""Content hashes of a trial, one for each stage: what has the same key has the same outcome.

A key covers everything that decides the outcome, defaults filled in, and nothing that only describes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from harness.diffusion.versions import (
    ALIGNMENT_VERSION,
    CALIBRATION_VERSION,
    READOUT_VERSION,
    SAMPLING_VERSION,
    TRAINER_VERSION,
)
from harness.files import json_digest
from harness.metrics.registry import MEASURES, of_sample_stage
from harness.specs import DriftSet, Precision, Sampling, Trial
from harness.trial.plan import Keys, calibrated

DIGITS = 16


@dataclass(frozen=True)
class Fingerprints:
    """What stands behind the names of a trial: revisions and content hashes.

    ``encoders`` maps an encoder kind to the revision of its weights; ``method_source`` is the hash of a
    user's own method file, None for a method of ``baselines/``, whose ``method_version`` speaks for it.
    ``held_out`` is the fingerprint of the photos held out, None where they are the same for every draw;
    ``aligned`` is as ``encoders``, of those that are trained on.
    """

    backbone: str
    method_version: int
    method_source: str | None
    shots: str
    prompts: str
    references: str
    encoders: Mapping[str, str]
    held_out: str | None = None
    aligned: Mapping[str, str] = field(default_factory=dict)


def digest(value: Any) -> str:
    """Hash plain data to 16 hex digits: the same for equal data (1.0 is 1). Refuses NaN."""
    return _digest(_normal(value))


def _digest(normal: Any) -> str:
    return json_digest(normal, DIGITS, compact=True)


def keys(
    trial: Trial,
    fingerprints: Fingerprints,
    *,
    drift: DriftSet,
    scores: Sequence[str],
    precision: Precision,
    tiled: bool = False,
) -> Keys:
    """Compute the keys of a trial's three stages; each covers the stage before it."""
    fit = digest(
        {
            "backbone": [fingerprints.backbone, trial.backbone.family, trial.backbone.options],
            "shots": fingerprints.shots,
            "subject": trial.subject,
            "method": [_method_name(trial), fingerprints.method_version, fingerprints.method_source],
            "params": trial.params,
            "lipschitz": trial.lipschitz.settings() if trial.lipschitz else None,
            "seed": trial.seed,
            "precision": precision,
            "trainer": TRAINER_VERSION,
            **({"autoencoder": "tiled"} if tiled else {}),
            **_alignment(trial, fingerprints),
        }
    )
    sample = _digest(
        {
            "fit": fit,
            "sampling": _sampling(trial.sampling),
            "prompts": fingerprints.prompts,
            "drift": _drift(drift),
            "measures": {m.name: m.version for m in of_sample_stage(drift.options)},
            "version": SAMPLING_VERSION,
            **_normal(_readout(trial)),
        }
    )
    scored = [m for m in MEASURES.values() if m.name in scores or (m.kind, m.stage) == ("drift", "score")]
    score = _digest(
        {
            "sample": sample,
            "clip_text": trial.sampling.clip_text,
            "references": fingerprints.references,
            **({"held_out": fingerprints.held_out} if fingerprints.held_out else {}),
            "measures": {m.name: [m.version, fingerprints.encoders.get(m.encoder or "")] for m in scored},
        }
    )
    return Keys(fit=fit, sample=sample, score=score)


@cache
def _sampling(sampling: Sampling) -> Any:
    return _normal(sampling.model_dump(mode="json", exclude={"clip_text"}))


@cache
def _drift(drift: DriftSet) -> Any:
    return _normal(drift.model_dump(mode="json"))


def _alignment(trial: Trial, fingerprints: Fingerprints) -> dict[str, Any]:
    """What alignment adds to the fit key; nothing without it."""
    if trial.alignment is None:
        return {}
    settings = {**trial.alignment.settings(), "encoders": dict(fingerprints.aligned)}
    return {"alignment": {**settings, "version": ALIGNMENT_VERSION}}


def _readout(trial: Trial) -> dict[str, Any]:
    """What a readout and a limit on drift add to the sample key; nothing at the end of a fit without."""
    added: dict[str, Any] = {}
    if trial.readout is not None:
        added["readout"] = {**trial.readout.settings(), "version": READOUT_VERSION}
    if calibrated(trial):
        added["calibration"] = CALIBRATION_VERSION
    return added


def _method_name(trial: Trial) -> str:
    """A user's method file is known by its name, wherever it lies."""
    return trial.method.rsplit("/", 1)[-1]


def _normal(value: Any) -> Any:
    if isinstance(value, str | int | None):  # most of them; a mapping's own test is slow
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _normal(item) for key, item in value.items()}
    return value
