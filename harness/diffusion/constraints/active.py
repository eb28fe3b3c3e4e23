"""The constraints of one training run at work, each in its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.api import Lipschitz
from harness.diffusion.constraints.base import Training
from harness.diffusion.constraints.combination import Combination

if TYPE_CHECKING:
    from torch import Tensor

    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank
    from harness.diffusion.examples import TrainingSet
    from harness.diffusion.lipschitz import Term


class ActiveConstraints:
    """A :class:`~harness.api.Lipschitz` applied to the terms of one training run; None: no constraint.

    Raises ValueError where a constraint cannot act on these terms.
    """

    def __init__(
        self,
        lipschitz: Lipschitz | None,
        terms: Sequence[Term],
        *,
        backbone: Backbone | None = None,
        subject: TrainingSet | None = None,
        lr: float | None = None,
        bank: Bank | None = None,
        seed: int = 0,
        charge: Callable[[float], None] | None = None,
    ) -> None:
        from harness.diffusion.lipschitz import constrained

        wanted = Combination.read(lipschitz.settings() if lipschitz else None)
        self.training = Training(
            constrained(terms, wanted.on), backbone, subject, lr, bank, seed=seed, charge=charge
        )
        self.members = [each.prepare(self.training) for each in wanted.members]

    @property
    def terms(self) -> Sequence[Term]:
        """The constrained changes."""
        return self.training.terms

    def add_gradient(self, loss: Tensor | None = None) -> None:
        """Add every constraint's gradient: once per optimizer step, after unscaling and before clipping.

        ``loss`` [] is the step's own, a scalar.
        """
        for each in self.members:
            each.add_gradient(self.training, loss)

    def before_step(self) -> None:
        """Let every constraint change the weights before the optimizer's step."""
        for each in self.members:
            each.before_step(self.training)

    def after_step(self) -> None:
        """Let every constraint change the weights after the optimizer's step."""
        for each in self.members:
            each.after_step(self.training)

    def proof(self) -> dict[str, float] | None:
        """Gather what the constraints prove at the end, for the record; None where none proves anything."""
        return {
            name: value for each in self.members for name, value in each.proof(self.training).items()
        } or None
