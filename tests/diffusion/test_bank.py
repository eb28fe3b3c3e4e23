"""The bank: the base model's answers on prior prompts, asked once, dealt in rounds, charged to everyone."""

import itertools
import time

import pytest
import torch

from harness.api import Lipschitz
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.bank import TIMESTEPS, FromBank, make_bank
from harness.diffusion.constraints import combination
from harness.diffusion.constraints.penalty import Penalty
from harness.diffusion.training import Example, Trainer
from harness.errors import HarnessError

TEXTS = ["a photo of a dog", "a red mug on a box", "a cat in the snow"]


@pytest.fixture(scope="module", params=["tiny_sd", "tiny_sd_v", "tiny_sdxl", "tiny_sd3"])
def every(request, cache):
    return load_backbone(str(request.getfixturevalue(request.param)), cache=cache)


def test_answers_are_what_the_base_model_predicts_on_any_family(every):
    bank = make_bank(every, TEXTS)
    assert len(bank) == 3 * TIMESTEPS
    assert bank.latents.shape == (3, *every.latent_shape)
    chosen = bank.entries([1, 10, 23])
    assert chosen.captions == TEXTS
    with torch.no_grad():
        predicted = every.predict(chosen.noisy(every), chosen.timesteps, every.conditioning(chosen.captions))
    torch.testing.assert_close(predicted, chosen.base, atol=1e-5, rtol=1e-4)
    assert not every.changed


def test_every_prompt_is_asked_at_a_timestep_of_each_share_of_the_distribution(every):
    bank = make_bank(every, TEXTS)
    by_share = bank.timesteps.view(3, TIMESTEPS).T
    assert all(earlier.max() <= later.min() for earlier, later in itertools.pairwise(by_share))
    assert len(set(bank.timesteps.tolist())) > TIMESTEPS


def test_a_bank_does_not_depend_on_who_made_it(backbone, tmp_path):
    from harness.cache import Cache

    first = make_bank(backbone, TEXTS)
    backbone.cache, kept = Cache(tmp_path), backbone.cache
    try:
        second = make_bank(backbone, TEXTS)
    finally:
        backbone.cache = kept
    for name in ("latents", "noise", "timesteps", "predictions"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_a_round_deals_every_entry_once(backbone):
    bank = make_bank(backbone, TEXTS)
    rounds = bank.rounds(4, seed=0)
    dealt = [next(rounds) for _ in range(len(bank) // 4)]
    seen = {tuple(noise.flatten()[:4].tolist()) for entries in dealt for noise in entries.noise}
    assert len(seen) == len(bank)
    again = next(bank.rounds(4, seed=0))
    assert torch.equal(dealt[0].noise, again.noise)
    assert not torch.equal(dealt[0].noise, next(bank.rounds(4, seed=1)).noise)


def test_entries_are_spread_without_repeats(backbone):
    bank = make_bank(backbone, TEXTS)
    chosen = bank.spread(7)
    assert len(set(chosen)) == 7 and chosen == bank.spread(7)
    assert set(chosen) < set(bank.spread(12)) < set(range(len(bank)))
    assert len(bank.spread(1000)) == len(bank)


def test_a_bank_is_charged_also_when_read_from_the_cache(backbone):
    cost = []
    for _ in range(2):
        trainer = Trainer(seed=0, bank_texts=lambda: ["a photo of a boot", "a yellow boot"])
        started = time.perf_counter()
        bank = trainer.bank(backbone)
        assert trainer.bank(backbone) is bank
        cost.append(time.perf_counter() - started + trainer.seconds_charged)
    assert cost[1] == pytest.approx(cost[0], rel=0.1)


def test_a_bank_of_a_changed_model_is_refused(backbone):
    backbone.parameters("denoiser")
    with pytest.raises(ValueError, match="before anything"):
        make_bank(backbone, TEXTS)


def test_prompts_must_differ_and_be_there(backbone):
    for texts in ([], ["a dog", "a dog"]):
        with pytest.raises(ValueError, match="different prompts"):
            make_bank(backbone, texts)
    with pytest.raises(HarnessError, match="given none"):
        Trainer(seed=0).bank(backbone)


def fitted(backbone, photos, prior, **settings):
    trainer = Trainer(seed=0)
    parameters = backbone.parameters("denoiser")
    examples = [Example(photo, ("a photo of a sks dog",)) for photo in photos]
    drawn = []

    def recorded(batches):
        for each in batches:
            drawn.append(each)
            yield each

    trainer.draws = recorded
    trainer.fit(
        backbone, parameters=parameters, examples=examples, steps=2, lr=1e-3, batch=2, prior=prior, **settings
    )
    return trainer, drawn


def test_beside_a_bank_the_same_is_drawn_of_the_subject(backbone, photos):
    bank = make_bank(backbone, TEXTS)
    _, alone = fitted(backbone, photos, None)
    backbone.restore()
    _, beside = fitted(backbone, photos, FromBank(bank, 0.5, batch=3))
    for plain, more in zip(alone, beside):
        assert more.subject == 2 and len(more.latents) == 5
        assert torch.equal(plain.noise, more.noise[:2]) and torch.equal(plain.timesteps, more.timesteps[:2])
        assert plain.captions == more.captions[:2] and more.base.shape == more.noise[2:].shape


@pytest.mark.parametrize("goal", ["noise", "base"])
def test_the_first_loss_is_the_subjects_and_the_weighted_banks(backbone, photos, goal):
    bank = make_bank(backbone, TEXTS)
    trainer, drawn = fitted(backbone, photos, FromBank(bank, 0.5, goal))
    backbone.restore()
    first = drawn[0]
    noisy = backbone.add_noise(first.latents, first.noise, first.timesteps)
    with torch.no_grad():
        predicted = backbone.predict(noisy, first.timesteps, backbone.conditioning(first.captions))
    other = predicted[2:] if goal == "base" else first.noise[2:]  # θ is θ0 before the first step
    expected = (predicted[:2] - first.noise[:2]).square().mean()
    expected += 0.5 * (predicted[2:] - other).square().mean()
    assert trainer.losses[0] == pytest.approx(float(expected), rel=1e-4)


def test_weight_zero_is_the_plain_fit_bit_for_bit(backbone, photos):
    bank = make_bank(backbone, TEXTS)
    plain, _ = fitted(backbone, photos, None)
    values = {name: value.clone() for name, value in backbone.delta().weights.items()}
    backbone.restore()
    zero, _ = fitted(backbone, photos, FromBank(bank, 0.0))
    assert plain.losses == zero.losses
    assert all(torch.equal(values[name], value) for name, value in backbone.delta().weights.items())


def test_a_constraint_that_uses_a_bank_is_given_one_before_anything_is_handed_out(
    backbone, photos, monkeypatch
):
    seen = []

    class Asking(Penalty):
        uses_bank = True

        def prepare(self, training):
            seen.append(training.bank)
            return super().prepare(training)

    monkeypatch.setattr(combination, "kinds", lambda: (Asking,))
    trainer = Trainer(seed=0, lipschitz=Lipschitz(penalty=1.0), bank_texts=lambda: TEXTS)
    trainer.prepare(backbone)
    trainer.fit(
        backbone,
        parameters=backbone.parameters("attention"),
        examples=[Example(photos[0], ("a photo of a sks dog",))],
        steps=1,
        lr=1e-3,
        batch=1,
    )
    assert [bank.prompts for bank in seen] == [tuple(TEXTS)]
