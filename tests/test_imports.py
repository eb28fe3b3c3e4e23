"""The directions of docs/architecture.md: contracts on what is written, tests of what an import loads."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


@cache
def linted() -> str:
    """What import-linter says of all contracts, in one line; it reads every module, so it is asked once."""
    command = [sys.executable, "-c", LINT, "--no-logo", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_contract_is_kept(contract):
    assert f"{CONTRACTS[contract]} KEPT" in linted(), linted()


RULES: dict[str, tuple[str, ...]] = {
    "harness": ("torch", "ray", "mlflow", "pandas", "numpy", "pydantic"),
    "harness.api": ("torch", "ray", "mlflow", "pandas", "pydantic", "PIL"),
    "harness.errors": ("torch", "ray", "mlflow", "pandas", "pydantic"),
    "harness.metrics.registry": ("torch", "pandas", "ray", "mlflow"),
    "harness.specs": ("torch", "ray", "mlflow", "pandas"),
    "harness.trial.plan": ("torch", "ray", "mlflow", "pandas"),
    "harness.config.experiment": ("torch", "ray", "mlflow", "pandas"),
    "harness.sweep.catalog": ("torch", "ray", "mlflow", "pandas"),
    "harness.sweep.grid": ("torch", "ray", "mlflow", "pandas"),
    "harness.methods": ("torch", "ray", "mlflow"),
    "harness.sweep.keys": ("torch", "ray", "mlflow", "pandas"),
    "harness.records": ("torch", "ray", "mlflow", "pandas"),
    "harness.sweep.worklist": ("torch", "ray", "mlflow", "pandas"),
    "harness.sweep.record_writer": ("torch", "ray", "mlflow", "pandas"),
    "harness.sweep.searching": ("torch", "ray", "mlflow", "pandas", "optuna"),
    "harness.sweep.observer": ("torch", "ray", "mlflow", "pandas"),
    "harness.trial.worker": ("ray", "mlflow", "pandas"),
    "harness.sweep": ("torch", "ray", "mlflow", "pandas"),
    "harness.sweep.ray_driver": ("torch", "mlflow"),
    "harness.cli.progress": ("torch", "ray", "mlflow", "pandas"),
    "harness.tracking.mirror": ("torch", "ray", "mlflow"),
    "harness.tracking.mlflow_store": ("torch", "ray", "mlflow"),
    "harness.report.stats": ("torch", "ray", "mlflow"),
    "harness.report.tables.method_table": ("torch", "ray", "mlflow"),
    "harness.report.tables.published_table": ("torch", "ray", "mlflow"),
    "harness.report.tables.best_settings": ("torch", "ray", "mlflow"),
    "harness.sweep.preflight": ("torch", "ray", "mlflow"),
    "harness.report.figures.render_all": ("torch", "ray", "mlflow"),
    "harness.report.search": ("torch", "ray", "mlflow", "optuna"),
    "harness.report.publish": ("torch", "ray", "mlflow"),
    "harness.report.html.document": ("torch", "ray", "mlflow"),
    "harness.cli.listing": ("torch", "ray", "mlflow", "pandas"),
    "harness.cli.main": ("torch", "ray", "mlflow", "pandas", "numpy", "pydantic", "yaml", "matplotlib"),
    "harness.diffusion": ("torch", "ray", "mlflow", "pandas"),
    "harness.diffusion.backbones.base": ("ray", "mlflow", "pandas"),
    "harness.diffusion.training": ("ray", "mlflow", "pandas"),
    "harness.diffusion.sampling": ("ray", "mlflow", "pandas"),
    "harness.metrics.encoders": ("torch", "ray", "mlflow", "pandas", "diffusers"),
    "harness.metrics.encoders.clip": ("ray", "mlflow", "pandas", "diffusers"),
    "harness.metrics.encoders.dino": ("ray", "mlflow", "pandas", "diffusers"),
    "harness.metrics.scores": ("diffusers", "ray", "mlflow", "pandas"),
    "harness.datasets": ("torch", "ray", "mlflow"),
    "harness.toybox": ("torch", "ray", "mlflow", "pandas"),
    "harness.toybox.scenes.world": ("ray", "mlflow", "pandas"),
    "harness.toybox.pretrain": ("ray", "mlflow", "pandas"),
}
"""Module → what must not be loaded by importing it (itself, or through what it imports)."""

IMPORT_EACH_IN_A_FORK = """
import importlib, json, os, sys

modules, forbidden, allowed = json.loads(sys.argv[1])
for name in allowed:
    importlib.import_module(name)
print(json.dumps(["allowed", [name for name in forbidden if name in sys.modules]]), flush=True)
for module in modules:
    if child := os.fork():
        status = os.waitpid(child, 0)[1]
        assert status == 0, module
    else:
        importlib.import_module(module)
        print(json.dumps([module, [name for name in forbidden if name in sys.modules]]), flush=True)
        os._exit(0)
"""
"""Each module is imported in a process of its own, forked from one that holds only packages it may load."""


def allowed(forbidden: tuple[str, ...]) -> list[str]:
    """Slow packages that are loaded once for all modules with these forbidden packages."""
    if "torch" not in forbidden:
        return ["torch", "transformers"] + ([] if "diffusers" in forbidden else ["diffusers", "peft"])
    return [] if "pandas" in forbidden else ["pandas", "scipy.stats", "matplotlib.pyplot"]


@cache
def loaded(forbidden: tuple[str, ...]) -> dict[str, list[str]]:
    """Module → what importing it loads of ``forbidden``, for all modules with exactly these forbidden."""
    modules = [module for module, names in RULES.items() if tuple(sorted(names)) == forbidden]
    arguments = json.dumps([modules, forbidden, allowed(forbidden)])
    command = [sys.executable, "-c", IMPORT_EACH_IN_A_FORK, arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("module", RULES)
def test_importing_a_module_loads_nothing_that_it_must_not_know(module):
    found = loaded(tuple(sorted(RULES[module])))
    assert found["allowed"] == []
    assert found[module] == [], f"{module} loads {found[module]}"
