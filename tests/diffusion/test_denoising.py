"""The loss of a micro-batch on a backbone of two numbers, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from diffusion.plain import Plain

from harness.diffusion.denoising import DenoisingLoss, Preference
from harness.diffusion.draws import MicroBatch


def filled(*values):
    """Latents of one number each [n, 2, 4, 4]."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 2, 4, 4).clone()


def drawn(*, masks=None, base=None):
    """Two of the subject and one of its class.

    With scale ½ and key ¼, z_t = z + t·ε/1000 and a text worth 1 + words the predictions are
    ½·2 + ¼·3 = 1.75 of 1 + 2 = 3; ½·1 + ¼·4 = 1.5 of 0 + 1 = 1; ½·(−1) + ¼·2 = 0 of −1.
    """
    return MicroBatch(
        latents=filled(1.0, 0.0, 0.0),
        captions=["sks dog", "a sks dog", "dog"],
        noise=filled(2.0, 1.0, -1.0),
        timesteps=torch.tensor([500, 1000, 1000]),
        subject=2,
        masks=masks,
        base=base,
    )


OWN, OTHERS, CLASS = 1.25**2, 0.5**2, 1.0


@pytest.fixture
def plain(tmp_path):
    return Plain(tmp_path)


@pytest.mark.parametrize("beside", [0.0, 0.7])
def test_the_subject_s_mean_and_the_class_s_times_its_weight(plain, beside):
    loss = DenoisingLoss(plain, beside)(drawn())
    assert float(loss) == pytest.approx((OWN + OTHERS) / 2 + beside * CLASS)
    assert plain.asked == [["sks dog", "a sks dog", "dog"]]


def test_a_weight_without_a_class_adds_nothing(plain):
    whole = drawn()
    own = MicroBatch(whole.latents[:2], whole.captions[:2], whole.noise[:2], whole.timesteps[:2], 2)
    assert float(DenoisingLoss(plain, 0.7)(own)) == pytest.approx((OWN + OTHERS) / 2)


def test_beside_the_subject_the_base_model_s_prediction_is_the_target(plain):
    loss = DenoisingLoss(plain, 0.7)(drawn(base=filled(3.0)))
    assert float(loss) == pytest.approx((OWN + OTHERS) / 2 + 0.7 * 3.0**2)


def test_clean_latents_weight_every_square_by_its_timestep(plain):
    loss = DenoisingLoss(plain, 0.7, precondition=True)(drawn())
    assert float(loss) == pytest.approx((5 * OWN + 10 * OTHERS) / 2 + 0.7 * 10 * CLASS)


def test_masks_and_their_reduction_are_the_subject_s(plain):
    masks = torch.zeros(2, 1, 4, 4)
    masks[0, 0, 0, 0] = masks[1, 0, 1:3] = 1.0
    one = drawn(masks=masks)
    one.noise[0, :, 0, 0] = 4.0  # of 5: ½·3 + ¾ = 2.25
    own = {"mean": 2.75**2, "area": 2 * 2.75**2, "whole": (OWN * 15 + 2.75**2) / 16}
    others = {"mean": OTHERS, "area": 2 * OTHERS, "whole": OTHERS}
    for reduction in ("mean", "area", "whole"):
        loss = DenoisingLoss(plain, 1.0, reduction=reduction)(one)
        assert float(loss) == pytest.approx((own[reduction] + others[reduction]) / 2 + CLASS)


def softplus(x):
    """−log σ(−x)."""
    return math.log(1 + math.exp(x))


def test_a_preference_by_hand():
    preference = Preference(3.0, {})
    assert float(preference.loss(torch.tensor(0.5), torch.tensor(0.3))) == pytest.approx(softplus(3 * 0.2))
    assert float(preference.loss(torch.tensor(0.2), torch.tensor(0.2))) == pytest.approx(math.log(2))


@pytest.mark.parametrize("masked", [False, True])
def test_the_subject_s_loss_is_compared_with_the_base_model_s_in_its_own_words(plain, masked):
    scale = plain.parameters("scale")["denoiser.scale"]
    with torch.no_grad():
        scale.fill_(1.0)
    scale.requires_grad_(True)
    masks = torch.zeros(2, 1, 4, 4)
    masks[:, :, 2] = 1.0
    one = drawn(masks=masks if masked else None)
    if masked:
        one.noise[:2, :, 0] = 50.0  # outside the mask
    # Tuned: 1·2 + ¾ of 3, 1·1 + 1 of 1, 1·(−1) + ½ of −1. The base model, asked "dog": ½·2 + ½ of 3; itself.
    tuned, base = (0.25**2 + 1.0**2) / 2, (1.5**2 + OTHERS) / 2
    objective = DenoisingLoss(plain, 0.7, preference=Preference(2.0, {"sks dog": "dog"}))
    loss = objective(one)
    assert float(loss.detach()) == pytest.approx(softplus(2 * (tuned - base)) + 0.7 * 0.5**2)
    assert plain.asked == [["dog", "a sks dog"], ["sks dog", "a sks dog", "dog"]]
    loss.backward()
    share = 1 / (1 + math.exp(-2 * (tuned - base)))
    # dL/dscale: −2·.25·2 and 2·1·1, halved; of the class −1·2·.5.
    assert float(scale.grad) == pytest.approx(
        2 * share * (-2 * 0.25 * 2 + 2 * 1 * 1) / 2 + 0.7 * 2 * 0.5 * -1
    )
    assert scale.tolist() == [1.0]
