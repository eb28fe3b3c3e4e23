"""The one training loop; which parameters, captions and prior it is given is a method's to say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn import Parameter

from harness.api import Lipschitz, Progress
from harness.diffusion.alignment import FeatureAlignment
from harness.diffusion.augment import Augment
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.bank import Bank, FromBank, Goal, make_bank
from harness.diffusion.batching import OutOfMemory
from harness.diffusion.checkpoints import Checkpoints
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.constraints.combination import Combination
from harness.diffusion.denoising import DenoisingLoss, Preference
from harness.diffusion.draws import Draws, MicroBatch
from harness.diffusion.examples import Example, Prior, TrainingSet
from harness.diffusion.lessons import Lessons
from harness.diffusion.lipschitz import LowRank
from harness.diffusion.loss_log import LossLog, TrainingDiverged
from harness.diffusion.objective import Reduction, StartToken, start_token
from harness.diffusion.optimizer import Decay, optimizer_of, set_rate
from harness.diffusion.prior import prior_images
from harness.diffusion.sampling import Report
from harness.diffusion.seeds import named_seed
from harness.errors import HarnessError


class Trainer:
    """Trains a backbone in place. Built by the harness, one for each trial; a method calls :meth:`fit`.

    draws            puts other micro-batches in place of the trainer's own, or records them; None: its own
    losses           one number per optimizer step: the squared error as ``reduction`` has it, with the
                     weighted prior, without penalty; with a preference that of its loss
    bound            what the constraints prove at the end; of a hard bound {"radius", "l2"}; None without
    seconds_charged  seconds to add to the measured wall-clock, for work that was read from the cache
    checkpoints      weights to keep along the course
    alignment        what is learnt beside in feature space; its part is in ``losses``
    bank_texts       gives the prompts of a bank where one is asked for; None: there can be none
    """

    def __init__(
        self,
        *,
        seed: int,
        lipschitz: Lipschitz | None = None,
        progress: Progress | None = None,
        draws: Draws | None = None,
        checkpoints: Checkpoints | None = None,
        bank_texts: Callable[[], Sequence[str]] | None = None,
        alignment: FeatureAlignment | None = None,
    ) -> None:
        self.seed = seed
        self.lipschitz = lipschitz
        self.progress = progress
        self.draws = draws
        self.checkpoints = checkpoints or Checkpoints()
        self.bank_texts, self.alignment = bank_texts, alignment
        self._bank: Bank | None = None
        self.losses: list[float] = []
        self.bound: dict[str, float] | None = None
        self.seconds_charged = 0.0

    def bank(self, backbone: Backbone) -> Bank:
        """The base model's answers on the prior prompts of the trial's class; their cost is charged, once.

        Ask before anything is handed out. Raises HarnessError where the trainer knows no such prompts.
        """
        if self._bank is None:
            if self.bank_texts is None:
                raise HarnessError("a bank needs prior prompts, and this trainer was given none (bank_texts)")
            started = time.perf_counter()
            self._bank = make_bank(backbone, self.bank_texts(), report=self._reporting("bank"))
            self.seconds_charged += self._bank.seconds - (time.perf_counter() - started)
        return self._bank

    def from_bank(
        self, backbone: Backbone, *, weight: float, goal: Goal = "base", batch: int | None = None
    ) -> FromBank | None:
        """Entries of the bank to learn beside the subject's examples; None at weight 0, which makes none."""
        return FromBank(self.bank(backbone), weight, goal, batch) if weight else None

    def prepare(self, backbone: Backbone) -> None:
        """Make what the trial's constraints need of the base model, before a method changes anything."""
        if Combination.read(self.lipschitz.settings() if self.lipschitz else None).uses_bank:
            self.bank(backbone)

    def _reporting(self, stage: str) -> Report:
        """Pass the count of images on as the progress of a stage."""

        def report(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(stage, done, total, None)

        return report

    def prior_images(self, backbone: Backbone, prompt: str, count: int) -> list[Image.Image]:
        """Draw class images from the base model, before anything is handed out; their cost is charged."""
        started = time.perf_counter()
        images, seconds = prior_images(backbone, prompt, count, progress=self._reporting("prior"))
        self.seconds_charged += seconds - (time.perf_counter() - started)
        return images

    def prior(
        self, backbone: Backbone, caption: str, *, count: int, weight: float, mirrored: bool = False
    ) -> Prior | None:
        """Class images as examples to learn beside the subject's; None at weight 0, which draws none.

        ``mirrored``: each of them also left for right, as an example of its own.
        """
        if not weight:
            return None
        images = self.prior_images(backbone, caption, count)
        if mirrored:
            images += [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
        return Prior([Example(image, (caption,)) for image in images], weight)

    def fit(
        self,
        backbone: Backbone,
        *,
        parameters: Mapping[str, Parameter],
        examples: Sequence[Example],
        steps: int,
        lr: float,
        batch: int,
        optimizer: Literal["adam", "adamw"] = "adamw",
        weight_decay: float = 0.0,
        clip: float | None = None,
        accumulate: int = 1,
        prior: Prior | FromBank | None = None,
        augment: Augment | None = None,
        precondition: bool = False,
        reduction: Reduction = "mean",
        start: StartToken = "trained",
        lr_decay: Decay = "none",
        preference: Preference | None = None,
    ) -> None:
        """Minimize E‖target − prediction‖² over ``parameters``, with the trial's Lipschitz constraint.

        parameters  by name, as the backbone handed them out; nothing else moves
        examples    drawn in shuffled rounds, ``batch`` for each of the ``accumulate`` micro-batches of a step
        steps, lr   optimizer steps at a constant learning rate, or one that decays (``lr_decay``)
        clip        largest L2 norm of the gradient, penalty included
        prior       adds ``batch`` examples of class or bank to each micro-batch; ``augment``: of the subject
        precondition  compare clean latents in place of velocities; only where the backbone predicts a flow
        reduction   how the subject's squares are averaged under masks; ``start``, ``preference``: see there

        Raises TrainingDiverged when a loss or weight is not finite, ValueError for settings without sense.
        """
        self.checkpoints.begin(len(self.losses))
        _check(parameters, examples, steps=steps, lr=lr, batch=batch, accumulate=accumulate)
        generator = torch.Generator().manual_seed(named_seed("training", self.seed, len(self.losses)))
        lessons = Lessons.prepare(backbone, examples, augment, prior, generator)
        batches = (self.draws or iter)(lessons.batches(batch=batch, generator=generator, seed=self.seed))
        constraints = self._constraints(backbone, parameters, lessons.subject, lr)
        trained = list(parameters.values())
        update = optimizer_of(optimizer, trained, lr, weight_decay)
        scaler = torch.amp.GradScaler(backbone.device.type, enabled=backbone.precision == "fp16")
        log = LossLog(steps, self.losses, self.progress, every=1 if backbone.device.type == "cpu" else 10)
        loss_of = DenoisingLoss(backbone, lessons.weight, precondition, reduction, preference, self.alignment)
        _make_ready(backbone, trained, [*lessons.captions, *(preference.told.values() if preference else ())])
        try:
            with start_token(backbone.networks.denoiser, backbone.cross_attention, start):
                for step in range(1, steps + 1):
                    set_rate(update, lr, lr_decay, step=step, steps=steps)
                    loss = _backward(loss_of, batches, accumulate, scaler, backbone.device)
                    log.add(loss)
                    _step(update, scaler, constraints, clip, loss)
                    self.checkpoints.passed(step, backbone, constraints)
            log.flush()
            self.bound = _proof(constraints, trained, steps)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(lessons.at_once(batch), error) from error
        finally:
            update.zero_grad(set_to_none=True)
            _require_grad(trained, False)

    def _constraints(
        self, backbone: Backbone, parameters: Mapping[str, Parameter], subject: TrainingSet, lr: float
    ) -> ActiveConstraints:
        terms = _terms(backbone, parameters, self.lipschitz)
        return ActiveConstraints(
            self.lipschitz,
            terms,
            backbone=backbone,
            subject=subject,
            lr=lr,
            bank=self._bank,
            seed=self.seed,
            charge=self._charge,
        )

    def _charge(self, seconds: float) -> None:
        self.seconds_charged += seconds


def _make_ready(backbone: Backbone, trained: Sequence[Parameter], captions: Sequence[str]) -> None:
    """Have every caption encoded before the text encoders make room; those with a new word are, each step."""
    with torch.no_grad():
        backbone.conditioning(captions)
    backbone.make_room(taught=bool(backbone.new_tokens))
    _require_grad(trained, True)


def _backward(
    objective: Callable[[MicroBatch], Tensor],
    batches: Iterator[MicroBatch],
    accumulate: int,
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> Tensor:
    """Add the gradients of a step's micro-batches, averaged; return its loss []."""
    loss = torch.zeros((), device=device)
    for _ in range(accumulate):
        part = objective(next(batches)) / accumulate
        scaler.scale(part).backward()
        loss += part.detach()
    return loss


def _step(
    update: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    constraints: ActiveConstraints,
    clip: float | None,
    loss: Tensor,
) -> None:
    """One optimizer step: gradients of the constraints, clipping, the update, what they do around it."""
    scaler.unscale_(update)
    constraints.add_gradient(loss)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(update.param_groups[0]["params"], clip)
    constraints.before_step()
    scaler.step(update)
    scaler.update()
    update.zero_grad(set_to_none=True)
    constraints.after_step()


def _proof(
    constraints: ActiveConstraints, trained: Sequence[Parameter], steps: int
) -> dict[str, float] | None:
    """What the constraints prove of the end; raises TrainingDiverged where a weight is no number any more."""
    if not all(bool(torch.isfinite(parameter).all()) for parameter in trained):
        raise TrainingDiverged("a weight became infinite or nan", steps, steps)
    return constraints.proof()


def _terms(backbone: Backbone, parameters: Mapping[str, Parameter], lipschitz: Lipschitz | None) -> list[Any]:
    """The changes that the constraint is about; none may be missing, or the bound would not hold."""
    if lipschitz is None:
        return []
    terms = backbone.terms(list(parameters))
    covered = {
        id(t)
        for term in terms
        for t in ((term.down, term.up) if isinstance(term, LowRank) else (term.value,))
    }
    missing = [name for name, parameter in parameters.items() if id(parameter) not in covered]
    if missing:
        raise ValueError(
            f"the backbone does not know {missing[0]!r}; train what its parameters(), … handed out"
        )
    return terms


def _check(
    parameters: Mapping[str, Parameter],
    examples: Sequence[Example],
    *,
    steps: int,
    lr: float,
    batch: int,
    accumulate: int,
) -> None:
    if not parameters:
        raise ValueError("nothing to train: no parameters")
    if not examples or not all(example.captions for example in examples):
        raise ValueError("nothing to learn from: every fit needs examples with captions")
    for name, value in (("steps", steps), ("batch", batch), ("accumulate", accumulate)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a positive number, got {lr}")


def _require_grad(parameters: Sequence[Parameter], wanted: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(wanted)
