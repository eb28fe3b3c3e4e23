"""One trial, from its plan to its outcome: fit → sample → score. Knows nothing of Ray, MLflow or tables."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
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
from harness.diffusion.checkpoints import Checkpoints
from harness.errors import HarnessError, one_line
from harness.metrics.encoders.registry import load_encoder
from harness.metrics.scorer import Scorer
from harness.metrics.scorer_inputs import Encoders
from harness.specs import BackboneSpec, DatasetSpec, EncoderSpec, Execution, Precision
from harness.trial import outputs
from harness.trial.aligned import alignment_of, given_up
from harness.trial.calibration import Calibration, calibrate
from harness.trial.data import TrialData, check_photos
from harness.trial.images import from_png
from harness.trial.job import Job, asking, solver
from harness.trial.noise_probe import NoiseProbe
from harness.trial.outputs import image_names, prior_names
from harness.trial.plan import WEIGHTS, Outcome, Plan
from harness.trial.readouts import TunedModel
from harness.trial.reference import BaseReference, ReferenceSampler
from harness.trial.shown import scorer_inputs
from harness.trial.stages import Fitted, Sampled, fit, kept_weights, refitted, sample
from harness.trial.timing import Clock

log = logging.getLogger("harness")
REFERENCES_KEPT = 8


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
        self._references: dict[str, BaseReference] = {}
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
    def _loaded_encoders(self) -> dict[str, Any]:
        return {
            kind: load_encoder(spec, device=self._device, kind=kind)
            for kind, spec in self._encoder_specs.items()
        }

    @cached_property
    def _encoders(self) -> Encoders:
        return Encoders(self._loaded_encoders)

    @cached_property
    def _revisions(self) -> dict[str, str]:
        return {
            "backbone_revision": self._backbone.revision,
            "data_revision": self._dataset.revision,
            "data_resize": self._dataset.resize,
        }

    def run(self, plan: Plan, progress: Progress) -> Outcome:
        """Carry out one trial, a job of its own."""
        (outcome,) = self.outcomes([plan], progress)
        return outcome

    def outcomes(self, plans: Sequence[Plan], progress: Progress) -> Generator[Outcome]:
        """Carry out the trials of one fit; a failure becomes an outcome ``failed`` with one line of error.

        The backbone is as it was before when the last is there, or the generator closed.
        """
        job = Job(tuple(plans))
        try:
            for plan in plans:
                clock = Clock(self._device)
                try:
                    outcome = self._run(plan, job, progress, clock)
                except (Exception, SystemExit) as error:  # a method of a user's may call sys.exit
                    outcome = Outcome.of_exception(
                        error,
                        seconds=clock.seconds,
                        peak_memory_bytes=clock.peak_memory(),
                        provenance=outputs.origin(clock, {}),
                    )
                yield outcome
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
                self._references.clear()
        free(self._device)

    def _place_encoders(self, device: torch.device) -> None:
        """Let the networks that score wait in main memory while a GPU trains, or bring them back."""
        if self._execution.cpu_offload and self._device.type != "cpu":
            for encoder in self._loaded_encoders.values():
                encoder.to(device)

    def _run(self, plan: Plan, job: Job, progress: Progress, clock: Clock) -> Outcome:
        data = TrialData.of(plan, self._dataset)
        encoders = self._encoders  # one that cannot be loaded must be known before anything is fitted
        revisions = self._revisions  # and so must photos that cannot be read
        reference = self._base(plan, job, data, progress)
        files: dict[str, bytes] = {}
        if plan.stage == "score":
            fitted, sampled = _saved(plan, data, reference)
            clock.seconds |= fitted.seconds
        else:
            self._place_encoders(torch.device("cpu"))
            fitted, sampled = self._fitted_and_sampled(plan, job, data, reference, progress, clock)
            fitted.origin = {**outputs.origin(clock, revisions), **fitted.origin, **self._halved()}
            files["fit.json"] = fitted.to_bytes()
            if fitted.readout is None and (weights := kept_weights(self._backbone, plan.keep_weights)):
                files[WEIGHTS] = weights
        progress("score", 0, 1, None)
        self._place_encoders(self._device)
        with clock.time("score"):
            truth = partial(self._dataset.prior_truth, data.subject.category, plan.drift.images)
            inputs = scorer_inputs(plan, data, fitted, sampled, reference, truth=truth)
            scorer = Scorer(inputs, encoders, trained_on=given_up(plan.trial, self._encoder_specs))
            scores, drift = scorer.scores(plan.scores), scorer.drift()
        if plan.stage != "score":
            files |= outputs.image_files(plan, data, inputs)
        files["images.json"] = outputs.images_json(plan, data, fitted, inputs, scores, drift)
        files["contact_sheet.png"] = outputs.sheet(plan, data, fitted, inputs)
        check_photos(plan, self._dataset)  # whichever were read, the record must not speak of others
        scored = outputs.origin(clock, revisions) if plan.stage == "score" else None
        outcome = outputs.outcome(
            fitted,
            inputs,
            scores,
            drift,
            clock,
            options=plan.drift.options,
            encoders=self._loaded_encoders,
            scored=scored,
        )
        return replace(outcome, artifacts=files)

    def _fitted_and_sampled(
        self,
        plan: Plan,
        job: Job,
        data: TrialData,
        reference: BaseReference,
        progress: Progress,
        clock: Clock,
    ) -> tuple[Fitted, Sampled]:
        tuned = self._tuned(plan, job, data, progress, clock)
        calibration = job.calibrations.get(solver(plan))
        fitted = tuned.read_out(plan, data.subject, calibration, clock)
        draw = partial(
            sample, plan, data, fitted, self._backbone, reference=reference, progress=progress, clock=clock
        )
        sampled = job.sampled(plan, fitted, draw, clock)
        fitted.seconds, fitted.peak_memory_bytes = dict(clock.seconds), tuned.peak_memory(clock)
        return fitted, sampled

    def _tuned(self, plan: Plan, job: Job, data: TrialData, progress: Progress, clock: Clock) -> TunedModel:
        """The job's fit, made by the first trial that comes to it; where it fails, all do: it would recur."""
        if job.error is not None:
            raise job.error
        if job.tuned is None:
            checkpoints = Checkpoints(job.steps)
            restored = plan.stage == "sample"
            try:
                if restored:
                    fitted = refitted(plan.saved, self._backbone, clock)
                else:
                    fitted = fit(
                        job.to_fit(plan), data.subject, self._backbone, progress, clock, checkpoints,
                        data.bank_texts, alignment_of(plan.trial, self._encoder_specs, self._to_align_with),
                    )  # fmt: skip
            except Exception as error:
                job.error = error
                raise
            alone = all(each.trial.readout is None and each.output_limit is None for each in job.plans)
            job.tuned = TunedModel(self._backbone, fitted, checkpoints, clock, restored=restored, alone=alone)
        return job.tuned

    def _to_align_with(self, spec: EncoderSpec, kind: str) -> Any:
        """The encoder that scores, where it is that one."""
        if spec == self._encoder_specs.get(kind):
            return self._loaded_encoders[kind]
        return load_encoder(spec, device=self._device, kind=kind)

    def _halved(self) -> dict[str, Any]:
        """The batch sizes that memory came down to, for the record."""
        halved = self._backbone.batches.halved
        return {"batches": dict(halved)} if halved else {}

    def _base(self, plan: Plan, job: Job, data: TrialData, progress: Progress) -> BaseReference:
        """The base model as a plan needs it; a job's are computed before anything is handed out."""
        if not job.references:
            for each in job.plans:
                self._prepare(each, job, data.subject.category, progress)
        reference = job.references[solver(plan)]
        return replace(reference, subject=job.subject_probes.get(asking(plan)))

    def _prepare(self, plan: Plan, job: Job, category: str, progress: Progress) -> None:
        if solver(plan) not in job.references:
            job.references[solver(plan)] = self._reference(plan, category, progress)
        if plan.needs_calibration and solver(plan) not in job.calibrations:
            job.calibrations[solver(plan)] = self._calibration(plan, category, progress)
        if plan.drift.subject and plan.stage != "score" and asking(plan) not in job.subject_probes:
            job.subject_probes[asking(plan)] = self._subject_probe(plan, TrialData.of(plan, self._dataset))

    def _reference(self, plan: Plan, category: str, progress: Progress) -> BaseReference:
        """The base model on the prior prompts of a class; the last few are kept in memory."""
        name = repr((category, plan.drift, *solver(plan)))
        if name not in self._references:
            progress("base model", 0, 1, None)
            while len(self._references) >= REFERENCES_KEPT:
                self._references.pop(next(iter(self._references)))
            sampler = ReferenceSampler(self._backbone, plan.trial.sampling, plan.drift)
            self._references[name] = sampler.reference(partial(self._dataset.prior_prompts, category))
        return self._references[name]

    def _subject_probe(self, plan: Plan, data: TrialData) -> NoiseProbe:
        """The base model on the test prompts, asked for the class; kept on disk."""
        asked = data.spread(data.texts(data.subject.category), plan.drift.prompts)
        return ReferenceSampler(self._backbone, plan.trial.sampling, plan.drift).subject_probe(asked)

    def _calibration(self, plan: Plan, category: str, progress: Progress) -> Calibration:
        progress("base model", 0, 1, None)
        sampler = ReferenceSampler(self._backbone, plan.trial.sampling, plan.drift)
        return calibrate(sampler, partial(self._dataset.prior_prompts, category))


def _saved(plan: Plan, data: TrialData, reference: BaseReference) -> tuple[Fitted, Sampled]:
    """Read back what an earlier run of the trial left."""
    fitted = Fitted.from_bytes(plan.saved["fit.json"])

    def read(names: list[str]) -> list[Image]:
        if missing := [name for name in names if name not in plan.saved]:
            raise HarnessError(
                f"{missing[0]} is missing and cannot be scored; delete the trial's folder to fit it again"
            )
        return [from_png(plan.saved[name]) for name in names]

    if fitted.ceiling == "photos":
        return fitted, Sampled(data.photos.photos)
    images = read(image_names(plan, data, photos=fitted.phrase is None))
    if fitted.ceiling is not None:
        return fitted, Sampled(images)
    return fitted, Sampled(images, read(prior_names([prompt.group for prompt in reference.prompts])))
