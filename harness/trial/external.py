"""Images that were made elsewhere, scored by the code that scores a trial: a method need not be ported.

Which they are is found by :mod:`harness.trial.external_images`, before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.api import Prompt
from harness.datasets.base import Dataset
from harness.metrics.encoders.registry import load_encoder
from harness.metrics.registry import MEASURES
from harness.metrics.scorer import Scorer
from harness.metrics.scorer_inputs import Encoders, ScorerInputs, Scores
from harness.specs import EncoderSpec
from harness.trial import outputs, provenance
from harness.trial.data import subject_photos
from harness.trial.external_images import ExternalImages


@dataclass(frozen=True)
class ExternalScores:
    """What came out: the scores, and which encoder and version stands behind each."""

    scores: Scores
    encoders: Mapping[str, str]
    images: int
    prompts: int

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        measured = {name: value for name, value in self.scores.values.items() if value is not None}
        return {
            "scores": measured,
            "by_prompt": {
                name: self.scores.by_prompt[name] for name in measured if name in self.scores.by_prompt
            },
            "notes": self.scores.notes,
            "images": self.images,
            "prompts": self.prompts,
            "provenance": {**provenance.of_process(), "encoders": dict(self.encoders)},
        }


def score(
    external: ExternalImages,
    templates: Sequence[str],
    *,
    dataset: Dataset,
    subject: str,
    shots: int,
    seed: int,
    encoders: Mapping[str, EncoderSpec],
    device: str = "cpu",
) -> ExternalScores:
    """Score images as those of a trial of ``subject`` would be.

    ``shots`` photos drawn by ``seed`` count as learnt from: held-out scores leave them out, copying compares
    with them. CLIP-T reads the class noun in the subject's place. Drift measures need the model, and are
    not computed.
    """
    dataset.check([subject], [shots])
    loaded: dict[str, Any] = {
        kind: load_encoder(spec, device=device, kind=kind) for kind, spec in encoders.items()
    }
    known = {prompt.template: prompt for prompt in dataset.prompts(subject)}
    asked = [known.get(template, Prompt(template, kind="custom")) for template in templates]
    inputs = ScorerInputs(
        external.images(),
        subject_photos(dataset, subject, shots=shots, seed=seed),
        prompt_of=external.prompt_of,
        texts=[template.replace("{}", dataset.category(subject)) for template in templates],
        requested=[prompt.attributes for prompt in asked],
        kinds=[prompt.kind for prompt in asked],
    )
    wanted = [
        name for name, measure in MEASURES.items() if measure.kind == "score" and not measure.needs_model
    ]
    scores = Scorer(inputs, Encoders(loaded)).scores(wanted)
    used = outputs.encoders_of(scores.values, loaded)
    return ExternalScores(scores, used, len(external.files), len(templates))
