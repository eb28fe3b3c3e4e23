"""A third kind of constraint is one class in one file: configuration, records, tables and figures know it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]

KIND = '''
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from harness.diffusion.constraints.base import Axis, Constraint, Look


@dataclass(frozen=True)
class Pull(Constraint):
    """Pulls every weight towards its pretrained value by a share, after each step."""

    key = "pull"
    rank = 30
    noun = "a pull (π)"
    needs = "it needs two pulls > 0"
    axis = Axis(name="π", title="pull π", tighter="higher")
    look = Look(line="-.", mark="h", other_mark="H", mark_over_shots="h", paler=0.2)

    pull: Annotated[float, Field(gt=0, le=1)]
    gentle: bool = False

    @property
    def short(self):
        return f"π={self.pull:g}" + (" gentle" if self.gentle else "")

    @property
    def long(self):
        return f"pull {self.pull:g}" + (" (gentle)" if self.gentle else "")

    def prepare(self, training):
        return replace(self, pull=self.pull / 2) if self.gentle else self

    def add_gradient(self, training, loss):
        training.terms[0].value.grad.add_(loss)

    def after_step(self, training):
        for term in training.terms:
            term.value.data.sub_(training.lr * self.pull * term.change())

    def proof(self, training):
        return {"pull_used": self.pull}
'''

SCRIPT = """
import importlib.util, json, sys
from pathlib import Path

import harness.diffusion.constraints

harness.diffusion.constraints.__path__.append(sys.argv[1])  # the folder of the new kind's file

import yaml
from fakes import FakeCatalog

from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.report.figures import line_plots, render_all
from harness.report.rows import select
from harness.report.series import series_of
from harness.report.tables import best_settings, method_table
from harness.sweep.grid import trials
from harness.tracking.mlflow_store import _params

facts = {}


def experiment(*constraints):
    data = {"name": "x", "subjects": "s0", "methods": [{"name": "tuned", "lipschitz": [*constraints]}]}
    return strict_yaml.check(Experiment, data, source="x.yaml")


def mistake(constraint):
    try:
        experiment(constraint)
    except ConfigError as error:
        return str(error)


pulls = {"pull": [0.1, 0.5], "gentle": [True, False]}
made = experiment(None, {"penalty": 5.0}, pulls, {"pull": 1.0, "bound": 2.0})
found = trials(made, FakeCatalog())
facts["titles"] = [trial.title for trial in found]
facts["labels"] = sorted({trial.label for trial in found})
facts["settings"] = [trial.summary()["lipschitz"] for trial in found]
copy = yaml.safe_load(strict_yaml.dump(made.model_dump(mode="json")).decode())
facts["copy"] = copy["methods"][0]["lipschitz"][1:3]
facts["copy is the same"] = trials(strict_yaml.check(Experiment, copy, source="copy"), FakeCatalog()) == found
facts["mistakes"] = [mistake({"pull": 2.0}), mistake({"gentle": True}), mistake({"pul": 1.0}),
                     mistake({"penalty": 1.0, "gentle": True})]

spec = importlib.util.spec_from_file_location("invented", sys.argv[2])
invented = importlib.util.module_from_spec(spec)
spec.loader.exec_module(invented)
records = [
    invented.make_record(subject=subject, lipschitz=constraint, drift={"weight_l2": 1.0 / (1 + place)},
                         scores={"dino_context": 0.5, "prompt_accuracy_accessory": 0.5})
    for subject in "ab"
    for place, constraint in enumerate(
        (None, {"penalty": 5.0}, {"pull": 0.5, "gentle": False}, {"pull": 0.1, "gentle": False})
    )
]
selection = select(records)
facts["rows"] = [row.title for row in selection.rows]
facts["filtered"] = [row.title for row in select(records, ["pull=0.1"]).rows]
facts["row labels"] = sorted({row.label for row in selection.rows})
facts["table"] = method_table.table(records)
facts["csv"] = method_table.table(records, format="csv", measures=["weight_l2"])
facts["csv without"] = method_table.table(records[:2], format="csv", measures=["weight_l2"]).splitlines()[0]
facts["groups"] = sorted(len(group) for group in best_settings.ranked(records))
facts["series"] = [curve.name for curve in series_of(list(selection.rows))]
said = []
out = Path(sys.argv[3])
drawn = render_all.render_all(records, out, out / "figures", say=said.append)
facts["figures"] = [path.name for path in drawn]
kind = selection.rows[-1].kind
figure = line_plots.along_constraint(selection, kind)
facts["axis"] = [figure.axes[0].get_xlabel(), [text.get_text() for text in figure.axes[0].get_xticklabels()]]
facts["params"] = {key: value for key, value in _params(found[2].summary()).items() if key.startswith("lips")}
facts["torch"] = "torch" in sys.modules

import torch

from harness.api import Lipschitz
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.lipschitz import Full

value = torch.nn.Parameter(torch.tensor([3.0]))
value.grad = torch.zeros(1)
active = ActiveConstraints(found[2].lipschitz, [Full("a", value, torch.tensor([1.0]), 1)], lr=10.0)
active.add_gradient(torch.tensor(7.0))
active.after_step()
facts["trained"] = [float(value.grad), float(value), active.proof()]
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """What a process says in which the package of kinds has one more file, and nothing else is changed."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "pull.py").write_text(KIND)
    invented = TESTS / "report" / "conftest.py"
    command = [sys.executable, "-c", SCRIPT, str(folder), str(invented), str(tmp_path_factory.mktemp("run"))]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_experiment_takes_its_keys_as_axes_and_titles_name_it(facts):
    assert facts["titles"] == [
        "Tuned",
        "Tuned (λ=5)",
        "Tuned (π=0.1 gentle)",
        "Tuned (π=0.1)",
        "Tuned (π=0.5 gentle)",
        "Tuned (π=0.5)",
        "Tuned (B=2, π=1)",
    ]
    assert facts["labels"] == ["Tuned"]
    assert facts["copy is the same"]


def test_its_mistakes_are_explained(facts):
    large, alone, misspelt, beside = facts["mistakes"]
    assert "lipschitz[0].pull: must be less than or equal to 1, not 2.0" in large
    assert "needs a penalty (λ) or a bound (B) or a bound on outputs (b) or a pull (π)" in alone
    assert "unknown key 'pul'; did you mean 'pull'?" in misspelt
    assert "gentle needs a pull (π)" in beside


def test_records_hold_its_keys_where_it_is_used_and_nowhere_else(facts):
    own = {"penalty": None, "norm": "tensor_mean", "bound": None, "relative": False, "on": "effective"}
    plain, penalty, pull, *_, both = facts["settings"]
    assert plain is None
    assert penalty == own | {"penalty": 5.0}
    assert pull == own | {"pull": 0.1, "gentle": True}
    assert both == own | {"pull": 1.0, "gentle": False, "bound": 2.0}
    assert "pull" not in facts["copy"][0]
    assert facts["copy"][1]["pull"] == [0.1, 0.5]
    assert facts["params"]["lipschitz.pull"] == "0.1"


def test_tables_conditions_and_rankings_know_it(facts):
    loose, tight = "DreamBooth + Lipschitz pull 0.1", "DreamBooth + Lipschitz pull 0.5"
    penalty = "DreamBooth + Lipschitz λ=5 (P&P, the paper's method)"
    assert facts["rows"] == ["DreamBooth", penalty, loose, tight]
    assert facts["filtered"] == [loose]
    assert facts["row labels"] == ["DreamBooth"]
    assert f"| {tight} " in facts["table"]
    header, *lines = facts["csv"].splitlines()
    assert header.startswith("row,group,method,shots,penalty,norm,bound,relative,on,gentle,pull,measure,")
    assert lines[-1].startswith(f"{tight},method,dreambooth,5,,tensor_mean,,False,effective,False,0.5,")
    assert "pull" not in facts["csv without"]
    assert facts["groups"] == [1, 1, 2]


def test_it_has_a_figure_along_its_axis(facts):
    assert facts["series"] == ["DreamBooth + Lipschitz λ", "DreamBooth + Lipschitz π"]
    assert "pull.png" in facts["figures"]
    assert facts["axis"] == ["pull π, tighter →", ["none", "0.1", "0.5"]]


def test_nothing_of_this_loads_torch(facts):
    assert facts["torch"] is False


def test_training_calls_its_hooks_in_order(facts):
    # gentle: half of .1; the gradient is the loss; 3 − 10·.05·(3 − 1) = 2
    assert facts["trained"] == [7.0, 2.0, {"pull_used": 0.05}]
