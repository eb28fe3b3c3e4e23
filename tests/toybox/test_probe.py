"""The attribute probe's readings, and the garbage it is taught to reject."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.toybox import loading
from harness.toybox.pretrain import autoencoder
from harness.toybox.pretrain.probe import ORDER, answer_loss, decoded_at
from harness.toybox.pretrain.renders import POOLS
from harness.toybox.probe import NOTHING, Probe, ProbeNetwork, Reading
from harness.toybox.scenes.attributes import LABELS, NAMELESS, numbers, shape_words, words
from harness.toybox.scenes.render import render
from harness.toybox.scenes.world import is_heldout, sample_scene, triple

CHOICES = {"category": ("mug", "cat", NOTHING)}


def test_words_never_say_nothing() -> None:
    reading = Reading(CHOICES, {"category": torch.tensor([[0.1, 0.2, 0.7], [0.9, 0.05, 0.05]])})
    assert reading.words("category") == ["cat", "mug"]
    assert reading.confidence().tolist() == pytest.approx([0.2, 0.9])
    assert reading.rejected().tolist() == [True, False]


def test_batch_size_changes_no_reading() -> None:
    torch.manual_seed(0)
    probe = Probe(ProbeNetwork((8, 8, 8, 8), CHOICES), CHOICES)
    pictures = torch.randint(
        256, (5, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    whole, parts = (probe.attributes(pictures, batch=batch).probabilities["category"] for batch in (5, 2))
    assert torch.allclose(whole, parts, atol=1e-5)


def test_pictures_of_another_shape_or_type_are_refused() -> None:
    probe = Probe(ProbeNetwork((8, 8, 8, 8), CHOICES), CHOICES)
    with pytest.raises(ValueError, match="uint8"):
        probe.attributes(torch.zeros(1, 3, 64, 64))


def test_labels_of_scenes_are_numbered_in_order() -> None:
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, looks="wide") for _ in range(20)]
    for scene, row in zip(scenes, numbers(scenes), strict=True):
        assert {
            name: known[i] for (name, known), i in zip(LABELS.items(), row.tolist(), strict=True)
        } == words(scene)
    assert any(words(scene)["colour"] == NAMELESS for scene in scenes)


def test_shape_parameters_are_told_by_the_third_of_their_range() -> None:
    scene = replace(sample_scene(np.random.default_rng(0)), shape=(0.0, 0.34, 0.66, 1.0))
    assert list(shape_words(scene).values()) == ["low", "middle", "middle", "high"]
    assert numbers([scene], shape=True)[0, -4:].tolist() == [0, 1, 1, 2]
    assert numbers([scene], shape=True)[0, :-4].tolist() == numbers([scene])[0].tolist()


def test_the_loss_leaves_out_what_is_not_asked_by_hand() -> None:
    logits = {"category": torch.tensor([[2.0, 0.0], [0.0, 1.0]]), "shape_2": torch.zeros(2, 3)}
    targets = torch.full((2, len(ORDER)), -100)
    targets[0, ORDER.index("category")], targets[1, ORDER.index("shape_2")] = 0, 2
    smooth = 0.99 * 2 - np.log(np.exp(2) + 1)
    assert answer_loss(logits, targets).item() == pytest.approx((np.log(3) - smooth) / 2, rel=1e-5)


def test_pictures_as_asked_for_show_no_held_out_triple_and_are_mostly_recoloured() -> None:
    recipe = POOLS["asked"]
    scenes = recipe.scenes(0, 200)
    assert scenes == recipe.scenes(0, 200) and len(scenes) == 200
    assert not any(is_heldout(*triple(scene)) for scene in scenes)
    assert 0.6 < np.mean([len({*scene.colours}) == 1 and None not in scene.colours for scene in scenes]) < 0.8


def test_garbage_is_as_noisy_as_what_a_sampler_holds() -> None:
    coder = autoencoder.shipped()
    shown = render([sample_scene(np.random.default_rng(number)) for number in range(8)]).float() / 127.5 - 1
    latents = coder.encode(shown).latent_dist.mode() * coder.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, abs=0.15)
    again = decoded_at(coder, shown, torch.zeros(8, dtype=torch.int64), torch.zeros_like(latents))
    assert (again - shown).abs().mean() < 0.05


@pytest.mark.parametrize("version", [1, 2])
def test_the_shipped_probe_reads_plain_renders(version: int) -> None:
    rng = np.random.default_rng(1)
    scenes = [sample_scene(rng) for _ in range(20)]
    reading = loading.load_probe(version=version).attributes(render(scenes))
    right = [word == scene.category for word, scene in zip(reading.words("category"), scenes, strict=True)]
    assert sum(right) >= 18
