"""What is trained of a base model, how far it moved from θ0, and the way back to it, bit for bit.

Knows a denoiser and text encoders by their parameters alone: no images, no prompts, no sampling.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from harness.diffusion.lipschitz import Full, Term, base_norm, change_norm, constrained, penalty_value
from harness.diffusion.weights import adapters, spectral
from harness.diffusion.weights.adapters import LoRA, Start
from harness.diffusion.weights.base_weights import BaseWeights
from harness.diffusion.weights.delta import Delta, Distance
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
        self._lora: LoRA | None = None
        self._decomposed = False

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
        self, *, rank: int, alpha: float, targets: Sequence[str], seed: int, start: Start = "kaiming"
    ) -> dict[str, Parameter]:
        """Add low-rank adapters to the denoiser; return A [rank, in] and B [out, rank] of each layer.

        The change of a layer is alpha/rank·B·A. A is drawn from ``seed`` as ``start`` says, B is zero.
        Raises ValueError where no linear layer's name ends in one of ``targets``.
        """
        self._refuse_second("adapters", self._lora is not None)
        lora = LoRA(rank, alpha, tuple(targets))
        adapters.insert(self.denoiser, lora, seed=seed, start=start)
        self._lora = lora
        return self._factors()

    def singular_values(self) -> dict[str, Parameter]:
        """Decompose the denoiser's weights; return the singular values [k] of each for training, by layer."""
        self._refuse_second("singular values", self._decomposed)
        spectral.insert(self.denoiser)
        self._decomposed = True
        return self._values()

    @property
    def new_tokens(self) -> tuple[str, ...]:
        """The tokens added since the last restore."""
        rows = self.text_encoders[0].rows
        return () if rows is None else rows.tokens

    def _rows(self) -> dict[str, Parameter]:
        return {f"{e.name}.new_tokens": e.rows.rows for e in self.text_encoders if e.rows is not None}

    def _factors(self) -> dict[str, Parameter]:
        return {f"denoiser.{name}": factor for name, factor in adapters.factors(self.denoiser).items()}

    def _values(self) -> dict[str, Parameter]:
        found = spectral.values(self.denoiser) if self._decomposed else {}
        return {f"denoiser.{name}": values for name, values in found.items()}

    def _refuse_second(self, what: str, present: bool) -> None:
        if present:
            raise BackboneError(f"{self.name} has {what} already; restore it first")

    @contextlib.contextmanager
    def at_base(self) -> Iterator[None]:
        """While inside, the denoiser predicts as the base model does; no gradient may be taken there.

        Nothing is copied, and what was trained comes back bit for bit. New tokens stay as they are.
        """
        tuned = {name: parameter.data for name, parameter in self.weights.out.items()}
        values = [(each, each.values.data) for each in spectral.layers(self.denoiser).values()]
        scales = [(layer, layer.scaling["default"]) for _, layer in adapters.layers(self.denoiser)]
        try:
            for name, parameter in self.weights.out.items():
                parameter.data = self.weights.base[name].to(parameter.dtype)
            for layer, _ in scales:
                layer.scaling["default"] = 0.0
            for each, _ in values:
                each.values.data = each.base
            yield
        finally:
            for name, parameter in self.weights.out.items():
                parameter.data = tuned[name]
            for layer, scale in scales:
                layer.scaling["default"] = scale
            for each, value in values:
                each.values.data = value

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
        low_rank = adapters.terms(self.denoiser, names, prefix="denoiser.") if self._lora else []
        decomposed = spectral.terms(self.denoiser, prefix="denoiser.") if self._decomposed else []
        return [*full, *low_rank, *(term for term in decomposed if wanted(term.name)), *rows]

    @property
    def changed(self) -> bool:
        """Whether anything was handed out or added since the last restore."""
        return bool(self.weights.out or self.new_tokens or self._lora or self._decomposed)

    @property
    def trained_bytes(self) -> int:
        """Bytes of everything handed out or added: at most what :meth:`delta` would hold."""
        added = (self._factors(), self._values(), self._rows())
        parts = (*self.weights.out.values(), *(value for each in added for value in each.values()))
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
        if self._lora is not None:
            details["lora"] = self._lora.details()
        if self._decomposed:
            details["singular_values"] = True
        if self.new_tokens:
            details["tokens"] = list(self.new_tokens)
            if stand_ins := self.text_encoders[-1].stand_ins:
                details["stand_ins"] = [stand_ins[token] for token in self.new_tokens]
        return Delta(
            weights=_copies(self.weights.changed()),
            adapters=_copies({**self._factors(), **self._values()}),
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
            _fill(self.adapters(**delta.details["lora"], seed=0), delta.adapters)
        if "singular_values" in delta.details:
            _fill(self.singular_values(), delta.adapters)
        if "tokens" in delta.details:
            tokens = delta.details["tokens"]
            words = delta.details.get("stand_ins", ["a"] * len(tokens))
            _fill(self.token_rows(tokens, init=words), delta.rows)

    @torch.no_grad()
    def interpolate(self, tuned: Delta, share: float) -> None:
        """Set everything handed out to θ0 + share·(θ − θ0), θ being a delta of this very fit.

        Low-rank changes are scaled as such: A stays, B is multiplied. Bit for bit, 0 is the base model and 1
        the delta.
        """
        base = self.weights.base
        for name, parameter in self.weights.out.items():
            parameter.copy_(_between(base[name], tuned.weights.get(name, base[name]), share))
        for name, factor in self._factors().items():
            value = tuned.adapters[name].to(factor.device)
            factor.copy_(value * share if name.endswith("lora_B") else value)
        if self._decomposed:
            for name, layer in spectral.layers(self.denoiser).items():
                value = tuned.adapters[f"denoiser.{name}.singular_values"].to(layer.base.device)
                layer.values.copy_(value if share == 1 else _between(layer.base, value.relu(), share))
        for encoder in self.text_encoders:
            if encoder.rows is not None:
                taught = tuned.rows[f"{encoder.name}.new_tokens"]
                encoder.rows.rows.copy_(_between(encoder.rows.initial, taught, share))

    def restore(self) -> None:
        """Go back to the base model, bit for bit; copies only what was handed out."""
        self.weights.restore()
        if self._lora is not None:
            adapters.remove(self.denoiser)
            self._lora = None
        if self._decomposed:
            spectral.remove(self.denoiser)
            self._decomposed = False
        for encoder in self.text_encoders:
            encoder.stand_ins = {}
            if encoder.rows is not None:
                encoder.rows.remove()
                encoder.rows = None


def _copies(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in parameters.items()}


def _between(base: Tensor, tuned: Tensor, share: float) -> Tensor:
    """Base + share·(tuned − base) in float32, both [...]; either end exactly."""
    if share in (0, 1):
        return tuned if share else base
    start = base.float()
    return start + share * (tuned.to(start) - start)


def _fill(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
