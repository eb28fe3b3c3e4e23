"""CLIP through open_clip: against transformers' CLIPModel with the same random weights; its inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from harness.metrics.encoders.base import EncoderError
from harness.metrics.encoders.registry import load_encoder
from harness.specs import EncoderSpec


@pytest.fixture(scope="module")
def clip(tiny_clip):
    return load_encoder(EncoderSpec(model=f"local-dir:{tiny_clip}"), device="cpu", kind="clip")


@pytest.fixture(scope="module")
def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    return torch.from_numpy(noise)


def as_transformers(network):
    """The same weights in transformers' CLIPModel: an independent path through the same mathematics."""
    from transformers import CLIPConfig, CLIPModel

    shared = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "projection_dim": 16}
    text = {**shared, "num_attention_heads": 2, "eos_token_id": 49407, "bos_token_id": 49406}
    vision = {**shared, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    ours, theirs = network.state_dict(), {}

    def tower(prefix: str, target: str) -> None:
        for layer in range(2):
            old, new = f"{prefix}transformer.resblocks.{layer}.", f"{target}.encoder.layers.{layer}."
            for part, value in (
                ("weight", ours[old + "attn.in_proj_weight"]),
                ("bias", ours[old + "attn.in_proj_bias"]),
            ):
                for name, piece in zip(("q", "k", "v"), value.chunk(3)):
                    theirs[f"{new}self_attn.{name}_proj.{part}"] = piece
            renamed = {
                "attn.out_proj": "self_attn.out_proj",
                "ln_1": "layer_norm1",
                "ln_2": "layer_norm2",
                "mlp.c_fc": "mlp.fc1",
                "mlp.c_proj": "mlp.fc2",
            }
            for a, b in renamed.items():
                for part in ("weight", "bias"):
                    theirs[f"{new}{b}.{part}"] = ours[f"{old}{a}.{part}"]

    tower("visual.", "vision_model")
    tower("", "text_model")
    for a, b in {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
        "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
        "visual.ln_post.weight": "vision_model.post_layernorm.weight",
        "visual.ln_post.bias": "vision_model.post_layernorm.bias",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "ln_final.weight": "text_model.final_layer_norm.weight",
        "ln_final.bias": "text_model.final_layer_norm.bias",
        "logit_scale": "logit_scale",
    }.items():
        theirs[b] = ours[a]
    theirs["visual_projection.weight"] = ours["visual.proj"].T
    theirs["text_projection.weight"] = ours["text_projection"].T
    missing, unexpected = model.load_state_dict(theirs, strict=False)
    assert not unexpected and all("position_ids" in name for name in missing)
    return model


def test_features_equal_transformers_with_the_same_weights(clip, pictures):
    model = as_transformers(clip.network)
    texts = ["a photo of a dog", "a red mug on the beach"]
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1)
        for v in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    with torch.no_grad():
        vision = model.vision_model(pixel_values=(pictures.float() / 255 - mean) / std).pooler_output
        images = torch.nn.functional.normalize(model.visual_projection(vision), dim=-1)
        tokens = clip.tokenizer(texts)
        pooled = model.text_model(input_ids=tokens).pooler_output
        words = torch.nn.functional.normalize(model.text_projection(pooled), dim=-1)
    assert torch.allclose(clip.embed_images(pictures), images, atol=1e-5)
    assert torch.allclose(clip.embed_texts(texts), words, atol=1e-5)


def test_features_are_float32_unit_rows(clip, pictures):
    for features in (clip.embed_images(pictures), clip.embed_texts(["a dog", "a cat"])):
        assert features.dtype == torch.float32
        assert torch.allclose(features.norm(dim=1), torch.ones(len(features)), atol=1e-6)


def test_uint8_float_and_pil_inputs_agree(clip, pictures):
    expected = clip.embed_images(pictures)
    as_pil = [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in pictures]
    assert torch.equal(clip.embed_images(pictures.float() / 255), expected)
    assert torch.equal(clip.embed_images(as_pil), expected)


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (17, 90)])
def test_preprocessing_is_the_encoders_own(clip, size):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    own = image_transform_v2(PreprocessCfg(**clip.network.visual.preprocess_cfg), is_train=False)
    picture = Image.effect_noise(size, 80).convert("RGB")
    assert torch.allclose(clip.preprocess([picture])[0], own(picture), atol=1e-6)


def test_batches_change_nothing(clip, pictures):
    one_by_one = torch.cat([clip.embed_images(pictures[i : i + 1]) for i in range(3)])
    assert torch.allclose(clip.embed_images(pictures), one_by_one, atol=1e-6)


def test_text_beyond_the_context_is_reported(clip):
    long = "very " * 100 + "long"
    (said,) = clip.cut_texts(["short", long, long])
    assert said.startswith("text of 103 tokens cut to 77")


def test_float_pictures_outside_0_1_are_refused(clip, pictures):
    with pytest.raises(ValueError, match=r"lie in 0..1, got 0..255"):
        clip.embed_images(pictures.float())


def test_record_of_preprocessing_names_sizes_and_statistics(clip):
    assert "32" in clip.preprocessing and "0.48145466" in clip.preprocessing


def test_weights_of_another_model_are_one_line(tmp_path, tiny_clip):
    import shutil

    from safetensors.torch import save_file

    folder = tmp_path / "clip"
    shutil.copytree(tiny_clip, folder)
    save_file({"other": torch.zeros(2)}, folder / "open_clip_model.safetensors")
    with pytest.raises(
        EncoderError, match=r"holds the tensors of another model: \d+ missing .* 1 unexpected"
    ):
        load_encoder(EncoderSpec(model=f"local-dir:{folder}"), device="cpu")


def test_unknown_pretrained_tag_names_the_known_ones():
    with pytest.raises(EncoderError, match="did you mean 'openai'"):
        load_encoder(EncoderSpec(model="ViT-B-32-quickgelu:openia"), device="cpu")


@pytest.mark.parametrize(
    ("model", "quick"),
    [("ViT-L-14", True), ("ViT-B-32-quickgelu", True), ("ViT-B-32:laion2b_s34b_b79k", False)],
)
def test_weights_trained_with_quick_gelu_get_it_whatever_the_name(monkeypatch, model, quick):
    import open_clip

    asked = []

    def offline(name, **how):
        asked.append(how["force_quick_gelu"])
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(EncoderError, match="could not be downloaded from the Hub"):
        load_encoder(EncoderSpec(model=model), device="cpu", kind="clip")
    assert asked == [quick]
