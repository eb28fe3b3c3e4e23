"""Metrics of the penalty that are measured on the base model: a form for each changed tensor.

Knows no λ and no optimizer step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.diffusion.activations import input_moments, linear_layers
from harness.diffusion.fisher import fisher_diagonal
from harness.diffusion.lipschitz import Full, Term
from harness.diffusion.quadratic import Diagonal, Form, Mean, Moments, Weighted

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank

Measure = Callable[[Sequence[Term], "Backbone", "Bank"], tuple[Mapping[str, Form], float]]
"""Gives forms by the name of their term, and the seconds that these took when they were made."""


def measured(
    norm: str, terms: Sequence[Term], backbone: Backbone, bank: Bank
) -> tuple[list[Weighted], float]:
    """Give every change its form, and the seconds that the measurement took when it was made.

    Biases, norms and new words, which have no form of their own, keep that of ``tensor_mean``. Raises
    ValueError where nothing that is trained has one.
    """
    forms, seconds = MEASURES[norm](terms, backbone, bank)
    return [Weighted(term, forms.get(term.name) or Mean(term.size)) for term in terms], seconds


def _activation(terms: Sequence[Term], backbone: Backbone, bank: Bank) -> tuple[Mapping[str, Form], float]:
    """The mean relative change of each layer's output on the bank."""
    layers = linear_layers(backbone.networks.denoiser, list(terms))
    if not layers:
        raise ValueError(
            "norm: activation: no linear layer or convolution is trained, of whose output there could be a "
            "change; use norm: tensor_mean"
        )
    moments, seconds = input_moments(backbone, bank, layers)
    forms = {
        name: Moments.of(layer.weight, moments[name].to(backbone.device)) for name, layer in layers.items()
    }
    return {name: form for name, form in forms.items() if form is not None}, seconds


def _fisher(terms: Sequence[Term], backbone: Backbone, bank: Bank) -> tuple[Mapping[str, Form], float]:
    """The mean square change of predictions on the bank, each weight by itself."""
    weights = {
        term.name: term.value if isinstance(term, Full) else term.base
        for term in terms
        if term.name.startswith("denoiser.")
    }
    if not weights:
        raise ValueError("norm: fisher: no weight of the denoiser is trained; use norm: tensor_mean")
    diagonal, seconds = fisher_diagonal(backbone, bank, weights)
    return {name: Diagonal(value.to(backbone.device)) for name, value in diagonal.items()}, seconds


MEASURES: Mapping[str, Measure] = {"activation": _activation, "fisher": _fisher}
