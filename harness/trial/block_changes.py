"""What each block of a fit's change gives the subject, and what it does to noise predictions elsewhere.

Knows no images but the subject's shots, and not which shares are best.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from torch import Tensor

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.families import FAMILIES
from harness.diffusion.lipschitz import change_norm, constrained
from harness.diffusion.weights.blocks import BlockShares, block_of
from harness.diffusion.weights.delta import Delta
from harness.trial.merging import Tradeoff, Vector
from harness.trial.noise_probe import NoiseProbe
from harness.trial.subject_loss import SubjectLoss
from harness.trial.tangents import Tangents

AT_ONCE = 8
"""Prompts whose derivatives are taken together."""
HALF = 0.5
"""α of a block at which its gain is measured."""


@dataclass(frozen=True)
class Split:
    """A change by blocks: the tradeoff between them, and the seconds that it took."""

    tradeoff: Tradeoff
    seconds: float


class BlockChanges:
    """A fit's change split over the denoiser's blocks.

    names  of the blocks that moved, in the order of the denoiser; none where only a word was taught
    """

    def __init__(self, backbone: Backbone, whole: Delta) -> None:
        self._backbone, self._whole = backbone, whole

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Look which blocks moved; the whole change is set for it."""
        self._backbone.interpolate(self._whole, 1.0)
        pattern = FAMILIES[self._backbone.family].blocks
        moved = {
            block_of(term.name, pattern): None
            for term in constrained(self._backbone.terms(), "effective")
            if change_norm([term]) > 0
        }
        return tuple(name for name in moved if name is not None)

    def shares(self, values: Sequence[float] | Vector) -> BlockShares:
        """Give blocks their shares, in the order of ``names``."""
        named = {name: float(value) for name, value in zip(self.names, values, strict=True)}
        return BlockShares(FAMILIES[self._backbone.family].blocks, named)

    def place(self, values: Sequence[float] | Vector) -> None:
        """Set every block's share of the change; all of it, bit for bit, where every share is 1."""
        whole = all(value == 1 for value in values)
        self._backbone.interpolate(self._whole, 1.0 if whole else self.shares(values))

    def split(self, probe: NoiseProbe, loss: SubjectLoss) -> Split:
        """Measure gains and gram, on a probe and on a subject's shots; the weights are left anywhere."""
        started = time.perf_counter()
        tradeoff = Tradeoff(self._gains(loss), self._gram(probe))
        return Split(tradeoff, time.perf_counter() - started)

    def _gains(self, loss: SubjectLoss) -> Vector:
        """The fall [B] of the subject's loss when one block alone is at α = ½."""
        self.place(np.zeros(len(self.names)))
        base = loss.value(self._backbone)
        falls = []
        for row in np.eye(len(self.names)):
            self.place(HALF * row)
            falls.append(base - loss.value(self._backbone))
        return np.array(falls)

    def _gram(self, probe: NoiseProbe) -> Vector:
        """E⟨J_bΔ_b, J_cΔ_c⟩ [B, B], a mean over prompts and timesteps."""
        tangents = Tangents.of(self._backbone, self._whole)
        parts = [self.shares(row) for row in np.eye(len(self.names))]
        products = self._backbone.batches.over(
            len(probe.prompts),
            AT_ONCE,
            partial(_products, tangents, parts, probe),
            purpose="prompts to differentiate for",
        )
        return np.sum(products, axis=0) / (len(probe.prompts) * len(probe.timesteps))


def _products(tangents: Tangents, parts: Sequence[BlockShares], probe: NoiseProbe, prompts: slice) -> Vector:
    rows: list[Tensor] = [tangents.along(part, probe, prompts).flatten().double() for part in parts]
    return np.array([[float(one @ other) for other in rows] for one in rows])
