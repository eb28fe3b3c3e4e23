"""What is measured of blocks: derivatives against differences, gains one by one, shares put in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.diffusion.backbones.families import FAMILIES
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.weights.blocks import BlockShares, block_of
from harness.diffusion.weights.delta import Delta
from harness.diffusion.weights.rotations import OFT
from harness.metrics.scorer_inputs import PriorPrompt
from harness.trial import tangents
from harness.trial.block_changes import BlockChanges
from harness.trial.noise_probe import NoiseProbe, predict
from harness.trial.readouts import shares_of
from harness.trial.subject_loss import SubjectLoss

TARGETS = ("to_q", "to_v")


def moved(backbone, kind, size=0.02):
    """Change the denoiser as a fit would, and return the change."""
    generator = torch.Generator().manual_seed(1)
    if kind == "full":
        parameters = backbone.parameters("denoiser")
    elif kind == "adapters":
        parameters = backbone.adapters(rank=2, alpha=2.0, targets=TARGETS, seed=0)
    else:
        parameters = backbone.adaptation.rotations(OFT(TARGETS))
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return backbone.delta()


def noises(backbone):
    generator = torch.Generator().manual_seed(3)
    prompts = tuple(PriorPrompt("class", text, 7 + n, 0) for n, text in enumerate(("a dog", "a mug")))
    latents = torch.randn(2, *backbone.latent_shape, generator=generator)
    timesteps = backbone.draw_timesteps(2, generator=generator)
    asked = NoiseProbe(prompts, latents, timesteps, torch.empty(0))
    return NoiseProbe(prompts, latents, timesteps, predict(backbone, asked))


def differences(backbone, whole, blocks, probe, step=1e-2):
    """(ε_{θ0+hΔ_b} − ε_{θ0−hΔ_b})/2h for every block: [B, n·T·c·h·w]."""
    rows = []
    for row in np.eye(len(blocks.names)):
        ends = []
        for sign in (step, -step):
            blocks.place(sign * row)
            ends.append(predict(backbone, probe).double().flatten())
        rows.append((ends[0] - ends[1]) / (2 * step))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("family", "kind"),
    [("tiny_sd", "full"), ("tiny_sd", "rotations"), ("tiny_sdxl", "adapters"), ("tiny_sd3", "full")],
)
def test_the_gram_is_that_of_differences_of_predictions(family, kind, cache, request, photos):
    backbone = load_backbone(str(request.getfixturevalue(family)), cache=cache)
    probe = noises(backbone)
    whole = moved(backbone, kind)
    blocks = BlockChanges(backbone, whole)
    assert len(blocks.names) > 1
    if kind == "full":
        assert "rest" in blocks.names
    rows = differences(backbone, whole, blocks, probe)
    expected = (rows @ rows.T / 4).numpy()
    found = blocks._gram(probe)
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()
    assert np.diag(found) == pytest.approx(np.diag(expected), rel=0.05)


def test_without_a_forward_derivative_a_difference_is_taken(backbone, monkeypatch):
    probe = noises(backbone)
    blocks = BlockChanges(backbone, moved(backbone, "adapters", size=0.2))
    forward = blocks._gram(probe)

    def lacking(*given):
        raise NotImplementedError("Trying to use forward AD with x that does not support it")

    monkeypatch.setattr(tangents, "_derivative", lacking)
    quotient = blocks._gram(probe)
    assert not np.array_equal(quotient, forward)
    assert np.diag(quotient) == pytest.approx(np.diag(forward), rel=0.1)


def test_gains_are_falls_of_the_loss_with_one_block_alone_half_way(backbone, photos):
    whole = moved(backbone, "full", size=0.1)
    blocks = BlockChanges(backbone, whole)
    loss = SubjectLoss.of(backbone, photos[:2], "sks dog", seed=0)
    found = blocks._gains(loss)

    def value(shares):
        with torch.no_grad():
            base, pattern = backbone.adaptation.weights.base, FAMILIES["sd"].blocks
            for name, parameter in backbone.adaptation.weights.out.items():
                share = shares.get(block_of(name, pattern), 0.0)
                parameter.copy_(base[name] + share * (whole.weights[name] - base[name]))
            conditioning = backbone.conditioning([loss.caption] * len(loss.noisy))
            predicted = backbone.predict(loss.noisy, loss.timesteps, conditioning)
            return float((predicted - loss.targets).square().mean())

    for name, fall in zip(blocks.names, found, strict=True):
        assert fall == pytest.approx(value({}) - value({name: 0.5}), rel=1e-3, abs=1e-6)
    assert len(loss.noisy) == 160


def test_the_loss_is_the_same_for_the_same_seed_and_reads_every_shot(backbone, photos):
    one, same, other = (
        SubjectLoss.of(backbone, photos[:3], "sks dog", seed=seed).value(backbone) for seed in (0, 0, 1)
    )
    assert one == same != other
    fewer = SubjectLoss.of(backbone, photos[:2], "sks dog", seed=0).value(backbone)
    assert fewer != one


@pytest.mark.parametrize("kind", ["full", "adapters", "rotations"])
def test_shares_of_blocks_go_to_a_file_and_come_back(backbone, kind):
    whole = moved(backbone, kind, size=0.1)
    blocks = BlockChanges(backbone, whole)
    blocks.place(np.linspace(0.2, 1.0, len(blocks.names)))
    probe = noises(backbone)
    part = Delta.from_bytes(backbone.delta().to_bytes())
    backbone.apply(part)
    assert torch.equal(predict(backbone, probe), probe.predictions)
    backbone.interpolate(part, 0.5)  # half of what is there
    halved = noises(backbone).predictions
    blocks.place(0.5 * np.linspace(0.2, 1.0, len(blocks.names)))
    torch.testing.assert_close(noises(backbone).predictions, halved, atol=1e-5, rtol=1e-4)
    blocks.place([1.0] * len(blocks.names))
    assert backbone.delta().to_bytes() == whole.to_bytes()


def test_names_belong_to_blocks():
    unet, sd3 = (FAMILIES[name].blocks for name in ("sd", "sd3"))
    assert block_of("denoiser.up_blocks.2.resnets.0.conv1.weight", unet) == "up_blocks.2"
    assert block_of("denoiser.mid_block.attentions.0.proj_in.bias", unet) == "mid_block"
    assert block_of("denoiser.conv_in.weight", unet) == "rest"
    assert block_of("denoiser.transformer_blocks.11.attn.to_q.lora_B", sd3) == "transformer_blocks.11"
    assert block_of("text_encoder.new_tokens", unet) is None


def test_a_record_says_what_a_merge_had_of_each_block():
    assert shares_of({"alpha": 0.25, "limit": 3.0}, "x") == 0.25
    assert shares_of({"limit": 3.0, "calibration": 0.0}, "x") == 1.0
    found = shares_of({"share.mid_block": 0.5, "limit": 3.0}, FAMILIES["sd"].blocks)
    assert isinstance(found, BlockShares)
    assert found("denoiser.mid_block.x") == 0.5 and found("text_encoder.new_tokens") == 1.0
    assert found("denoiser.conv_in.weight") == 0.0
