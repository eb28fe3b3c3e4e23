"""The pretraining loop is resumable bit for bit; the stages' losses and folded forms are what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.errors import ConfigError
from harness.toybox.loading import WEIGHTS
from harness.toybox.pretrain import autoencoder, clip, decoder, dino, shipping, stages, unet
from harness.toybox.pretrain.loop import Draw, Training, TrainingSchedule, averaged, crossed, train
from harness.toybox.pretrain.muon import orthogonalized, weight_groups
from harness.toybox.pretrain.renders import Pool, Recipe, missing, write_shard


def small_network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.LayerNorm(16), nn.Linear(16, 6))


def regression(network: nn.Module, draw: Draw) -> Tensor:
    x = torch.from_numpy(draw.numpy.normal(size=(8, 6))).float()
    return (network(x + 0.1 * draw.normal(8, 6)).float() - x.flip(1)).square().mean()


def small_autoencoder() -> nn.Module:
    torch.manual_seed(4)
    shape = {"block_out_channels": (8, 8), "norm_num_groups": 4, "sample_size": 16}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return autoencoder.AutoencoderKL(**{**autoencoder.ARCHITECTURE, **shape, **blocks})


def reconstruction(network: nn.Module, draw: Draw) -> Tensor:
    return autoencoder.autoencoder_loss(network, draw.normal(2, 3, 16, 16).clamp(-1, 1), draw)


STAGES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Draw], Tensor]]] = {
    "regression": (small_network, regression),
    "autoencoder": (small_autoencoder, reconstruction),
}


@pytest.mark.parametrize("name", STAGES)
def test_killed_and_resumed_equals_uninterrupted(name: str, tmp_path: Path) -> None:
    build, loss = STAGES[name]
    course = TrainingSchedule(
        pictures=96, batch=8, lr=1e-2, adam=1e-2, warmup=3, cooldown=0.5, evaluate_every=24
    )

    def go(folder: str, stop_after: int | None, checkpoint_seconds: float = 0.0) -> None:
        train(
            name, build(), loss=loss, evaluate=lambda network: {"figure": 1.0}, course=course,
            workdir=tmp_path / folder, checkpoint_seconds=checkpoint_seconds, stop_after=stop_after,
        )  # fmt: skip

    go("unbroken", None)
    go("broken", 2)  # a checkpoint after each step
    go("broken", 3, checkpoint_seconds=1e9)  # killed with three steps not saved
    go("broken", 4)
    go("broken", None)
    states = [torch.load(tmp_path / folder / f"{name}.pt") for folder in ("unbroken", "broken")]
    assert states[0]["step"] == states[1]["step"] == 12
    for part in ("networks", "averaged"):
        for key, weight in states[0][part].items():
            assert torch.equal(weight, states[1][part][key]), key
    curves = [
        (tmp_path / folder / f"{name}.csv").read_text().splitlines() for folder in ("unbroken", "broken")
    ]
    assert [line.split(",")[0] for line in curves[0]] == [line.split(",")[0] for line in curves[1]]


def test_a_finished_stage_continues_when_asked_for_more_pictures(tmp_path: Path) -> None:
    for pictures in (16, 48):
        course = TrainingSchedule(pictures=pictures, batch=8, lr=1e-2, adam=1e-2)
        done = train(
            "more",
            small_network(),
            loss=regression,
            evaluate=lambda network: {},
            course=course,
            workdir=tmp_path,
        )
    assert done.step == 6


def test_the_average_lags_behind_the_weights(tmp_path: Path) -> None:
    course = TrainingSchedule(pictures=80, batch=8, lr=1e-2, adam=1e-2, average=0.9)
    done = train(
        "lag", small_network(), loss=regression, evaluate=lambda network: {}, course=course, workdir=tmp_path
    )
    mean = averaged("lag", small_network(), tmp_path)
    for ours, kept, live in zip(
        mean.parameters(), done.averaged.parameters(), done.networks.parameters(), strict=True
    ):
        assert torch.equal(ours, kept)
        assert not torch.equal(ours, live)


def test_averaged_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run the stage 'text' first"):
        averaged("text", small_network(), tmp_path)


def begun(folder: Path, *, encoder: str | None = None, **changed: int) -> Training:
    """Train a few steps, or continue them."""
    course = replace(TrainingSchedule(pictures=16, batch=8, lr=1e-2, adam=1e-2), **changed)
    return train(
        "begun", small_network(), loss=regression, evaluate=lambda network: {}, course=course,
        workdir=folder, encoder=encoder,
    )  # fmt: skip


def test_a_checkpoint_of_another_course_or_encoder_is_refused_in_a_line(tmp_path: Path) -> None:
    begun(tmp_path, encoder="abc")
    with pytest.raises(ConfigError, match=r"begun.pt: trained with batch 8, now 4; move it away"):
        begun(tmp_path, encoder="abc", batch=4)
    with pytest.raises(ConfigError, match=r"begun.pt: trained with the encoder abc, autoencoder.pt now"):
        begun(tmp_path, encoder="xyz", pictures=32)
    with pytest.raises(ConfigError, match="the encoder abc"):
        averaged("begun", small_network(), tmp_path, encoder="xyz")
    assert begun(tmp_path, encoder="abc", pictures=32).step == 4


def test_a_checkpoint_that_says_no_course_is_continued(tmp_path: Path) -> None:
    begun(tmp_path)
    state = torch.load(tmp_path / "begun.pt", weights_only=True)
    torch.save({name: part for name, part in state.items() if name not in ("course", "encoder")},
               tmp_path / "begun.pt")  # fmt: skip
    assert begun(tmp_path, encoder="abc", pictures=32).step == 4
    assert torch.load(tmp_path / "begun.pt", weights_only=True)["encoder"] == "abc"


def test_an_older_decoder_does_not_hide_a_newer_autoencoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Grey:
        def __init__(self, workdir: Path, name: str) -> None: ...

        def pictures(self, indices: range) -> Tensor:
            return torch.full((2, 3, 16, 16), 128, dtype=torch.uint8)

    monkeypatch.setattr(autoencoder, "build", small_autoencoder)
    monkeypatch.setattr(autoencoder, "Pool", Grey)
    monkeypatch.setattr(autoencoder, "centre_latents", lambda network, pictures: None)
    first, polished, newer = small_autoencoder(), small_autoencoder(), small_autoencoder()
    with torch.no_grad():
        polished.get_parameter("decoder.conv_out.bias").fill_(0.5)
        newer.get_parameter("encoder.conv_in.bias").fill_(0.25)
    torch.save({"averaged": first.state_dict()}, tmp_path / "autoencoder.pt")
    torch.save({"averaged": polished.state_dict()}, tmp_path / "decoder.pt")
    assert autoencoder.trained(tmp_path).decoder.conv_out.bias.tolist() == [0.5, 0.5, 0.5]
    torch.save({"averaged": newer.state_dict()}, tmp_path / "autoencoder.pt")
    with pytest.raises(ConfigError, match=r"decoder.pt: polishes an earlier autoencoder"):
        autoencoder.trained(tmp_path)


def test_the_rates_climb_hold_and_cool() -> None:
    course = TrainingSchedule(pictures=1_000, batch=10, warmup=10, cooldown=0.2)
    paces = [course.pace(step) for step in range(course.steps)]
    assert paces[0] == pytest.approx(0.1)
    assert paces[10:81] == [1.0] * 71
    assert paces[-1] == pytest.approx(0.05)


def test_evaluations_fall_on_the_same_pictures_for_any_batch() -> None:
    course = TrainingSchedule(pictures=100, batch=7, evaluate_every=20)
    assert [step for step in range(1, 15) if crossed(step, course)] == [3, 6, 9, 12]


def test_embeddings_and_vectors_do_not_decay() -> None:
    network = nn.ModuleDict({"table": nn.Embedding(5, 4), "linear": nn.Linear(4, 4), "thin": nn.Linear(4, 1)})
    matrices, others = weight_groups(network)
    assert [weight.shape for weight in matrices] == [(4, 4)]
    assert {tuple(weight.shape) for weight in others} == {(5, 4), (4,), (1, 4), (1,)}


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    for shape in ((8, 30), (30, 8)):
        matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(orthogonalized(matrix))
        assert 0.6 < values.min() < values.max() < 1.3


def test_draws_depend_on_seed_and_step_alone() -> None:
    first, again, other = Draw.of(1, 5), Draw.of(1, 5), Draw.of(1, 6)
    assert first.numpy.random() == again.numpy.random() != other.numpy.random()
    assert torch.equal(first.normal(3), again.normal(3))


def test_parts_share_all_shards_without_overlap(tmp_path: Path) -> None:
    whole = set(missing(tmp_path, None, (0, 1)))
    halves = [set(missing(tmp_path, None, (part, 2))) for part in range(2)]
    assert halves[0] | halves[1] == whole
    assert not halves[0] & halves[1]


def test_a_begun_shard_is_drawn_whole(tmp_path: Path) -> None:
    drawn = [shard for pool, shard in missing(tmp_path, 1_500, (0, 1)) if pool == "named"]
    assert drawn == [0, 1]


def test_a_pool_reads_pictures_and_scenes_across_shards(tmp_path: Path) -> None:
    recipe = Recipe(seed=9, pictures=6, views=2)
    folder = tmp_path / "renders" / "small"
    for shard in range(2):
        write_shard(recipe.scenes(shard, 3), folder / f"{shard:05d}.npy")
    pool = Pool(tmp_path, "small")
    assert len(pool) == len(pool.scenes) == 6
    assert pool.scenes[0].shape == pool.scenes[1].shape
    assert pool.scenes[:3] == recipe.scenes(0, 3)
    again = pool.pictures([4, 0])
    assert torch.equal(again[1], pool.pictures([0])[0])
    assert torch.equal(again[0], torch.from_numpy(np.load(folder / "00001.npy")[1]))


def test_centring_latents_changes_no_reconstruction() -> None:
    network = small_autoencoder().eval()
    pictures = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        before = autoencoder.reconstruct(network, pictures)
        autoencoder.centre_latents(network, pictures)
        latents = network.encode(pictures).latent_dist.mode() * network.config.scaling_factor
        after = autoencoder.reconstruct(network, pictures)
    assert torch.allclose(before, after, atol=1e-5)
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert latents.std().item() == pytest.approx(1, abs=1e-3)


def test_psnr_by_hand() -> None:
    target = torch.zeros(1, 3, 4, 4)
    assert autoencoder.psnr(target + 0.2, target).item() == pytest.approx(20.0)


def test_snr_weights_are_one_where_noise_prevails() -> None:
    weights = unet.snr_weights(torch.tensor([0.5, 10 / 11]))
    assert weights.tolist() == pytest.approx([1.0, 0.5])


def test_spread_steps_fall_one_into_each_share() -> None:
    steps = unet.spread_steps(Draw.of(0, 0), 10, 1_000)
    assert (steps // 100).tolist() == list(range(10))


def test_equal_captions_are_not_told_apart() -> None:
    features = torch.eye(3)
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    masked = clip.contrastive_loss(features, features, torch.tensor(1.0), same)
    expected = -torch.log(torch.tensor([np.e / (np.e + 1), np.e / (np.e + 1), np.e / (np.e + 2)])).mean()
    assert masked.item() == pytest.approx(expected.item(), abs=1e-6)


def test_cut_captions_encode_as_whole_ones() -> None:
    network = clip.build().eval()
    tokens = clip.open_clip.tokenize(["a mug", "a photo of a red teapot wearing a hat"])
    with torch.no_grad():
        assert torch.allclose(
            clip.encode_captions(network, tokens), network.encode_text(tokens, normalize=True), atol=1e-5
        )


def test_instance_loss_is_small_when_pairs_agree() -> None:
    pairs = torch.eye(4).repeat_interleave(2, dim=0)
    assert dino.instance_loss(pairs) < 1e-3 < dino.instance_loss(torch.eye(8))


def test_half_of_the_instances_drawn_are_of_one_class_and_none_comes_twice() -> None:
    classes = np.arange(400) % 8
    drawn = dino.draw_instances(np.random.default_rng(0), classes, 32)
    assert len(set(drawn)) == 32
    assert np.bincount(classes[drawn]).max() >= 16


def test_two_views_are_of_one_instance_and_differ() -> None:
    rows = dino.two_views(np.random.default_rng(0), np.arange(50), 4).reshape(50, 2)
    assert (rows // 4 == np.arange(50)[:, None]).all()
    assert (rows[:, 0] != rows[:, 1]).all()


def test_auc_by_hand() -> None:
    assert dino.auc(torch.tensor([0.5, 0.9]), torch.tensor([0.1, 0.5, 0.6])) == pytest.approx((1.5 + 3) / 6)


SHIPPED = {
    "text": "sd/text_encoder/model.safetensors",
    "clip": "clip.safetensors",
    "dino": "dino.safetensors",
    "dino2": "dino-2.safetensors",
    "probe": "probe.safetensors",
    "probe2": "probe-2.safetensors",
    "unet": "sd/unet/diffusion_pytorch_model.safetensors",
    "autoencoder": "sd/vae/diffusion_pytorch_model.safetensors",
}


@pytest.mark.parametrize("stage", SHIPPED)
def test_exported_after_being_adopted_the_shipped_weights_come_back(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(SHIPPED) == set(stages.ADOPTING)
    monkeypatch.setattr(autoencoder, "CENTRED_ON", 20)
    recipe = Recipe(seed=1, pictures=20)
    write_shard(recipe.scenes(0, 20), tmp_path / "work" / "renders" / "named" / "00000.npy")
    stages.adopt(stage, workdir=tmp_path / "work", weights=WEIGHTS)
    stages.export(stage, workdir=tmp_path / "work", weights=tmp_path / "out")
    shipped, back = (load_file(folder / SHIPPED[stage]) for folder in (WEIGHTS, tmp_path / "out"))
    moved = {"quant_conv.bias", "post_quant_conv.bias"} if stage == "autoencoder" else set()
    assert shipped.keys() == back.keys()
    for name in shipped.keys() - moved:  # of the autoencoder, latents are centred on other pictures here
        assert back[name].dtype == shipped[name].dtype == torch.float16
        assert torch.equal(back[name], shipped[name]), name


def test_training_continues_from_adopted_weights_and_a_checkpoint_is_not_replaced(tmp_path: Path) -> None:
    shipped = small_network()
    with torch.no_grad():
        for weight in shipped.parameters():
            weight.add_(1)
    shipping.write(shipped, tmp_path / "weights.safetensors")
    course = TrainingSchedule(pictures=8, batch=8, lr=1e-4, adam=1e-4, warmup=1, weight_decay=0.0)
    network = shipping.read(small_network(), tmp_path / "weights.safetensors")
    shipping.begin("some", network, course=course, workdir=tmp_path)
    done = train(
        "some", small_network(), loss=regression, evaluate=lambda network: {}, course=course, workdir=tmp_path
    )
    assert done.step == 1
    for old, new in zip(shipped.parameters(), done.networks.parameters(), strict=True):
        assert torch.allclose(old.float(), new, atol=1e-3) and not torch.equal(old.float(), new)
    with pytest.raises(ConfigError, match=r"some\.pt: is there already"):
        shipping.begin("some", network, course=course, workdir=tmp_path)


def test_weights_of_another_network_and_missing_ones_are_refused_in_one_line(tmp_path: Path) -> None:
    shipping.write(nn.Linear(2, 2), tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no such format")
    for name, words in (
        ("none", "no such weights"),
        ("other", "not the weights"),
        ("broken", "not the weights"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            shipping.read(small_network(), tmp_path / f"{name}.safetensors")
        assert "\n" not in str(caught.value)


def test_an_unknown_stage_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown stage 'vae'; known: renders, autoencoder"):
        stages.stage_module("vae")


def test_polishing_the_decoder_leaves_the_encoder_alone() -> None:
    network = decoder.frozen(small_autoencoder())
    reconstruction(network, Draw.of(0, 0)).backward()
    for name, weight in network.named_parameters():
        assert (weight.grad is None) == name.startswith(("encoder.", "quant_conv.")), name
