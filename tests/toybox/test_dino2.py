"""Version 2 of toybox-dino: which rows of a batch belong together, and its loss by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.toybox import loading
from harness.toybox.pretrain import dino2
from harness.toybox.pretrain.renders import NearMisses


def test_rows_of_a_batch_are_two_views_of_every_thing_of_a_group() -> None:
    recipe = dino2.near_recipe("near")
    rows = dino2.draw_rows(np.random.default_rng(0), recipe, 10_000)
    assert len(rows) == dino2.COURSE.batch == len(set(rows.tolist()))
    inside = rows.reshape(dino2.GROUPS, len(dino2.THINGS), 2)
    assert len(set((inside // recipe.group)[:, 0, 0].tolist())) == dino2.GROUPS
    assert ((inside // recipe.group) == (inside // recipe.group)[:, :1, :1]).all()
    place = inside % recipe.group
    assert (place[:, 0] < recipe.views).all()
    for thing in range(1, len(dino2.THINGS)):
        first = recipe.views + (thing - 1) * recipe.others
        assert ((place[:, thing] >= first) & (place[:, thing] < first + recipe.others)).all()


def test_a_shard_of_near_misses_shows_each_thing_in_turn() -> None:
    recipe = NearMisses(seed=9, pictures=20, looks="wide", views=5)
    scenes = recipe.scenes(0, 20)
    assert recipe.group == 20
    things = [scenes[:5], *(scenes[5 + 3 * i : 8 + 3 * i] for i in range(5))]
    looks = [{(each.category, each.shape, each.palette, each.pattern) for each in views} for views in things]
    assert all(len(each) == 1 for each in looks)
    assert len(set().union(*looks)) == 6


def test_the_loss_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(dino2.COURSE.batch, 8, generator=generator)
    apart = torch.linspace(0, 80, dino2.GROUPS)
    unit = F.normalize(features, dim=-1).double().numpy()
    size = 2 * len(dino2.THINGS)
    losses, errors = [], []
    for i in range(len(unit)):
        group, thing = divmod(i, size)[0], i % size // 2
        logits = {}
        for j in range(len(unit)):
            if i == j:
                continue
            akin, with_thing = j // size == group, j % size // 2
            if akin and {thing, with_thing} == {0, dino2.TURNED}:
                errors.append((unit[i] @ unit[j] - max(0.0, 1 - apart[group].item() / 50)) ** 2)
            else:
                logits[j] = unit[i] @ unit[j] / 0.1
        losses.append(np.log(sum(np.exp(value) for value in logits.values())) - logits[i ^ 1])
    expected = np.mean(losses) + dino2.HUE_WEIGHT * np.mean(errors)
    assert dino2.near_miss_loss(features, apart).item() == pytest.approx(expected, rel=1e-5)


def test_colours_are_permuted_and_images_mirrored_alike_within_a_group() -> None:
    images = torch.rand(dino2.COURSE.batch, 3, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    images[:] = images[:1]
    shown = dino2.as_groups(images, np.random.default_rng(1))
    changed = 0
    for part in shown.split(2 * len(dino2.THINGS)):
        scaled = (part + 1) / (part + 1).amax(dim=(1, 2, 3), keepdim=True)
        assert torch.allclose(scaled, scaled[:1].expand_as(scaled), atol=1e-5)
        changed += not torch.allclose(scaled[0], (images[0] + 1) / (images[0] + 1).max(), atol=1e-5)
    assert changed > 2


def test_told_apart_is_one_for_features_that_know_the_thing() -> None:
    recipe = NearMisses(seed=0, pictures=0, views=5)
    things = np.repeat(np.arange(6), [5, 3, 3, 3, 3, 3])
    features = torch.eye(12)[torch.tensor(np.concatenate([things, things + 6]))]
    found = dino2.told_apart(features, recipe)
    assert found["same"] == 1
    assert all(value == 1 for name, value in found.items() if name.startswith("auc_"))
    assert all(value == 0 for name, value in found.items() if name.startswith("cosine_"))


def test_the_first_versions_share_a_revision_that_later_ones_do_not_move() -> None:
    assert loading.revision() == "ba30e5270eeb"
    assert loading.revision(network="dino", version=2) != loading.revision()
