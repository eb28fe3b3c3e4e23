"""T-LoRA and Token-LoRA restated: what A makes of inputs counts by rank and noise, or by place of a word."""

from __future__ import annotations

import math

import pytest
import torch
from recipes.comparison import assert_same_update
from recipes.restated import adapt, train
from torch import nn

from harness.diffusion.seeds import named_seed
from harness.errors import BackboneError

SMALL = {"steps": 3, "lr": 1e-3, "batch": 2}
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
KEYS_AND_VALUES = ("attn2.to_k", "attn2.to_v")


def beginnings(denoiser, targets, *, rank, fill):
    """A of every adapted layer in the model's order, from one stream."""
    generator = torch.Generator().manual_seed(named_seed("adapters", 5))
    return {
        name: fill(torch.empty(rank, module.in_features), generator)
        for name, module in denoiser.named_modules()
        if isinstance(module, nn.Linear) and name.endswith(tuple(f".{target}" for target in targets))
    }


def gaussian(empty, generator):
    return empty.normal_(0.0, 1 / len(empty), generator=generator)


def orthonormal(empty, generator):
    """Rows that are perpendicular and of length 1, from the QR decomposition of normal numbers."""
    drawn = torch.randn(empty.shape, generator=generator)
    q, r = torch.linalg.qr(drawn.T)
    return (q * r.diagonal().sign()).T.contiguous()


def restated(pair, fitted, targets, *, rank, alpha, fill, gate, **settings):
    denoiser = pair.reference.denoiser
    starts = beginnings(denoiser, targets, rank=rank, fill=fill)
    factors = adapt(denoiser, targets, alpha=alpha, starts=starts, gate=gate)
    trained = [factor for both in factors.values() for factor in both]
    losses = train(pair.reference, trained, fitted.drawn, optimizer="adamw", lr=1e-3, **settings)
    named = {f"denoiser.{name}.lora_A": down for name, (down, _) in factors.items()}
    named |= {f"denoiser.{name}.lora_B": up for name, (_, up) in factors.items()}
    return named, losses


def rank_by_noise(denoiser, *, rank, least):
    """A gate that reads the timesteps off the denoiser's own call: the first r(t) directions of each."""
    seen = []

    def look(_, args, kwargs):
        seen[:] = (kwargs["timestep"] if "timestep" in kwargs else args[1]).tolist()

    denoiser.register_forward_pre_hook(look, with_kwargs=True)

    def gate():
        ranks = [math.floor((1000 - t) / 1000 * (rank - least)) + least for t in seen]
        return torch.tensor([[[float(i < r) for i in range(rank)]] for r in ranks])

    return gate


def test_t_lora_is_lora_of_a_rank_that_falls_with_the_noise(pair, photos):
    given = {"rank": 6, "least_rank": 2, "alpha": 9.0}
    fitted = pair.fit("t_lora", photos, weight_decay=0.1, clip=0.05, **given, **SMALL)
    gate = rank_by_noise(pair.reference.denoiser, rank=6, least=2)
    expected = restated(
        pair, fitted, ATTENTION, rank=6, alpha=9.0, fill=orthonormal, gate=gate, weight_decay=0.1, clip=0.05
    )
    assert_same_update(fitted, *expected)
    ranks = {
        math.floor((1000 - t) / 1000 * 4) + 2 for drawn in fitted.drawn for t in drawn.timesteps.tolist()
    }
    assert len(ranks) > 1


def places_from_word(reference, word):
    """A gate that reads the captions off the call of the text encoders: 1 at and after the word's place."""
    tokenizer, own, seen = reference.pipeline.tokenizer, reference.conditioning, []

    def read(captions):
        seen[:] = captions
        return own(captions)

    reference.conditioning = read
    (wanted,) = tokenizer(word).input_ids[1:-1]

    def gate():
        rows = []
        for caption in seen:
            ids = tokenizer(caption, padding="max_length", truncation=True).input_ids
            first = ids.index(wanted) if wanted in ids else len(ids)
            rows.append([[float(place >= first)] for place in range(len(ids))])
        return torch.tensor(rows)

    return gate


def test_token_lora_is_lora_of_keys_and_values_from_the_identifier_on(pair, photos):
    given = {"rank": 4, "alpha": 8.0, "weight_decay": 0.1, **SMALL}
    if pair.family == "sd3":
        with pytest.raises(BackboneError, match="does not say where a token stands"):
            pair.fit("token_lora", photos, **given)
        pair.backbone.restore()
        return
    fitted = pair.fit("token_lora", photos, **given)
    gate = places_from_word(pair.reference, "sks")
    expected = restated(
        pair, fitted, KEYS_AND_VALUES, rank=4, alpha=8.0, fill=gaussian, gate=gate, weight_decay=0.1, clip=1.0
    )
    assert_same_update(fitted, *expected)
    assert fitted.values and all(".attn2.to_" in name for name in fitted.values)
