"""Pictures that were made elsewhere, scored by the code that scores a trial: a method need not be ported.

Which picture answers which prompt is said by names alone: ``NN-MM.png`` (prompt, picture), as the harness
names its own, or a folder for each prompt, ``NN/*.png``; numbers are lines of the prompt file, from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from harness.api import checked_template
from harness.datasets.base import Dataset
from harness.datasets.photos import photos_in, read_photo
from harness.errors import HarnessError
from harness.metrics.encoders.registry import load_encoder
from harness.metrics.registry import MEASURES
from harness.metrics.scorer import Examiner
from harness.metrics.scorer_inputs import Exhibit, Eyes, Scores, SubjectPhotos
from harness.specs import EncoderSpec
from harness.trial import outputs, provenance

_NUMBER = re.compile(r"(\d+)")


class ElsewhereError(HarnessError):
    """Pictures or prompts that do not fit together: one line with the file and what to do."""


@dataclass(frozen=True)
class Made:
    """Pictures with the number of each one's prompt, in the order of prompts, then of names."""

    files: Sequence[Path]
    prompt_of: Sequence[int]

    @classmethod
    def found_in(cls, folder: Path, prompts: int) -> Made:
        """Find a folder's pictures. Raises ElsewhereError for a name without a prompt, or where none is."""
        if not folder.is_dir():
            raise ElsewhereError(f"{folder}: not a folder of pictures")
        places = [folder, *(path for path in folder.iterdir() if path.is_dir())]
        files = [file for place in places for file in photos_in(place)]
        if not files:
            raise ElsewhereError(f"{folder}: no PNG or JPEG in it; expected 00-00.png, … or 00/*.png, …")
        numbered = sorted((_prompt_of(file, folder, prompts), file) for file in files)
        return cls([file for _, file in numbered], [number for number, _ in numbered])

    def pictures(self) -> list[Image]:
        """Read them, upright RGB. Raises DatasetError naming one that cannot be read."""
        return [read_photo(file) for file in self.files]


def _prompt_of(file: Path, folder: Path, prompts: int) -> int:
    name = file.name if file.parent == folder else file.parent.name
    number = _NUMBER.match(name)
    if number is None:
        raise ElsewhereError(f"{file}: begins with no number of a prompt; name it 00-00.png or 00/…")
    if int(number[1]) >= prompts:
        raise ElsewhereError(f"{file}: prompt {int(number[1])}, but the prompts are 0 to {prompts - 1}")
    return int(number[1])


def read_templates(path: Path) -> list[str]:
    """Read a prompt file: one template a line, ``{}`` in the subject's place; empty lines do not count."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ElsewhereError(f"{path}: cannot be read as text ({error})") from error
    templates = [line.strip() for line in lines if line.strip()]
    try:
        templates = [checked_template(template) for template in templates]
    except ValueError as error:
        raise ElsewhereError(f"{path}: {error}") from None
    if not templates:
        raise ElsewhereError(f"{path}: no prompts; write one a line, such as 'a photo of {{}} on grass'")
    return templates


@dataclass(frozen=True)
class Report:
    """What came out: the scores, and which encoder and version stands behind each."""

    scores: Scores
    encoders: Mapping[str, str]
    pictures: int
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
            "images": self.pictures,
            "prompts": self.prompts,
            "provenance": {**provenance.of_process(), "encoders": dict(self.encoders)},
        }


def score(
    made: Made,
    templates: Sequence[str],
    *,
    dataset: Dataset,
    subject: str,
    shots: int,
    seed: int,
    encoders: Mapping[str, EncoderSpec],
    device: str = "cpu",
) -> Report:
    """Score pictures as those of a trial of ``subject`` would be.

    ``shots`` photos drawn by ``seed`` count as learnt from: held-out scores and copying leave them out.
    CLIP-T reads the class noun in the subject's place. Drift measures need the model, and are not computed.
    """
    dataset.check([subject], [shots])
    loaded: dict[str, Any] = {
        kind: load_encoder(spec, device=device, kind=kind) for kind, spec in encoders.items()
    }
    known = {prompt.template: prompt.attributes for prompt in dataset.prompts(subject)}
    names = dataset.photo_names(subject)
    photos = SubjectPhotos(
        dataset.photos(subject),
        [names.index(name) for name in dataset.shot_names(subject, shots, seed)],
        [names.index(name) for name in dataset.reference_names(subject, shots, seed)],
    )
    exhibit = Exhibit(
        made.pictures(),
        photos,
        prompt_of=made.prompt_of,
        texts=[template.replace("{}", dataset.category(subject)) for template in templates],
        asked=[known.get(template, {}) for template in templates],
    )
    wanted = [name for name, measure in MEASURES.items() if measure.kind == "score" and name != "pres"]
    scores = Examiner(exhibit, Eyes.of(loaded)).scores(wanted)
    return Report(scores, outputs.encoders_of(scores.values, loaded), len(made.files), len(templates))
