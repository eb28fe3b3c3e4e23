"""Picture encoders through timm: against a plain forward, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from harness.metrics.encoders.base import EncoderError
from harness.metrics.encoders.registry import family_of, load_encoder, revision
from harness.specs import EncoderSpec


@pytest.fixture(scope="module")
def spec(tiny_vit):
    return EncoderSpec(model="test_vit", checkpoint=str(tiny_vit))


@pytest.fixture(scope="module")
def dino(spec):
    return load_encoder(spec, device="cpu", kind="dino")


@pytest.fixture(scope="module")
def pictures():
    return [Image.effect_noise((200, 180), 90).convert("RGB"), Image.new("RGB", (64, 64), (200, 30, 90))]


def test_features_are_the_class_token_of_a_plain_forward(dino, pictures, tiny_vit):
    plain = timm.create_model("test_vit", pretrained=False).eval()
    plain.load_state_dict(load_file(tiny_vit))
    settings = timm.data.resolve_data_config({}, model=plain)
    transform = timm.data.create_transform(**settings, is_training=False)
    with torch.no_grad():
        tokens = plain.forward_features(torch.stack([transform(p) for p in pictures]))
        expected = torch.nn.functional.normalize(plain.forward_head(tokens, pre_logits=True), dim=-1)
        class_token = torch.nn.functional.normalize(plain.fc_norm(tokens[:, 0]), dim=-1)
    features = dino.embed_images(pictures)
    assert torch.allclose(features, expected, atol=1e-6)
    assert torch.allclose(features, class_token, atol=1e-6)


def test_dino_vit_small_pools_the_class_token_and_has_no_head():
    with torch.device("meta"):
        network = timm.create_model("vit_small_patch16_224.dino", pretrained=False, num_classes=0)
    assert network.global_pool == "token"
    assert network.num_features == 384
    assert isinstance(network.head, torch.nn.Identity)


def test_uint8_float_and_pil_inputs_agree(dino):
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50), dtype=np.uint8))
    expected = dino.embed_images(noise)
    assert torch.equal(dino.embed_images(noise.float() / 255), expected)
    assert torch.equal(
        dino.embed_images([Image.fromarray(p.permute(1, 2, 0).numpy()) for p in noise]), expected
    )


def test_pictures_that_need_no_resizing_take_the_short_cut_to_the_same_numbers():
    from torchvision import transforms

    from harness.metrics.encoders.pixels import Preprocessing

    steps = [transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor()]
    compose = transforms.Compose([*steps, transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))])
    picture = Image.effect_noise((64, 64), 90).convert("RGB")
    preprocess = Preprocessing(compose)
    assert torch.allclose(preprocess([picture])[0], compose(picture), atol=1e-6)
    assert preprocess._unmoved == {(64, 64): True}


def test_greyscale_and_transparent_pil_pictures_are_taken_as_rgb(dino):
    grey = Image.effect_noise((64, 64), 90)
    assert torch.equal(dino.embed_images([grey]), dino.embed_images([grey.convert("RGB")]))


def test_revision_follows_the_bytes(spec, tmp_path, tiny_vit):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(tiny_vit.read_bytes())
    same = spec.model_copy(update={"checkpoint": str(copy)})
    assert revision(same) == revision(spec)
    copy.write_bytes(tiny_vit.read_bytes() + b" ")
    assert revision(same) != revision(spec)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "dino.pth"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(EncoderError, match=r"refused: only \.safetensors is read"):
        load_encoder(EncoderSpec(model="test_vit", checkpoint=str(path)), device="cpu")


def test_a_pickle_by_another_name_is_refused(tmp_path):
    path = tmp_path / "dino.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(EncoderError, match="not a whole safetensors file"):
        load_encoder(EncoderSpec(model="test_vit", checkpoint=str(path)), device="cpu")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(EncoderError, match=r"nowhere\.safetensors: no such file"):
        revision(EncoderSpec(model="test_vit", checkpoint=str(tmp_path / "nowhere.safetensors")))


def test_an_unknown_name_gets_the_nearest_known_one():
    with pytest.raises(
        EncoderError, match=r"unknown encoder 'vit_smal_patch16_224\.dino'; did you mean 'vit_small"
    ):
        load_encoder(EncoderSpec(model="vit_smal_patch16_224.dino"), device="cpu")


def test_an_encoder_of_another_kind_is_refused(spec):
    with pytest.raises(EncoderError, match=r"encoders\.clip: 'test_vit' is a dino encoder"):
        load_encoder(spec, device="cpu", kind="clip")


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("toybox-clip", "clip"),
        ("toybox-dino", "dino"),
        ("toybox-probe", "probe"),
        ("ViT-L-14-quickgelu:openai", "clip"),
        ("vit_small_patch14_dinov2.lvd142m", "dino"),
        ("lpips-alex", "lpips"),
    ],
)
def test_families_are_told_by_name(model, family):
    assert family_of(EncoderSpec(model=model)) == family


def class_token_by_hand(weights, pixels, *, heads, layers):
    """A vision transformer written out: pre-norm blocks, exact GELU; DINOv2 scales its branches."""
    from torch.nn.functional import conv2d, gelu, layer_norm, linear

    def dense(x, name):
        return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        return layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    kernel = weights["patch_embed.proj.weight"]
    patches = conv2d(pixels, kernel, weights["patch_embed.proj.bias"], stride=kernel.shape[-1])
    x = patches.flatten(2).transpose(1, 2)
    x = torch.cat([weights["cls_token"].expand(len(x), -1, -1), x], dim=1) + weights["pos_embed"]
    n, tokens, width = x.shape
    for layer in range(layers):
        at = f"blocks.{layer}"
        q, k, v = dense(norm(x, f"{at}.norm1"), f"{at}.attn.qkv").view(n, tokens, 3, heads, -1).unbind(2)
        scores = torch.einsum("nqhd,nkhd->nhqk", q, k) / q.shape[-1] ** 0.5
        mixed = torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), v).reshape(n, tokens, width)
        x = x + dense(mixed, f"{at}.attn.proj") * weights.get(f"{at}.ls1.gamma", 1.0)
        hidden = gelu(dense(norm(x, f"{at}.norm2"), f"{at}.mlp.fc1"))
        x = x + dense(hidden, f"{at}.mlp.fc2") * weights.get(f"{at}.ls2.gamma", 1.0)
    return torch.nn.functional.normalize(norm(x, "norm")[:, 0], dim=-1)


@pytest.mark.parametrize(
    ("name", "side", "crop"),
    [("vit_small_patch16_224.dino", 248, 224), ("vit_small_patch14_dinov2.lvd142m", 518, 518)],
)
def test_dino_and_dinov2_equal_a_forward_written_by_hand(name, side, crop):
    from harness.metrics.encoders.dino import TimmEncoder, _transform

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False, num_classes=0, depth=2)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    encoder = TimmEncoder(network, _transform(network), name=name, revision="random")
    picture = torch.randint(
        0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    edge = (side - crop) // 2
    inner = picture[..., edge : edge + crop, edge : edge + crop]
    pixels = (inner / 255 - mean) / std  # ImageNet's statistics, as both were trained with
    expected = class_token_by_hand(network.state_dict(), pixels, heads=6, layers=2)
    assert torch.allclose(encoder.preprocess(picture), pixels, atol=1e-6)
    assert torch.allclose(encoder.embed_images(picture), expected, atol=1e-5)
