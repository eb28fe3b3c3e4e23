"""Class images are the base model's, shared by content, and their cost is charged to whoever uses them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.diffusion import prior, training
from harness.diffusion.sampling import sample_images
from harness.diffusion.seeds import named_seed
from harness.diffusion.training import Trainer

PROMPT = "a photo of a teapot"


@pytest.fixture
def clock(monkeypatch):
    """Time that passes by drawing alone: 7 s an image; each look at it takes a quarter of a second."""
    now = [100.0]

    def look():
        now[0] += 0.25
        return now[0]

    def draw(backbone, prompts, **settings):
        now[0] += 7.0 * len(prompts)
        return sample_images(backbone, prompts, **settings)

    for module in (prior, training):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=look))
    monkeypatch.setattr(prior, "sample_images", draw)
    return now


def test_what_is_read_from_the_cache_is_charged_like_what_was_drawn(backbone, clock):
    found, charged, walls = [], [], []
    for seed in (0, 1):
        trainer, before = Trainer(seed=seed), clock[0]
        found.append(trainer.prior_images(backbone, "a photo of a kettle", 3))
        walls.append(clock[0] - before)
        charged.append(trainer.seconds_charged)
    assert len(found[0]) == 3 and all(np.array_equal(a, b) for a, b in zip(*found))
    # Drawn in 3 · 7 s and a look; asking for them took 21 s and four looks, then two looks.
    assert walls == [22.0, 0.5]
    assert charged == pytest.approx([21.25 - 21.75, 21.25 - 0.25])


def test_each_image_is_of_its_own_seed_as_the_backbone_draws_class_images(backbone, monkeypatch):
    monkeypatch.setattr(type(backbone), "prior_sampling", ("ddim", 2, 3.0))
    told = []
    images, seconds = prior.prior_images(backbone, PROMPT, 2, progress=lambda *update: told.append(update))
    expected = sample_images(
        backbone,
        [PROMPT] * 2,
        seeds=[named_seed("prior", PROMPT, 0), named_seed("prior", PROMPT, 1)],
        sampler="ddim",
        steps=2,
        guidance=3.0,
    )
    assert torch.equal(
        torch.stack([torch.from_numpy(np.array(each)) for each in images]).permute(0, 3, 1, 2), expected
    )
    assert seconds > 0 and told[-1] == (2, 2)


@pytest.mark.parametrize(
    ("change", "drawn_again"),
    [({}, 0), ({"count": 2}, 2), ({"prompt": "a photo of a pan"}, 1), ({"sampling": ("ddim", 3, 3.0)}, 1),
     ({"sampling": ("ddim", 2, 4.0)}, 1), ({"sampling": ("dpmsolver++", 2, 3.0)}, 1),
     ({"identity": "other"}, 1), ({"version": 99}, 1)],
)  # fmt: skip
def test_images_are_shared_where_all_that_makes_them_is_the_same(backbone, monkeypatch, change, drawn_again):
    drawn = []

    def draw(backbone, prompts, **settings):
        drawn.extend(prompts)
        return torch.zeros(len(prompts), 3, 4, 4, dtype=torch.uint8)

    monkeypatch.setattr(prior, "sample_images", draw)
    monkeypatch.setattr(type(backbone), "prior_sampling", ("ddim", 2, 3.0))
    asked = {"prompt": f"a photo of {sorted(change)}", "count": 1}
    prior.prior_images(backbone, **asked)
    drawn.clear()
    if "sampling" in change:
        monkeypatch.setattr(type(backbone), "prior_sampling", change["sampling"])
    if "identity" in change:
        monkeypatch.setattr(type(backbone), "identity", {**backbone.identity, "revision": "other"})
    if "version" in change:
        monkeypatch.setattr(prior, "SAMPLING_VERSION", change["version"])
    prior.prior_images(backbone, **{**asked, **{k: v for k, v in change.items() if k in asked}})
    assert len(drawn) == drawn_again


def test_prior_images_of_a_changed_model_are_refused(backbone):
    backbone.parameters("denoiser")
    with pytest.raises(ValueError, match="before anything"):
        Trainer(seed=0).prior_images(backbone, "a photo of a dog", 2)
