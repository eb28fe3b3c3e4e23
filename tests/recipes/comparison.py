"""A method as the harness trains it beside the same base model restated, and when their updates are equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from recipes.restated import Reference

from harness import methods
from harness.api import Lipschitz, Subject
from harness.diffusion.draws import MicroBatch
from harness.diffusion.training import Trainer


@dataclass
class Fitted:
    """What a method's own run left: trained values and their start by name, micro-batches, losses."""

    values: dict[str, torch.Tensor]
    start: dict[str, torch.Tensor]
    drawn: list[MicroBatch]
    losses: list[float]
    phrase: str


@dataclass
class Pair:
    """A base model as the harness loads it and as diffusers does, from one folder."""

    family: str
    backbone: Any
    reference: Reference

    def fit(
        self,
        name: str,
        shots: Any,
        *,
        lipschitz: Lipschitz | None = None,
        bank_texts: Callable[[], Sequence[str]] | None = None,
        **params: Any,
    ) -> Fitted:
        """Run a method of ``baselines/`` on the backbone as the harness would, and restore it."""
        kind = methods.load(name)
        method = methods.build(kind, methods.resolve_params(kind, params, "tiny"))
        drawn: list[MicroBatch] = []
        start: dict[str, torch.Tensor] = {}

        def record(own: Iterator[MicroBatch]) -> Iterator[MicroBatch]:
            start.update({name: value.detach().clone() for name, value in self._trained().items()})
            for micro_batch in own:
                drawn.append(micro_batch)
                yield micro_batch

        trainer = Trainer(seed=5, lipschitz=lipschitz, draws=record, bank_texts=bank_texts)
        result = method.fit(self.backbone, Subject("rex", "dog", tuple(shots)), trainer)
        values = {name: value.detach().clone() for name, value in self._trained().items()}
        self.backbone.restore()
        return Fitted(values, start, drawn, trainer.losses, result.phrase)

    def _trained(self) -> dict[str, torch.Tensor]:
        adaptation = self.backbone.adaptation
        return {**adaptation.weights.out, **adaptation._factors(), **adaptation._rows()}


def group(name: str) -> str:
    """The kind of a trained tensor; each kind must agree by itself, or large ones would hide small ones."""
    return next((kind for kind in ("lora_A", "lora_B", "new_tokens") if kind in name), "denoiser")


def assert_same_update(fitted: Fitted, expected: dict[str, torch.Tensor], losses: list[float]) -> None:
    """‖Δθ − Δθ'‖ ≤ 1e-4·‖Δθ'‖ for every kind of tensor, and equal losses.

    One entry in a thousand is left out: Adam divides by a gradient's own size, so that where one is nearly
    zero, rounding decides the sign of a step. A changed line of a recipe moves every entry.
    """
    assert fitted.losses == pytest.approx(losses, rel=1e-5)
    assert fitted.values.keys() == expected.keys()
    for kind in {group(name) for name in expected}:
        names = [name for name in expected if group(name) == kind]
        update = torch.cat([(expected[n].detach() - fitted.start[n]).flatten() for n in names]).double()
        off = torch.cat([(expected[n].detach() - fitted.values[n]).flatten() for n in names]).double()
        assert update.norm() > 0, kind
        kept = off.abs().sort().values[: math.ceil(0.999 * len(off))]
        assert kept.norm() <= 1e-4 * update.norm(), (kind, float(kept.norm() / update.norm()))
