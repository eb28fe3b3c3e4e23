"""Output preservation restated: beside the subject, what a base model of its own predicts is the target."""

from __future__ import annotations

import pytest
import torch
from recipes.comparison import assert_same_update
from recipes.restated import train

TEXTS = [f"a photo of a {noun}" for noun in ("dog", "mug", "cat", "boot")]
SMALL = {"steps": 3, "lr": 1e-3, "batch": 2}


@pytest.mark.parametrize("bank_batch", [None, 3])
def test_output_preservation_is_dreambooth_held_to_the_base_models_predictions(pair, photos, bank_batch):
    given = {"mu": 0.7, "bank_batch": bank_batch, **SMALL}
    fitted = pair.fit("output_preservation", photos, bank_texts=lambda: TEXTS, **given)
    beside = bank_batch or 2
    assert [(drawn.subject, len(drawn.latents)) for drawn in fitted.drawn] == [(2, 2 + beside)] * 3
    base, denoiser = pair.reference.fresh(), pair.reference.denoiser
    for drawn in fitted.drawn:
        assert set(drawn.captions[2:]) <= set(TEXTS)
        with torch.no_grad():
            torch.testing.assert_close(base.predicted(drawn)[2:], drawn.base, atol=1e-4, rtol=1e-4)
    settings = {"optimizer": "adam", "lr": 1e-3, "prior_weight": 0.7, "kept": base}
    losses = train(pair.reference, denoiser.parameters(), fitted.drawn, **settings)
    weights = {f"denoiser.{name}": parameter for name, parameter in denoiser.named_parameters()}
    assert_same_update(fitted, {name: weights[name] for name in fitted.values}, losses)
