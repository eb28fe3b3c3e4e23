"""The training loop: loss and gradient restated with diffusers' scheduler; the constraint's identities."""

import itertools

import pytest
import torch
from PIL import Image, ImageOps

from harness.api import Lipschitz
from harness.diffusion.augment import Augment
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.sampling import sample_images
from harness.diffusion.seeds import named_seed
from harness.diffusion.training import (
    Example,
    OutOfMemory,
    Prior,
    Trainer,
    TrainingDiverged,
    TrainingSet,
)

CAPTION = "a photo of a sks dog"
STEPS = {"steps": 3, "lr": 1e-3, "batch": 2}


def examples(photos, caption=CAPTION):
    return [Example(photo, (caption,)) for photo in photos]


def train(backbone, photos, *, kind="denoiser", lipschitz=None, seed=0, **settings):
    parameters = {
        "denoiser": lambda: backbone.parameters("denoiser"),
        "cross_attention_kv": lambda: backbone.parameters("cross_attention_kv"),
        "tokens": lambda: {
            **backbone.parameters("cross_attention_kv"),
            **backbone.token_rows(["<new1>"], init=["ktn"]),
        },
        "lora": lambda: backbone.adapters(rank=2, alpha=3.0, targets=("to_q", "to_v"), seed=seed),
    }[kind]()
    trainer = Trainer(seed=seed, lipschitz=lipschitz)
    caption = "photo of a <new1> dog" if kind == "tokens" else CAPTION
    trainer.fit(backbone, parameters=parameters, examples=examples(photos, caption), **{**STEPS, **settings})
    values = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    distance = backbone.distance(on=lipschitz.on if lipschitz else "effective")
    return trainer, values, distance


KINDS = ("denoiser", "cross_attention_kv", "tokens", "lora")


@pytest.mark.parametrize("kind", KINDS)
def test_zero_penalty_equals_no_constraint_bit_for_bit(backbone, photos, kind):
    plain, values, _ = train(backbone, photos, kind=kind)
    backbone.restore()
    zero, constrained, _ = train(backbone, photos, kind=kind, lipschitz=Lipschitz(penalty=0.0))
    assert plain.losses == zero.losses
    assert all(torch.equal(values[name], constrained[name]) for name in values)


@pytest.mark.parametrize("on", ["effective", "entries"])
@pytest.mark.parametrize("kind", KINDS)
def test_bound_zero_leaves_the_base_model(backbone, photos, kind, on):
    settings = {"seeds": [1], "sampler": "ddim", "steps": 2, "guidance": 1.0}
    before = sample_images(backbone, ["a cat"], **settings)
    _, _, distance = train(backbone, photos, kind=kind, lipschitz=Lipschitz(bound=0.0, on=on))
    assert distance.l2 == 0.0
    assert not backbone.delta().weights
    assert torch.equal(before, sample_images(backbone, ["a cat"], **settings))


@pytest.mark.parametrize("kind", KINDS)
def test_bound_holds_and_binds(backbone, photos, kind):
    _, _, free = train(backbone, photos, kind=kind)
    backbone.restore()
    bound = free.l2 / 3
    _, _, distance = train(backbone, photos, kind=kind, lipschitz=Lipschitz(bound=bound))
    assert distance.l2 <= bound * (1 + 1e-5)
    assert distance.l2 == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_relative_bound_is_a_fraction_of_the_trained_weights(backbone, photos, kind):
    _, _, distance = train(backbone, photos, kind=kind, lipschitz=Lipschitz(bound=1e-4, relative=True))
    assert distance.relative == pytest.approx(1e-4, rel=1e-4)
    assert distance.relative <= 1e-4 * (1 + 1e-5)


def test_entries_bound_holds_for_the_factors(backbone, photos):
    _, values, distance = train(backbone, photos, kind="lora", lipschitz=Lipschitz(bound=0.5, on="entries"))
    entries = torch.cat([value.double().flatten() for value in values.values()])
    assert distance.l2 == pytest.approx(float(entries.norm()), rel=1e-6)
    assert distance.l2 <= 0.5 * (1 + 1e-5)


@pytest.mark.parametrize(("kind", "norm"), [*((kind, "tensor_mean") for kind in KINDS), ("lora", "sum")])
def test_huge_penalty_ends_at_the_base_model(backbone, photos, kind, norm):
    settings = {"kind": kind, "steps": 25, "lr": 1e-4, "batch": 1}
    _, _, free = train(backbone, photos, **settings)
    backbone.restore()
    _, _, held = train(backbone, photos, **settings, lipschitz=Lipschitz(penalty=1e10, norm=norm))
    assert held.denoiser_l2 <= 0.15 * free.denoiser_l2


def test_penalty_shrinks_the_change(backbone, photos):
    lengths = []
    for penalty in (0.0, 1e2, 1e4):
        lengths.append(train(backbone, photos, steps=10, lipschitz=Lipschitz(penalty=penalty))[2].l2)
        backbone.restore()
    assert lengths[0] > lengths[1] > lengths[2]


def test_penalty_is_added_once_per_step_under_accumulation(backbone, photos, monkeypatch):
    added = []
    original = ActiveConstraints.add_gradient
    monkeypatch.setattr(ActiveConstraints, "add_gradient", lambda *given: added.append(1) or original(*given))
    train(backbone, photos, steps=3, accumulate=4, batch=1, lipschitz=Lipschitz(penalty=1.0))
    assert len(added) == 3


def test_the_penalty_is_added_before_clipping(backbone, photos, monkeypatch):
    order = []
    monkeypatch.setattr(ActiveConstraints, "add_gradient", lambda *_: order.append("penalty"))
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a: order.append("clip") or clip(*a))
    train(backbone, photos, steps=2, clip=1.0)
    assert order == ["penalty", "clip"] * 2


def test_same_seed_same_weights_other_seed_others(backbone, photos):
    runs = []
    for seed in (0, 0, 1):
        runs.append(train(backbone, photos, seed=seed)[1])
        backbone.restore()
    first, again, other = runs
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_the_global_generator_alone(backbone, photos):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    train(backbone, photos, kind="lora", augment=Augment(flip=True, scale=True, variants=2))
    assert torch.equal(state, torch.get_rng_state())


def test_every_shot_comes_up_once_per_round(backbone, photos):
    training_set = TrainingSet.prepare(backbone, examples(photos), None, torch.Generator())
    generator = torch.Generator().manual_seed(0)
    rounds = [[training_set._next(generator) for _ in range(5)] for _ in range(4)]
    assert all(sorted(drawn) == [0, 1, 2, 3, 4] for drawn in rounds)
    assert len({tuple(drawn) for drawn in rounds}) > 1


def test_exactly_the_shots_given_are_encoded(backbone, photos, monkeypatch):
    seen = []
    original = type(backbone).latents
    monkeypatch.setattr(
        type(backbone), "latents", lambda self, images: seen.extend(images) or original(self, images)
    )
    train(backbone, photos[:3])
    assert seen == list(photos[:3])


def test_a_loss_that_is_no_number_names_its_step(backbone, photos, monkeypatch):
    calls = itertools.count(1)
    original = type(backbone).predict

    def predict(self, noisy, t, conditioning):
        return original(self, noisy, t, conditioning) * (float("nan") if next(calls) == 3 else 1.0)

    monkeypatch.setattr(type(backbone), "predict", predict)
    with pytest.raises(TrainingDiverged, match="nan at step 3 of 5") as caught:
        train(backbone, photos, steps=5)
    assert caught.value.step == 3
    assert not any(p.requires_grad or p.grad is not None for p in backbone.networks.denoiser.parameters())


def test_weights_that_blow_up_in_the_last_step_are_noticed(backbone, photos, monkeypatch):
    def spoil(self, loss):
        self.terms[0].value.grad.fill_(float("inf"))

    monkeypatch.setattr(ActiveConstraints, "add_gradient", spoil)
    with pytest.raises(TrainingDiverged, match="weight"):
        train(backbone, photos, steps=1, lipschitz=Lipschitz(bound=1.0))


def test_recorded_draws_replayed_give_the_same_weights(backbone, photos):
    """The stream is asked for each micro-batch when it is due, and nothing else is drawn."""
    recorded = []

    def record(own):
        for drawn in own:
            recorded.append(drawn)
            yield drawn

    def run(seed, draws):
        parameters = backbone.parameters("denoiser")
        trainer = Trainer(seed=seed, draws=draws)
        trainer.fit(
            backbone,
            parameters=parameters,
            examples=examples(photos),
            accumulate=2,
            prior=Prior(examples(photos[3:], "a photo of a dog")),
            **STEPS,
        )
        values = {name: p.detach().clone() for name, p in parameters.items()}
        backbone.restore()
        return values, trainer.losses

    plain, losses = run(0, None)
    seen, losses_seen = run(0, record)
    replayed, losses_replayed = run(1, lambda own: iter(recorded))
    assert len(recorded) == 3 * 2
    assert losses == losses_seen == losses_replayed
    for name in plain:
        assert torch.equal(plain[name], seen[name]) and torch.equal(plain[name], replayed[name])


def test_progress_and_losses_cover_every_step(backbone, photos):
    updates = []
    trainer = Trainer(seed=0, progress=lambda *update: updates.append(update))
    trainer.fit(backbone, parameters=backbone.parameters("denoiser"), examples=examples(photos), **STEPS)
    assert [update[:3] for update in updates] == [("fit", i, 3) for i in (1, 2, 3)]
    assert [update[3] for update in updates] == trainer.losses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"accumulate": -1}, "accumulate must be at least 1, got -1"),
        ({"lr": 0.0}, "lr must be a positive number"),
        ({"lr": -1e-3}, "lr must be a positive number"),
        ({"lr": float("inf")}, "lr must be a positive number"),
        ({"lr": float("nan")}, "lr must be a positive number"),
        ({"parameters": {}}, "no parameters"),
        ({"examples": []}, "nothing to learn from"),
        ({"examples": [Example(Image.new("RGB", (32, 32)), ())]}, "nothing to learn from"),
        ({"optimizer": "sgdd"}, "unknown optimizer 'sgdd'"),
    ],
)
def test_settings_that_make_no_sense(backbone, photos, change, message):
    settings = {
        "parameters": backbone.parameters("denoiser"),
        "examples": examples(photos),
        **STEPS,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        Trainer(seed=0).fit(backbone, **settings)


def test_a_decaying_rate_is_that_of_diffusers_schedule(backbone, photos, monkeypatch):
    from diffusers.optimization import get_scheduler

    from harness.diffusion import training

    rates, own = [], training._step
    monkeypatch.setattr(
        training,
        "_step",
        lambda update, *more: rates.append(update.param_groups[0]["lr"]) or own(update, *more),
    )
    train(backbone, photos, steps=4, lr_decay="linear")
    oracle = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=STEPS["lr"])
    schedule = get_scheduler("linear", oracle, num_warmup_steps=0, num_training_steps=4)
    expected = []
    for _ in range(4):
        expected.append(oracle.param_groups[0]["lr"])
        oracle.step()
        schedule.step()
    assert rates == pytest.approx(expected)
    rates.clear()
    backbone.restore()
    train(backbone, photos, steps=4)
    assert rates == [STEPS["lr"]] * 4


def test_two_courses_in_one_fit_have_no_checkpoints(backbone, photos):
    from harness.diffusion.checkpoints import Checkpoints
    from harness.errors import HarnessError

    trainer = Trainer(seed=0, checkpoints=Checkpoints([1]))
    parameters = backbone.parameters("denoiser")
    trainer.fit(backbone, parameters=parameters, examples=examples(photos), **STEPS)
    assert trainer.checkpoints.at(1).delta.weights.keys() <= parameters.keys()
    with pytest.raises(HarnessError, match="trains in several runs, and has no single course"):
        trainer.fit(backbone, parameters=parameters, examples=examples(photos), **STEPS)


def test_constraint_refuses_parameters_it_cannot_see(backbone, photos):
    stranger = {"mine": torch.nn.Parameter(torch.zeros(3))}
    with pytest.raises(ValueError, match="does not know 'mine'"):
        Trainer(seed=0, lipschitz=Lipschitz(bound=1.0)).fit(
            backbone, parameters=stranger, examples=examples(photos), **STEPS
        )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_trains_float32_masters_and_restores(tiny_sd, cache, photos, precision, kind):
    backbone = load_backbone(str(tiny_sd), cache=cache, precision=precision)
    before = {name: p.detach().clone() for name, p in backbone.networks.denoiser.named_parameters()}
    trainer, values, distance = train(backbone, photos, kind=kind, lipschitz=Lipschitz(bound=0.01))
    assert all(value.dtype == torch.float32 for value in values.values())
    assert distance.l2 <= 0.01 * (1 + 1e-5)
    assert len(trainer.losses) == 3
    sample_images(backbone, ["a dog"], seeds=[0], sampler="ddim", steps=2, guidance=2.0)
    backbone.restore()
    for name, parameter in backbone.networks.denoiser.named_parameters():
        assert parameter.dtype == before[name].dtype
        assert torch.equal(parameter, before[name])


def test_what_is_not_said_is_adamw_without_decay_clipping_prior_or_masks(backbone, photos):
    said = {
        "optimizer": "adamw", "weight_decay": 0.0, "clip": None, "accumulate": 1, "prior": None,
        "augment": None, "precondition": False, "reduction": "mean", "start": "trained", "lr_decay": "none",
    }  # fmt: skip
    found = []
    for settings in ({}, said, {"optimizer": "adam"}):
        trainer, values, _ = train(backbone, photos, **settings)
        found.append((trainer.losses, values))
        backbone.restore()
    assert found[0][0] == found[1][0]
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])
    decayed = train(backbone, photos, weight_decay=0.5)[1]
    assert any(not torch.equal(found[0][1][name], decayed[name]) for name in decayed)


def recorded(backbone, photos, trainer, **settings):
    drawn = []

    def record(own):
        for each in own:
            drawn.append(each)
            yield each

    trainer.draws = record
    trainer.fit(
        backbone,
        parameters=backbone.parameters("cross_attention_kv"),
        examples=examples(photos),
        **{**STEPS, **settings},
    )
    return drawn


def test_all_draws_come_from_one_stream_of_the_seed_and_of_the_steps_before(backbone, photos):
    trainer = Trainer(seed=5)
    backbone.latents(photos)
    for done in (0, 3):
        first, second, _ = recorded(backbone, photos, trainer)
        generator = torch.Generator().manual_seed(named_seed("training", 5, done))
        rounds = torch.randperm(5, generator=generator).tolist()
        for drawn in (first, second):
            taken, rounds = rounds[:2], rounds[2:]
            latents = backbone.latents(photos)[taken].sample(generator=generator)
            assert torch.equal(drawn.latents, latents)
            assert torch.equal(drawn.noise, torch.randn(latents.shape, generator=generator))
            assert torch.equal(drawn.timesteps, backbone.draw_timesteps(2, generator=generator))
            assert drawn.subject == 2 and drawn.masks is None and drawn.captions == [CAPTION] * 2


def test_a_prior_of_weight_zero_draws_nothing_and_trains_nothing(backbone, photos, monkeypatch):
    trainer = Trainer(seed=0)
    monkeypatch.setattr(Trainer, "prior_images", lambda *_: pytest.fail("images were drawn"))
    assert trainer.prior(backbone, "a dog", count=3, weight=0.0) is None
    drawn = recorded(backbone, photos, trainer, prior=Prior(examples(photos), weight=0.0))
    assert all(len(each.latents) == 2 for each in drawn)


@pytest.mark.parametrize("mirrored", [False, True])
def test_class_images_are_examples_of_their_caption(backbone, photos, monkeypatch, mirrored):
    asked = []
    monkeypatch.setattr(Trainer, "prior_images", lambda self, *given: asked.append(given) or list(photos[:2]))
    settings = {"mirrored": True} if mirrored else {}
    prior = Trainer(seed=0).prior(backbone, "a dog", count=2, weight=0.7, **settings)
    assert asked == [(backbone, "a dog", 2)] and prior.weight == 0.7
    assert all(example.captions == ("a dog",) for example in prior.examples)
    wanted = [*photos[:2], *(ImageOps.mirror(photo) for photo in photos[:2] if mirrored)]
    assert [example.image for example in prior.examples] == wanted


def test_drawing_class_images_is_told_by_image(backbone):
    told = []
    trainer = Trainer(seed=0, progress=lambda *update: told.append(update))
    trainer.prior_images(backbone, "a photo of a newly drawn pan", 2)
    assert told and told[-1] == ("prior", 2, 2, None)


@pytest.mark.parametrize(("beside", "images"), [(False, 3), (True, 6)])
def test_out_of_memory_says_how_many_images_did_not_fit(backbone, photos, monkeypatch, beside, images):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1 GiB")

    monkeypatch.setattr(type(backbone), "predict", full)
    prior = Prior(examples(photos, "a dog")) if beside else None
    message = rf"^training {images} images at once does not fit \(CUDA out of memory\): set execution"
    with pytest.raises(OutOfMemory, match=message) as caught:
        train(backbone, photos, batch=3, prior=prior)
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert not any(p.requires_grad for p in backbone.networks.denoiser.parameters())


def test_the_proof_of_a_bound_is_kept_and_without_one_there_is_none(backbone, photos):
    held, _, distance = train(backbone, photos, lipschitz=Lipschitz(bound=0.01))
    assert held.bound["radius"] == 0.01 and held.bound["l2"] == pytest.approx(distance.l2)
    backbone.restore()
    assert train(backbone, photos)[0].bound is None


def test_losses_are_scaled_in_half_precision_alone(backbone, photos, monkeypatch):
    from harness.diffusion import training

    scaled, own = [], training._step
    monkeypatch.setattr(
        training,
        "_step",
        lambda update, scaler, *more: scaled.append(scaler.is_enabled()) or own(update, scaler, *more),
    )
    train(backbone, photos, steps=1)
    monkeypatch.setattr(backbone, "precision", "fp16")
    train(backbone, photos, steps=1)
    monkeypatch.setattr(backbone, "precision", "bf16")
    train(backbone, photos, steps=1)
    assert scaled == [False, True, False]


def test_every_caption_is_encoded_before_training_and_nothing_is_left_to_train(backbone, photos, monkeypatch):
    asked, room = [], []
    own, make_room = type(backbone).conditioning, type(backbone).make_room
    monkeypatch.setattr(
        type(backbone), "conditioning", lambda self, texts: asked.append(list(texts)) or own(self, texts)
    )
    monkeypatch.setattr(
        type(backbone), "make_room", lambda self, **given: room.append(given) or make_room(self, **given)
    )
    train(backbone, photos, steps=1, prior=Prior(examples(photos, "a photo of a dog")))
    assert asked[0] == [CAPTION, "a photo of a dog"]
    assert room == [{"taught": False}]
    assert not any(p.requires_grad or p.grad is not None for p in backbone.networks.denoiser.parameters())
    backbone.restore()
    train(backbone, photos, kind="tokens", steps=1)
    assert room[1:] == [{"taught": True}]
