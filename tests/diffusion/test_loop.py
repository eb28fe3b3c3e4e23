"""The training loop on a backbone of two numbers: every option restated, each part told what it should be."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from diffusion.plain import KEY, SCALE, Plain, grey
from PIL import Image

from harness.api import Lipschitz
from harness.diffusion import training
from harness.diffusion.augment import Augment
from harness.diffusion.bank import Bank, FromBank
from harness.diffusion.batching import OutOfMemory
from harness.diffusion.checkpoints import Checkpoints
from harness.diffusion.denoising import Preference
from harness.diffusion.draws import MicroBatch
from harness.diffusion.examples import Example, Prior
from harness.diffusion.lipschitz import Full, LowRank
from harness.diffusion.loss_log import TrainingDiverged
from harness.diffusion.seeds import named_seed
from harness.diffusion.training import Trainer
from harness.errors import HarnessError

EXAMPLES = [Example(grey(level), ("a sks dog",)) for level in (51, 204)]
CLASS = Prior([Example(grey(102), ("dog",))], 0.7)


@pytest.fixture
def plain(tmp_path):
    return Plain(tmp_path)


def batches(count, *, others=0, masked=False):
    """Micro-batches of two subjects and ``others``, all different."""
    generator = torch.Generator().manual_seed(1)
    n = 2 + others
    masks = torch.ones(2, 1, 4, 4)
    masks[0, 0, :3] = 0.0
    return [
        MicroBatch(
            torch.rand(n, 2, 4, 4, generator=generator),
            ["a sks dog", "sks", *["dog"] * others],
            torch.randn(n, 2, 4, 4, generator=generator),
            torch.randint(1000, (n,), generator=generator),
            2,
            masks if masked else None,
        )
        for _ in range(count)
    ]


def squares(drawn, scale, key, *, captions=None, held=False):
    """(ε + z − scale·z_t − key·(1 + words))²; ``held``: the 1 teaches the key nothing."""
    noisy = drawn.latents + drawn.timesteps.view(-1, 1, 1, 1) / 1000 * drawn.noise
    words = torch.tensor([float(len(c.split())) for c in captions or drawn.captions]).view(-1, 1, 1, 1)
    first = key.detach() if held else key
    return (drawn.noise + drawn.latents - scale * noisy - key * words - first) ** 2


def loss_of(drawn, scale, key, *, weight=0.0, clean=False, area=False, held=False, beta=None):
    found = squares(drawn, scale, key, held=held)
    if clean:
        found = found * drawn.timesteps.view(-1, 1, 1, 1) / 100
    own = found[:2]
    if area:
        mask = drawn.masks
        loss = sum((own[i] * mask[i]).sum() / mask[i].sum() for i in range(2)) / 2
    else:
        loss = own.mean()
    if beta is not None:
        told = ["dog"] * 2 + drawn.captions[2:]
        base = squares(drawn, torch.tensor(SCALE), torch.tensor(KEY), captions=told)[:2].mean()
        loss = (1 + (beta * (loss - base)).exp()).log()
    return loss + weight * found[2:].mean() if weight else loss


def restated(
    drawn, *, accumulate=1, clip=None, decay=0.0, penalty=0.0, kind=torch.optim.AdamW, falls=False, **how
):
    """Scale, key and losses after training on the micro-batches at rate 0.05."""
    scale, key = (torch.nn.Parameter(torch.tensor(value)) for value in (SCALE, KEY))
    update = kind([scale, key], lr=0.05, weight_decay=decay, foreach=False)
    losses, steps = [], len(drawn) // accumulate
    for step in range(steps):
        parts = [
            loss_of(each, scale, key, **how) for each in drawn[step * accumulate : (step + 1) * accumulate]
        ]
        loss = sum(parts) / accumulate
        losses.append(float(loss.detach()))
        update.zero_grad()
        (loss + penalty * ((scale - SCALE) ** 2 + (key - KEY) ** 2)).backward()
        if clip is not None:
            length = math.hypot(float(scale.grad), float(key.grad))
            for each in (scale, key):
                each.grad *= min(1.0, clip / length)
        if falls:
            update.param_groups[0]["lr"] = 0.05 * (steps - step) / steps
        update.step()
    return float(scale.detach()), float(key.detach()), losses


CASES = {
    "nothing said": ({}, {}),
    "Adam": ({"optimizer": "adam", "weight_decay": 0.5}, {"kind": torch.optim.Adam, "decay": 0.5}),
    "weight decay": ({"weight_decay": 0.5}, {"decay": 0.5}),
    "clipping": ({"clip": 0.01}, {"clip": 0.01}),
    "no clipping of what is short": ({"clip": 1e6}, {}),
    "accumulation": ({"accumulate": 2}, {"accumulate": 2}),
    "class images": ({"prior": CLASS}, {"weight": 0.7}),
    "clean latents": ({"precondition": True}, {"clean": True}),
    "area": ({"reduction": "area"}, {"area": True}),
    "start token": ({"start": "detached"}, {"held": True}),
    "falling rate": ({"lr_decay": "linear"}, {"falls": True}),
    "preference": ({"preference": Preference(3.0, {"a sks dog": "dog", "sks": "dog"})}, {"beta": 3.0}),
    "penalty": ({"penalty": 40.0, "clip": 0.3}, {"penalty": 40.0, "clip": 0.3}),
}


def fit(plain, drawn=None, *, penalty=None, trainer=None, steps=None, group="denoiser", **settings):
    """Fit both numbers to the micro-batches (None: the trainer's own, two steps) at rate 0.05."""
    trainer = trainer or Trainer(seed=3)
    if penalty is not None:
        trainer.lipschitz = Lipschitz(penalty=penalty)
    if drawn is not None:
        trainer.draws = lambda own: iter(drawn)
        steps = len(drawn) // settings.get("accumulate", 1)
    settings = {"parameters": plain.parameters(group), "examples": EXAMPLES, "batch": 2, **settings}
    trainer.fit(plain, steps=steps or 2, lr=0.05, **settings)
    return trainer


def trained(plain):
    line = plain.networks.denoiser
    return line.scale.item(), line.to_k.weight.item()


@pytest.mark.parametrize("name", CASES)
def test_every_option_is_its_restatement(plain, name):
    said, meant = CASES[name]
    drawn = batches(4, others=1 if "weight" in meant else 0, masked="area" in meant)
    trainer = fit(plain, drawn, **said)
    scale, key, losses = restated(drawn, **meant)
    assert trained(plain) == pytest.approx((scale, key), rel=1e-4)
    assert trainer.losses == pytest.approx(losses, rel=1e-5)


def test_options_make_a_difference():
    """No restatement is another one's: a case that said nothing would show nothing."""
    drawn = batches(4, others=1, masked=True)
    found = {
        restated(drawn, **{**meant, "weight": meant.get("weight", 0.0)})[:2] for _, meant in CASES.values()
    }
    assert len(found) == len(CASES) - 1  # clipping of what is short does nothing


def test_afterwards_nothing_is_left_to_train(plain):
    fit(plain, batches(2))
    assert not any(p.requires_grad or p.grad is not None for p in plain.networks.denoiser.parameters())


def recorded(plain, trainer, **settings):
    kept = []

    def record(own):
        for each in own:
            kept.append(each)
            yield each

    trainer.draws = record
    fit(plain, trainer=trainer, **settings)
    return kept


def test_draws_are_those_of_the_seed_and_of_the_steps_before(plain):
    plain.spread = 0.1
    trainer = Trainer(seed=5)
    for before in (0, 2):
        kept = recorded(plain, trainer)
        assert len(kept) == 2 and len(trainer.losses) == before + 2
        generator = torch.Generator().manual_seed(named_seed("training", 5, before))
        for drawn in kept:
            order = torch.randperm(2, generator=generator).tolist()
            latents = plain.latents([EXAMPLES[n].image for n in order]).mean
            latents = latents + 0.1 * torch.randn(latents.shape, generator=generator)
            torch.testing.assert_close(drawn.latents, latents)
            assert torch.equal(drawn.noise, torch.randn(latents.shape, generator=generator))
            assert torch.equal(drawn.timesteps, torch.randint(1000, (2,), generator=generator))


def test_without_a_replay_the_trainer_s_own_draws_are_trained_on(plain):
    kept = recorded(plain, Trainer(seed=5), steps=3)
    first = trained(plain)
    plain.restore()
    again = fit(plain, trainer=Trainer(seed=5), steps=3)
    assert trained(plain) == first and len(again.losses) == 3
    assert first == pytest.approx(restated(kept)[:2], rel=1e-4)


def test_the_subject_is_augmented_with_the_draws_generator(plain):
    augment = Augment(flip=True, scale=True, variants=5)
    kept = recorded(plain, Trainer(seed=5), augment=augment)
    assert all(drawn.masks.shape == (2, 1, 4, 4) for drawn in kept)
    generator = torch.Generator().manual_seed(named_seed("training", 5, 0))
    made = training.TrainingSet.prepare(plain, EXAMPLES, augment, generator)
    latents, captions, masks, _ = made.draw(2, generator)
    assert torch.equal(kept[0].latents, latents) and kept[0].captions == captions
    assert torch.equal(kept[0].masks, masks)


def a_bank(seconds=50.0):
    numbers = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 4, 4)
    return Bank(("a cat", "a mug"), torch.zeros(2, 2, 4, 4), numbers, torch.arange(4), numbers, seconds)


def test_entries_of_a_bank_are_dealt_by_the_trial_s_seed(plain):
    kept = recorded(plain, Trainer(seed=9), prior=FromBank(a_bank(), 1.0))
    rounds = a_bank().rounds(2, seed=9)
    for drawn in kept:
        assert torch.equal(drawn.base, next(rounds).base)


@pytest.mark.parametrize("preference", [None, Preference(1.0, {"a sks dog": "one two"})])
def test_every_caption_is_read_once_beforehand_without_gradients(plain, monkeypatch, preference):
    graded, own = [], type(plain).conditioning

    def conditioning(self, prompts):
        graded.append(
            (list(prompts), torch.is_grad_enabled(), [p.requires_grad for p in parameters.values()])
        )
        return own(self, prompts)

    monkeypatch.setattr(Plain, "conditioning", conditioning)
    parameters = plain.parameters("denoiser")
    fit(plain, prior=CLASS, preference=preference)
    told = [] if preference is None else ["one two"]
    assert graded[0] == (["a sks dog", "dog", *told], False, [False, False])
    assert graded[-1][1:] == (True, [True, True])
    assert plain.room == [False]


def test_room_is_made_but_for_text_encoders_that_learn_a_word(plain):
    plain.networks.text_encoders[0].rows = SimpleNamespace(tokens=("<v>",))
    training._make_ready(plain, [], [])
    assert plain.room == [True]


# What a run tells others.


class Stop(Exception):
    """Raised by a spy that has seen enough."""


def spy(monkeypatch, name):
    """Let a part of the loop keep what it is given, and end the run there."""
    given = []

    def part(*args, **named):
        given.append((args, named))
        raise Stop

    monkeypatch.setattr(training, name, part)
    return given


@pytest.mark.parametrize(("device", "every"), [("cpu", 1), ("meta", 10)])
def test_losses_are_fetched_at_each_step_of_a_cpu_and_at_every_tenth_elsewhere(
    plain, monkeypatch, device, every
):
    given = spy(monkeypatch, "LossLog")
    plain.device = torch.device(device)
    told = []
    trainer = Trainer(seed=0, progress=lambda *update: told.append(update))
    with pytest.raises(Stop):
        fit(plain, trainer=trainer, steps=7)
    (((steps, losses, progress), named),) = given
    assert (
        steps == 7 and losses is trainer.losses and progress is trainer.progress and named == {"every": every}
    )


@pytest.mark.parametrize(("precision", "enabled"), [("fp32", False), ("fp16", True), ("bf16", False)])
def test_losses_are_scaled_in_half_precision_alone(plain, monkeypatch, precision, enabled):
    asked = []
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *args, **named: asked.append((args, named)))
    spy(monkeypatch, "LossLog")
    plain.precision = precision
    with pytest.raises(Stop):
        fit(plain)
    assert asked == [(("cpu",), {"enabled": enabled})]


def test_constraints_are_told_all_about_the_run(plain, monkeypatch):
    given = spy(monkeypatch, "ActiveConstraints")
    trainer = Trainer(seed=6, lipschitz=Lipschitz(penalty=2.0))
    trainer._bank = a_bank()
    with pytest.raises(Stop):
        fit(plain, trainer=trainer)
    ((lipschitz, terms), named) = given[0]
    assert lipschitz is trainer.lipschitz
    assert [term.name for term in terms] == ["denoiser.scale", "denoiser.to_k.weight"]
    assert named["backbone"] is plain and named["bank"] is trainer._bank
    assert named["lr"] == 0.05 and named["seed"] == 6
    assert len(named["subject"].latents) == 2
    trainer.seconds_charged = 1.0
    named["charge"](2.5)
    assert trainer.seconds_charged == 3.5


def test_without_a_constraint_there_are_no_terms(plain, monkeypatch):
    given = spy(monkeypatch, "ActiveConstraints")
    with pytest.raises(Stop):
        fit(plain, trainer=Trainer(seed=0))
    assert given[0][0] == (None, [])


@pytest.mark.parametrize(
    ("part", "place", "word"),
    [("DenoisingLoss", 3, "mean"), ("start_token", 2, "trained"), ("set_rate", 2, "none")],
)
def test_what_is_not_said_is_the_mean_with_a_trained_start_at_a_constant_rate(
    plain, monkeypatch, part, place, word
):
    given = spy(monkeypatch, part)
    with pytest.raises(Stop):
        fit(plain)
    assert given[0][0][place] == word


def test_the_loss_is_gathered_on_the_backbone_s_device_and_told_to_the_step(plain, monkeypatch):
    devices, told, backward, step = [], [], training._backward, training._step
    monkeypatch.setattr(training, "_backward", lambda *given: devices.append(given[-1]) or backward(*given))
    monkeypatch.setattr(training, "_step", lambda *given: told.append(float(given[-1])) or step(*given))
    trainer = fit(plain, batches(2))
    assert told == trainer.losses
    assert devices == [plain.device] * 2


def test_progress_follows_the_losses(plain):
    told = []
    trainer = fit(plain, batches(3), trainer=Trainer(seed=0, progress=lambda *update: told.append(update)))
    assert told == [("fit", i + 1, 3, loss) for i, loss in enumerate(trainer.losses)]


def test_a_step_is_unscaled_constrained_clipped_taken_and_constrained_again(monkeypatch):
    done = []
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    weight.grad = torch.tensor([3.0])
    update = torch.optim.SGD([weight], lr=1.0)

    def say(word):
        return lambda *given: done.append((word, *given, None if weight.grad is None else weight.grad.item()))

    scaler = SimpleNamespace(unscale_=say("unscale"), step=say("step"), update=say("update"))
    constraints = SimpleNamespace(add_gradient=say("add"), before_step=say("before"), after_step=say("after"))
    loss = torch.tensor(5.0)
    training._step(update, scaler, constraints, 0.5, loss)
    assert done == [
        ("unscale", update, 3.0),
        ("add", loss, 3.0),
        ("before", pytest.approx(0.5, rel=1e-5)),
        ("step", update, pytest.approx(0.5, rel=1e-5)),
        ("update", pytest.approx(0.5, rel=1e-5)),
        ("after", None),
    ]


def test_micro_batches_are_scaled_for_the_backward_pass_and_averaged_in_the_loss():
    weight = torch.nn.Parameter(torch.tensor(2.0))
    scaler = SimpleNamespace(scale=lambda loss: 8 * loss)
    found = training._backward(
        lambda drawn: drawn * weight, iter([1.0, 4.0, 7.0, 100.0]), 3, scaler, torch.device("cpu")
    )
    assert float(found) == pytest.approx(2 * (1 + 4 + 7) / 3) and not found.requires_grad
    assert float(weight.grad) == pytest.approx(8 * (1 + 4 + 7) / 3)
    assert training._backward(abs, iter(()), 0, scaler, torch.device("meta")).device.type == "meta"


def test_checkpoints_are_what_a_shorter_run_ends_with(plain):
    drawn = batches(3)
    trainer = Trainer(seed=0, lipschitz=Lipschitz(bound=0.03), checkpoints=Checkpoints([2]))
    fit(plain, drawn, trainer=trainer)
    kept = trainer.checkpoints.at(2)
    plain.restore()
    shorter = fit(plain, drawn[:2], trainer=Trainer(seed=0, lipschitz=Lipschitz(bound=0.03)))
    weights = kept.delta.weights
    assert (weights["denoiser.scale"].item(), weights["denoiser.to_k.weight"].item()) == trained(plain)
    assert kept.bound == shorter.bound
    assert shorter.bound["radius"] == 0.03 and 0 < shorter.bound["l2"] <= 0.03 * (1 + 1e-5)
    with pytest.raises(HarnessError, match="several runs"):
        fit(plain, drawn, trainer=trainer)


def test_without_a_constraint_nothing_is_proven(plain):
    assert fit(plain, batches(1)).bound is None
    assert Trainer(seed=0).bound is None


# What ends a run early.


@pytest.mark.parametrize(
    ("prior", "images"), [(None, 2), (CLASS, 4), (FromBank(a_bank(), 1.0, "base", 3), 5)]
)
def test_out_of_memory_says_how_many_images_did_not_fit(plain, monkeypatch, prior, images):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried")

    monkeypatch.setattr(Plain, "predict", full)
    with pytest.raises(
        OutOfMemory, match=rf"^training {images} images at once .*\(CUDA out of memory\)"
    ) as caught:
        fit(plain, prior=prior)
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert not any(p.requires_grad for p in plain.networks.denoiser.parameters())


def test_a_loss_that_is_no_number_ends_the_run_at_its_step(plain):
    drawn = batches(3)
    drawn[1].latents[0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainingDiverged, match="at step 2 of 3"):
        fit(plain, drawn)
    assert not any(p.requires_grad or p.grad is not None for p in plain.networks.denoiser.parameters())


def test_a_weight_that_is_no_number_ends_the_run(plain):
    def spoil(own):
        yield from batches(1)
        with torch.no_grad():
            plain.networks.denoiser.scale.fill_(float("inf"))
        (last,) = batches(1)
        plain.networks.denoiser.forward = lambda noisy, text: (
            plain.networks.denoiser.to_k(text).sum() + 0 * noisy
        )
        yield last

    with pytest.raises(TrainingDiverged, match="a weight became infinite or nan at step 2 of 2") as caught:
        fit(plain, trainer=Trainer(seed=0, draws=spoil))
    assert caught.value.step == 2


WRONG = [
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"batch": 0}, "batch must be at least 1, got 0"),
    ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
    ({"lr": 0.0}, "lr must be a positive number, got 0.0"),
    ({"lr": math.inf}, "lr must be a positive number, got inf"),
    ({"lr": math.nan}, "lr must be a positive number, got nan"),
    ({"parameters": {}}, "no parameters"),
    ({"examples": []}, "nothing to learn from"),
    ({"examples": [*EXAMPLES, Example(grey(0), ())]}, "nothing to learn from"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_settings_without_sense_are_refused_before_anything_is_encoded(plain, change, message):
    settings = {
        "parameters": plain.parameters("denoiser"),
        "examples": EXAMPLES,
        "steps": 1,
        "lr": 1.0,
        "batch": 1,
    }
    with pytest.raises(ValueError, match=message):
        Trainer(seed=0).fit(plain, **{**settings, **change})
    assert not plain.encoded and not plain.asked


def test_one_of_everything_is_enough(plain):
    trainer = Trainer(seed=0)
    trainer.fit(plain, parameters=plain.parameters("key"), examples=EXAMPLES[:1], steps=1, lr=1e-9, batch=1)
    assert len(trainer.losses) == 1 and plain.networks.denoiser.scale.item() == SCALE


def test_a_constraint_refuses_parameters_that_it_cannot_see():
    shared, stranger, down, up = (torch.nn.Parameter(torch.ones(1, 1)) for _ in range(4))
    terms = [Full("a", shared, None, 1), LowRank("b", down, up, 1.0, shared)]
    asked = []
    known = SimpleNamespace(terms=lambda names: asked.append(names) or terms)
    parameters = {"a": shared, "b.down": down, "b.up": up}
    assert training._terms(known, parameters, Lipschitz(bound=1.0)) is terms
    assert asked == [["a", "b.down", "b.up"]]
    with pytest.raises(ValueError, match="does not know 'mine'"):
        training._terms(known, {**parameters, "mine": stranger}, Lipschitz(bound=1.0))
    assert training._terms(known, {"mine": stranger}, None) == []


# What is made of the base model first, and what it costs.


@pytest.fixture
def clock(monkeypatch):
    """Time that passes by a quarter of a second at each look."""
    now = [100.0]

    def look():
        now[0] += 0.25
        return now[0]

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=look))
    return now


@pytest.fixture
def banks(monkeypatch):
    """What banks were asked for; each takes three images, and fifty seconds whoever made it."""
    asked = []

    def make(backbone, prompts, *, report):
        asked.append((backbone, list(prompts)))
        report(2, 3)
        return a_bank()

    monkeypatch.setattr(training, "make_bank", make)
    return asked


def test_a_bank_is_made_once_and_charged_as_if_it_had_been_made_here(plain, banks, clock):
    told = []
    trainer = Trainer(seed=0, progress=lambda *update: told.append(update), bank_texts=lambda: ["a cat"])
    trainer.seconds_charged = 1.0
    assert trainer.bank(plain) is trainer.bank(plain)
    assert banks == [(plain, ["a cat"])]
    assert trainer.seconds_charged == 1.0 + 50.0 - 0.25
    assert told == [("bank", 2, 3, None)]


def test_a_trainer_without_prompts_has_no_bank(plain, banks):
    with pytest.raises(HarnessError, match="was given none"):
        Trainer(seed=0).bank(plain)
    Trainer(seed=0, bank_texts=lambda: ["a cat"]).bank(plain)  # nobody listens
    assert len(banks) == 1


def test_entries_of_weight_zero_make_no_bank(plain, banks):
    trainer = Trainer(seed=0, bank_texts=lambda: ["a cat"])
    assert trainer.from_bank(plain, weight=0.0) is None and not banks
    made = trainer.from_bank(plain, weight=0.4, goal="noise", batch=3)
    assert (made.bank, made.weight, made.goal, made.batch) == (trainer.bank(plain), 0.4, "noise", 3)
    assert banks == [(plain, ["a cat"])]
    made = trainer.from_bank(plain, weight=0.4)
    assert (made.goal, made.batch) == ("base", None)


@pytest.mark.parametrize(
    ("constraint", "made"),
    [(None, 0), ({"penalty": 1.0}, 0), ({"bound": 1.0}, 0), ({"output_bound": 1.0}, 1),
     ({"penalty": 1.0, "norm": "activation"}, 1)],
)  # fmt: skip
def test_a_bank_is_prepared_for_constraints_that_use_one(plain, banks, constraint, made):
    lipschitz = None if constraint is None else Lipschitz.of(constraint)
    Trainer(seed=0, lipschitz=lipschitz, bank_texts=lambda: ["a cat"]).prepare(plain)
    assert len(banks) == made
    assert all(backbone is plain for backbone, _ in banks)


@pytest.fixture
def class_images(monkeypatch):
    """What class images were asked for; drawing them takes seven seconds whoever drew them."""
    asked = []

    def draw(backbone, prompt, count, *, progress):
        asked.append((backbone, prompt, count))
        progress(1, count)
        return [Image.linear_gradient("L").rotate(90).convert("RGB") for _ in range(count)], 7.0

    monkeypatch.setattr(training, "prior_images", draw)
    return asked


def test_class_images_are_charged_as_if_they_had_been_drawn_here(plain, class_images, clock):
    told = []
    trainer = Trainer(seed=0, progress=lambda *update: told.append(update))
    trainer.seconds_charged = 1.0
    assert len(trainer.prior_images(plain, "a dog", 3)) == 3
    assert class_images == [(plain, "a dog", 3)]
    assert trainer.seconds_charged == 1.0 + 7.0 - 0.25
    assert told == [("prior", 1, 3, None)]


def test_class_images_are_examples_of_their_caption_and_mirrored_if_said(plain, class_images):
    trainer = Trainer(seed=0)
    assert trainer.prior(plain, "a dog", count=2, weight=0.0) is None and not class_images
    plainly = trainer.prior(plain, "a dog", count=2, weight=0.7)
    assert class_images == [(plain, "a dog", 2)]
    assert plainly.weight == 0.7 and len(plainly.examples) == 2
    mirrored = trainer.prior(plain, "a dog", count=2, weight=0.7, mirrored=True)
    assert len(mirrored.examples) == 4 and mirrored.weight == 0.7
    for made in (plainly, mirrored):
        assert all(example.captions == ("a dog",) for example in made.examples)
        left = [example.image.getpixel((0, 5)) for example in made.examples]
        right = [example.image.getpixel((255, 5)) for example in made.examples]
        assert left[0] != right[0] and left[:2] == [left[0]] * 2
        assert left[2:] == right[: len(left) - 2] and right[2:] == left[: len(left) - 2]


def test_a_trainer_has_spent_and_learned_nothing_at_first():
    trainer = Trainer(seed=4)
    assert trainer.seed == 4 and trainer.losses == [] and trainer.seconds_charged == 0.0
    assert trainer.lipschitz is trainer.progress is trainer.draws is trainer.bank_texts is None
    assert trainer.checkpoints.wanted == frozenset()
