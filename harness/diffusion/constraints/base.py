"""What a kind of constraint is: one class that knows its keys, its words, its axis and its part in training.

A kind is a frozen dataclass in a module of this package. Its fields are its keys under ``lipschitz:`` in a
YAML, and the first of them says how strong it is. Configuration, tables and figures ask the class, so nothing
here may import torch, matplotlib or anything above ``harness.diffusion``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from harness.api import LATER

if TYPE_CHECKING:
    from torch import Tensor

    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank
    from harness.diffusion.examples import TrainingSet
    from harness.diffusion.lipschitz import Term


@dataclass(frozen=True)
class Axis:
    """The axis along which a kind's strengths stand, on a logarithmic scale.

    name     in the name of a curve: "λ"
    title    below the axis: "bound on ‖Δθ‖₂"
    tighter  which strengths constrain more
    """

    name: str
    title: str
    tighter: Literal["higher", "lower"]


@dataclass(frozen=True)
class Look:
    """How a kind is drawn, in matplotlib's codes for lines and marks.

    mark             of its curves; ``other_mark`` where the strengths are measured on another scale
    mark_over_shots  against the number of shots, where marks tell the variants of a method apart
    paler            share of white in the method's colour
    """

    line: str
    mark: str
    other_mark: str
    mark_over_shots: str
    paler: float = 0.0


@dataclass(frozen=True)
class Training:
    """The training run that a constraint acts on; None where the run has no such thing (a test's tensors).

    terms     the constrained changes, each with its pretrained value
    backbone  the model in training
    subject   what it learns from
    lr        the constant learning rate
    bank      the base model's answers on prior prompts, for a kind that ``uses_bank``
    seed      the trial's
    charge    takes seconds to add to the measured ones, for work that was read from the cache
    """

    terms: Sequence[Term]
    backbone: Backbone | None = None
    subject: TrainingSet | None = None
    lr: float | None = None
    bank: Bank | None = None
    seed: int = 0
    charge: Callable[[float], None] | None = None


class AtWork:
    """A constraint in a training run: what it does around each step, and what it proves at the end."""

    def before_step(self, training: Training) -> None:
        """Change the weights before the optimizer's step, with their gradients known."""

    def add_gradient(self, training: Training, loss: Tensor | None) -> None:
        """Add to the gradients, once per optimizer step, after unscaling and before clipping.

        ``loss`` [] is the step's own, detached; None outside of a training loop.
        """

    def after_step(self, training: Training) -> None:
        """Change the weights after the optimizer's step."""

    def proof(self, training: Training) -> dict[str, float]:
        """Measure at the end what the record shall prove, by names that no other kind uses."""
        return {}


@dataclass(frozen=True)
class Constraint(AtWork):
    """One kind of constraint at one setting.

    Class variables, which every kind sets:

    key    the YAML key that says how strong it is, and the kind's name in conditions and figures
    rank   its place among the kinds: in titles and columns, in training; of several kinds in one row the
           last is the one whose curve the row is on
    noun   how an error names it: "a penalty (λ)"
    needs  what a figure along its axis cannot do without
    """

    key: ClassVar[str]
    rank: ClassVar[int]
    noun: ClassVar[str]
    needs: ClassVar[str]
    axis: ClassVar[Axis]
    look: ClassVar[Look]

    @classmethod
    @cache
    def fields(cls) -> dict[str, tuple[Any, Any]]:
        """Give each YAML key with its type (checks included) and its default (MISSING: none)."""
        hints = typing.get_type_hints(cls, include_extras=True)
        return {field.name: (hints[field.name], field.default) for field in dataclasses.fields(cls)}

    @classmethod
    def added(cls) -> dict[str, Any]:
        """Give the keys that came after records were made (:func:`harness.api.later`) with their defaults,
        at which they stand in no key and no record.
        """
        return {each.name: each.default for each in dataclasses.fields(cls) if each.metadata.get(LATER)}

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Self | None:
        """Read the constraint off a ``lipschitz`` mapping; None where its key is missing or None."""
        if settings.get(cls.key) is None:
            return None
        return cls(**{name: settings[name] for name in cls.fields() if name in settings})

    @property
    def uses_bank(self) -> bool:
        """Whether trainings are given a bank, made before anything is handed out and charged to the fit."""
        return False

    def skip(self, family: str) -> str | None:
        """Say why no model of a family can be constrained so; None where it can."""
        return None

    @property
    def trains_on_outputs(self) -> bool:
        """Whether it is marked †: it acts on a distance of outputs, the axis of a drift budget."""
        return False

    @property
    def output_limit(self) -> float | None:
        """‖Δε‖₂ on the calibration probe that every record is kept within; None: no such limit."""
        return None

    @property
    def strength(self) -> float:
        """The value of the kind's key."""
        return float(getattr(self, self.key))

    @property
    def tightness(self) -> float:
        """A number that rises with how much is constrained."""
        return self.strength if self.axis.tighter == "higher" else -self.strength

    @property
    def scale(self) -> str:
        """What the strength is measured in where that is not the usual: ", sum"; scales share no axis."""
        return ""

    @property
    def short(self) -> str:
        """The short form, in a trial's own title: "λ=500"."""
        raise NotImplementedError

    @property
    def long(self) -> str:
        """The form in tables: "λ=500 (sum)"."""
        raise NotImplementedError

    def known_as(self, method: str, params: Mapping[str, Any]) -> str | None:
        """Name the publication's method that a method with this constraint alone is; None: none."""
        return None

    def prepare(self, training: Training) -> AtWork:
        """Settle the constraint for a run, before its first step; most are at work themselves.

        Raises ValueError where it cannot.
        """
        return self
