"""A backbone hands out parameters, says what was changed, stores it, and goes back to θ0 bit for bit."""

import pytest
import torch

from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.backbones.locate import backbone_revision
from harness.diffusion.sampling import sample_images
from harness.diffusion.weights.delta import Delta
from harness.errors import BackboneError
from harness.specs import BackboneSpec


def change(backbone, kind):
    """Change something of the given kind without a trainer; return the parameters."""
    parameters = {
        "weights": lambda: backbone.parameters("cross_attention_kv"),
        "adapters": lambda: backbone.adapters(rank=2, alpha=4.0, targets=("to_q", "to_out.0"), seed=0),
        "rows": lambda: backbone.token_rows(["<a>", "<b>"], init=["dog", "rubber duck"]),
    }[kind]()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return parameters


def image(backbone):
    return sample_images(backbone, ["a <a> <b> cat"], seeds=[5], sampler="ddim", steps=2, guidance=2.0)


def state(backbone):
    networks = backbone.networks
    modules = (networks.denoiser, networks.autoencoder, networks.text_encoders[0].model)
    return [{name: value.clone() for name, value in module.state_dict().items()} for module in modules]


def same(first, second):
    return all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in zip(first, second)
    )


KINDS = ("weights", "adapters", "rows")


@pytest.mark.parametrize("kind", KINDS)
def test_restore_is_exact(backbone, kind):
    before, drawn = state(backbone), image(backbone)
    change(backbone, kind)
    assert backbone.changed
    assert not torch.equal(image(backbone), drawn)
    backbone.restore()
    assert not backbone.changed
    assert same(before, state(backbone))
    assert torch.equal(image(backbone), drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_delta_survives_a_file_and_draws_the_same_image(backbone, tmp_path, kind):
    change(backbone, kind)
    tuned, distance = image(backbone), backbone.distance()
    (tmp_path / "delta.safetensors").write_bytes(backbone.delta().to_bytes())
    backbone.restore()
    backbone.apply(Delta.from_bytes((tmp_path / "delta.safetensors").read_bytes()))
    assert torch.equal(image(backbone), tuned)
    assert backbone.trained_bytes > 0
    if kind != "rows":  # rows count from where they started, which a stored row does not say
        assert backbone.distance() == distance


def test_delta_holds_only_what_differs(backbone):
    backbone.parameters("denoiser")
    assert backbone.delta().weights == {}
    name, parameter = next(iter(backbone.parameters("denoiser").items()))
    with torch.no_grad():
        parameter += 1
    assert list(backbone.delta().weights) == [name]


def test_delta_of_another_model_is_refused(backbone):
    with pytest.raises(BackboneError, match="made for backbone revision other"):
        backbone.apply(Delta(details={"backbone": "other"}))


def test_distance_by_hand(backbone):
    parameters = backbone.parameters("cross_attention_kv")
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.5
    entries = sum(parameter.numel() for parameter in parameters.values())
    distance = backbone.distance()
    assert distance.l2 == pytest.approx(0.5 * entries**0.5, rel=1e-6)
    assert distance.denoiser_l2 == distance.l2
    assert distance.tensor_mean == pytest.approx(0.25 * len(parameters), rel=1e-6)


def test_distance_of_adapters_is_that_of_the_merged_weights(backbone):
    change(backbone, "adapters")
    merged = 0.0
    for module in backbone.networks.denoiser.modules():
        if hasattr(module, "lora_A"):
            merged += float(module.get_delta_weight("default").double().square().sum())
    assert backbone.distance().l2 == pytest.approx(merged**0.5, rel=1e-6)


def test_a_new_word_is_no_distance_of_the_denoiser(backbone):
    change(backbone, "rows")
    assert backbone.distance().l2 > 0
    assert backbone.distance().denoiser_l2 == 0.0


def test_nothing_handed_out_is_at_distance_zero(backbone):
    distance = backbone.distance()
    assert (distance.l2, distance.denoiser_l2, distance.tensor_mean, distance.relative) == (
        0.0,
        0.0,
        0.0,
        None,
    )


def test_groups(backbone):
    everything = dict(backbone.networks.denoiser.named_parameters())
    assert {f"denoiser.{name}" for name in everything} == set(backbone.parameters("denoiser"))
    kv = backbone.parameters("cross_attention_kv")
    assert kv
    assert all(".attn2.to_k." in name or ".attn2.to_v." in name for name in kv)
    assert set(kv) < set(backbone.parameters("attention"))
    with pytest.raises(BackboneError, match="did you mean 'denoiser'"):
        backbone.parameters("denoisers")


def test_latents_are_the_autoencoders_posterior(backbone, photos):
    latents = backbone.latents(photos[:2])
    assert latents.mean.shape == (2, 4, 8, 8)
    image = backbone.fit_size(photos[1])
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(32, 32, 3).permute(2, 0, 1)
    posterior = backbone.networks.autoencoder.encode(pixels[None].float() / 127.5 - 1).latent_dist
    scale = backbone.networks.autoencoder.config.scaling_factor
    torch.testing.assert_close(latents.mean[1:], posterior.mean * scale)
    torch.testing.assert_close(latents.std[1:], posterior.std * scale)


def test_latents_come_from_the_cache_the_second_time(backbone, photos, monkeypatch):
    first = backbone.latents(photos)
    monkeypatch.setattr(type(backbone), "encode", lambda *_: pytest.fail("encoded again"))
    second = backbone.latents(photos)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.std, second.std)


def test_conditioning_keeps_order_and_encodes_once(backbone, monkeypatch):
    encoded = []
    original = type(backbone).encode_prompts
    monkeypatch.setattr(
        type(backbone),
        "encode_prompts",
        lambda self, prompts: encoded.extend(prompts) or original(self, prompts),
    )
    prompts = ["a blue vase", "a green vase", "a blue vase"]
    conditioning = backbone.conditioning(prompts)
    assert torch.equal(conditioning.sequence[0], conditioning.sequence[2])
    assert not torch.equal(conditioning.sequence[0], conditioning.sequence[1])
    backbone.conditioning(["a green vase"])
    assert sorted(encoded) == ["a blue vase", "a green vase"]


def test_a_second_set_of_tokens_or_adapters_is_refused(backbone):
    for kind in ("rows", "adapters"):
        change(backbone, kind)
        with pytest.raises(BackboneError, match="already; restore it first"):
            change(backbone, kind)


def test_adapters_start_without_effect_and_follow_their_seed(backbone):
    drawn = image(backbone)
    first = {n: p.clone() for n, p in backbone.adapters(rank=2, alpha=1, targets=["to_q"], seed=1).items()}
    assert torch.equal(image(backbone), drawn)
    backbone.restore()
    again = backbone.adapters(rank=2, alpha=1, targets=["to_q"], seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    backbone.restore()
    other = backbone.adapters(rank=2, alpha=1, targets=["to_q"], seed=2)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_adapter_targets_must_exist(backbone):
    with pytest.raises(ValueError, match="to_z"):
        backbone.adapters(rank=2, alpha=1, targets=["to_z"], seed=0)
    assert not backbone.changed


def test_folder_with_pickles_only_is_refused(tiny_sd, tmp_path, cache):
    folder = copied(tiny_sd, tmp_path)
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(
        BackboneError, match=r"only pickled weights .diffusion_pytorch_model.bin., which are refused"
    ):
        load_backbone(str(folder), cache=cache)


def test_damaged_weights_are_one_line(tiny_sd, tmp_path, cache):
    folder = copied(tiny_sd, tmp_path)
    weights = next((folder / "unet").glob("*.safetensors"))
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(BackboneError) as caught:
        load_backbone(str(folder), cache=cache)
    assert "unet" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_family_names_the_known(tiny_sd, tmp_path, cache):
    folder = copied(tiny_sd, tmp_path)
    index = folder / "model_index.json"
    text = index.read_text()
    index.unlink()
    index.write_text(text.replace("StableDiffusionPipeline", "StableDifusionPipeline"))
    with pytest.raises(BackboneError, match="did you mean 'StableDiffusionPipeline'"):
        load_backbone(str(folder), cache=cache)


def test_wrong_family_precision_or_folder_is_said_at_once(tiny_sd, tmp_path, cache):
    with pytest.raises(BackboneError, match="family 'sdxl' was requested"):
        load_backbone(BackboneSpec(name="x", path=str(tiny_sd), family="sdxl"), cache=cache)
    with pytest.raises(BackboneError, match="unknown precision 'fp8'"):
        load_backbone(str(tiny_sd), precision="fp8", cache=cache)
    with pytest.raises(BackboneError, match="no such folder"):
        load_backbone(str(tmp_path / "nowhere"), cache=cache)
    with pytest.raises(BackboneError, match="not a diffusers folder"):
        load_backbone(str(tmp_path), cache=cache)


def test_a_hub_id_that_cannot_be_downloaded_says_how_to_do_it_beforehand(monkeypatch, cache):
    def offline(*_, **__):
        raise OSError("no connection\nmore lines")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(
        BackboneError, match=r"no connection\); to download it beforehand: hf download org/model$"
    ):
        load_backbone("org/model@main", cache=cache)


def test_revision_follows_the_content(tiny_sd, tmp_path):
    folder, cache = copied(tiny_sd, tmp_path), tmp_path / "cache"
    revision = backbone_revision(BackboneSpec(name="x", path=str(folder)), cache=cache)
    assert revision == backbone_revision(BackboneSpec(name="y", path=str(tiny_sd)), cache=tmp_path / "other")
    scheduler = folder / "scheduler" / "scheduler_config.json"
    text = scheduler.read_text()
    scheduler.unlink()
    scheduler.write_text(text.replace("epsilon", "v_prediction"))
    assert revision != backbone_revision(BackboneSpec(name="x", path=str(folder)), cache=cache)


@pytest.mark.parametrize("byte", [0, 40, 64, 70])
def test_a_flipped_bit_in_a_remembered_digest_is_found_said_and_changes_no_revision(tiny_sd, tmp_path, byte):
    cache, spec = tmp_path / "cache", BackboneSpec(name="x", path=str(tiny_sd))
    revision = backbone_revision(spec, cache=cache)
    note = min((cache / "digests").iterdir())
    whole = note.read_bytes()
    note.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1]) + whole[byte + 1 :])
    with pytest.warns(UserWarning) as said:
        assert backbone_revision(spec, cache=cache) == revision
    assert [str(each.message) for each in said] == [
        f"{note}: is damaged: its checksum is wrong; computed again"
    ]
    assert note.read_bytes() == whole


def copied(folder, tmp_path):
    """A copy whose files are links: replace them, do not write into them."""
    target = tmp_path / "copy"
    for path in folder.rglob("*"):
        if path.is_file():
            link = target / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(path)
    return target


def test_weights_start_at_aligned_addresses_whatever_the_file_was(backbone):
    networks = backbone.networks
    parts = networks.denoiser, networks.autoencoder, networks.text_encoders[0].model
    assert {weight.data_ptr() % 64 for part in parts for weight in part.parameters()} == {0}
