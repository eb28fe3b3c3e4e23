"""Class images are the base model's, shared by content, and their cost is charged to whoever uses them."""

import time

import numpy as np
import pytest

from harness.diffusion.training import Trainer


def test_prior_images_are_charged_also_when_read_from_the_cache(backbone):
    walls, images, trainers = [], [], []
    for seed in (0, 1):
        trainer = Trainer(seed=seed)
        started = time.perf_counter()
        images.append(trainer.prior_images(backbone, "a photo of a teapot", 3))
        walls.append(time.perf_counter() - started)
        trainers.append(trainer)
    assert all(np.array_equal(a, b) for a, b in zip(*images))
    assert len(images[0]) == 3
    assert walls[1] < walls[0] / 2
    cost = [wall + trainer.seconds_charged for wall, trainer in zip(walls, trainers)]
    assert cost[1] == pytest.approx(cost[0], rel=0.05)


def test_prior_images_of_a_changed_model_are_refused(backbone):
    backbone.parameters("denoiser")
    with pytest.raises(ValueError, match="before anything"):
        Trainer(seed=0).prior_images(backbone, "a photo of a dog", 2)
