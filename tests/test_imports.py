"""The directions of docs/architecture.md: each module, imported alone, leaves out what it must not know."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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
    "harness.report.publish": ("torch", "ray", "mlflow"),
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

CHECK = "import sys, {module}; print(' '.join(name for name in {names!r} if name in sys.modules))"


@pytest.mark.parametrize("module", RULES)
def test_importing_a_module_loads_nothing_that_it_must_not_know(module):
    code = CHECK.format(module=module, names=RULES[module])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"{module} loads {done.stdout.strip()}"


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


SOURCES = sorted([*(ROOT / "harness").rglob("*.py"), *(ROOT / "baselines").glob("*.py")])


def test_only_the_sweep_imports_ray():
    found = {p.parent.name for p in SOURCES if any(n.split(".")[0] == "ray" for n in imports(p))}
    assert found == {"sweep"}


def test_only_the_store_imports_mlflow():
    assert [p.name for p in SOURCES if any(n.split(".")[0] == "mlflow" for n in imports(p))] == [
        "mlflow_store.py"
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "baselines").glob("*.py")), ids=lambda path: path.stem)
def test_a_method_imports_only_the_api_and_the_toolbox(path):
    used = {name for name in imports(path) if name.split(".")[0] in ("harness", "baselines")}
    allowed = ("harness.api", "harness.diffusion")
    assert all(name.startswith(allowed) for name in used), used
    assert not {name for name in imports(path) if name.split(".")[0] in ("ray", "mlflow", "pandas")}
