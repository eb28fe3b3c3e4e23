"""Data sets, by name: subjects with photos, test prompts and prior prompts. Importing this loads no torch.

``toybox`` is the embedded benchmark; ``dreambench`` a clone of google/dreambooth; ``folder`` the user's own
photos, a folder per subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from PIL.Image import Image

from harness.api import Prompt, Subject
from harness.errors import HarnessError, one_of
from harness.settings import DatasetSpec

Split = Literal["development", "test", "all"]

DESCRIPTIONS: dict[str, str] = {
    "toybox": "the embedded benchmark: 4 development and 16 test subjects, 12 rendered photos each",
    "dreambench": "DreamBench: path to a clone of github.com/google/dreambooth (30 subjects, 158 photos)",
    "folder": "your photos: a folder per subject, class nouns and prompts in subjects.yaml",
}


class DatasetError(HarnessError):
    """A data set that cannot be used as it is: one line with the file and what to do."""


class Dataset(Protocol):
    """Subjects by name, with what belongs to each.

    A subject's photos have names, in a fixed order. ``shots`` of them, drawn by ``seed``, are for a method to
    learn from; ``shots`` = 0 draws none. Draws are nested: the 1-shot set lies inside the 3-shot set.
    ``resize`` says how a photo that is learnt from becomes a square (:mod:`harness.datasets.photos`).
    Identities are fingerprints (16 hex digits) for the keys of trials; they read files but decode no picture.
    """

    name: str
    resize: str

    @property
    def revision(self) -> str:
        """Fingerprint of the whole data set."""
        ...

    def subjects(self, split: str = "all") -> list[str]:
        """List the subjects of a split, in a fixed order. Raises DatasetError if there is no such split."""
        ...

    def category(self, subject: str) -> str:
        """Return the class noun of a subject."""
        ...

    def photo_names(self, subject: str) -> list[str]:
        """List the photos of a subject, in a fixed order."""
        ...

    def shot_names(self, subject: str, shots: int, seed: int) -> list[str]:
        """List the photos to learn from. Raises DatasetError where there are too few."""
        ...

    def most_shots(self, subject: str) -> int:
        """Count the photos that there are to learn from: what ``shots: all`` stands for."""
        ...

    def reference_names(self, subject: str, shots: int, seed: int) -> list[str]:
        """List the photos that are held out from learning."""
        ...

    def photos(self, subject: str) -> list[Image]:
        """Read all photos, upright RGB, in the order of ``photo_names``."""
        ...

    def shots(self, subject: str, shots: int, seed: int) -> Subject:
        """Return what a method gets to see; reads exactly the photos of ``shot_names``."""
        ...

    def prompts(self, subject: str) -> list[Prompt]:
        """List the test prompts."""
        ...

    def prior_prompts(self, category: str, n: int) -> dict[str, list[str]]:
        """Return n prompts without a subject, by group: ``class``, ``other``, ``empty``. More n only adds."""
        ...

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        """Fingerprint of the class noun and of exactly the photos of ``shot_names``."""
        ...

    def references_identity(self, subject: str) -> str:
        """Fingerprint of all photos of the subject."""
        ...

    def prompts_identity(self, subject: str) -> str:
        """Fingerprint of the subject's test prompts and of the prior prompts of its class."""
        ...

    def check(self, subjects: Sequence[str], shots: Sequence[int]) -> None:
        """Raise DatasetError for an unknown subject, an unreadable photo, or fewer photos than shots."""
        ...


def load_dataset(spec: DatasetSpec | str, *, cache: Path | None = None) -> Dataset:
    """Open a data set by name. ``cache``: where rendered photos are kept (default: the harness's own).

    Raises DatasetError for an unknown name or option, or a folder that cannot be used.
    """
    if isinstance(spec, str):
        spec = DatasetSpec(name=spec)
    if spec.name == "toybox":
        from harness.datasets.toybox import ToyboxDataset

        return ToyboxDataset.open(spec, cache=cache)
    if spec.name == "dreambench":
        from harness.datasets.dreambench import DreamBenchDataset

        return DreamBenchDataset.open(spec)
    if spec.name == "folder":
        from harness.datasets.folder import FolderDataset

        return FolderDataset.open(spec)
    raise DatasetError("dataset: " + one_of(spec.name, DESCRIPTIONS, noun="data set"))


def chosen_prompts(
    dataset: Dataset, subject: str, wanted: int | Sequence[str] | Literal["all"]
) -> list[Prompt]:
    """Return the test prompts that ``sampling.prompts`` stands for.

    ``all``; a count, spread evenly over the list so that every kind of prompt takes part; or templates of the
    user's own. Raises DatasetError where the subject has fewer prompts.
    """
    if not isinstance(wanted, int | str):
        return [Prompt(template, kind="custom") for template in wanted]
    prompts = dataset.prompts(subject)
    if isinstance(wanted, str):
        return prompts
    if wanted > len(prompts):
        raise DatasetError(f"sampling.prompts: {wanted} asked for, {subject!r} has {len(prompts)}")
    return [prompts[(2 * i + 1) * len(prompts) // (2 * wanted)] for i in range(wanted)]
