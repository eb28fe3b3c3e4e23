"""The embedded encoders: the shipped weights through the same code as any others, and the probe's words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from harness.metrics.encoders.probe import AttributeProbe
from harness.metrics.encoders.registry import default_encoders, load_encoder, revision
from harness.specs import BackboneSpec
from harness.toybox.loading import WEIGHTS

SPECS = default_encoders(BackboneSpec(name="toybox"))


def shipped(kind):
    there = (WEIGHTS / f"{kind}.safetensors").is_file()
    return pytest.mark.skipif(not there, reason=f"Toybox's {kind} is not trained yet")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=shipped(kind)) for kind in ("clip", "dino")])
def test_shipped_encoders_embed_pictures_as_their_own_preprocessing_would(kind):
    from harness.toybox import loading

    encoder = load_encoder(SPECS[kind], device="cpu", kind=kind)
    own = loading.load_clip()[1] if kind == "clip" else loading.load_dino(version=2)[1]
    small, large = (Image.effect_noise(size, 60).convert("RGB") for size in ((64, 64), (300, 200)))
    for picture in (small, large):
        assert torch.allclose(encoder.preprocess([picture])[0], own(picture), atol=1e-6)
    features = encoder.embed_images([small, large])
    assert torch.allclose(features.norm(dim=1), torch.ones(2), atol=1e-6)
    assert encoder.revision == revision(SPECS[kind])


@shipped("clip")
def test_shipped_clip_knows_a_mug_from_a_cat():
    from harness.toybox.scenes.render import render
    from harness.toybox.subjects import subjects

    clip = load_encoder(SPECS["clip"], device="cpu")
    known = {each.name: each for each in subjects()}
    pictures = torch.cat([render([known[name].photos[0]]) for name in ("mossy-mug", "pale-cat")])
    cosines = clip.embed_images(pictures) @ clip.embed_texts(["a photo of a mug", "a photo of a cat"]).T
    assert cosines.argmax(dim=1).tolist() == [0, 1]


class FakeProbe:
    """Reads every picture alike; rejects those without red."""

    labels = ("category", "background", "pattern", "shape_1")

    def attributes(self, pictures):
        assert pictures.dtype == torch.uint8 and pictures.shape[1:] == (3, 64, 64)
        return SimpleNamespace(
            words=lambda attribute: [f"some {attribute}"] * len(pictures),
            labels=self.labels,
            rejected=lambda: pictures[:, 0].float().mean((1, 2)) < 1,
        )


def test_probe_reads_a_word_for_each_attribute_and_nothing_off_a_rejected_picture():
    probe = AttributeProbe(FakeProbe(), name="probe", revision="1")
    red, black = Image.new("RGB", (100, 80), "red"), Image.new("RGB", (64, 64))
    seen, rejected = probe.read([red, black])
    assert seen == {
        "class": "some category",
        "background": "some background",
        "pattern": "some pattern",
        "shape_1": "some shape_1",
    }
    assert set(rejected.values()) == {"nothing"}
