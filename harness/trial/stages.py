"""The fit and sample stages: a method tunes the backbone, then the harness samples it, alike for all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from PIL.Image import Image

from harness import methods
from harness.api import Ceiling, Personalized, Progress, Subject
from harness.diffusion.alignment import FeatureAlignment
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.checkpoints import Checkpoints
from harness.diffusion.sampling import sample_images
from harness.diffusion.training import Trainer
from harness.diffusion.weights.delta import Delta
from harness.errors import HarnessError
from harness.metrics.encoders.pixels import as_pil
from harness.specs import Sampling
from harness.trial.data import TrialData
from harness.trial.noise_probe import SubjectProbe, sample_measures
from harness.trial.plan import SMALL_SHARE, WEIGHTS, Plan
from harness.trial.reference import BaseReference
from harness.trial.timing import Clock


@dataclass
class Fitted:
    """What the fit and sample stages leave for the score stage: ``fit.json``.

    phrase   stands for the subject in prompts; None for photos, which have none
    ceiling  ``photos`` or ``autoencoder`` for photos in place of samples, ``asked`` for renders; else None
    moved    whether the weights changed; if not, the base model's prior images are the tuned one's too
    bound    what a hard bound was held to, and the distance that it limited: {"radius", "l2"}
    drift    measures that needed the tuned weights
    seconds  fit (charged seconds of class images included) and sample
    readout  what the weights of a readout came to: see :class:`harness.records.Record`
    origin   provenance of both stages: commit, versions, platform, device, revisions
    peak_memory_bytes  of both stages
    """

    phrase: str | None
    ceiling: str | None
    moved: bool = False
    bound: dict[str, float] | None = None
    losses: list[float] = field(default_factory=list)
    drift: dict[str, float | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    readout: dict[str, float] | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int | None = None

    def to_bytes(self) -> bytes:
        """Write as JSON."""
        unused = ("readout",) if self.readout is None else ()
        return json.dumps(
            {name: value for name, value in asdict(self).items() if name not in unused}, indent=1
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Fitted:
        """Read what :meth:`to_bytes` wrote; HarnessError where it is damaged."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise HarnessError(
                f"fit.json is damaged ({error}); delete the trial's folder to fit it again"
            ) from None


@dataclass(frozen=True)
class Sampled:
    """Images of the test prompts, and of the prior prompts (empty where no model was sampled)."""

    images: Sequence[Image]
    prior: Sequence[Image] = ()


def fit(
    plan: Plan,
    subject: Subject,
    backbone: Backbone,
    progress: Progress,
    clock: Clock,
    checkpoints: Checkpoints | None = None,
    bank_texts: Callable[[], Sequence[str]] | None = None,
    alignment: FeatureAlignment | None = None,
) -> Fitted:
    """Let the method of a plan tune the backbone, in place. Raises whatever the method raises.

    Outlines of the shots are drawn where there is something to align with alone.
    """
    if alignment is None:
        subject = replace(subject, outlines=None)
    trial, source = plan.trial, plan.method_source
    kind = methods.load(trial.method) if source is None else methods.from_source(source, name=trial.method)
    method = methods.build(kind, trial.params)
    if reason := method.skip(subject, backbone.family):
        raise HarnessError(reason)
    trainer = Trainer(
        seed=trial.seed,
        lipschitz=trial.lipschitz,
        progress=progress,
        checkpoints=checkpoints,
        bank_texts=bank_texts,
        alignment=alignment,
    )
    progress("fit", 0, 1, None)
    with clock.time("fit"):
        trainer.prepare(backbone)
        result: Personalized | Ceiling = method.fit(backbone, subject, trainer)
    clock.add("fit", trainer.seconds_charged)
    if isinstance(result, Ceiling):
        return _ceiling(result, subject, trainer)
    return Fitted(result.phrase, None, bound=trainer.bound, losses=trainer.losses)


def _ceiling(ceiling: Ceiling, subject: Subject, trainer: Trainer) -> Fitted:
    if ceiling.as_asked:
        return Fitted(subject.category, "asked", losses=trainer.losses)
    return Fitted(None, "autoencoder" if ceiling.through_autoencoder else "photos", losses=trainer.losses)


def refitted(saved: Mapping[str, bytes], backbone: Backbone, clock: Clock) -> Fitted:
    """Put the weights that an earlier fit kept onto the backbone, bit for bit; its cost and origin stay."""
    earlier = Fitted.from_bytes(saved["fit.json"])
    backbone.apply(Delta.from_bytes(saved[WEIGHTS]))
    clock.add("fit", earlier.seconds["fit"])
    return replace(earlier, drift={}, origin={"fitted": earlier.origin})


def sample(
    plan: Plan,
    data: TrialData,
    fitted: Fitted,
    backbone: Backbone,
    reference: BaseReference,
    progress: Progress,
    clock: Clock,
) -> Sampled:
    """Sample the tuned backbone and measure how far it moved; fills in ``fitted``."""
    with clock.time("sample"):
        if fitted.ceiling == "asked":
            return Sampled(data.asked())
        if fitted.phrase is None:
            photos = data.photos.photos
            return Sampled(
                _through_autoencoder(photos, backbone) if fitted.ceiling == "autoencoder" else photos
            )
        moved = backbone.distance()
        fitted.moved = moved.moved
        prior = reference.prompts if moved.moved else ()
        sampled = partial(_sampled, backbone, plan.trial.sampling, progress, len(data.seeds) + len(prior))
        texts = data.texts(fitted.phrase)
        images = sampled([texts[number] for number in data.prompt_of], data.seeds, before=0)
        of_prior = as_pil(reference.images)
        if prior:
            seeds = [prompt.seed for prompt in prior]
            of_prior = sampled([prompt.text for prompt in prior], seeds, before=len(data.seeds))
        asked = data.spread(texts, plan.drift.prompts)
        subject = SubjectProbe(reference.subject, asked) if reference.subject else None
        fitted.drift = sample_measures(backbone, moved, reference.probe, subject)
        return Sampled(images, of_prior)


def _sampled(
    backbone: Backbone,
    sampling: Sampling,
    progress: Progress,
    total: int,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    before: int,
) -> list[Image]:
    """Sample images, ``before`` of the stage's ``total`` being there already."""
    images = sample_images(
        backbone,
        prompts,
        seeds=seeds,
        **sampling.solver,
        report=lambda done, _: progress("sample", before + done, total, None),
    )
    return as_pil(images)


def _through_autoencoder(photos: Sequence[Image], backbone: Backbone) -> list[Image]:
    return as_pil(backbone.decode(backbone.latents(photos).mean))


def kept_weights(backbone: Backbone, policy: str) -> bytes | None:
    """Return what the fit changed as a safetensors file, if the policy (small, all, none) is to keep it."""
    if policy == "none" or not backbone.changed:
        return None
    size = sum(parameter.nbytes for parameter in backbone.networks.denoiser.parameters())
    if policy == "small" and backbone.trained_bytes > SMALL_SHARE * size:
        return None
    return backbone.delta().to_bytes()
