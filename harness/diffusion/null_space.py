"""Maths of a null space: the directions that features take, and changes of weights that none of them sees.

Works on plain tensors; knows nothing of models, optimizers or losses.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.diffusion.lipschitz import Full, LowRank


def leading_directions(features: Tensor, k: int) -> Tensor:
    """The k orthonormal directions that features [n, width] take most: [width, k], float64.

    Those of the k largest eigenvalues of XᵀX, not centred (GPM, arXiv 2103.09762).
    """
    rows = features.double()
    return torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -k:]


@torch.no_grad()
def forget(term: Full | LowRank, directions: Tensor) -> None:
    """Take out of a weight's change what it does to inputs along ``directions`` [width, k]: Δ ← Δ(I − VVᵀ).

    A low-rank change forgets in A. A token row or another weight than a linear layer's has no such inputs.
    """
    if isinstance(term, LowRank):
        seen = term.down.double()
        term.down.copy_(seen - (seen @ directions) @ directions.T)
        return
    base = 0.0 if term.base is None else term.base.double()
    change = term.value.double() - base
    term.value.copy_(base + change - (change @ directions) @ directions.T)


@torch.no_grad()
def relative_change(term: Full | LowRank, features: Tensor) -> float:
    """‖Δx‖/‖Wx‖ over features x [n, width], in float64; 0 where W gives nothing."""
    if term.base is None:
        raise ValueError(f"{term.name} has no pretrained weight to compare with")
    rows = features.double()
    before = float((rows @ term.base.double().T).norm())
    return float((rows @ term.change().double().T).norm()) / before if before else 0.0
