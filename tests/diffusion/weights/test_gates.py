"""Adapters that are not always on: masks by hand, what stays the base model's, and what plain LoRA is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.diffusion import contexts
from harness.diffusion.backbones.checks import family_here
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.sampling import sample
from harness.diffusion.weights.adapters import LoRA
from harness.diffusion.weights.delta import Delta
from harness.diffusion.weights.gates import Asked, FromToken, RankOverTime
from harness.errors import BackboneError
from harness.specs import BackboneSpec

CROSS = ("attn2.to_k", "attn2.to_v")
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
START = 49406
"""CLIP's token at the start of every text."""


@pytest.fixture(scope="module", params=["tiny_sd", "tiny_sd_v", "tiny_sdxl"])
def unet(request, cache):
    return load_backbone(str(request.getfixturevalue(request.param)), cache=cache)


@pytest.fixture
def every(unet):
    yield unet
    unet.restore()


def moved(backbone, gate, *, targets=ATTENTION, rank=4):
    """Adapters whose B is not zero any more."""
    factors = backbone.adaptation.adapters(rank=rank, alpha=2.0 * rank, targets=targets, seed=0, gate=gate)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in factors.items():
            if name.endswith("lora_B"):
                value.copy_(torch.randn(value.shape, generator=generator))
    return factors


def asked(backbone, prompts, timesteps=(7, 400, 999)):
    generator = torch.Generator().manual_seed(2)
    noisy = torch.randn((len(timesteps), *backbone.latent_shape), generator=generator)
    return noisy, torch.tensor(timesteps), backbone.conditioning(prompts)


@torch.no_grad()
def predicted(backbone, prompts, timesteps=(7, 400, 999)):
    return backbone.predict(*asked(backbone, prompts, timesteps))


def drawn(backbone, prompts):
    solver = {"sampler": "ddim", "steps": 3, "guidance": 5.0}
    return sample(backbone, prompts, seeds=list(range(len(prompts))), **solver)


PRIOR = ["a photo of a dog", "", "a red mug on a box"]
SUBJECT = ["a photo of a sks dog", "a sks dog on a sofa", "sks dog"]


def test_the_mask_is_on_from_the_first_place_where_the_whole_word_stands():
    tokens = torch.tensor([[1, 5, 6, 7, 5, 6], [1, 6, 5, 5, 7, 2], [1, 2, 3, 4, 5, 6], [5, 6, 0, 0, 0, 0]])
    mask = FromToken((5, 6)).mask(Asked(torch.tensor(3), tokens))
    assert mask[..., 0].tolist() == [[0, 1, 1, 1, 1, 1], [0] * 6, [0, 0, 0, 0, 1, 1], [1] * 6]
    assert FromToken((7,)).mask(Asked(torch.tensor(3), tokens))[..., 0].tolist()[0] == [0, 0, 0, 1, 1, 1]


def test_without_the_word_predictions_and_images_are_the_base_models_bit_for_bit(every):
    before, images = predicted(every, PRIOR), drawn(every, PRIOR)
    speaking = predicted(every, SUBJECT)
    moved(every, FromToken.of(every, "sks"), targets=CROSS)
    assert torch.equal(predicted(every, PRIOR), before)
    assert torch.equal(drawn(every, PRIOR), images)
    for now, base in zip(predicted(every, SUBJECT), speaking, strict=True):
        assert float((now - base).abs().max()) > 1e-3


def test_company_in_the_batch_changes_nothing_of_a_prompt_without_the_word(every):
    mixed = [PRIOR[0], SUBJECT[0], PRIOR[2]]
    before = predicted(every, mixed)
    moved(every, FromToken.of(every, "sks"), targets=CROSS)
    after = predicted(every, mixed)
    assert torch.equal(after[[0, 2]], before[[0, 2]]) and not torch.allclose(after[1], before[1])


def test_keys_before_the_word_are_the_base_models_and_those_from_it_on_are_not(every):
    moved(every, FromToken.of(every, "sks"), targets=CROSS)
    layer = next(m for n, m in every.networks.denoiser.named_modules() if n.endswith("attn2.to_k"))
    heard = []
    hook = layer.register_forward_hook(lambda _m, given, out: heard.append((given[0], out)))
    predicted(every, ["a photo of a sks dog"] * 3)
    hook.remove()
    given, out = heard[0]
    change = (out - layer.base_layer(given)).abs().amax(-1)
    ids = every.conditioning(["a photo of a sks dog"]).tokens[0].tolist()
    place = ids.index(every.networks.text_encoders[0].reader("sks", add_special_tokens=False).input_ids[0])
    assert place == 5 and not change[:, :place].any() and (change[:, place:] > 0).all()


@pytest.mark.parametrize("gate", [FromToken((START,)), RankOverTime(4, 4, 1.0, 1000)])
def test_a_gate_that_is_always_on_is_plain_lora_bit_for_bit(every, gate):
    found = []
    for each in (None, gate):
        moved(every, each, targets=CROSS)
        found.append((predicted(every, SUBJECT), drawn(every, SUBJECT)))
        every.restore()
    assert all(torch.equal(plain, gated) for plain, gated in zip(*found, strict=True))


def test_what_a_context_gives_is_remembered_where_only_tokens_decide(every, monkeypatch):
    moved(every, FromToken.of(every, "sks"), targets=CROSS)
    assert contexts.projections(every.networks.denoiser)
    remembered = drawn(every, SUBJECT)
    monkeypatch.setattr(contexts, "projections", lambda denoiser: [])
    assert torch.equal(drawn(every, SUBJECT), remembered)


@pytest.mark.parametrize("make", [lambda b: FromToken.of(b, "sks"), lambda _: RankOverTime(4, 1, 2.0, 1000)])
def test_the_gate_goes_through_a_file(every, make):
    moved(every, make(every), targets=CROSS)
    before, tuned = predicted(every, SUBJECT), every.delta()
    data = tuned.to_bytes()
    every.apply(Delta.from_bytes(data))
    assert torch.equal(predicted(every, SUBJECT), before) and every.delta().to_bytes() == data
    lora = LoRA(4, 8.0, CROSS, make(every))
    assert LoRA.read(lora.details()) == lora


def test_a_family_whose_conditioning_does_not_say_where_the_word_stands_is_refused(tiny_sd3, cache):
    sd3 = load_backbone(str(tiny_sd3), cache=cache)
    with pytest.raises(BackboneError, match=r"'sd3' does not say where a token stands; .*\(sd, sdxl\)"):
        FromToken.of(sd3, "sks")
    spec = BackboneSpec(name="x", path=str(tiny_sd3))
    assert family_here(spec) == "sd3"  # so that a dry run skips it before anything is loaded


def test_a_family_that_does_not_tell_its_layers_is_told_so(backbone):
    moved(backbone, RankOverTime(4, 1, 1.0, 1000))
    noisy, timesteps, conditioning = asked(backbone, PRIOR)
    with pytest.raises(BackboneError, match="was not told"):
        backbone.networks.denoiser(noisy, timesteps, conditioning.sequence)
    with pytest.raises(BackboneError, match="not told where the tokens stand"):
        FromToken((1,)).mask(Asked(timesteps, None))


# T-LoRA.


@given(
    t=st.integers(0, 999),
    most=st.integers(1, 64),
    least=st.integers(1, 64),
    power=st.sampled_from([1, 2, 3]),
)
def test_the_rank_is_the_formula_in_whole_numbers(t, most, least, power):
    least = min(least, most)
    gate = RankOverTime(most, least, float(power), 1000)
    expected = (1000 - t) ** power * (most - least) // 1000**power + least
    assert int(gate.ranks(torch.tensor(t))) == expected
    mask = gate.mask(Asked(torch.tensor([t, 0]), None))
    assert mask.shape == (2, 1, most) and mask.sum(-1).flatten().tolist() == [expected, most]


def test_where_the_rank_is_whole_it_is_plain_lora_and_elsewhere_the_lora_of_the_first_directions(every):
    gate, rank = RankOverTime(4, 1, 1.0, 1000), 2
    t = 500  # ⌊0.5·3⌋ + 1 = 2
    moved(every, gate)
    at_start, later = predicted(every, PRIOR, (0, 0, 0)), predicted(every, PRIOR, (t, t, t))
    every.restore()
    factors = moved(every, None)
    torch.testing.assert_close(at_start, predicted(every, PRIOR, (0, 0, 0)), rtol=0, atol=0)
    with torch.no_grad():
        for name, value in factors.items():
            if name.endswith("lora_A"):
                value[rank:] = 0
    torch.testing.assert_close(later, predicted(every, PRIOR, (t, t, t)), rtol=1e-5, atol=1e-5)


def test_each_example_of_a_batch_has_its_own_rank(every):
    moved(every, RankOverTime(4, 1, 1.0, 1000))
    timesteps = (10, 500, 990)
    together = predicted(every, PRIOR, timesteps)
    noisy, t, conditioning = asked(every, PRIOR, timesteps)
    with torch.no_grad():
        alone = [every.predict(noisy[[i]], t[[i]], conditioning[[i]]) for i in range(3)]
        scalar = every.predict(noisy[[1]], t[1], conditioning[[1]])
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone[1], scalar, rtol=1e-5, atol=1e-5)


def test_directions_beyond_the_rank_receive_no_gradient(every):
    factors = moved(every, RankOverTime(4, 1, 1.0, 1000))
    for value in factors.values():
        value.requires_grad_(True)
    every.predict(*asked(every, PRIOR, (500, 700, 999))).square().sum().backward()  # ranks 2, 1, 1
    for name, value in factors.items():
        beyond = value.grad[2:] if name.endswith("lora_A") else value.grad[:, 2:]
        first = value.grad[:2] if name.endswith("lora_A") else value.grad[:, :2]
        assert not beyond.any() and first.any()
        value.requires_grad_(False)


def test_what_depends_on_time_is_computed_at_every_step_of_a_sampler(every, monkeypatch):
    moved(every, RankOverTime(4, 1, 1.0, 1000))
    assert contexts.projections(every.networks.denoiser) == []
    as_sampled = drawn(every, PRIOR)
    every.restore()
    assert len(contexts.projections(every.networks.denoiser)) > 0
    moved(every, RankOverTime(4, 1, 1.0, 1000))
    monkeypatch.setattr(contexts, "projections", lambda denoiser: [])
    assert torch.equal(drawn(every, PRIOR), as_sampled)


def test_an_orthogonal_start_has_orthonormal_rows(backbone):
    factors = backbone.adaptation.adapters(rank=4, alpha=4.0, targets=CROSS, seed=0, start="orthogonal")
    for name, value in factors.items():
        if name.endswith("lora_A"):
            torch.testing.assert_close(value @ value.T, torch.eye(4), rtol=0, atol=1e-5)
