"""DreamBooth, with and without prior preservation, and the paper's penalty: each step restated."""

from __future__ import annotations

import pytest
from recipes.comparison import assert_same_update
from recipes.restated import train

from harness.api import Lipschitz
from harness.errors import BackboneError

SMALL = {"steps": 3, "lr": 1e-3, "batch": 2, "prior_count": 3}


def restated(pair, fitted, **settings):
    losses = train(pair.reference, pair.reference.denoiser.parameters(), fitted.drawn, **settings)
    weights = {f"denoiser.{name}": p for name, p in pair.reference.denoiser.named_parameters()}
    return {name: weights[name] for name in fitted.values}, losses


def test_dreambooth_is_adam_on_every_weight(pair, photos):
    fitted = pair.fit("dreambooth", photos, **SMALL)
    assert_same_update(fitted, *restated(pair, fitted, optimizer="adam", lr=1e-3))
    assert len(fitted.values) == len(list(pair.reference.denoiser.parameters()))


def test_prior_preservation_adds_the_class_loss(pair, photos):
    fitted = pair.fit("dreambooth", photos, prior_weight=0.7, **SMALL)
    assert [drawn.subject for drawn in fitted.drawn] == [2, 2, 2]
    assert_same_update(fitted, *restated(pair, fitted, optimizer="adam", lr=1e-3, prior_weight=0.7))


def test_diffusers_recipe_is_adamw_with_decay_clipping_and_accumulation(pair, photos):
    given = {"optimizer": "adamw", "weight_decay": 0.1, "clip": 0.5, "accumulate": 2}
    fitted = pair.fit("dreambooth", photos, **given, **SMALL)
    assert len(fitted.drawn) == 6
    assert_same_update(fitted, *restated(pair, fitted, lr=1e-3, **given))


def test_comparing_clean_latents_weights_a_flow_with_sigma_squared(pair, photos):
    settings = {**SMALL, "prior_weight": 0.7, "precondition": True}
    if pair.family != "sd3":
        with pytest.raises(BackboneError, match="predicts no flow"):
            pair.fit("dreambooth", photos, **settings)
        pair.backbone.restore()
        return
    fitted = pair.fit("dreambooth", photos, **settings)
    wanted = restated(pair, fitted, optimizer="adam", lr=1e-3, prior_weight=0.7, precondition=True)
    assert_same_update(fitted, *wanted)


def test_the_penalty_is_the_mean_square_of_each_tensor_summed(pair, photos):
    fitted = pair.fit("dreambooth", photos, lipschitz=Lipschitz(penalty=500.0), **SMALL)
    assert_same_update(fitted, *restated(pair, fitted, optimizer="adam", lr=1e-3, penalty=500.0))


def test_a_decoupled_penalty_does_not_go_through_adam(pair, photos):
    lipschitz = Lipschitz.of({"penalty": 50.0, "decoupled": True})
    fitted = pair.fit("dreambooth", photos, lipschitz=lipschitz, **SMALL)
    settings = {"optimizer": "adam", "lr": 1e-3, "penalty": 50.0, "decoupled": True}
    assert_same_update(fitted, *restated(pair, fitted, **settings))


def test_the_subject_and_its_class_are_named_in_their_captions(pair, photos):
    fitted = pair.fit("dreambooth", photos, prior_weight=1.0, **SMALL)
    for drawn in fitted.drawn:
        assert drawn.captions == ["a photo of a sks dog"] * 2 + ["a photo of a dog"] * 2
    assert fitted.phrase == "sks dog"
