"""The null space: what keys and values give on the bank's text stays, and something else is learnt."""

import numpy as np
import pytest
import torch

from harness import methods
from harness.api import Lipschitz, Subject
from harness.diffusion.bank import make_bank
from harness.diffusion.constraints import null_space
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.null_space import leading_directions
from harness.diffusion.training import Trainer

TEXTS = ["a picture of a dog on a sofa", "a cat in a garden"]
PLACES = 12
"""Of the tiny text encoder's 32 directions; all 77 places of a text would take every one."""


@pytest.fixture
def few(monkeypatch):
    """The first places of the first prompt are all that the bank says."""
    original = null_space.text_features
    monkeypatch.setattr(null_space, "text_features", lambda *given: original(*given)[:PLACES])


def outputs(backbone, features):
    """Keys and values of every cross-attention on features [n, width], with the trained weights."""
    named = backbone.networks.denoiser.named_modules()
    with torch.no_grad():
        return [m(features) for n, m in named if n.endswith(("attn2.to_k", "attn2.to_v"))]


def fit(name, backbone, photos, **params):
    kind = methods.load(name)
    settings = {"steps": 6, "batch": 2, "lr": 1e-2, **params}
    trainer = Trainer(seed=0, lipschitz=Lipschitz.of({"null_space": PLACES}), bank_texts=lambda: TEXTS)
    trainer.prepare(backbone)
    fields = kind.__dataclass_fields__
    method = methods.build(kind, {key: value for key, value in settings.items() if key in fields})
    method.fit(backbone, Subject("rex", "dog", photos), trainer)
    return trainer


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("custom_diffusion", {"prior_weight": 0.0}),
        ("dreambooth_lora", {"targets": ("attn2.to_k", "attn2.to_v")}),
        ("dreambooth", {}),
    ],
)
def test_keys_and_values_on_the_banks_text_are_unchanged_and_others_are_not(
    backbone, photos, few, name, params
):
    whole = backbone.conditioning(TEXTS).sequence.flatten(0, 1)
    on_bank, elsewhere = whole[:PLACES], whole[40:60]
    before = [outputs(backbone, features) for features in (on_bank, elsewhere)]
    trainer = fit(name, backbone, photos, **params)
    after = [outputs(backbone, features) for features in (on_bank, elsewhere)]
    for now, base in zip(after[0], before[0], strict=True):
        torch.testing.assert_close(now, base, rtol=0, atol=1e-5)
    assert max(float((now - base).abs().max()) for now, base in zip(after[1], before[1])) > 1e-3
    assert trainer.bound["null_space"] == PLACES and trainer.bound["null_space_change"] < 1e-5


def test_directions_are_those_of_numpys_singular_vectors():
    features = torch.randn(40, 9, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 10)
    found = leading_directions(features, 3).numpy()
    right = np.linalg.svd(features.double().numpy(), full_matrices=False)[2][:3].T
    np.testing.assert_allclose(found @ found.T, right @ right.T, atol=1e-9)


@pytest.mark.parametrize(
    ("group", "k", "message"),
    [
        (
            "cross_attention_kv",
            32,
            "null_space: 32 of 32 directions of text leave nothing to learn",
        ),
        (None, 4, "no weight of keys and values of cross-attention is trained"),
    ],
)
def test_mistakes_get_one_line(backbone, group, k, message):
    bank = make_bank(backbone, TEXTS)
    if group:
        backbone.parameters(group)
    else:
        backbone.token_rows(["<v>"], ["dog"])
    with pytest.raises(ValueError, match=message):
        ActiveConstraints(Lipschitz.of({"null_space": k}), backbone.terms(), backbone=backbone, bank=bank)
