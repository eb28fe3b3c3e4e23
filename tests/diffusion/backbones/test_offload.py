"""What spares memory changes no result: checkpointing, layout, slices, offloading, smaller batches."""

import pytest
import torch

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.backbones.offload import Offload
from harness.diffusion.denoising import DenoisingLoss
from harness.diffusion.draws import stream
from harness.diffusion.sampling import sample_images
from harness.diffusion.training import Example, OutOfMemory, Trainer, TrainingSet
from harness.specs import DriftSet, Execution, Sampling
from harness.trial.reference import ReferenceSampler

FAMILIES = ["tiny_sd", "tiny_sd_v", "tiny_sdxl", "tiny_sd3"]
SETTINGS = {"seeds": [1, 2, 3, 4, 5], "steps": 2, "guidance": 3.0}


@pytest.fixture(params=FAMILIES)
def folder(request):
    return request.getfixturevalue(request.param)


def loaded(folder, cache, **chosen):
    return load_backbone(str(folder), cache=cache, execution=Execution(**chosen))


def gradients(backbone, photos):
    parameters = backbone.parameters("denoiser")
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    training_set = TrainingSet.prepare(
        backbone, [Example(photo, ("a dog",)) for photo in photos], None, torch.Generator()
    )
    drawn = stream(backbone, training_set, None, batch=2, generator=torch.Generator().manual_seed(3))
    loss = DenoisingLoss(backbone)(next(drawn))
    loss.backward()
    return loss.detach(), {
        name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None
    }


def test_gradient_checkpointing_computes_the_same_gradients(folder, cache, photos, monkeypatch):
    loss, plain = gradients(loaded(folder, cache), photos)
    again = []
    original = torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(
        torch.utils.checkpoint, "checkpoint", lambda *a, **k: again.append(1) or original(*a, **k)
    )
    same, recomputed = gradients(loaded(folder, cache, gradient_checkpointing=True), photos)
    assert again
    assert torch.equal(loss, same)
    assert plain.keys() == recomputed.keys()
    assert all(torch.equal(plain[name], recomputed[name]) for name in plain)


def test_channels_last_changes_last_digits_alone_and_is_left_bit_for_bit(folder, cache, photos):
    _, plain = gradients(loaded(folder, cache), photos)
    backbone = loaded(folder, cache, channels_last=True)
    before = {name: value.clone() for name, value in backbone.networks.denoiser.state_dict().items()}
    filters = [value for value in backbone.networks.denoiser.parameters() if value.ndim == 4]
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in filters)
    _, last = gradients(backbone, photos)
    for name, gradient in plain.items():
        torch.testing.assert_close(last[name], gradient, rtol=1e-4, atol=1e-5)
    example = [Example(photo, ("a dog",)) for photo in photos]
    settings = {"steps": 2, "lr": 1e-3, "batch": 1}
    Trainer(seed=0).fit(backbone, parameters=backbone.parameters("denoiser"), examples=example, **settings)
    backbone.restore()
    after = backbone.networks.denoiser.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("way", ["sliced", "tiled"])
def test_slices_and_tiles_give_the_same_images(folder, cache, way):
    whole, parts = loaded(folder, cache, autoencoder="whole"), loaded(folder, cache, autoencoder=way)
    latents = torch.randn(3, *whole.latent_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pixels = whole.images(latents)
        torch.testing.assert_close(parts.images(latents), pixels, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(parts.encode(pixels).mean, whole.encode(pixels).mean, rtol=1e-4, atol=1e-4)


def test_tiles_do_not_share_a_cache_with_whole_images(tiny_sd, cache):
    assert loaded(tiny_sd, cache, autoencoder="tiled").identity != loaded(tiny_sd, cache).identity
    assert loaded(tiny_sd, cache, autoencoder="sliced").identity == loaded(tiny_sd, cache).identity


class Network:
    """Stands for a network on a GPU that is not here: remembers where it was sent."""

    def __init__(self, device):
        self.device, self.sent = torch.device(device), []

    def parameters(self):
        yield self

    def to(self, device):
        self.device = torch.device(device)
        self.sent.append(self.device.type)


def test_offloaded_networks_come_back_when_they_are_needed():
    network, offload = Network("cuda"), Offload(torch.device("cuda"), Execution())
    offload.ready(network)
    assert network.sent == []
    offload.to_cpu(network)
    offload.ready(network)
    assert network.sent == ["cpu", "cuda"]
    Offload(torch.device("cuda"), Execution(cpu_offload=False)).to_cpu(network)
    Offload(torch.device("cpu"), Execution()).to_cpu(network)
    assert network.sent == ["cpu", "cuda"]


@pytest.mark.parametrize(
    ("old", "new"), [("park", "cpu_offload"), ("checkpointing", "gradient_checkpointing")]
)
def test_an_old_key_names_the_new_one(old, new):
    with pytest.raises(ValueError, match=f"{old} is called {new} now"):
        Execution(**{old: True})


@pytest.mark.parametrize("taught", [False, True])
def test_training_offloads_what_it_does_not_need(tiny_sdxl, cache, photos, monkeypatch, taught):
    backbone, offloaded = loaded(tiny_sdxl, cache), []
    monkeypatch.setattr(Offload, "to_cpu", lambda self, *networks: offloaded.extend(networks))
    parameters = backbone.token_rows(["<v>"], ["dog"]) if taught else backbone.parameters("denoiser")
    example = [Example(photo, ("a photo of a <v>" if taught else "a dog",)) for photo in photos]
    Trainer(seed=0).fit(backbone, parameters=parameters, examples=example, steps=1, lr=1e-3, batch=1)
    texts = [] if taught else [encoder.model for encoder in backbone.networks.text_encoders]
    assert offloaded == [backbone.networks.autoencoder, *texts]


def no_more_than(limit, monkeypatch):
    original = Backbone.conditioning

    def conditioning(self, prompts):
        if len(prompts) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")
        return original(self, prompts)

    monkeypatch.setattr(Backbone, "conditioning", conditioning)


def test_out_of_memory_while_sampling_halves_the_batch_and_draws_the_same(folder, cache, monkeypatch):
    backbone = loaded(folder, cache)
    settings = {**SETTINGS, "sampler": "euler"}
    whole = sample_images(backbone, ["a dog"] * 5, **settings)
    no_more_than(2, monkeypatch)
    reports = []
    halved = sample_images(backbone, ["a dog"] * 5, **settings, report=lambda *done: reports.append(done))
    assert (whole.int() - halved.int()).abs().max() <= 1
    assert reports == [(2, 5), (4, 5), (5, 5)]
    assert list(backbone.batches.halved.values()) == [2]


def test_out_of_memory_while_measuring_drift_goes_on(tiny_sd, tmp_path, monkeypatch):
    texts = lambda n: {"class": ["a photo of a dog"] * n}  # noqa: E731
    chosen = Sampling(steps=2), DriftSet(prompts=4, timesteps=2, images=2)
    whole = ReferenceSampler(loaded(tiny_sd, tmp_path / "a"), *chosen).reference(texts)
    no_more_than(4, monkeypatch)
    halved = ReferenceSampler(loaded(tiny_sd, tmp_path / "b"), *chosen).reference(texts)
    torch.testing.assert_close(halved.probe.predictions, whole.probe.predictions, rtol=1e-4, atol=1e-4)


def test_out_of_memory_in_training_says_what_to_change(tiny_sd, cache, photos, monkeypatch):
    backbone = loaded(tiny_sd, cache)
    monkeypatch.setattr(Backbone, "make_room", lambda self, taught: no_more_than(0, monkeypatch))
    example = [Example(photo, ("a dog",)) for photo in photos]
    with pytest.raises(OutOfMemory, match=r"training 2 images at once .*execution.gradient_checkpoint"):
        Trainer(seed=0).fit(
            backbone, parameters=backbone.parameters("denoiser"), examples=example, steps=1, lr=1e-3, batch=2
        )
    assert not any(parameter.requires_grad for parameter in backbone.networks.denoiser.parameters())
