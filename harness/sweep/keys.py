"""Content hashes of a trial, one for each stage: what has the same key has the same outcome.

A key covers everything that decides the outcome, defaults filled in, and nothing that only describes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
from harness.files import json_text, text_digest
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
    return text_digest(_text(_normal(value)), DIGITS)


class Keyer:
    """Computes the keys of the trials of one experiment; what they share is written once.

    drift, scores  of the experiment; ``precision`` of its weights, ``tiled``: decoded in tiles
    """

    def __init__(
        self, *, drift: DriftSet, scores: Collection[str], precision: Precision, tiled: bool = False
    ) -> None:
        self._training = {
            "precision": precision,
            "trainer": TRAINER_VERSION,
            **({"autoencoder": "tiled"} if tiled else {}),
        }
        self._drift = _text(_normal(drift.model_dump(mode="json")))
        self._sampled = _text({m.name: m.version for m in of_sample_stage(drift.options)})
        self._measures = [
            m for m in MEASURES.values() if m.name in scores or (m.kind, m.stage) == ("drift", "score")
        ]
        self._scored: dict[tuple[tuple[str, str], ...], str] = {}

    def keys(self, trial: Trial, fingerprints: Fingerprints) -> Keys:
        """Give the keys of a trial's three stages; each covers the stage before it."""
        fit = self._fit(trial, fingerprints)
        sample = _digest_of(
            {
                "fit": _text(fit),
                "sampling": _sampling(trial.sampling),
                "prompts": _text(fingerprints.prompts),
                "drift": self._drift,
                "measures": self._sampled,
                "version": _text(SAMPLING_VERSION),
                **{name: _text(_normal(value)) for name, value in _readout(trial).items()},
            }
        )
        score = _digest_of(
            {
                "sample": _text(sample),
                "clip_text": _text(trial.sampling.clip_text),
                "references": _text(fingerprints.references),
                **({"held_out": _text(fingerprints.held_out)} if fingerprints.held_out else {}),
                "measures": self._scored_with(fingerprints.encoders),
            }
        )
        return Keys(fit=fit, sample=sample, score=score)

    def _fit(self, trial: Trial, fingerprints: Fingerprints) -> str:
        return digest(
            {
                "backbone": [fingerprints.backbone, trial.backbone.family, trial.backbone.options],
                "shots": fingerprints.shots,
                "subject": trial.subject,
                "method": [
                    _method_name(trial),
                    fingerprints.method_version,
                    fingerprints.method_source,
                ],
                "params": trial.params,
                "lipschitz": trial.lipschitz.settings() if trial.lipschitz else None,
                "seed": trial.seed,
                **self._training,
                **_alignment(trial, fingerprints),
            }
        )

    def _scored_with(self, encoders: Mapping[str, str]) -> str:
        """Write the measures of the third stage, each with its version and its encoder's revision."""
        revisions = tuple(encoders.items())
        if revisions not in self._scored:
            self._scored[revisions] = _text(
                {m.name: [m.version, encoders.get(m.encoder or "")] for m in self._measures}
            )
        return self._scored[revisions]


def _digest_of(parts: Mapping[str, str]) -> str:
    """Hash a mapping whose values are JSON already: equal to :func:`digest` of what they say.

    What thousands of trials share is written once, as text.
    """
    members = ",".join(f"{_text(name)}:{parts[name]}" for name in sorted(parts))
    return text_digest(f"{{{members}}}", DIGITS)


def _text(normal: Any) -> str:
    return json_text(normal, compact=True)


@cache
def _sampling(sampling: Sampling) -> str:
    return _text(_normal(sampling.model_dump(mode="json", exclude={"clip_text"})))


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
