"""A finished trial's model, to be used elsewhere: its kept weights, or the trial's fit done again."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from harness.api import Progress
from harness.diffusion import export
from harness.errors import RecordsError
from harness.records import Record
from harness.sweep.restored import restore


def export_trial(
    folder: Path, record: Record, out: Path, *, progress: Progress, device: str = "cpu"
) -> list[str]:
    """Write the tuned model of a run directory's record to ``out``.

    Returns lines of Python that load the files into ``pipe``, the base model's diffusers pipeline.

    Raises HarnessError for a trial that did not succeed, is no longer the experiment's, or trained nothing,
    and where the disk refuses.
    """
    restored = restore(folder, record, progress=progress, device=device, purpose="export")
    try:
        lines = export.write(restored.backbone, out)
    except (OSError, SafetensorError) as error:
        raise RecordsError(
            f"{out}: cannot be written: {getattr(error, 'strerror', None) or error}"
        ) from error
    return [*lines, f"# the subject is called: {restored.phrase}"]
