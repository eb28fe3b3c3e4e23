"""What is trained of a base model, how far it moved from θ0, and the way back to it, bit for bit.

Knows a denoiser and text encoders by their parameters alone: no images, no prompts, no sampling.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from harness.diffusion.lipschitz import Full, Term, base_norm, change_norm, constrained, penalty_value
from harness.diffusion.weights.adapters import LoRA, LowRankAdapters, Start
from harness.diffusion.weights.addition import Addition, between
from harness.diffusion.weights.base_weights import BaseWeights
from harness.diffusion.weights.delta import Delta, Distance, ShareOf
from harness.diffusion.weights.gates import Asked, Gate
from harness.diffusion.weights.rotations import OFT, Rotations
from harness.diffusion.weights.spectral import Decomposition
from harness.diffusion.weights.tokens import TokenRows, initial_rows
from harness.errors import BackboneError, one_of

if TYPE_CHECKING:
    from harness.diffusion.backbones.text_encoder import TextEncoder


class Adaptation:
    """The changes to one base model: parameters handed out, new tokens, low-rank adapters.

    groups            group of parameters → regular expression over the names of the denoiser's parameters
    weights           the denoiser's parameters, and θ0 of those that are handed out
    name, family, revision  of the base model; a delta goes back onto no other revision
    """

    def __init__(
        self,
        denoiser: Any,
        text_encoders: Sequence[TextEncoder],
        *,
        name: str,
        groups: Mapping[str, str],
        family: str,
        revision: str,
    ) -> None:
        self.denoiser, self.text_encoders = denoiser, text_encoders
        self.name, self.groups = name, groups
        self.family, self.revision = family, revision
        self.weights = BaseWeights(
            {f"denoiser.{name}": parameter for name, parameter in denoiser.named_parameters()}
        )
        self.added: dict[str, Addition] = {}

    # What can be trained.

    def parameters(self, group: str) -> dict[str, Parameter]:
        """Hand out a group of the denoiser's parameters by name. Raises BackboneError for an unknown one."""
        if group not in self.groups:
            raise BackboneError(one_of(group, self.groups, noun="group of parameters"))
        pattern = re.compile(self.groups[group])
        return self.weights.hand_out(name for name in self.weights.parameters if pattern.search(name))

    def token_rows(self, tokens: Sequence[str], init: Sequence[str]) -> dict[str, Parameter]:
        """Add tokens to the text encoders; return their rows [tokens, width] for training, by encoder.

        Row i starts from the embedding of ``init[i]`` (of several word pieces: their mean). Raises ValueError
        for a token that is a word already.
        """
        if len(tokens) != len(init):
            raise ValueError(f"{len(tokens)} new tokens need as many words to start from, got {len(init)}")
        self._refuse_second("new tokens", bool(self.new_tokens))
        for encoder in self.text_encoders:
            if not encoder.learns:
                longest_first = sorted(zip(tokens, init), key=lambda pair: -len(pair[0]))
                encoder.stand_ins = dict(longest_first)
                continue
            initial = initial_rows(encoder.tokenizer, encoder.model, init)
            encoder.rows = TokenRows(encoder.tokenizer, encoder.model, tokens, initial)
        return self._rows()

    def adapters(
        self,
        *,
        rank: int,
        alpha: float,
        targets: Sequence[str],
        seed: int,
        start: Start = "kaiming",
        gate: Gate | None = None,
    ) -> dict[str, Parameter]:
        """Add low-rank adapters to the denoiser; return A [rank, in] and B [out, rank] of each layer.

        The change of a layer is alpha/rank·B·A, on as ``gate`` says. A is drawn from ``seed`` as ``start``
        says, B is zero. Raises ValueError where no linear layer's name ends in one of ``targets``.
        """
        lora = LoRA(rank, alpha, tuple(targets), gate)
        return self._add_adapters(lora, seed, start)

    def singular_values(self) -> dict[str, Parameter]:
        """Decompose the denoiser's weights; return the singular values [k] of each for training, by layer."""
        return self._add(Decomposition, partial(Decomposition, self.denoiser))

    def rotations(self, oft: OFT) -> dict[str, Parameter]:
        """Rotate what layers are given; return Q [blocks, n(n − 1)/2] of each, zero at first, for training.

        Raises ValueError for layers that cannot be rotated in such blocks.
        """
        return self._add(Rotations, partial(Rotations, self.denoiser, oft))

    @property
    def new_tokens(self) -> tuple[str, ...]:
        """The tokens added since the last restore."""
        rows = self.text_encoders[0].rows
        return () if rows is None else rows.tokens

    def _rows(self) -> dict[str, Parameter]:
        return {f"{e.name}.new_tokens": e.rows.rows for e in self.text_encoders if e.rows is not None}

    def _factors(self) -> dict[str, Parameter]:
        return {name: value for each in self.added.values() for name, value in each.parameters().items()}

    def _add_adapters(self, lora: LoRA, seed: int = 0, start: Start = "kaiming") -> dict[str, Parameter]:
        make = partial(LowRankAdapters, self.denoiser, lora, seed=seed, start=start)
        return self._add(LowRankAdapters, make)

    def _add(self, kind: type[Addition], make: Callable[[], Addition]) -> dict[str, Parameter]:
        """Put in what there is none of yet; return what is trained of it."""
        self._refuse_second(kind.noun, kind.key in self.added)
        self.added[kind.key] = make()
        return self.added[kind.key].parameters()

    def _refuse_second(self, what: str, present: bool) -> None:
        if present:
            raise BackboneError(f"{self.name} has {what} already; restore it first")

    @contextlib.contextmanager
    def at_base(self) -> Iterator[None]:
        """While inside, the denoiser predicts as the base model does; no gradient may be taken there.

        Nothing is copied, and what was trained comes back bit for bit. New tokens stay as they are.
        """
        tuned = {name: parameter.data for name, parameter in self.weights.out.items()}
        with contextlib.ExitStack() as stack:
            for each in self.added.values():
                stack.enter_context(each.at_base())
            try:
                for name, parameter in self.weights.out.items():
                    parameter.data = self.weights.base[name].to(parameter.dtype)
                yield
            finally:
                for name, parameter in self.weights.out.items():
                    parameter.data = tuned[name]

    def tell(self, timesteps: Tensor, tokens: Tensor | None) -> None:
        """Tell adapters that are not always on what is asked next: t [n] or [], prompts [n, tokens]."""
        for each in self.added.values():
            if isinstance(each, LowRankAdapters):
                each.tell(Asked(timesteps, tokens))

    # What was changed.

    def terms(self, names: Sequence[str] | None = None) -> list[Term]:
        """The changes θ − θ0 of the named trainable parameters (None: of all that are handed out)."""

        def wanted(name: str) -> bool:
            return names is None or name in names

        base = self.weights.base
        full: list[Term] = [
            Full(name, value, base[name], value.numel())
            for name, value in self.weights.out.items()
            if wanted(name)
        ]
        rows = [
            Full(f"{e.name}.new_tokens", e.rows.rows, e.rows.initial, e.rows.table_size)
            for e in self.text_encoders
            if e.rows is not None and wanted(f"{e.name}.new_tokens")
        ]
        added = [term for each in self.added.values() for term in each.terms(names)]
        return [*full, *added, *rows]

    @property
    def changed(self) -> bool:
        """Whether anything was handed out or added since the last restore."""
        return bool(self.weights.out or self.new_tokens or self.added)

    @property
    def trained_bytes(self) -> int:
        """Bytes of everything handed out or added: at most what :meth:`delta` would hold."""
        parts = (*self.weights.out.values(), *self._factors().values(), *self._rows().values())
        return sum(parameter.nbytes for parameter in parts)

    def distance(self, *, on: Literal["effective", "entries"] = "effective") -> Distance:
        """Measure how far everything handed out is from θ0; all zero where nothing was.

        ``on`` says what counts for low-rank adapters, as in :class:`harness.api.Lipschitz`.
        """
        terms = constrained(self.terms(), on)
        l2, start = change_norm(terms), base_norm(terms)
        denoiser = [term for term in terms if term.name.startswith("denoiser.")]
        rows = [term for term in terms if not term.name.startswith("denoiser.")]
        return Distance(
            l2,
            change_norm(denoiser),
            penalty_value(denoiser),
            change_norm(rows) if self.new_tokens else None,
            l2 / start if start else None,
        )

    # To a file and back.

    def delta(self) -> Delta:
        """Copy out what differs from the base model, to be stored."""
        details: dict[str, Any] = {"family": self.family, "backbone": self.revision}
        details |= {key: each.details() for key, each in self.added.items()}
        if self.new_tokens:
            details["tokens"] = list(self.new_tokens)
            if stand_ins := self.text_encoders[-1].stand_ins:
                details["stand_ins"] = [stand_ins[token] for token in self.new_tokens]
        return Delta(
            weights=_copies(self.weights.changed()),
            adapters=_copies(self._factors()),
            rows=_copies(self._rows()),
            details=details,
        )

    @torch.no_grad()
    def apply(self, delta: Delta) -> None:
        """Put a stored delta onto the base model, bit for bit. Raises BackboneError for another model's."""
        made_for = delta.details.get("backbone")
        if made_for != self.revision:
            raise BackboneError(f"this delta was made for backbone revision {made_for}, not {self.revision}")
        self.restore()
        _fill(self.weights.hand_out(delta.weights), delta.weights)
        if "lora" in delta.details:
            _fill(self._add_adapters(LoRA.read(delta.details["lora"])), delta.adapters)
        if "singular_values" in delta.details:
            _fill(self.singular_values(), delta.adapters)
        if rotations := delta.details.get("rotations"):
            _fill(self._add(Rotations, partial(Rotations.read, self.denoiser, rotations)), delta.adapters)
        if "tokens" in delta.details:
            tokens = delta.details["tokens"]
            words = delta.details.get("stand_ins", ["a"] * len(tokens))
            _fill(self.token_rows(tokens, init=words), delta.rows)

    @torch.no_grad()
    def interpolate(self, tuned: Delta, share: float | ShareOf) -> None:
        """Set everything handed out to θ0 + share·(θ − θ0), θ being a delta of this very fit.

        Low-rank changes are scaled as such: A stays, B is multiplied. Bit for bit, 0 is the base model and 1
        the delta. A function gives each change by its name a share of its own.
        """
        base, of = self.weights.base, share if callable(share) else lambda name: share
        for name, parameter in self.weights.out.items():
            parameter.copy_(between(base[name], tuned.weights.get(name, base[name]), of(name)))
        for each in self.added.values():
            each.place(tuned, of)
        for encoder in self.text_encoders:
            if encoder.rows is not None:
                name = f"{encoder.name}.new_tokens"
                encoder.rows.rows.copy_(between(encoder.rows.initial, tuned.rows[name], of(name)))

    def restore(self) -> None:
        """Go back to the base model, bit for bit; copies only what was handed out."""
        self.weights.restore()
        for each in self.added.values():
            each.remove()
        self.added.clear()
        for encoder in self.text_encoders:
            encoder.stand_ins = {}
            if encoder.rows is not None:
                encoder.rows.remove()
                encoder.rows = None


def _copies(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in parameters.items()}


def _fill(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
