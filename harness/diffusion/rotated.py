"""A weight whose inputs are rotated in blocks: its change, and what that means for the rotation.

R = (I − Q)(I + Q)⁻¹ of a skew-symmetric Q for each block (Cayley), W ← W·Rᵀ block by block. Source: arXiv
2306.07280. Works on plain tensors; knows nothing of models, optimizers or losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SHRINKINGS = 60
CLOSE = 1e-7
"""How far above its target, relative to it, a shrunken change may be."""


@dataclass(frozen=True)
class Rotated:
    """The change share·W(Rᵀ − I) of a frozen weight W.

    value      upper triangle of Q by block [blocks, n(n − 1)/2], trained
    base       W [out, blocks·n]
    share      of the change that is in place
    tolerance  largest ‖Q‖ of a block, to which larger ones are scaled; None: any
    """

    name: str
    value: Tensor
    base: Tensor
    share: float = 1.0
    tolerance: float | None = None

    @property
    def size(self) -> int:
        """n_l: the number of entries of the weight that is changed."""
        return self.base.numel()

    def change(self) -> Tensor:
        """share·W(Rᵀ − I) [out, in], detached, in float32 at least."""
        return self._change(self._held()).to(torch.promote_types(self.base.dtype, torch.float32))

    def pull_back(self, gradient: Tensor) -> Tensor:
        """Turn a gradient for the change [out, in] into that for ``value``, of its shape."""
        with torch.enable_grad():
            held = self._held().requires_grad_(True)
            (found,) = torch.autograd.grad(self._change(held), held, gradient.double())
        return found.to(self.value)

    @torch.no_grad()
    def shrink(self, factor: float) -> None:
        """Turn back until the change is ``factor`` times as long, 0 ≤ factor ≤ 1.

        Along Q the length grows ever more slowly, so that each of these steps ends at or above its target.
        """
        target = factor * float(self.change().norm())
        self.value.copy_(self._held())
        for _ in range(SHRINKINGS):
            length = float(self.change().norm())
            if length <= target * (1 + CLOSE):
                return
            self.value.mul_(target / length)

    def _held(self) -> Tensor:
        """Q's entries within the tolerance, float64, detached."""
        entries = self.value.detach().double()
        if self.tolerance is None:
            return entries.clone()
        norms = math.sqrt(2) * entries.norm(dim=1, keepdim=True)
        return entries * (self.tolerance / norms.clamp(min=self.tolerance))

    def _change(self, entries: Tensor) -> Tensor:
        blocks = len(entries)
        n = self.base.shape[1] // blocks
        rows, columns = torch.triu_indices(n, n, 1, device=entries.device)
        each = torch.arange(blocks, device=entries.device)[:, None]
        upper = entries.new_zeros(blocks, n, n).index_put((each, rows, columns), entries)
        skew = upper - upper.mT
        # Rᵀ − I = 2(I − Q)⁻¹Q: no difference of close numbers.
        turned = 2 * torch.linalg.solve(torch.eye(n).to(skew) - skew, skew)
        weight = self.base.detach().double().unflatten(1, (blocks, n))
        return self.share * torch.einsum("obn,bnm->obm", weight, turned).flatten(1)
