"""DreamBench (arXiv 2208.12242), from a clone of github.com/google/dreambooth: 30 subjects, 158 photos.

Class nouns and prompts are read from its own ``prompts_and_classes.txt``. Licence of the data: CC BY 4.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.api import Prompt
from harness.datasets import prompts as wording
from harness.datasets.base import DatasetEntry, DatasetError
from harness.datasets.folder import FolderDataset, SubjectEntry, SubjectsFile, resize_option
from harness.specs import DatasetSpec

FILE = "prompts_and_classes.txt"
HEADINGS = ("Object Prompts", "Live Subject Prompts")
SUBJECTS, PHOTOS = 30, 158
SIX = (
    "backpack", "berry_bowl", "can", "clock", "dog2", "dog3", "fancy_boot", "pink_sunglasses",
    "shiny_sneaker", "vase",
)  # fmt: skip
FOUR = ("duck_toy", "red_cartoon")
"""Subjects with six and with four photos; every other one has five."""

_ROW = re.compile(r"(\w+),(\w[\w ]*)")
_PROMPT = re.compile(r"(['\"])(.*)\1\.format\(unique_token, class_token\),?")


@dataclass(frozen=True)
class Listing:
    """What the file says: class nouns by subject, prompt templates for objects and for live subjects."""

    classes: dict[str, str]
    objects: tuple[str, ...]
    live: tuple[str, ...]


class DreamBenchDataset(FolderDataset):
    """DreamBench's subjects; see :class:`~.base.Dataset`. Photos that are no shots are held out."""

    name = "dreambench"

    def __init__(self, folder: Path, listing: Listing, *, resize: str = "direct") -> None:
        subjects = {
            name: SubjectEntry.model_validate({"class": noun, "live": noun in wording.LIVE_NOUNS})
            for name, noun in listing.classes.items()
        }
        super().__init__(folder, SubjectsFile(subjects=subjects), resize=resize)
        self.listing = listing

    @classmethod
    def open(cls, spec: DatasetSpec, cache: Path | None = None) -> DreamBenchDataset:
        """Open the clone of a spec, or its folder ``dataset``. Its option: ``resize``.

        Raises DatasetError where the file is damaged or a photo is missing.
        """
        resize = resize_option(dict(spec.options))
        if spec.path is None:
            raise DatasetError("dataset.path: is missing: the folder of a clone of google/dreambooth")
        folder = Path(spec.path)
        if (folder / "dataset" / FILE).is_file():
            folder = folder / "dataset"
        if not (folder / FILE).is_file():
            raise DatasetError(f"dataset.path: {folder}: no {FILE} in it: not a clone of google/dreambooth")
        listing = read_listing(folder / FILE)
        _check_photos(folder, listing)
        return cls(folder, listing, resize=resize)

    def prompts(self, subject: str) -> list[Prompt]:
        """Return the 25 prompts of the file that are for this kind of subject."""
        templates = self.listing.live if self._entry(subject).live else self.listing.objects
        return [Prompt(template, self._kind(template)) for template in templates]

    def _kind(self, template: str) -> str:
        if template.endswith("{}"):
            return "property"
        return "recontextualization" if template in self.listing.objects else "accessory"


def read_listing(path: Path) -> Listing:
    """Read ``prompts_and_classes.txt``. Raises DatasetError: one line with file, line and what is wrong."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
    found = [_templates(path, lines, heading) for heading in HEADINGS]
    return Listing(_classes(path, lines), *found)


def _classes(path: Path, lines: list[str]) -> dict[str, str]:
    classes: dict[str, str] = {}
    start = _after(path, lines, "subject_name,class")
    for number, line in enumerate(lines[start:], start=start + 1):
        if line == "Prompts":
            break
        if not line:
            continue
        row = _ROW.fullmatch(line)
        if row is None or row[1] in classes:
            raise DatasetError(f"{path}:{number}: not a new row 'subject,class': {line[:80]!r}")
        classes[row[1]] = row[2]
    if len(classes) != SUBJECTS:
        raise DatasetError(f"{path}: its table names {len(classes)} subjects, DreamBench has {SUBJECTS}")
    return classes


def _templates(path: Path, lines: list[str], heading: str) -> tuple[str, ...]:
    """Read one list of prompts: ``'a {0} {1} in the snow'.format(unique_token, class_token),`` each."""
    templates = []
    start = _after(path, lines, heading)
    for number, line in enumerate(lines[start:], start=start + 1):
        if line == "]":
            break
        if line in ("", "prompt_list = ["):
            continue
        prompt = _PROMPT.fullmatch(line)
        template = prompt[2].replace("{0} {1}", "{}") if prompt else ""
        if template.count("{}") != 1 or re.search(r"[{}]", template.replace("{}", "")):
            raise DatasetError(f"{path}:{number}: not a prompt with one '{{0}} {{1}}' alone: {line[:80]!r}")
        templates.append(template)
    else:
        raise DatasetError(f"{path}: the list under {heading!r} does not end with ']'")
    if not templates:
        raise DatasetError(f"{path}: the list under {heading!r} is empty")
    return tuple(templates)


def _after(path: Path, lines: list[str], heading: str) -> int:
    if heading not in lines:
        raise DatasetError(f"{path}: no line {heading!r}; take the file from google/dreambooth as it is")
    return lines.index(heading) + 1


def _check_photos(folder: Path, listing: Listing) -> None:
    wanted = {
        f"{name}/{number:02d}.jpg"
        for name in listing.classes
        for number in range(6 if name in SIX else 4 if name in FOUR else 5)
    }
    present = {
        f"{path.parent.name}/{path.name}"
        for name in listing.classes
        for path in (folder / name).glob("[!.]*.*")
    }
    wrong = [
        f"{word} {', '.join(sorted(names)[:6])}" + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        for word, names in (("missing", wanted - present), ("not of it", present - wanted))
        if names
    ]
    if wrong:
        raise DatasetError(
            f"{folder}: not DreamBench's {SUBJECTS} subjects and {PHOTOS} photos: {'; '.join(wrong)}"
        )


DATASET = DatasetEntry(
    name="dreambench",
    description="DreamBench: path to a clone of github.com/google/dreambooth (30 subjects, 158 photos)",
    options=("resize",),
    open=DreamBenchDataset.open,
)
