"""One trial, from its plan to its outcome: fit → sample → score. Knows nothing of Ray, MLflow or tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from harness.api import Progress
from harness.cache import Cache
from harness.datasets.base import Dataset
from harness.datasets.registry import load_dataset
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.backbones.offload import free
from harness.errors import HarnessError, one_line
from harness.metrics.encoders.pixels import as_pil
from harness.metrics.encoders.registry import load_encoder
from harness.metrics.scorer import Examiner
from harness.metrics.scorer_inputs import Exhibit, Eyes, PriorPictures, SubjectPhotos
from harness.specs import BackboneSpec, DatasetSpec, EncoderSpec, Execution, Precision
from harness.trial import outputs
from harness.trial.images import from_png
from harness.trial.inputs import Case
from harness.trial.outputs import Result, picture_names, prior_names
from harness.trial.plan import WEIGHTS, Outcome, Plan
from harness.trial.reference import BaseModel, Yardstick
from harness.trial.stages import Fitted, Sampled, fit, kept_weights, refitted, sample
from harness.trial.timing import Clock

log = logging.getLogger("harness")
YARDSTICKS_KEPT = 8


class Worker:
    """Runs trials one after the other; loads models on first use and keeps them."""

    def __init__(
        self,
        *,
        backbone: BackboneSpec,
        dataset: DatasetSpec,
        encoders: Mapping[str, EncoderSpec],
        device: str = "cpu",
        precision: Precision = "fp32",
        execution: Execution = Execution(),
        cache: Path | None = None,
        threads: int | None = None,
    ) -> None:
        self._backbone_spec, self._dataset_spec, self._encoder_specs = backbone, dataset, dict(encoders)
        self._device, self._precision = torch.device(device), precision
        self._execution = execution
        self._cache = Cache(cache)
        self._yardsticks: dict[str, Yardstick] = {}
        if threads is not None:
            torch.set_num_threads(threads)

    @cached_property
    def _backbone(self) -> Backbone:
        return load_backbone(
            self._backbone_spec,
            device=self._device,
            precision=self._precision,
            cache=self._cache,
            execution=self._execution,
        )

    @cached_property
    def _dataset(self) -> Dataset:
        return load_dataset(self._dataset_spec, cache=self._cache.root)

    @cached_property
    def _encoders(self) -> dict[str, Any]:
        return {
            kind: load_encoder(spec, device=self._device, kind=kind)
            for kind, spec in self._encoder_specs.items()
        }

    @cached_property
    def _eyes(self) -> Eyes:
        return Eyes.of(self._encoders)

    @cached_property
    def _revisions(self) -> dict[str, str]:
        return {
            "backbone_revision": self._backbone.revision,
            "data_revision": self._dataset.revision,
            "data_resize": self._dataset.resize,
        }

    def run(self, plan: Plan, progress: Progress) -> Outcome:
        """Carry out one trial. Its own failure becomes a record with status ``failed`` and one line of error.

        The backbone is as it was before when this returns.
        """
        clock = Clock(self._device)
        try:
            return self._run(plan, progress, clock)
        except Exception as error:
            told = {
                "seconds": clock.seconds,
                "peak_memory_bytes": clock.peak_memory(),
                "provenance": outputs.origin(clock, {}),
            }
            return Outcome.of_exception(error, told)
        finally:
            self._restore()

    def _restore(self) -> None:
        """Put the backbone back; one that cannot be put back is not used again."""
        if "_backbone" in self.__dict__:
            try:
                self._backbone.restore()
            except Exception as error:
                log.warning("the backbone could not be restored and is loaded anew: %s", one_line(error))
                del self.__dict__["_backbone"]
                self._yardsticks.clear()
        free(self._device)

    def _place_encoders(self, device: torch.device) -> None:
        """Let the networks that score wait in main memory while a GPU trains, or bring them back."""
        if self._execution.cpu_offload and self._device.type != "cpu":
            for encoder in self._encoders.values():
                encoder.to(device)

    def _run(self, plan: Plan, progress: Progress, clock: Clock) -> Outcome:
        case = Case(plan, self._dataset)
        eyes = self._eyes  # an encoder that cannot be loaded must be known before anything is fitted
        revisions = self._revisions  # and so must photos that cannot be read
        yardstick = self._yardstick(case, progress)
        files: dict[str, bytes] = {}
        if plan.stage == "score":
            fitted, sampled = _saved(case, yardstick)
            clock.seconds |= fitted.seconds
        else:
            self._place_encoders(torch.device("cpu"))
            if plan.stage == "sample":
                fitted = refitted(plan.saved, self._backbone, clock)
            else:
                fitted = fit(case, self._backbone, progress, clock)
            sampled = sample(case, fitted, self._backbone, yardstick, progress, clock)
            fitted.seconds, fitted.peak_memory_bytes = dict(clock.seconds), clock.peak_memory()
            fitted.origin = {**outputs.origin(clock, revisions), **fitted.origin, **self._halved()}
            files["fit.json"] = fitted.to_bytes()
            if weights := kept_weights(self._backbone, plan.keep_weights):
                files[WEIGHTS] = weights
        progress("score", 0, 1, None)
        self._place_encoders(self._device)
        with clock.time("score"):
            result = _scored(case, fitted, sampled, yardstick, eyes)
        if plan.stage != "score":
            files |= outputs.picture_files(result)
        files |= outputs.files(result)
        scored = outputs.origin(clock, revisions) if plan.stage == "score" else None
        record = outputs.record(result, clock, encoders=self._encoders, scored=scored)
        return Outcome(record, files)

    def _halved(self) -> dict[str, Any]:
        """The batch sizes that memory came down to, for the record."""
        halved = self._backbone.batches.halved
        return {"batches": dict(halved)} if halved else {}

    def _yardstick(self, case: Case, progress: Progress) -> Yardstick:
        """The base model on the prior prompts of the case's class; the last few are kept in memory."""
        sampling, drift = case.sampling, case.plan.drift
        name = repr((case.subject.category, drift, sampling.sampler, sampling.steps, sampling.guidance))
        if name not in self._yardsticks:
            progress("base model", 0, 1, None)
            while len(self._yardsticks) >= YARDSTICKS_KEPT:
                self._yardsticks.pop(next(iter(self._yardsticks)))
            self._yardsticks[name] = BaseModel(self._backbone, sampling, drift).yardstick(case.prior_texts)
        return self._yardsticks[name]


def _saved(case: Case, yardstick: Yardstick) -> tuple[Fitted, Sampled]:
    """Read back what an earlier run of the trial left."""
    saved = case.plan.saved
    fitted = Fitted.from_bytes(saved["fit.json"])

    def read(names: list[str]) -> list[Image]:
        if missing := [name for name in names if name not in saved]:
            raise HarnessError(
                f"{missing[0]} is missing and cannot be scored; delete the trial's folder to fit it again"
            )
        return [from_png(saved[name]) for name in names]

    if fitted.ceiling == "photos":
        return fitted, Sampled(case.photos)
    pictures = read(picture_names(case, fitted))
    if fitted.ceiling is not None:
        return fitted, Sampled(pictures)
    names = prior_names([prompt.group for prompt in yardstick.prompts])
    return fitted, Sampled(pictures, read(names))


def _scored(case: Case, fitted: Fitted, sampled: Sampled, yardstick: Yardstick, eyes: Eyes) -> Result:
    exhibit = _exhibit(case, fitted, sampled, yardstick)
    examiner = Examiner(exhibit, eyes)
    return Result(case, fitted, sampled, exhibit, examiner.scores(case.plan.scores), examiner.drift())


def _exhibit(case: Case, fitted: Fitted, sampled: Sampled, yardstick: Yardstick) -> Exhibit:
    subject = SubjectPhotos(case.photos, case.shots, case.references)
    if fitted.phrase is None:
        return Exhibit(sampled.pictures, subject, photo_of=range(len(case.photos)))
    noun = case.subject.category if case.sampling.clip_text == "class" else fitted.phrase
    base, floor = as_pil(yardstick.pictures), as_pil(yardstick.floor)
    return Exhibit(
        sampled.pictures,
        subject,
        prompt_of=case.prompt_of,
        texts=case.texts(noun),
        asked=[prompt.attributes for prompt in case.prompts],
        prior=PriorPictures(yardstick.prompts, sampled.prior, base, floor),
    )
