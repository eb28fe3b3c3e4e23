"""What a data set is: subjects with photos, test prompts and prior prompts. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from PIL.Image import Image

from harness.api import Prompt, Subject
from harness.errors import HarnessError
from harness.specs import DatasetSpec

Split = Literal["development", "test", "confirmation", "all"]


class DatasetError(HarnessError):
    """A data set that cannot be used as it is: one line with the file and what to do."""


@dataclass(frozen=True)
class DrawnPrompt:
    """A prior prompt drawn at random: its text, its group, and what an image must show ({}: unknown)."""

    text: str
    group: str
    truth: Mapping[str, str] = field(default_factory=dict)


class Dataset(Protocol):
    """Subjects by name, with what belongs to each.

    A subject's photos have names, in a fixed order. ``shots`` of them, drawn by ``seed``, are for a method to
    learn from; ``shots`` = 0 draws none. Draws are nested: the 1-shot set lies inside the 3-shot set.
    ``resize`` says how a photo that is learnt from becomes a square (:mod:`harness.datasets.photos`).
    Identities are fingerprints (16 hex digits) for the keys of trials; they read files but decode no image.
    """

    name: str
    resize: str

    @property
    def revision(self) -> str:
        """Fingerprint of the whole data set."""
        ...

    def subjects(self, split: str = "all", count: int | None = None) -> list[str]:
        """List the subjects of a split, in a fixed order. Raises DatasetError if there is no such split.

        ``count``: so many of a split without an end, which ``all`` does not hold; elsewhere it is ignored.
        """
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
        """List the photos that a draw of ``shots`` leaves: held out where no trial learns from more."""
        ...

    def photos(self, subject: str) -> list[Image]:
        """Read all photos, upright RGB, in the order of ``photo_names``."""
        ...

    def shots(self, subject: str, shots: int, seed: int) -> Subject:
        """Return what a method gets to see; reads exactly the photos of ``shot_names``.

        What ``outlines`` show follows from what ``shots_identity`` covers.
        """
        ...

    def prompts(self, subject: str) -> list[Prompt]:
        """List the test prompts."""
        ...

    def named_prompts(self, subject: str, name: str) -> list[Prompt]:
        """List the test prompts of another set by its name. Raises DatasetError where there is none."""
        ...

    def looks(self, subject: str) -> dict[str, str]:
        """Return what is known of the subject's looks (``{"pattern": "rings"}``); empty where nothing is."""
        ...

    def as_asked(self, subject: str, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Image]:
        """Render the subject as each prompt asks, an image for each seed. Raises DatasetError elsewhere."""
        ...

    def elsewhere(self, subject: str) -> list[Image]:
        """Render the subject in many other scenes, always the same; none where it cannot."""
        ...

    def prior_prompts(self, category: str, n: int) -> dict[str, list[str]]:
        """Return n prompts without a subject, by group: ``class``, ``other``, ``empty``. More n only adds."""
        ...

    def prior_truth(self, category: str, n: int) -> dict[str, dict[str, str]]:
        """Return what an image of each of n prior prompts must show, by its text: {} where that is unknown.

        Attributes are those of :data:`harness.metrics.measure.ATTRIBUTES`.
        """
        ...

    def bank_prompts(self, category: str, n: int) -> list[str]:
        """Return n different prompts without a subject for a bank, more n only adding to them.

        Half are of the class, half of one half of the other classes: what the bank leaves out is there to
        be measured. None is among the prior prompts of a drift set of usual size.
        """
        ...

    def drawn_prompts(
        self, category: str, n: int, *, seed: int, without: Collection[str]
    ) -> list[DrawnPrompt]:
        """Draw n prior prompts independently: half of the class, half of others, with repeats.

        None of them is among ``without``. More n only adds. Raises DatasetError where no wording is left.
        """
        ...

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        """Fingerprint of the class noun and of exactly the photos of ``shot_names``."""
        ...

    def references_identity(self, subject: str) -> str:
        """Fingerprint of all photos of the subject."""
        ...

    def held_out_identity(self, subject: str, shots: int, seed: int) -> str | None:
        """Fingerprint of ``reference_names``; None where neither ``shots`` nor ``seed`` decides them."""
        ...

    def prompts_identity(self, subject: str) -> str:
        """Fingerprint of the subject's test prompts and of the prior prompts of its class."""
        ...

    def check(self, subjects: Sequence[str], shots: Sequence[int]) -> None:
        """Raise DatasetError for an unknown subject, an unreadable photo, or fewer photos than shots."""
        ...


@dataclass(frozen=True)
class DatasetEntry:
    """What a data set's module says of it, as ``DATASET``; its file is all that a new data set takes.

    name         as ``dataset:`` in a YAML names it
    description  what it is, for ``harness list datasets``
    open         spec and cache folder (None: the harness's own) → the data set; raises DatasetError
    options      the keys that a YAML may give besides name and path
    """

    name: str
    description: str
    open: Callable[[DatasetSpec, Path | None], Dataset]
    options: tuple[str, ...] = ()


def chosen_prompts(
    dataset: Dataset, subject: str, wanted: int | Sequence[str] | Literal["all", "balanced"]
) -> list[Prompt]:
    """Return the test prompts that ``sampling.prompts`` stands for.

    ``all``; another set by its name; a count, spread evenly over the list so that every kind of prompt takes
    part; or templates of the user's own. Raises DatasetError where the subject has no such set, or fewer.
    """
    if not isinstance(wanted, int | str):
        return [Prompt(template, kind="custom") for template in wanted]
    if isinstance(wanted, str) and wanted != "all":
        return dataset.named_prompts(subject, wanted)
    prompts = dataset.prompts(subject)
    if isinstance(wanted, str):
        return prompts
    if wanted > len(prompts):
        raise DatasetError(f"sampling.prompts: {wanted} requested, {subject!r} has {len(prompts)}")
    return [prompts[(2 * i + 1) * len(prompts) // (2 * wanted)] for i in range(wanted)]
