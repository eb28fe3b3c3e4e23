"""The penalty: λ times a squared distance from the pretrained weights is added to the loss."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from harness.api import Lipschitz, Norm, later
from harness.diffusion.constraints.base import AtWork, Axis, Constraint, Look, Training

if TYPE_CHECKING:
    from torch import Tensor

    from harness.diffusion.quadratic import Weighted

PAPER = "P&P, the paper's method"
"""How the full fine-tune with the penalty is called beside its settings (arXiv 2505.19519)."""
OF_WEIGHTS = ("tensor_mean", "sum")
"""Norms of the weights alone; the metrics of all others are measured on the base model."""


@dataclass(frozen=True)
class Penalty(Constraint):
    """λ·Σ_l penalty(θ_l − θ0_l), in one of the norms that :class:`harness.api.Lipschitz` describes.

    Where the norm's metric is measured on the base model, the gradient is recomputed ``every`` so many steps
    and stays the same in between.
    ``decoupled``: its gradient does not go through Adam. Each step the weights go back by lr·∇, as AdamW's
    do for weight decay: θ ← θ − lr·λ'·(θ − θ0) with λ' = 2λ/n_l, or 2λ for ``sum``.
    """

    key = "penalty"
    rank = 10
    noun = "a penalty (λ)"
    needs = "it needs two penalties λ > 0"
    axis = Axis(name="λ", title="λ", tighter="higher")
    look = Look(line="-", mark="o", other_mark="D", mark_over_shots="D")

    penalty: Annotated[float, Field(ge=0)]
    norm: Norm = Lipschitz.norm
    decoupled: bool = later(False)
    every: Annotated[int, Field(ge=1)] = later(4)

    @property
    def forms(self) -> list[str]:
        """What is not as usual: ["sum", "decoupled"]."""
        norm: list[str] = [] if self.norm == "tensor_mean" else [self.norm + " †" * self.trains_on_outputs]
        every = [] if self.every == 4 else [f"every {self.every}"]
        return [*norm, *every, "decoupled"] if self.decoupled else [*norm, *every]

    @property
    def trains_on_outputs(self) -> bool:
        """A metric from the model stands for the change of its outputs."""
        return self.norm not in OF_WEIGHTS

    @property
    def uses_bank(self) -> bool:
        """For a metric that comes from the model; λ = 0 measures nothing."""
        return self.trains_on_outputs and self.penalty > 0

    @property
    def scale(self) -> str:
        """Penalties of another form are another curve."""
        return "".join(f", {form}" for form in self.forms)

    @property
    def short(self) -> str:
        """ "λ=500", "λ=500 sum"."""
        return " ".join([f"λ={self.penalty:g}", *self.forms])

    @property
    def long(self) -> str:
        """ "λ=500", "λ=500 (sum)"."""
        return f"λ={self.penalty:g}" + (f" ({', '.join(self.forms)})" if self.forms else "")

    def known_as(self, method: str, params: Mapping[str, Any]) -> str | None:
        """Name the paper's method: the full fine-tune, the mean form in place of prior preservation."""
        mean = self.penalty > 0 and not self.forms
        return PAPER if mean and method == "dreambooth" and not params.get("prior_weight") else None

    def prepare(self, training: Training) -> AtWork:
        """Raises ValueError where a decoupled step would overshoot θ0: lr·λ' > 1."""
        from harness.diffusion.lipschitz import penalty_factor

        if self.trains_on_outputs:
            return self._in_metric(training)
        if self.every != Penalty.every:
            measured = [norm for norm in get_args(Norm) if norm not in OF_WEIGHTS]
            raise ValueError(f"every goes with norm: {' or '.join(measured)}, not {self.norm}")
        if not (self.decoupled and self.penalty):
            return self
        if training.lr is None:
            raise ValueError("a decoupled penalty needs the learning rate")
        for term in training.terms:
            share = training.lr * penalty_factor(term, self.penalty, self.norm)
            if share > 1:
                raise ValueError(
                    f"decoupled: λ = {self.penalty:g} at lr = {training.lr:g} takes {term.name!r} back by "
                    f"{share:.3g} of its change each step; lower one of them, until it is at most 1"
                )
        return self

    def _in_metric(self, training: Training) -> AtWork:
        """Measure the metric, charge what it costs and be at work in it."""
        from harness.diffusion.penalty_metric import measured

        if self.decoupled:
            raise ValueError(
                f"decoupled goes with norm: tensor_mean or sum, not {self.norm}; leave one of them out"
            )
        if not self.penalty:
            return AtWork()
        if training.backbone is None or training.bank is None:
            raise ValueError(f"norm: {self.norm} needs a backbone and a bank")
        started = time.perf_counter()
        parts, seconds = measured(self.norm, training.terms, training.backbone, training.bank)
        if training.charge is not None:
            training.charge(seconds - (time.perf_counter() - started))
        return InMetric(parts, penalty=self.penalty, every=self.every)

    def add_gradient(self, training: Training, loss: Tensor | None) -> None:
        """Add λ·∇penalty; nothing at λ = 0 or where it is decoupled. ``loss`` [] decides nothing."""
        from harness.diffusion.lipschitz import add_penalty_gradient

        if self.penalty and not self.decoupled:
            add_penalty_gradient(training.terms, self.penalty, self.norm)

    def before_step(self, training: Training) -> None:
        """Go back by lr·λ·∇penalty where it is decoupled; AdamW, too, decays before it steps."""
        from harness.diffusion.lipschitz import step_back

        if self.penalty and self.decoupled and training.lr is not None:
            step_back(training.terms, self.penalty, self.norm, lr=training.lr)


class InMetric(AtWork):
    """λ·Σ_l q_l(Δ_l), its gradient recomputed at the first of every so many steps."""

    def __init__(self, parts: Sequence[Weighted], *, penalty: float, every: int) -> None:
        self.parts, self.penalty, self.every = parts, penalty, every
        self._gradients: list[tuple[Tensor, Tensor]] = []
        self._step = 0

    def add_gradient(self, training: Training, loss: Tensor | None) -> None:
        """Add λ·∇q to what has a gradient. ``loss`` [] decides nothing."""
        if self._step % self.every == 0:
            self._gradients = [pair for part in self.parts for pair in part.gradients()]
        self._step += 1
        for tensor, gradient in self._gradients:
            if tensor.grad is not None:
                tensor.grad.add_(gradient.to(tensor.grad), alpha=self.penalty)
