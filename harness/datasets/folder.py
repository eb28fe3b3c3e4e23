"""The user's own photos: a folder per subject, class nouns and prompts in a small YAML.

photos/
    subjects.yaml           subjects: {rex: dog, cup: {class: mug}}     prompts: ["a {} in the snow"]
    rex/  01.jpg …
    cup/  a.png …
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

from PIL.Image import Image
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.api import Prompt, Subject, checked_template
from harness.config import strict_yaml
from harness.datasets import prompts as wording
from harness.datasets.base import DatasetEntry, DatasetError, DrawnPrompt
from harness.datasets.photos import (
    RESIZES,
    Recent,
    check_photos,
    photo_digest,
    photo_files,
    photos_in,
    read_photo,
    squared,
)
from harness.datasets.shots import draw, fingerprint
from harness.errors import one_of
from harness.specs import DatasetSpec, Frozen

FILE = "subjects.yaml"


def _checked(templates: tuple[str, ...]) -> tuple[str, ...]:
    if not templates:
        raise ValueError("needs at least one prompt, or leave it out for the default ones")
    return tuple(map(checked_template, templates))


Templates = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    AfterValidator(_checked),
]
"""Prompts with one ``{}`` each, as a list in the YAML."""


class SubjectEntry(Frozen):
    """A subject in the YAML: its class noun; whether it lives (other default prompts); its own prompts."""

    noun: str = Field(alias="class", min_length=1)
    live: bool | None = None
    prompts: Templates | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data.keys() - {"class", "live", "prompts"}:
                raise ValueError(one_of(key, ("class", "live", "prompts"), noun="key"))
        return {"class": data} if isinstance(data, str) else data


class SubjectsFile(Frozen):
    """``subjects.yaml``: subjects by folder name; prompts for all of them (default: DreamBench's wording)."""

    subjects: dict[str, SubjectEntry] = Field(min_length=1)
    prompts: Templates | None = None


class FolderDataset:
    """Photos from a folder; see :class:`~.base.Dataset`. Photos that are no shots are held out."""

    name = "folder"

    def __init__(self, folder: Path, entries: SubjectsFile, *, resize: str = "direct") -> None:
        self.folder, self.entries, self.resize = folder, entries, resize
        self._recent = Recent[list[Image]](4)

    @classmethod
    def open(cls, spec: DatasetSpec, cache: Path | None = None) -> FolderDataset:
        """Open the folder of a spec.

        Its options: ``file``, the YAML (default: subjects.yaml in the folder), or ``subjects`` and
        ``prompts``, its content; ``resize``, one of RESIZES in :mod:`harness.datasets.photos`.
        Raises DatasetError or ConfigError in one line.
        """
        if spec.path is None:
            raise DatasetError(
                "dataset.path: is missing: the folder that holds a folder of photos per subject"
            )
        folder = Path(spec.path)
        if not folder.is_dir():
            raise DatasetError(f"dataset.path: {folder}: no such folder")
        options = dict(spec.options)
        resize = resize_option(options)
        return cls(folder, _entries(options, folder), resize=resize)

    @property
    def revision(self) -> str:
        """Fingerprint of every photo and of the subjects' nouns and prompts."""
        present = [name for name in self.subjects() if photos_in(self.folder / name)]
        return fingerprint(
            [[name, self.references_identity(name), self.prompts_identity(name)] for name in present]
        )

    def subjects(self, split: str = "all", count: int | None = None) -> list[str]:
        """List the subjects in the file's order; they know no other split than test."""
        if split in ("development", "confirmation"):
            raise DatasetError(
                f"the data set {self.name!r} has no {split} split; name the subjects or say 'all'"
            )
        return list(self.entries.subjects)

    def category(self, subject: str) -> str:
        """Return the class noun."""
        return self._entry(subject).noun

    def _entry(self, subject: str) -> SubjectEntry:
        if subject not in self.entries.subjects:
            raise DatasetError(one_of(subject, self.entries.subjects, noun="subject"))
        return self.entries.subjects[subject]

    def photo_names(self, subject: str) -> list[str]:
        """List the photo files, sorted."""
        self._entry(subject)
        return [path.name for path in photo_files(self.folder / subject)]

    def shot_names(self, subject: str, shots: int, seed: int) -> list[str]:
        """Draw the photos to learn from, of all photos."""
        return draw(self.photo_names(subject), shots, seed, subject=subject)

    def most_shots(self, subject: str) -> int:
        """Count the photos."""
        return len(self.photo_names(subject))

    def reference_names(self, subject: str, shots: int, seed: int) -> list[str]:
        """List the photos that are not drawn; none are left where every photo is a shot."""
        drawn = self.shot_names(subject, shots, seed)
        return [name for name in self.photo_names(subject) if name not in drawn]

    def photos(self, subject: str) -> list[Image]:
        """Read all photos of a subject; the last few subjects are kept."""
        return self._recent.get(subject, lambda: self._photos(subject))

    def _photos(self, subject: str) -> list[Image]:
        self._entry(subject)
        return [read_photo(path) for path in photo_files(self.folder / subject)]

    def shots(self, subject: str, shots: int, seed: int) -> Subject:
        """Read the drawn photos, and only these."""
        paths = [self.folder / subject / name for name in self.shot_names(subject, shots, seed)]
        photos = tuple(squared(read_photo(path), self.resize) for path in paths)
        return Subject(subject, self.category(subject), photos)

    def prompts(self, subject: str) -> list[Prompt]:
        """Return the subject's own prompts, else the file's, else the default ones."""
        entry = self._entry(subject)
        own = entry.prompts or self.entries.prompts
        if own:
            return [Prompt(template, kind="custom") for template in own]
        live = entry.noun in wording.LIVE_NOUNS if entry.live is None else entry.live
        return wording.default_prompts(live=live)

    def named_prompts(self, subject: str, name: str) -> list[Prompt]:
        """Raise DatasetError: one set is all that there is."""
        raise DatasetError(f"sampling.prompts: {name!r} is a set of Toybox; {self.name!r} has: all")

    def looks(self, subject: str) -> dict[str, str]:
        """Know nothing: these are photos."""
        return {}

    def as_asked(self, subject: str, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Image]:
        """Refuse: there is nothing to render."""
        raise DatasetError(f"the data set {self.name!r} cannot render {subject!r}")

    def elsewhere(self, subject: str) -> list[Image]:
        """Return none: there is nothing to render."""
        return []

    def prior_prompts(self, category: str, n: int) -> dict[str, list[str]]:
        """Return prior prompts; the other classes are always the same, whatever other subjects there are."""
        return wording.prior_prompts(category, n)

    def prior_truth(self, category: str, n: int) -> dict[str, dict[str, str]]:
        """Return nothing: no network here reads what a photograph shows."""
        return {}

    def bank_prompts(self, category: str, n: int) -> list[str]:
        """Return prompts in wordings of their own."""
        return wording.bank_prompts(category, n)

    def drawn_prompts(
        self, category: str, n: int, *, seed: int, without: Collection[str]
    ) -> list[DrawnPrompt]:
        """Draw from all wordings; what an image shows is not known here."""
        return wording.drawn_prompts(category, n, seed=seed, without=without)

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        """Fingerprint of the class noun, the drawn files' content in the order of the draw, the cropping."""
        files = [self.folder / subject / name for name in self.shot_names(subject, shots, seed)]
        resize = [] if self.resize == "direct" else [self.resize]
        return fingerprint(self.category(subject), [photo_digest(path) for path in files], *resize)

    def references_identity(self, subject: str) -> str:
        """Fingerprint of the names and content of all photo files."""
        self._entry(subject)
        return fingerprint([[path.name, photo_digest(path)] for path in photo_files(self.folder / subject)])

    def held_out_identity(self, subject: str, shots: int, seed: int) -> str | None:
        """Fingerprint of the names that are not drawn."""
        return fingerprint(self.reference_names(subject, shots, seed))

    def prompts_identity(self, subject: str) -> str:
        """Fingerprint of the test prompts and the prior prompts."""
        prompts = [[prompt.template, prompt.kind] for prompt in self.prompts(subject)]
        return fingerprint(self.category(subject), prompts, self.prior_prompts(self.category(subject), 64))

    def check(self, subjects: Sequence[str], shots: Sequence[int]) -> None:
        """Decode these subjects' photos once (of thousands the first) and count them against the shots."""
        for subject in subjects:
            self._entry(subject)
            files = photo_files(self.folder / subject)
            check_photos(files)
            if shots and max(shots) > len(files):
                raise DatasetError(
                    f"{self.folder / subject}: {len(files)} photos, {max(shots)} shots are requested; "
                    "add photos or lower 'shots'"
                )


def resize_option(options: dict[str, Any]) -> str:
    """Take ``resize`` out of a data set's options; "direct" where it is not given."""
    resize = options.pop("resize", "direct")
    if resize not in RESIZES:
        raise DatasetError(f"dataset.resize: {one_of(resize, RESIZES, noun='way')}")
    return str(resize)


def _entries(options: dict[str, Any], folder: Path) -> SubjectsFile:
    file = options.pop("file", None)
    if options:
        if file is not None:
            raise DatasetError("dataset.options: give either 'file' or 'subjects' and 'prompts', not both")
        return strict_yaml.check(SubjectsFile, options, source="dataset.options")
    path = folder / FILE if file is None else _found(Path(file), folder)
    if not path.is_file():
        example = next((each.name for each in sorted(folder.iterdir()) if each.is_dir()), "rex")
        raise DatasetError(
            f"{path}: no such file; it says what the subjects are: 'subjects: {{{example}: dog}}'"
        )
    return strict_yaml.check(SubjectsFile, strict_yaml.read(path), source=str(path))


def _found(path: Path, folder: Path) -> Path:
    return path if path.is_file() or path.is_absolute() else folder / path


DATASET = DatasetEntry(
    name="folder",
    description="your photos: a folder per subject, class nouns and prompts in subjects.yaml",
    options=("file", "subjects", "prompts", "resize"),
    open=FolderDataset.open,
)
