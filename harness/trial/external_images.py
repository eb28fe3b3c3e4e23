"""Which images that were made elsewhere belong to which prompt. Loads no torch.

File names alone say it: ``NN-MM.png`` (prompt, image), as the harness names its own, or a folder for each
prompt, ``NN/*.png``; numbers are lines of the prompt file, from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image

from harness.api import checked_template
from harness.datasets.photos import photos_in, read_photo
from harness.errors import HarnessError

_NUMBER = re.compile(r"(\d+)")


class ExternalImagesError(HarnessError):
    """Images or prompts that do not fit together: one line with the file and what to do."""


@dataclass(frozen=True)
class ExternalImages:
    """Images with the number of each one's prompt, in the order of prompts, then of names."""

    files: Sequence[Path]
    prompt_of: Sequence[int]

    @classmethod
    def found_in(cls, folder: Path, prompts: int) -> ExternalImages:
        """Find a folder's images. Raises ExternalImagesError for a name without a prompt, or for none."""
        if not folder.is_dir():
            raise ExternalImagesError(f"{folder}: not a folder of images")
        places = [folder, *(path for path in folder.iterdir() if path.is_dir())]
        files = [file for place in places for file in photos_in(place)]
        if not files:
            raise ExternalImagesError(f"{folder}: no PNG or JPEG in it; expected 00-00.png, … or 00/*.png, …")
        numbered = sorted((_prompt_of(file, folder, prompts), file) for file in files)
        return cls([file for _, file in numbered], [number for number, _ in numbered])

    def images(self) -> list[Image]:
        """Read them, upright RGB. Raises DatasetError naming one that cannot be read."""
        return [read_photo(file) for file in self.files]


def _prompt_of(file: Path, folder: Path, prompts: int) -> int:
    name = file.name if file.parent == folder else file.parent.name
    number = _NUMBER.match(name)
    if number is None:
        raise ExternalImagesError(f"{file}: begins with no number of a prompt; name it 00-00.png or 00/…")
    if int(number[1]) >= prompts:
        raise ExternalImagesError(f"{file}: prompt {int(number[1])}, but the prompts are 0 to {prompts - 1}")
    return int(number[1])


def read_templates(path: Path) -> list[str]:
    """Read a prompt file: one template a line, ``{}`` in the subject's place; empty lines do not count."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExternalImagesError(f"{path}: cannot be read as text ({error})") from error
    templates = [line.strip() for line in lines if line.strip()]
    try:
        templates = [checked_template(template) for template in templates]
    except ValueError as error:
        raise ExternalImagesError(f"{path}: {error}") from None
    if not templates:
        raise ExternalImagesError(f"{path}: no prompts; write one a line, such as 'a photo of {{}} on grass'")
    return templates
