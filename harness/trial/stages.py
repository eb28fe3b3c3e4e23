"""The fit and sample stages: a method teaches the backbone, then the harness asks it, alike for all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from PIL.Image import Image

from harness import methods
from harness.api import Ceiling, Personalized, Progress
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.training import Trainer
from harness.diffusion.weights.delta import Delta
from harness.errors import HarnessError
from harness.metrics.encoders.pixels import as_pil
from harness.trial.inputs import Case
from harness.trial.noise_probe import sample_measures
from harness.trial.plan import SMALL_SHARE, WEIGHTS
from harness.trial.reference import Yardstick, draw
from harness.trial.timing import Clock


@dataclass
class Fitted:
    """What the fit and sample stages leave for the score stage: ``fit.json``.

    phrase   stands for the subject in prompts; None for a ceiling, of kind ``photos`` or ``autoencoder``
    moved    whether the weights changed; if not, the base model's prior pictures are the tuned one's too
    bound    what a hard bound was held to, and the distance that it limited: {"radius", "l2"}
    drift    measures that needed the tuned weights
    seconds  fit (charged seconds of prior pictures included) and sample
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
    origin: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int | None = None

    def to_bytes(self) -> bytes:
        """Write as JSON."""
        return json.dumps(asdict(self), indent=1).encode()

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
    """Pictures of the test prompts, and of the prior prompts (empty where no model was asked)."""

    pictures: Sequence[Image]
    prior: Sequence[Image] = ()


def fit(case: Case, backbone: Backbone, progress: Progress, clock: Clock) -> Fitted:
    """Let the method of a case teach the backbone, in place. Raises whatever the method raises."""
    trial = case.trial
    source = case.plan.method_source
    kind = methods.load(trial.method) if source is None else methods.from_source(source, name=trial.method)
    method = methods.build(kind, trial.params)
    if reason := method.skip(case.subject, backbone.family):
        raise HarnessError(reason)
    trainer = Trainer(seed=trial.seed, lipschitz=trial.lipschitz, progress=progress)
    progress("fit", 0, 1, None)
    with clock.time("fit"):
        told: Personalized | Ceiling = method.fit(backbone, case.subject, trainer)
    clock.add("fit", trainer.seconds_charged)
    if isinstance(told, Ceiling):
        return Fitted(None, "autoencoder" if told.through_autoencoder else "photos", losses=trainer.losses)
    return Fitted(told.phrase, None, bound=trainer.bound, losses=trainer.losses)


def refitted(saved: Mapping[str, bytes], backbone: Backbone, clock: Clock) -> Fitted:
    """Put the weights that an earlier fit kept onto the backbone, bit for bit; its cost and origin stay."""
    earlier = Fitted.from_bytes(saved["fit.json"])
    backbone.apply(Delta.from_bytes(saved[WEIGHTS]))
    clock.add("fit", earlier.seconds["fit"])
    return replace(earlier, drift={}, origin={"fitted": earlier.origin})


def sample(
    case: Case, fitted: Fitted, backbone: Backbone, yardstick: Yardstick, progress: Progress, clock: Clock
) -> Sampled:
    """Ask the tuned backbone for its pictures and measure how far it moved; fills in ``fitted``."""
    with clock.time("sample"):
        if fitted.ceiling is not None:
            return Sampled(_photos(case, backbone) if fitted.ceiling == "autoencoder" else case.photos)
        assert fitted.phrase is not None
        moved = backbone.distance()
        fitted.moved = moved.moved
        texts = case.texts(fitted.phrase)
        prior = yardstick.prompts if moved.moved else ()
        total = len(case.seeds) + len(prior)
        pictures = draw(
            backbone,
            [texts[number] for number in case.prompt_of],
            case.seeds,
            case.sampling,
            report=lambda done, _: progress("sample", done, total, None),
        )
        of_prior = yardstick.pictures
        if prior:
            of_prior = draw(
                backbone,
                [prompt.text for prompt in prior],
                [prompt.seed for prompt in prior],
                case.sampling,
                report=lambda done, _: progress("sample", len(case.seeds) + done, total, None),
            )
        fitted.drift = sample_measures(backbone, moved, yardstick.probe)
        return Sampled(as_pil(pictures), as_pil(of_prior))


def _photos(case: Case, backbone: Backbone) -> list[Image]:
    """The photos after a round trip through the autoencoder."""
    return as_pil(backbone.decode(backbone.latents(case.photos).mean))


def kept_weights(backbone: Backbone, policy: str) -> bytes | None:
    """Return what the fit changed as a safetensors file, if the policy (small, all, none) is to keep it."""
    if policy == "none" or not backbone.changed:
        return None
    size = sum(parameter.nbytes for parameter in backbone.networks.denoiser.parameters())
    if policy == "small" and backbone.trained_bytes > SMALL_SHARE * size:
        return None
    return backbone.delta().to_bytes()
