"""What the driver hands to a worker and what comes back: plain data that travels between processes.

Imports neither torch nor Ray, so that every module may import it.
"""

from __future__ import annotations

import traceback
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.api import Lipschitz, Progress
from harness.diffusion.constraints.combination import Combination
from harness.errors import one_line
from harness.specs import (
    BackboneSpec,
    DatasetSpec,
    DriftSet,
    EncoderSpec,
    Execution,
    KeepWeights,
    Precision,
    Trial,
)

WEIGHTS = "delta.safetensors"
"""Where a trial keeps what it trained, if it does."""
SMALL_SHARE = 0.1
"""``keep_weights: small`` keeps up to this share of the denoiser's size: adapters, tokens, K/V."""
TRACEBACK = "traceback.txt"
"""The file of a failed trial that says where it failed."""


@dataclass(frozen=True)
class Keys:
    """Content hashes (16 hex digits), one for each stage of a trial."""

    fit: str
    sample: str
    score: str


@dataclass(frozen=True)
class Plan:
    """All that a worker needs for one trial.

    trial          the cell; its ``sampling`` holds sampler, steps, guidance, prompts
    stage          ``fit``: fit, sample and score; ``sample``: sample with saved weights and score, train
                   nothing; ``score``: score saved images
    scores         names from :mod:`harness.metrics.registry`, in order
    method_source  the text of a user's own method file, None for a method of ``baselines/``
    most_shots     the experiment's largest number of shots: the photos that it leaves are held out from all
                   its trials; None: the trial's own number
    photos         fingerprint of the subject's photos as they were when the keys were computed; None: unknown
    saved          files of the trial by relative path: for ``score`` ``fit.json``, ``pictures/03-00.png``,
                   ``prior/GROUP-05.png``; for ``sample`` ``fit.json`` and ``delta.safetensors``
    """

    trial: Trial
    drift: DriftSet
    scores: tuple[str, ...]
    precision: Precision
    keep_weights: KeepWeights
    keys: Keys
    stage: Literal["fit", "sample", "score"] = "fit"
    method_source: str | None = None
    most_shots: int | None = None
    photos: str | None = None
    saved: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def output_limit(self) -> float | None:
        """‖Δε‖₂ that a constraint keeps the record within, on the calibration probe; None: no limit."""
        return _output_limit(self.trial.lipschitz)

    @property
    def needs_calibration(self) -> bool:
        """Whether the share of the change must be sought."""
        return self.stage != "score" and calibrated(self.trial)


@cache
def _output_limit(lipschitz: Lipschitz | None) -> float | None:
    return Combination.read(lipschitz.settings()).output_limit if lipschitz else None


def calibrated(trial: Trial) -> bool:
    """Say whether the calibration probe decides how much of a trial's change there is."""
    sought = trial.readout is not None and trial.readout.sought
    return sought or _output_limit(trial.lipschitz) is not None


@dataclass
class Outcome:
    """What a trial came to: the worker's part of a :class:`harness.records.Record`, and files.

    scores, drift      numbers by metric, None where empty; ``notes`` says why, or remarks on a number
    by_prompt          values of a score in the order of prompts
    seconds            by stage: fit, sample, score
    peak_memory_bytes  of the fit and sample stages
    images             how many were scored
    bound              what a hard bound was held to
    readout            what a readout's weights came to: see :class:`harness.records.Record`
    provenance         device, versions, backbone_revision, data_revision, encoders {metric: encoder and
                       version}: the fit's. ``scored`` (device, versions, commit, …) is there where saved
                       images were scored again. The driver adds the commit where it is missing
    error              one line, when failed
    artifacts          files below ``runs/<experiment>/<key>/`` by relative path; of re-scoring, what changed
    """

    status: Literal["done", "failed"]
    scores: dict[str, float | None] = field(default_factory=dict)
    drift: dict[str, float | None] = field(default_factory=dict)
    by_prompt: dict[str, list[float | None]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    images: int = 0
    bound: dict[str, float] | None = None
    readout: dict[str, float] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    artifacts: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of_exception(cls, error: BaseException, **known: Any) -> Outcome:
        """Describe a trial that raised: its error in one line, the traceback as a file.

        ``known`` are other fields that could be filled in.
        """
        text = "".join(traceback.format_exception(error))
        return cls("failed", error=one_line(error), artifacts={TRACEBACK: text.encode()}, **known)


class TrialWorker(Protocol):
    """Lives as long as its process; loads models lazily and keeps them. Runs one job at a time."""

    def outcomes(self, plans: Sequence[Plan], progress: Progress) -> Generator[Outcome]:
        """Carry out the trials of one fit, in order, and yield what each came to as it is finished.

        A trial's own failure is an Outcome with status ``failed``, never an exception.
        """
        ...


class WorkerFactory(Protocol):
    """How the sweep makes a worker, for one backbone: :class:`~.worker.Worker`, or a fake in a test.

    encoders   kind → spec: ``clip``, ``dino``, ``probe``
    device     "cpu" or "cuda"
    execution  what trades time for memory
    cache      a folder shared by all workers of a machine, for what is computed once; need not exist yet
    threads    how many threads torch may use
    """

    def __call__(
        self,
        *,
        backbone: BackboneSpec,
        dataset: DatasetSpec,
        encoders: Mapping[str, EncoderSpec],
        device: str,
        precision: Precision,
        execution: Execution,
        cache: Path,
        threads: int,
    ) -> TrialWorker: ...
