"""Class images are the base model's, each of its own seed, shared by content; what they cost is told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusion.plain import Plain

from harness.diffusion import prior
from harness.diffusion.seeds import named_seed

PROMPT = "a photo of a teapot"


@pytest.fixture
def plain(tmp_path):
    return Plain(tmp_path)


@pytest.fixture
def drawn(monkeypatch):
    """What was asked of the sampler; its pixels differ, an image takes 7 s and a look at the clock .1 s."""
    now, asked = [100.0], []

    def look():
        now[0] += 0.1
        return now[0]

    def draw(backbone, prompts, *, report, **settings):
        asked.append((backbone, list(prompts), settings))
        now[0] += 7.0 * len(prompts)
        if report is not None:
            report(len(prompts), len(prompts))
        return torch.arange(len(prompts) * 60, dtype=torch.uint8).view(len(prompts), 3, 4, 5)

    monkeypatch.setattr(prior, "time", SimpleNamespace(perf_counter=look))
    monkeypatch.setattr(prior, "sample_images", draw)
    return asked


def test_each_image_is_of_its_own_seed_as_the_backbone_draws_class_images(plain, drawn):
    told = []
    images, seconds = prior.prior_images(plain, PROMPT, 3, progress=lambda *update: told.append(update))
    seeds = [named_seed("prior", PROMPT, i) for i in range(3)]
    assert drawn == [(plain, [PROMPT] * 3, {"seeds": seeds, "sampler": "ddim", "steps": 2, "guidance": 3.0})]
    assert seconds == pytest.approx(21.1, rel=1e-12) and told == [(3, 3)]
    for i, image in enumerate(images):
        assert image.size == (5, 4) and image.mode == "RGB"
        expected = np.arange(60 * i, 60 * (i + 1), dtype=np.uint8).reshape(3, 4, 5)
        assert np.array_equal(np.array(image).transpose(2, 0, 1), expected)


def test_what_is_read_from_the_cache_costs_what_it_did_when_it_was_drawn(plain, drawn):
    (first, seconds), (again, as_before) = (prior.prior_images(plain, PROMPT, 2) for _ in range(2))
    assert len(drawn) == 1 and seconds == as_before == pytest.approx(14.1, rel=1e-12)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert [path.name for path in plain.cache.root.iterdir() if path.name != "locks"] == ["prior"]


@pytest.mark.parametrize(
    ("change", "drawn_again"),
    [({}, 0), ({"count": 2}, 2), ({"prompt": "a photo of a pan"}, 1), ({"sampling": ("ddim", 3, 3.0)}, 1),
     ({"sampling": ("ddim", 2, 4.0)}, 1), ({"sampling": ("dpmsolver++", 2, 3.0)}, 1),
     ({"revision": "other"}, 1), ({"version": 99}, 1)],
)  # fmt: skip
def test_images_are_shared_where_all_that_makes_them_is_the_same(
    plain, drawn, monkeypatch, change, drawn_again
):
    asked = {"prompt": PROMPT, "count": 1}
    prior.prior_images(plain, **asked)
    drawn.clear()
    if "sampling" in change:
        monkeypatch.setattr(Plain, "prior_sampling", change["sampling"])
    if "revision" in change:
        plain.revision = change["revision"]
    if "version" in change:
        monkeypatch.setattr(prior, "SAMPLING_VERSION", change["version"])
    prior.prior_images(plain, **{**asked, **{k: v for k, v in change.items() if k in asked}})
    assert sum(len(prompts) for _, prompts, _ in drawn) == drawn_again


def test_the_content_of_the_cache_keeps_its_words(plain, drawn, monkeypatch):
    """Other words for the same content would draw everything again that users have in their caches."""
    asked = []
    kept = {"pictures": torch.zeros(1, 3, 4, 5, dtype=torch.uint8), "seconds": torch.tensor(9.0)}
    monkeypatch.setattr(plain.cache, "tensors", lambda *given: asked.append(given[:2]) or kept)
    images, seconds = prior.prior_images(plain, PROMPT, 1)
    content = {
        "backbone": "1", "precision": "fp32", "device": "cpu", "prompt": PROMPT, "count": 1,
        "sampler": ["ddim", 2, 3.0], "version": prior.SAMPLING_VERSION,
    }  # fmt: skip
    assert asked == [("prior", content)]
    assert len(images) == 1 and seconds == 9.0


def test_images_of_a_changed_model_are_refused(plain, drawn):
    plain.parameters("denoiser")
    with pytest.raises(ValueError, match="before anything"):
        prior.prior_images(plain, PROMPT, 2)
    assert not drawn
