"""Every file in ``baselines/`` keeps a method's contract: what it is, imports, changes and leaves."""

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness import methods
from harness.api import Ceiling, Lipschitz, Personalized, Subject
from harness.diffusion.sampling import sample_images
from harness.diffusion.training import Trainer
from harness.methods import Method

FOUND = methods.known()
CHANGES = {
    "custom_diffusion": lambda name: ".attn2.to_k." in name or ".attn2.to_v." in name or "new_tokens" in name,
    "dco": lambda name: name.startswith("denoiser."),
    "dreambooth": lambda name: name.startswith("denoiser."),
    "dreambooth_lora": lambda name: ".lora_" in name,
    "oft": lambda name: name.endswith(".oft_Q"),
    "output_preservation": lambda name: name.startswith("denoiser."),
    "svdiff": lambda name: name.endswith(".singular_values"),
    "t_lora": lambda name: ".lora_" in name,
    "textual_inversion": lambda name: name == "text_encoder.new_tokens",
    "token_lora": lambda name: ".attn2.to_k.lora_" in name or ".attn2.to_v.lora_" in name,
}
"""Which parameters a method may change; methods that are not listed may change nothing."""

TEXTS = ["a picture of a dog on a sofa", "a cat in a garden"]
"""Prior prompts for a bank."""

ADAPTERS = ("dreambooth_lora", "t_lora", "token_lora")
SMALL = {"steps": 2, "batch": 2, "accumulate": 2, "prior_count": 2, "lr": 1e-3}
CONSTRAINTS = {
    "none": None,
    "penalty": Lipschitz(penalty=500.0),
    "penalty_sum": Lipschitz(penalty=1e-3, norm="sum"),
    "penalty_entries": Lipschitz(penalty=1e-7, norm="sum", on="entries"),
    "bound": Lipschitz(bound=1e-3),
    "bound_relative": Lipschitz(bound=1e-5, relative=True),
    "bound_entries": Lipschitz(bound=1e-3, on="entries"),
}
ALLOWED = ("harness.api", "harness.diffusion", "torch", "numpy", "PIL", "diffusers", "transformers", "peft")


def small(name, **params):
    kind = methods.load(name)
    fields = {field.name for field in dataclasses.fields(kind)}
    chosen = {key: value for key, value in {**SMALL, **params}.items() if key in fields}
    return methods.build(kind, methods.resolve_params(kind, chosen, "tiny"))


def subject(photos):
    return Subject("rex", "dog", photos, "red dog with a blue tail")


def test_all_methods_are_found():
    assert {
        "custom_diffusion",
        "dco",
        "dreambooth",
        "dreambooth_lora",
        "frozen",
        "frozen_oracle",
        "oft",
        "output_preservation",
        "real",
        "real_ae",
        "real_asked",
        "svdiff",
        "t_lora",
        "textual_inversion",
        "token_lora",
    } <= set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_is_a_method(name):
    kind = methods.load(name)
    method = kind()
    assert isinstance(method, Method)
    assert kind.title
    assert kind.version >= 1
    assert kind.__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.title = "other"


def test_every_method_has_a_line_in_the_docs():
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    learning = [name for name in FOUND if methods.load(name).role == "method"]
    assert [name for name in learning if f"| `{name}`" not in text] == []


def test_titles_tell_methods_apart():
    titles = [methods.load(name).title for name in FOUND]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", FOUND)
def test_imports_only_the_toolbox(name):
    tree = ast.parse(FOUND[name].read_text())
    imported = {
        module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in (
            [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    }
    for module in imported:
        root = module.split(".")[0]
        assert root in sys.stdlib_module_names or module.startswith(ALLOWED), module


def test_listing_and_checking_methods_loads_no_torch():
    program = (
        "import sys; from harness import methods\n"
        "for name in methods.known(): methods.resolve_params(methods.load(name), {}, 'toybox')\n"
        "heavy = {'torch', 'diffusers', 'ray', 'mlflow', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("name", FOUND)
def test_fits_says_how_to_ask_and_leaves_no_trace(name, backbone, photos):
    kind = methods.load(name)
    encoder = backbone.networks.text_encoders[0].model
    before = {**backbone.networks.denoiser.state_dict(), **encoder.state_dict()}
    before = {key: value.clone() for key, value in before.items()}

    trainer = Trainer(seed=0, bank_texts=lambda: TEXTS)
    result = small(name).fit(backbone, subject(photos), trainer)

    assert isinstance(result, Ceiling) or (isinstance(result, Personalized) and result.phrase)
    assert bool(trainer.losses) == kind.uses_shots
    delta = backbone.delta()
    may_change = CHANGES.get(name, lambda _: False)
    changed = {*delta.weights, *delta.adapters, *delta.rows}
    assert all(may_change(key) for key in changed)
    assert bool(changed) == (name in CHANGES)
    assert (backbone.distance().denoiser_l2 > 0) == kind.changes_weights
    assert not any(p.requires_grad for p in backbone.networks.denoiser.parameters())
    if isinstance(result, Personalized):
        prompts = [f"a {result.phrase} on a box"]
        sample_images(backbone, prompts, seeds=[0], sampler="ddim", steps=1, guidance=1.0)

    backbone.restore()
    after = {**backbone.networks.denoiser.state_dict(), **encoder.state_dict()}
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("name", [name for name in FOUND if methods.load(name).changes_weights])
def test_takes_every_lipschitz_constraint(name, constraint, backbone, photos):
    lipschitz = CONSTRAINTS[constraint]
    if constraint.endswith("entries") and name not in ADAPTERS:
        pytest.skip("entries is about adapters; others read it as effective")
    trainer = Trainer(seed=0, lipschitz=lipschitz, bank_texts=lambda: TEXTS)
    small(name).fit(backbone, subject(photos), trainer)
    assert len(trainer.losses) == 2
    if lipschitz is not None and lipschitz.bound is not None:
        distance = backbone.distance(on=lipschitz.on)
        measured = distance.relative if lipschitz.relative else distance.l2
        assert measured <= lipschitz.bound * (1 + 1e-5)


def test_the_oracle_skips_subjects_without_words():
    oracle = small("frozen_oracle")
    assert oracle.skip(Subject("rex", "dog"), "sd") == (
        "the data set has no description of 'rex'; frozen_oracle needs one (Toybox has)"
    )
    assert oracle.skip(Subject("rex", "dog", description="red dog"), "sd") is None
    assert small("frozen").skip(Subject("rex", "dog"), "sd") is None


def test_t_lora_skips_a_least_rank_above_its_rank():
    method = methods.build(methods.load("t_lora"), {"rank": 4, "least_rank": 5})
    assert method.skip(Subject("rex", "dog"), "sd") == "least_rank: 5 is above rank: 4; lower it"
    assert small("t_lora").skip(Subject("rex", "dog"), "sd") is None


def test_phrases(backbone, photos):
    phrases = {}
    for name in FOUND:
        result = small(name, prior_weight=0.0).fit(
            backbone, subject(photos[:1]), Trainer(seed=0, bank_texts=lambda: TEXTS)
        )
        backbone.restore()
        if isinstance(result, Personalized):
            phrases[name] = result.phrase
    assert phrases == {
        "custom_diffusion": "<new1> dog",
        "dco": "sks dog",
        "dreambooth": "sks dog",
        "dreambooth_lora": "sks dog",
        "frozen": "dog",
        "frozen_oracle": "red dog with a blue tail",
        "oft": "sks dog",
        "output_preservation": "sks dog",
        "svdiff": "sks dog",
        "t_lora": "sks dog",
        "textual_inversion": "<v>",
        "token_lora": "sks dog",
    }


def test_textual_inversion_with_several_vectors(backbone, photos):
    result = small("textual_inversion", vectors=3).fit(
        backbone, subject(photos), Trainer(seed=0, bank_texts=lambda: TEXTS)
    )
    assert result == Personalized("<v> <v>_1 <v>_2")
    (rows,) = backbone.delta().rows.values()
    assert rows.shape == (3, 32)
    backbone.restore()


def test_prior_pictures_are_of_the_subjects_own_class(backbone, photos, monkeypatch):
    asked = []
    original = Trainer.prior_images
    monkeypatch.setattr(
        Trainer, "prior_images", lambda self, b, p, n: asked.append((p, n)) or original(self, b, p, n)
    )
    for name in ("dreambooth", "custom_diffusion"):
        small(name, prior_weight=1.0).fit(
            backbone, subject(photos), Trainer(seed=0, bank_texts=lambda: TEXTS)
        )
        backbone.restore()
    assert asked == [("a photo of a dog", 2), ("photo of a dog", 2)]
