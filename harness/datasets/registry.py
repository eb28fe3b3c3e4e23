"""Data sets by name. Importing this loads no torch.

``toybox`` is the embedded benchmark; ``dreambench`` a clone of google/dreambooth; ``folder`` the user's own
photos, a folder per subject.
"""

from __future__ import annotations

from pathlib import Path

from harness.datasets.base import Dataset, DatasetError
from harness.errors import one_of
from harness.specs import DatasetSpec

DESCRIPTIONS: dict[str, str] = {
    "toybox": "the embedded benchmark: 4 development and 16 test subjects, 12 rendered photos each",
    "dreambench": "DreamBench: path to a clone of github.com/google/dreambooth (30 subjects, 158 photos)",
    "folder": "your photos: a folder per subject, class nouns and prompts in subjects.yaml",
}


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
