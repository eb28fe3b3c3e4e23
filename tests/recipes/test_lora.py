"""DreamBooth-LoRA restated as hooks on the linear layers: where A starts, alpha/rank, the penalty's forms."""

from __future__ import annotations

import math

import pytest
import torch
from recipes.comparison import assert_same_update
from recipes.restated import adapt, train
from torch import nn

from harness.api import Lipschitz
from harness.diffusion.seeds import named_seed

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
SMALL = {"steps": 3, "lr": 1e-3, "batch": 2, "rank": 4}


def beginnings(denoiser, *, rank, seed, gaussian=False):
    """A of every adapted layer in the model's order, from one stream: within 1/√in, or of s.d. 1/rank."""
    generator = torch.Generator().manual_seed(named_seed("adapters", seed))
    starts = {}
    for name, module in denoiser.named_modules():
        if isinstance(module, nn.Linear) and name.endswith(tuple(f".{target}" for target in TARGETS)):
            bound = 1 / math.sqrt(module.in_features)
            empty = torch.empty(rank, module.in_features)
            if gaussian:
                starts[name] = empty.normal_(0.0, 1 / rank, generator=generator)
            else:
                starts[name] = empty.uniform_(-bound, bound, generator=generator)
    return starts


def restated(pair, fitted, *, alpha, gaussian=False, **settings):
    denoiser = pair.reference.denoiser
    starts = beginnings(denoiser, rank=4, seed=5, gaussian=gaussian)
    factors = adapt(denoiser, TARGETS, alpha=alpha, starts=starts)
    losses = train(pair.reference, [f for both in factors.values() for f in both], fitted.drawn, **settings)
    named = {f"denoiser.{name}.lora_A": down for name, (down, _) in factors.items()}
    named |= {f"denoiser.{name}.lora_B": up for name, (_, up) in factors.items()}
    return named, losses


@pytest.mark.parametrize("alpha", [4.0, 27.0])
def test_lora_is_adamw_on_the_factors(pair, photos, alpha):
    fitted = pair.fit("dreambooth_lora", photos, alpha=alpha, weight_decay=0.1, clip=0.05, **SMALL)
    settings = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1, "clip": 0.05}
    assert_same_update(fitted, *restated(pair, fitted, alpha=alpha, **settings))


def test_the_authors_penalty_is_the_sum_of_squares_of_the_entries(pair, photos):
    lipschitz = Lipschitz(penalty=0.01, norm="sum", on="entries")
    fitted = pair.fit("dreambooth_lora", photos, lipschitz=lipschitz, **SMALL)
    settings = {"optimizer": "adamw", "lr": 1e-3, "clip": 1.0, "penalty": 0.01, "penalty_form": "sum"}
    assert_same_update(fitted, *restated(pair, fitted, alpha=27.0, **settings))


def test_prior_preservation_adds_the_class_loss(pair, photos):
    fitted = pair.fit("dreambooth_lora", photos, prior_weight=0.7, prior_count=3, **SMALL)
    assert [drawn.subject for drawn in fitted.drawn] == [2, 2, 2]
    settings = {"optimizer": "adamw", "lr": 1e-3, "clip": 1.0, "prior_weight": 0.7}
    assert_same_update(fitted, *restated(pair, fitted, alpha=27.0, **settings))


def test_adapters_start_as_peft_starts_them(pair, photos):
    fitted = pair.fit("dreambooth_lora", photos, **SMALL)
    for name, start in beginnings(pair.reference.denoiser, rank=4, seed=5).items():
        torch.testing.assert_close(fitted.start[f"denoiser.{name}.lora_A"], start)
        assert not fitted.start[f"denoiser.{name}.lora_B"].any()


def test_a_gaussian_start_has_the_deviation_of_one_over_the_rank(pair, photos):
    given = {"start": "gaussian", "accumulate": 2, "alpha": 4.0}
    fitted = pair.fit("dreambooth_lora", photos, **given, **SMALL)
    settings = {"optimizer": "adamw", "lr": 1e-3, "clip": 1.0, "accumulate": 2}
    assert_same_update(fitted, *restated(pair, fitted, alpha=4.0, gaussian=True, **settings))
    starts = torch.cat([value.flatten() for name, value in fitted.start.items() if "lora_A" in name])
    assert float(starts.std()) == pytest.approx(1 / 4, rel=0.1)
