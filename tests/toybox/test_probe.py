"""The attribute probe's readings, and the garbage it is taught to reject."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.toybox import loading
from harness.toybox.probe import NOTHING, Probe, ProbeNetwork, Reading
from harness.toybox.scenes.attributes import LABELS, NAMELESS, numbers, words
from harness.toybox.scenes.render import render
from harness.toybox.scenes.world import sample_scene

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


def test_the_shipped_probe_reads_plain_renders() -> None:
    rng = np.random.default_rng(1)
    scenes = [sample_scene(rng) for _ in range(20)]
    reading = loading.load_probe().attributes(render(scenes))
    right = [word == scene.category for word, scene in zip(reading.words("category"), scenes, strict=True)]
    assert sum(right) >= 18
