"""A wheel of the tree, installed outside of it, brings experiments and weights, and plans a sweep."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("harness", "baselines", "experiments", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """An environment that holds the wheel, and sees the dependencies of this one but not its harness."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in PARTS:  # setuptools writes build/ beside what it builds
        if (ROOT / name).is_dir():
            bare = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=bare)
        else:
            shutil.copy(ROOT / name, tree / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env")}))
    shutil.unpack_archive(wheel, site, "zip")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin" / "python"


def run(python: Path, folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["HARNESS_CACHE"] = str(folder / "cache")
    done = subprocess.run([python, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_is_the_wheels(python, tmp_path):
    where = run(python, tmp_path, "-c", "import harness; print(harness.__file__)")
    assert Path(where.strip()).is_relative_to(python.parents[1])


def test_init_writes_a_file_that_a_dry_run_accepts(python, tmp_path):
    run(python, tmp_path, "-m", "harness", "init", "mugs")
    assert "name: mugs\n" in (tmp_path / "mugs.yaml").read_text()
    assert "4 trials: 0 done, 4 to run" in run(
        python, tmp_path, "-m", "harness", "sweep", "mugs.yaml", "--dry-run"
    )


def test_an_experiment_of_the_package_is_swept_by_its_name(python, tmp_path):
    assert "5 trials: 0 done, 5 to run" in run(
        python, tmp_path, "-m", "harness", "sweep", "smoke", "--dry-run"
    )
    run(python, tmp_path, "-m", "harness", "init", "smoke")
    assert (tmp_path / "smoke.yaml").read_bytes() == (ROOT / "experiments" / "smoke.yaml").read_bytes()
