"""What an encoder's revision covers: the weights, and what decides how they are read."""

import shutil

from harness.metrics.encoders.registry import revision
from harness.specs import EncoderSpec


def test_one_checkpoint_under_two_model_names_has_two_revisions(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    one, other = (
        revision(EncoderSpec(model=model, checkpoint=str(path))) for model in ("ViT-B-32", "ViT-B-16")
    )
    assert one != other


def test_a_folders_configuration_is_part_of_its_revision_and_its_place_is_not(tiny_clip, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_clip, copy)
    first = revision(EncoderSpec(model=f"local-dir:{tiny_clip}"))
    assert revision(EncoderSpec(model=f"local-dir:{copy}")) == first
    config = copy / "open_clip_config.json"
    config.write_text(config.read_text().replace('"quick_gelu": true', '"quick_gelu": false'))
    assert revision(EncoderSpec(model=f"local-dir:{copy}")) != first
