"""Maths of constraints on θ − θ0: norms, the penalty's analytic gradient, projection onto the L2 ball.

Source: arXiv 2505.19519, equation of the objective and released code (tensor mean, summed over tensors).
Works on plain tensors; knows nothing of models, optimizers or losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.diffusion.rotated import Rotated

CHUNK = {"cpu": 1 << 18, "other": 1 << 24}
"""Elements handled together: what a core's cache holds; on a GPU, few launches and 64 MiB at most."""

SLACK = 2e-6
"""How far above the bound, relative to it, a length may be measured and still count as inside."""


@dataclass(frozen=True)
class Full:
    """A trained tensor θ_l beside its pretrained value θ0_l; None: zero.

    ``size`` is n_l of the tensor mean. It is the tensor's own size, except for a token row, which counts with
    the size of the whole embedding table as in the released code.
    """

    name: str
    value: Tensor
    base: Tensor | None
    size: int

    def change(self) -> Tensor:
        """θ_l − θ0_l, detached."""
        value = self.value.detach()
        return value.clone() if self.base is None else value - self.base


@dataclass(frozen=True)
class LowRank:
    """A low-rank change scale·B·A of a frozen weight: ``down`` A [rank, in], ``up`` B [out, rank]."""

    name: str
    down: Tensor
    up: Tensor
    scale: float
    base: Tensor

    @property
    def size(self) -> int:
        """n_l: the number of entries of the weight that is changed."""
        return self.up.shape[0] * self.down.shape[1]

    def change(self) -> Tensor:
        """scale·B·A [out, in], detached."""
        return self.scale * (self.up.detach() @ self.down.detach())

    def entries(self) -> tuple[Full, Full]:
        """The factors as tensors of their own, constrained towards zero (the authors' form)."""
        return (
            Full(f"{self.name}.down", self.down, None, self.down.numel()),
            Full(f"{self.name}.up", self.up, None, self.up.numel()),
        )


Term = Full | LowRank | Rotated


def constrained(terms: Sequence[Term], on: str) -> list[Term]:
    """What is constrained: low-rank changes as such (``effective``), or their factors (``entries``)."""
    if on == "effective":
        return list(terms)
    return [part for term in terms for part in (term.entries() if isinstance(term, LowRank) else (term,))]


def squared_norm(term: Term) -> float:
    """‖Δθ_l‖² in float64."""
    if not isinstance(term, LowRank):
        return _squares(term.change())
    down, up = term.down.detach().double(), term.up.detach().double()
    return max(0.0, term.scale**2 * float(((up.T @ up) * (down @ down.T)).sum()))


def change_norm(terms: Sequence[Term]) -> float:
    """‖Δθ‖₂ over all terms, in float64."""
    return math.sqrt(math.fsum(squared_norm(term) for term in terms))


def base_norm(terms: Sequence[Term]) -> float:
    """‖θ0‖₂ of the tensors that are trained (for low-rank terms: of the weights they change), in float64."""
    return math.sqrt(math.fsum(_squares(term.base.detach()) for term in terms if term.base is not None))


def penalty_value(terms: Sequence[Term], norm: str = "tensor_mean") -> float:
    """Σ_l ‖Δθ_l‖²/n_l (``tensor_mean``) or Σ_l ‖Δθ_l‖² (``sum``), without λ, in float64."""
    return math.fsum(squared_norm(term) / (term.size if norm == "tensor_mean" else 1) for term in terms)


def penalty_factor(term: Term, penalty: float, norm: str = "tensor_mean") -> float:
    """λ' of λ·∇penalty = λ'·(θ_l − θ0_l): 2λ/n_l, or 2λ for ``sum``."""
    return 2.0 * penalty / (term.size if norm == "tensor_mean" else 1)


def add_penalty_gradient(terms: Sequence[Term], penalty: float, norm: str = "tensor_mean") -> None:
    """Add λ·∇penalty to the gradients: λ'·(θ_l − θ0_l) of :func:`penalty_factor`.

    Call it once per optimizer step, after unscaling and before clipping. A tensor without a gradient is
    not moved by the optimizer and is passed over.
    """
    _add_gradient(terms, penalty, norm, lambda tensor: tensor.grad)


@torch.no_grad()
def step_back(terms: Sequence[Term], penalty: float, norm: str = "tensor_mean", *, lr: float) -> None:
    """Take the step −lr·λ·∇penalty: θ_l ← θ_l − lr·λ'·(θ_l − θ0_l), once per optimizer step, before it.

    A tensor without a gradient is passed over.
    """
    _add_gradient(terms, -lr * penalty, norm, lambda tensor: None if tensor.grad is None else tensor.detach())


def _add_gradient(
    terms: Sequence[Term], penalty: float, norm: str, into: Callable[[Tensor], Tensor | None]
) -> None:
    """Add ``penalty``·∇ to what ``into`` gives for each trained tensor; None: nothing."""
    full = [term for term in terms if isinstance(term, Full) and into(term.value) is not None]
    for chunk in _chunks(full):
        changes = [term.change() for term in chunk]
        torch._foreach_mul_(changes, [penalty_factor(term, penalty, norm) for term in chunk])
        torch._foreach_add_([place for term in chunk if (place := into(term.value)) is not None], changes)
    for term in terms:
        if isinstance(term, LowRank):
            _add_low_rank_gradient(term, penalty_factor(term, penalty, norm) * term.scale**2, into)
        elif isinstance(term, Rotated) and (place := into(term.value)) is not None:
            place.add_(term.pull_back(term.change()), alpha=penalty_factor(term, penalty, norm))


def _add_low_rank_gradient(term: LowRank, factor: float, into: Callable[[Tensor], Tensor | None]) -> None:
    # P = f/2·s²·‖BA‖²  ⇒  ∂P/∂B = f·s²·B(AAᵀ),  ∂P/∂A = f·s²·(BᵀB)A: never forms [out, in].
    down, up = term.down.detach(), term.up.detach()
    for_up, for_down = up @ (down @ down.T), (up.T @ up) @ down
    for tensor, gradient in ((term.up, for_up), (term.down, for_down)):
        place = into(tensor)
        if place is not None:
            place.add_(gradient, alpha=factor)


@torch.no_grad()
def project(terms: Sequence[Term], radius: float) -> None:
    """Scale Δθ as a whole so that ‖Δθ‖₂ of the stored values exceeds the radius by 1e-5 of it at most.

    Low-rank terms scale B, rotated ones turn back. Call it after every optimizer step. Weights that are
    not finite are left alone.
    """
    length = _length(terms)
    if not math.isfinite(length) or length <= radius * (1 + SLACK):
        return
    # Rounding θ0 + s·Δ to the weights' precision can leave the ball again by a hair: then aim lower.
    for shrink in (1.0 - SLACK, 1.0 - 1e-4, 1.0 - 1e-2, 0.0):
        length = _scale(terms, shrink * radius / length if length else 0.0)
        if length <= radius * (1 + SLACK):
            return


def _length(terms: Sequence[Term]) -> float:
    """‖Δθ‖₂ to about 1e-6."""
    return _total(terms, [_sum_of_squares(term.change()) for term in terms if isinstance(term, Full)])


def _scale(terms: Sequence[Term], factor: float) -> float:
    """Put θ0 + factor·Δ in place and return ‖Δθ‖₂ of what was stored, while it is still in the cache."""
    squares = []
    for term in terms:
        if isinstance(term, LowRank):
            term.up.mul_(factor)
            continue
        if isinstance(term, Rotated):
            term.shrink(factor)
            continue
        term.value.copy_(term.change().mul_(factor).add_(0.0 if term.base is None else term.base))
        squares.append(_sum_of_squares(term.change()))
    return _total(terms, squares)


def _total(terms: Sequence[Term], squares: list[Tensor]) -> float:
    full = float(torch.stack(squares).double().sum()) if squares else 0.0
    return math.sqrt(full + math.fsum(squared_norm(t) for t in terms if not isinstance(t, Full)))


def _sum_of_squares(change: Tensor) -> Tensor:
    """In the change's own precision: torch adds pairwise, good to about 1e-6 in float32, and much faster."""
    return change.square_().sum()


def _squares(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def _chunks(terms: Sequence[Full]) -> Iterator[list[Full]]:
    chunk: list[Full] = []
    elements = 0
    for term in terms:
        most = CHUNK["cpu" if term.value.device.type == "cpu" else "other"]
        if chunk and elements + term.value.numel() > most:
            yield chunk
            chunk, elements = [], 0
        chunk.append(term)
        elements += term.value.numel()
    if chunk:
        yield chunk
