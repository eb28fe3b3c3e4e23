"""Every hyperparameter of a method arrives where it is used: trainer and backbone note what is asked."""

import dataclasses
from unittest.mock import MagicMock

import pytest

from harness import methods
from harness.api import Subject

SHARED = (
    "steps", "lr", "lr_decay", "batch", "optimizer", "weight_decay", "clip", "accumulate", "precondition",
)  # fmt: skip
"""What ``Trainer.fit`` takes under the name that methods give it."""
METHODS = (
    "dreambooth", "dreambooth_lora", "output_preservation", "dco", "svdiff", "oft", "t_lora", "token_lora",
)  # fmt: skip
OTHERS = {
    "optimizer": ("adam", "adamw"),
    "lr_decay": ("none", "linear"),
    "start": ("kaiming", "gaussian", "orthogonal"),
    "prior_prompts": ("class", "bank"),
    "targets": (("to_q",), ("to_k", "to_v")),
    "token": ("sks", "zwx"),
    "block_size": (None, 8),
    "bank_batch": (None, 3),
}


def asked(name, outlines=None, **params):
    """What a fit asks for: every call of the trainer and the backbone, as text."""
    kind = methods.load(name)
    trainer, backbone = MagicMock(name="trainer"), MagicMock(name="backbone")
    trainer.seed = 7
    backbone.networks.scheduler = {"num_train_timesteps": 1000}
    backbone.networks.tokenizers = [MagicMock()]
    backbone.networks.tokenizers[0].return_value.input_ids = [5]
    method = methods.build(kind, {**methods.resolve_params(kind, {}, "none"), **params})
    subject = Subject("rex", "dog", ("photo 1", "photo 2"), outlines=outlines)
    personalized = method.fit(backbone, subject, trainer)
    (fit,) = [call for call in trainer.method_calls if call[0] == "fit"]
    for source in (trainer.prior, trainer.from_bank):
        assert not source.called or fit.kwargs["prior"] is source.return_value
    told = [(what, args, keywords) for what, args, keywords in (*trainer.method_calls, *backbone.mock_calls)]
    return method, fit.kwargs, personalized, [_plain(each) for each in told]


def _plain(call):
    what, args, keywords = call
    shown = (*args, *sorted(keywords.items()))
    return what, [str(each) for each in shown if "MagicMock" not in str(each)]


def adapters(name):
    """What the backbone is asked for adapters, by keyword."""
    kind = methods.load(name)
    trainer, backbone = MagicMock(), MagicMock()
    backbone.networks.scheduler = {"num_train_timesteps": 1000}
    method = methods.build(kind, methods.resolve_params(kind, {}, "none"))
    method.fit(backbone, Subject("rex", "dog", ()), trainer)
    (made,) = [call for call in backbone.mock_calls if call[0] in ("adapters", "adaptation.adapters")]
    return method, made.kwargs


def another(field, value):
    choices = [each for each in OTHERS.get(field, ()) if each != value]
    if choices:
        return choices[0]
    if isinstance(value, bool):
        return not value
    return 0.625 if value is None or isinstance(value, float) else value + 1


@pytest.mark.parametrize("name", METHODS)
def test_the_trainer_is_told_what_the_method_was_told(name):
    method, fit, personalized, _ = asked(name)
    for field in {each.name for each in dataclasses.fields(method)} & set(SHARED):
        value = another(field, getattr(method, field))
        assert asked(name, **{field: value})[1][field] == value
        assert fit[field] == getattr(method, field)
    assert personalized.phrase == "sks dog"
    assert [(each.image, each.captions) for each in fit["examples"]] == [
        ("photo 1", ("a photo of a sks dog",)), ("photo 2", ("a photo of a sks dog",))
    ]  # fmt: skip


@pytest.mark.parametrize("name", [*METHODS, "custom_diffusion", "textual_inversion"])
def test_every_shot_is_learnt_with_its_outline_where_that_is_known(name):
    examples = asked(name, lambda: ("outline 1", "outline 2"))[1]["examples"]
    assert [(each.image, each.outline) for each in examples] == [
        ("photo 1", "outline 1"), ("photo 2", "outline 2")
    ]  # fmt: skip
    assert [each.outline for each in asked(name)[1]["examples"]] == [None, None]


@pytest.mark.parametrize("name", METHODS)
def test_no_hyperparameter_is_without_a_use(name):
    method, *_, calls = asked(name)
    for field in {each.name for each in dataclasses.fields(method)} - set(SHARED):
        value = another(field, getattr(method, field))
        changed = asked(name, **{field: value})
        assert (changed[3], changed[2]) != (calls, asked(name)[2]), field


@pytest.mark.parametrize(
    ("name", "gate"),
    [("dreambooth_lora", None), ("t_lora", "RankOverTime"), ("token_lora", "FromToken")],
)
def test_adapters_are_asked_for_as_the_method_was_told(name, gate):
    method, made = adapters(name)
    for field in {"rank", "alpha", "targets", "start"} & {each.name for each in dataclasses.fields(method)}:
        assert made[field] == getattr(method, field)
    assert type(made["gate"]).__name__ == gate if gate else "gate" not in made
