"""Mistakes that are told before anything heavy is loaded: seen in what the process has imported by then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "pandas", "scipy", "ray", "mlflow", "diffusers", "timm", "open_clip", "matplotlib")
RUN = f"""
import json, sys
from harness.cli import main
sys.argv = ["harness", *sys.argv[1:]]
try:
    main.main()
except SystemExit as left:
    print(json.dumps([left.code, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def told(folder: Path, *words: str) -> tuple[int, list[str], str]:
    """Run a command in a process of its own: (status, what was loaded, stderr)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HARNESS_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    status, loaded = json.loads(done.stdout.splitlines()[-1])
    return status, loaded, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run directory with the records of a committed experiment, and mistaken experiment files."""
    folder = tmp_path_factory.mktemp("early")
    (folder / "runs" / "fewshot").mkdir(parents=True)
    records = (ROOT / "results" / "fewshot" / "records.jsonl").read_text().splitlines(keepends=True)[:4]
    (folder / "runs" / "fewshot" / "records.jsonl").write_text("".join(records))
    (folder / "images").mkdir()
    (folder / "images" / "00-00.png").write_bytes(b"")
    for name, more in {
        "steps": "sampling: {steps: 5000}",
        "timm": "encoders: {dino: vit_smal_patch16_224.dino}",
        "kind": "encoders: {clip: vit_small_patch16_224.dino}",
        "pickled": "backbone: ./base",
    }.items():
        (folder / f"{name}.yaml").write_text(f"methods: [frozen]\nsubjects: [mossy-mug]\n{more}\n")
    (folder / "base" / "unet").mkdir(parents=True)
    (folder / "base" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (folder / "base" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    return folder


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["score", "NOWHERE", "--subject", "mossy-mug"], "NOWHERE: not a folder of images"),
        (["score", "images", "--subject", "TYPO"], "'TYPO'"),
        (["export", "UNKNOWN", "out"], "no record's key starts with 'UNKNOWN' in runs/"),
        (["table", "fewshot", "--where", "shots"], "--where shots: write it as key=value"),
        (["table", "fewshot", "--where", "shot=5"], "unknown key 'shot'; did you mean 'shots'?"),
        (["compare", "fewshot", "--against", "x", "--where", "=5"], "--where =5: "),
        (["figures", "fewshot", "--where", "shots="], "--where shots=: write it as key=value"),
        (["sweep", "steps.yaml", "--dry-run"], "sampling.steps: 5000: backbone 'toybox' has 1000 timesteps"),
        (
            ["sweep", "timm.yaml", "--dry-run"],
            "encoders.dino: unknown encoder 'vit_smal_patch16_224'; did you",
        ),
        (
            ["sweep", "kind.yaml", "--dry-run"],
            "encoders.clip: 'vit_small_patch16_224.dino' is a dino encoder",
        ),
        (["sweep", "pickled.yaml", "--dry-run"], "only pickled weights (diffusion_pytorch_model.bin), which"),
        (
            ["sweep", "steps.yaml", "--address", "127.0.0.1:1"],
            "cannot reach the Ray cluster at 127.0.0.1:1: ",
        ),
        (
            ["sweep", "steps.yaml", "--address", "nowhere"],
            "--address nowhere: write it as host:port, or auto",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_loaded(folder, words, says):
    status, loaded, err = told(folder, *words)
    assert (status != 0, loaded, err.count("\n")) == (True, [], 1) and says in err
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["fewshot"]


def test_an_mlflow_address_without_a_store_is_refused_before_the_experiment_is_read(folder):
    status, loaded, err = told(folder, "sweep", "none.yaml", "--mlflow", "ftp://x")
    assert (status, err.count("\n")) == (2, 1) and "--mlflow ftp://x: MLflow has no store for ftp://" in err
    assert "torch" not in loaded and "ray" not in loaded
