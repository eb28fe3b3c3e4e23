"""Names and paths become method classes; what a user gets wrong is named before anything heavy is loaded."""

import dataclasses
import subprocess
import sys

import pytest

from harness import methods
from harness.methods import MethodError

OWN = '''
"""A user's own method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from harness.api import Personalized, Role


@dataclass(frozen=True)
class Own:
    """Say a word."""

    title: ClassVar[str] = "Own"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 3
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {"toybox": {"steps": 7}}

    steps: int = 5
    lr: float = 1e-3
    mode: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ("x",)
    clip: float | None = None
    fast: bool = False

    def skip(self, subject, family):
        return None

    def fit(self, backbone, subject, trainer):
        return Personalized("own")
'''


@pytest.fixture
def own():
    return methods.from_source(OWN, name="own.py")


def test_a_path_is_a_method_of_ones_own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    kind = methods.load(str(path))
    assert kind.title == "Own"
    assert kind().fit(None, None, None).phrase == "own"
    path.write_text(OWN.replace("= 5", "= 6"))
    assert methods.load(str(path))().steps == 6


def test_unknown_method_names_the_nearest_and_the_known():
    with pytest.raises(
        MethodError, match=r"unknown method 'dreambooht'; did you mean 'dreambooth'\? known: custom"
    ):
        methods.load("dreambooht")


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(MethodError, match=r"nowhere\.py.*cannot be read"):
        methods.load(str(tmp_path / "nowhere.py"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("frozen=True", "frozen=False"), "must be a frozen dataclass"),
        (('title: ClassVar[str] = "Own"', ""), "needs the class variable title: write `title:"),
        (
            ('role: ClassVar[Role] = "method"', ""),
            r"needs the class variable role: write `role: .* = \"method\"`$",
        ),
        (('= "method"', '= "flor"'), "unknown role 'flor'; did you mean 'floor'"),
        (("def skip", "def skips"), r"needs the method skip, .*: write `def skip\(self, subject, family\): "),
        (("version: ClassVar[int] = 3", 'version: ClassVar[str] = "3"'), "needs the class variable version"),
        (("def fit", "def train"), "defines 0 classes with a fit method"),
        (("steps: int = 5", "steps: int"), "cannot be loaded|needs a default"),
        (('{"steps": 7}', '{"stepz": 7}'), r"presets\['toybox'\]: unknown hyperparameter 'stepz'"),
        (("steps: int = 5", 'steps: int = "x"'), r"default\.steps: .*integer.*got 'x'$"),
        (("import Personalized", "import Nothing"), "cannot be loaded: ImportError"),
        (("return Personalized", "return Personalized("), "cannot be loaded: SyntaxError"),
    ],
)
def test_a_file_that_breaks_the_contract_says_how(change, message):
    with pytest.raises(MethodError, match=message):
        methods.from_source(OWN.replace(*change), name="own.py")


def test_two_methods_in_a_file_are_refused():
    with pytest.raises(MethodError, match="defines 2 classes"):
        methods.from_source(
            OWN + OWN.split("\n\n\n", 1)[1].replace("class Own", "class Other"), name="own.py"
        )


def test_params_are_defaults_then_preset_then_the_users(own):
    full = {"steps": 5, "lr": 1e-3, "mode": "a", "words": ["x"], "clip": None, "fast": False}
    assert methods.resolve_params(own, None, "sd15") == full
    assert methods.resolve_params(own, {}, "toybox") == {**full, "steps": 7}
    assert methods.resolve_params(own, {"steps": 9, "lr": 1}, "toybox") == {**full, "steps": 9, "lr": 1.0}


def test_resolved_params_build_the_method(own):
    resolved = methods.resolve_params(own, {"words": ["y", "z"], "clip": 1}, "toybox")
    assert methods.build(own, resolved) == own(steps=7, words=("y", "z"), clip=1.0)


def test_yaml_floats_without_a_dot_are_numbers(own):
    assert methods.resolve_params(own, {"lr": "5e-5"}, "sd15")["lr"] == 5e-5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"step": 3}, r"params: unknown hyperparameter 'step'; did you mean 'steps'\? known: clip, fast, lr"),
        ({"steps": "many"}, r"params\.steps: .*integer.*got 'many'"),
        ({"steps": 2.5}, r"params\.steps: .*integer.*got 2\.5"),
        ({"steps": True}, r"params\.steps: .*int, got True"),
        ({"lr": [1e-3]}, r"params\.lr: .*number.*got \[0\.001\]"),
        ({"lr": float("nan")}, r"params\.lr: .*finite"),
        ({"mode": "c"}, r"params\.mode: .*'a' or 'b'.*got 'c'"),
        ({"words": "yz"}, r"params\.words: .*tuple.*got 'yz'"),
    ],
)
def test_wrong_params_say_where_and_what(own, params, message):
    with pytest.raises(MethodError, match=message):
        methods.resolve_params(own, params, "sd15")


def test_presets_are_resolved_for_toybox():
    kind = methods.load("dreambooth")
    toybox, elsewhere = (methods.resolve_params(kind, {}, name) for name in ("toybox", "sd15"))
    assert toybox == {**elsewhere, **kind.presets["toybox"]} != elsewhere
    assert (elsewhere["steps"], elsewhere["batch"], elsewhere["lr"]) == (1000, 1, 2e-6)


WRONG = {
    "steps": [0, -1, 1.5, True],
    "lr": [0, -1, float("nan"), float("inf")],
    "batch": [0, -4],
    "accumulate": [0],
    "prior_count": [0],
    "prior_weight": [-0.1],
    "prior_prompts": ["other"],
    "mu": [-0.1, float("nan")],
    "bank_batch": [0],
    "beta": [0, -1],
    "weight_decay": [-1e-2],
    "clip": [0, -1],
    "rank": [0],
    "least_rank": [-1],
    "power": [0, -1],
    "blocks": [0],
    "block_size": [0],
    "eps": [0, -1],
    "alpha": [0],
    "vectors": [0],
    "token": ["", " "],
    "init": [""],
    "targets": [[], ["to_q", ""]],
    "lr_decay": ["cosine"],
    "template": ["a photo"],
    "optimizer": ["sgd"],
    "start": ["zero"],
    "start_token": ["frozen", True],
    "whole_from": [0, 1.5],
    "templates": [[], ["a photo"], ["a {} {}"], ["a {} {x}"]],
}
"""Values that every method with such a hyperparameter refuses."""
UNRANGED = {"flip", "scale", "scale_named", "added_kv", "learn_token", "precondition"}


@pytest.mark.parametrize("name", methods.known())
def test_every_value_out_of_range_is_refused_in_one_line_with_key_and_value(name):
    kind = methods.load(name)
    fields = {field.name for field in dataclasses.fields(kind)}
    assert fields <= WRONG.keys() | UNRANGED
    for field in fields - UNRANGED:
        for value in WRONG[field]:
            with pytest.raises(MethodError) as caught:
                methods.resolve_params(kind, {field: value}, "sd15")
            line = str(caught.value)
            assert line.startswith(f"params.{field}: ") and repr(value) in line and "\n" not in line


def test_a_value_out_of_range_fails_a_dry_run_with_file_key_value_and_range(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "subjects: [mossy-mug]\nmethods: [{name: dreambooth, params: {steps: 0}}]\n"
    )
    program = (
        "import sys; sys.argv = ['harness', 'sweep', 'x.yaml', '--dry-run']\n"
        "from harness.cli.main import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "False\n"
    assert done.stderr == (
        "harness: x.yaml: methods[0].params: params.steps: "
        "input should be greater than or equal to 1, got 0\n"
    )
