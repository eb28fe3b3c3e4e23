"""Custom Diffusion restated: keys, values and a new word, with masks, augmentation and class images.

As published: on Stable Diffusion 1 and 2 the squares are divided by the mask's area and the start token of
cross-attention is held; on SDXL so with class images, without them the loss is a plain mean; on Stable
Diffusion 3 it always is, and nothing is held.
"""

from __future__ import annotations

import torch
from PIL import Image
from recipes.comparison import assert_same_update
from recipes.restated import hold_start_token, mean_square, square_by_area, train

from harness.api import Lipschitz
from harness.diffusion.training import Trainer

SMALL = {"steps": 3, "lr": 1e-3, "batch": 3, "prior_count": 3, "weight_decay": 0.1, "clip": 0.3}
OPTIMIZER = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1, "clip": 0.3}
WORDS = ("a far away", "very small", "zoomed in", "close up")


def restated(pair, fitted, *, held=True, **settings):
    reference = pair.reference
    if held and pair.family != "sd3":
        hold_start_token(reference.denoiser)
    plain = {"sd": False, "sdxl": "prior_weight" not in settings, "sd3": True}[pair.family]
    settings["loss_of"] = mean_square if plain else square_by_area
    endings = (".attn.to_k", ".attn.to_v") if pair.family == "sd3" else (".attn2.to_k", ".attn2.to_v")
    weights = {
        f"denoiser.{name}": p
        for name, p in reference.denoiser.named_parameters()
        if name.rpartition(".")[0].endswith(endings)
    }
    reference.add_word("<new1>", "ktn")
    losses = train(reference, weights.values(), fitted.drawn, **OPTIMIZER, **settings)
    rows = {f"{name}.new_tokens": table[ids] for name, (table, ids) in reference.rows.items()}
    return {**weights, **rows}, losses


def test_custom_diffusion_is_adamw_on_keys_values_and_the_row(pair, photos):
    fitted = pair.fit("custom_diffusion", photos, prior_weight=0.0, flip=False, scale=False, **SMALL)
    assert all(drawn.masks is None for drawn in fitted.drawn)
    assert_same_update(fitted, *restated(pair, fitted))


def test_the_loss_of_a_shrunk_image_is_its_sum_over_the_area_of_its_mask(pair, photos):
    fitted = pair.fit("custom_diffusion", photos, prior_weight=0.0, **SMALL)
    assert any(drawn.masks.min() == 0 for drawn in fitted.drawn)
    assert_same_update(fitted, *restated(pair, fitted))


def test_class_images_have_no_mask(pair, photos):
    fitted = pair.fit("custom_diffusion", photos, prior_weight=0.7, **SMALL)
    assert all(drawn.masks.shape == (3, 1, 8, 8) and len(drawn.latents) == 6 for drawn in fitted.drawn)
    assert_same_update(fitted, *restated(pair, fitted, prior_weight=0.7))


def test_the_start_token_can_be_trained(pair, photos):
    fitted = pair.fit("custom_diffusion", photos, prior_weight=0.0, start_token="trained", **SMALL)
    assert_same_update(fitted, *restated(pair, fitted, held=False))


def test_holding_the_start_token_matters_where_there_is_cross_attention(pair, photos):
    held, trained = (
        pair.fit("custom_diffusion", photos, prior_weight=0.0, start_token=treatment, **SMALL)
        for treatment in ("detached", "trained")
    )
    same = all(torch.equal(held.values[name], trained.values[name]) for name in held.values)
    assert same == (pair.family == "sd3")
    assert held.losses[0] == trained.losses[0]


def test_class_images_are_learned_left_for_right_as_well(pair, photos):
    asked = {**SMALL, "steps": 4, "prior_weight": 0.7}
    for flip, kinds in ((True, 6), (False, 3)):
        fitted = pair.fit("custom_diffusion", photos, flip=flip, **asked)
        found = torch.cat([drawn.latents[drawn.subject :] for drawn in fitted.drawn])
        images = []
        pair.backbone.restore()
        for image in prior(pair.backbone):
            images += [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)][: 2 if flip else 1]
        expected = pair.reference.latents(images)
        nearest = torch.cdist(found.flatten(1), expected.flatten(1)).min(1)
        assert nearest.values.max() < 1e-4
        assert nearest.indices.unique().numel() == kinds


def prior(backbone):
    return Trainer(seed=5).prior_images(backbone, "photo of a dog", 3)


def test_the_penalty_counts_the_whole_table_of_a_row(pair, photos):
    fitted = pair.fit(
        "custom_diffusion", photos, prior_weight=0.0, lipschitz=Lipschitz(penalty=175.0), **SMALL
    )
    assert_same_update(fitted, *restated(pair, fitted, penalty=175.0))


def test_the_row_starts_as_the_rare_word(pair, photos):
    fitted = pair.fit("custom_diffusion", photos, prior_weight=0.0, **SMALL)
    pair.reference.add_word("<new1>", "ktn")
    for name, (table, ids) in pair.reference.rows.items():
        torch.testing.assert_close(fitted.start[f"{name}.new_tokens"], table[ids], rtol=0, atol=0)


def test_captions_say_how_the_image_was_scaled(pair, photos):
    fitted = pair.fit("custom_diffusion", photos, prior_weight=0.5, **{**SMALL, "steps": 12})
    own = [caption for drawn in fitted.drawn for caption in drawn.captions[: drawn.subject]]
    words = {caption.removesuffix("photo of a <new1> dog").strip() for caption in own}
    assert words == {"", *WORDS}
    assert {c for drawn in fitted.drawn for c in drawn.captions[drawn.subject :]} == {"photo of a dog"}
