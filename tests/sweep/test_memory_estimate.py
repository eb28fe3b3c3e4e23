"""Memory by arithmetic: the released U-Net's own figures, and the real objects of a tiny one."""

import pytest
from released import sd15

from harness import methods
from harness.diffusion.backbones.loading import load_backbone, without_weights
from harness.specs import BackboneSpec
from harness.sweep.memory_estimate import estimate

UNET = 859_520_964


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A folder with the configuration of Stable Diffusion 1.5, and no weights."""
    folder = tmp_path_factory.mktemp("released")
    sd15(folder)
    return folder


def memory(folder, name, *, offloaded=True, precision="fp32", **params):
    backbone = without_weights(BackboneSpec(name="x", path=str(folder)), precision=precision)
    kind = methods.load(name)
    method = methods.build(kind, methods.resolve_params(kind, params, "x"))
    return estimate(backbone, method, "dog", offloaded=offloaded)


def test_the_full_fine_tune_of_stable_diffusion_takes_twenty_bytes_a_parameter(released):
    found = memory(released, "dreambooth")
    assert found.training == 20 * UNET == 17_190_419_280
    assert (found.weights, found.base, found.gradients, found.optimizer) == (
        4 * UNET,
        4 * UNET,
        4 * UNET,
        8 * UNET,
    )
    assert found.images == 1
    assert memory(released, "dreambooth", prior_weight=1.0).images == 2


def test_half_precision_keeps_half_of_what_is_not_trained(released):
    assert memory(released, "dreambooth", precision="bf16").training == (4 + 2 + 4 + 8) * UNET
    kv = 19_169_280
    found = memory(released, "custom_diffusion", precision="bf16")
    rows = 768
    assert found.optimizer == 8 * (kv + rows)
    assert found.base == 2 * kv
    texts = found.weights - (2 * (UNET - kv) + 4 * kv)
    assert texts == 4 * (123_060_480 + rows)  # the word is taught: CLIP's text encoder stays at hand


def test_what_is_not_offloaded_counts(released):
    found = memory(released, "dreambooth", offloaded=False)
    assert found.weights - 4 * UNET == 4 * (83_653_863 + 123_060_480)


def test_nothing_is_trained_by_the_base_model(released):
    found = memory(released, "frozen")
    assert (found.training, found.images, found.kept) == (4 * UNET, 0, 0)
    assert found.peak == found.sampling == 4 * (UNET + 83_653_863 + 123_060_480)


ADAPTING = ["dreambooth_lora", "oft", "t_lora", "token_lora"]


@pytest.mark.parametrize("name", ["dreambooth", "custom_diffusion", "textual_inversion", *ADAPTING])
def test_arithmetic_is_what_the_loaded_networks_take(tiny_sd, cache, photos, name):
    from harness.api import Subject
    from harness.diffusion.training import Trainer

    found = memory(tiny_sd, name, offloaded=False)
    backbone = load_backbone(str(tiny_sd), cache=cache)
    kind = methods.load(name)
    small = {"steps": 1, "batch": 1, "prior_count": 1, "accumulate": 1}
    params = {key: value for key, value in small.items() if key in kind.__dataclass_fields__}
    method = methods.build(kind, methods.resolve_params(kind, params, "x"))
    method.fit(backbone, Subject("rex", "dog", photos), Trainer(seed=0))
    networks = [backbone.networks.denoiser, backbone.networks.autoencoder]
    networks += [encoder.model for encoder in backbone.networks.text_encoders]
    assert found.weights == sum(p.nbytes for network in networks for p in network.parameters())
    assert found.kept == backbone.trained_bytes
