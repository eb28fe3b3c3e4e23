"""The doctor says what a sweep needs and whether it can start, and touches nothing."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.main import app
from harness.config import experiment as config
from harness.config import strict_yaml
from harness.sweep import preflight, preflight_memory


def findings(tmp_path, **changes):
    data = {
        "name": "x",
        "backbone": "toybox",
        "dataset": "toybox",
        "subjects": ["mossy-mug"],
        "methods": ["frozen", "dreambooth"],
        **changes.pop("experiment", {}),
    }
    experiment = strict_yaml.check(config.Experiment, data, source="x.yaml")
    return preflight.examine(experiment, runs=tmp_path / "runs", **changes)


def told(found, what):
    return next(each for each in found if each.what.startswith(what))


def test_the_embedded_benchmark_can_start_anywhere(tmp_path):
    found = findings(tmp_path)
    assert {each.verdict for each in found} == {"ok"}
    assert told(found, "photos").needed == "1 subject, 2 trials"
    assert "activations of 4 images" in told(found, "memory of DreamBooth on toybox").needed
    assert not (tmp_path / "runs").exists()


def test_the_disk_is_reckoned_with_the_pictures_that_the_trials_will_draw(tmp_path):
    settings = {"sampling": {"prompts": "all", "images": 2}, "drift": {"images": 8}}
    found = told(findings(tmp_path, experiment=settings), "disk")
    pictures = 2 * (25 * 2 + 8)  # two trials; a Toybox subject has 25 prompts
    assert found.needed.startswith(f"{pictures * 64 * 64 * 3 * 0.6 / 1e3:.0f} kB of pictures")


def test_a_gpu_that_is_not_there_and_too_many_cores_stop_it(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight_memory, "gpus", lambda: [])
    found = findings(tmp_path, experiment={"resources": {"gpus": 1, "cpus": 4096}})
    assert told(found, "GPUs").verdict == told(found, "cores").verdict == "stop"
    assert "--set resources.gpus=0" in told(found, "GPUs").remedy


def test_a_share_of_a_gpu_is_the_room_of_a_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight_memory, "gpus", lambda: [("H100", 400_000_000)])
    half = findings(tmp_path, experiment={"resources": {"gpus": 0.5}})
    assert told(half, "memory of DreamBooth").there == "200.0 MB of a GPU"
    assert told(half, "memory of DreamBooth").verdict == "note"
    tenth = findings(tmp_path, experiment={"resources": {"gpus": 0.25}})
    assert told(tenth, "memory of DreamBooth").verdict == "stop"
    assert "execution.gradient_checkpointing" in told(tenth, "memory of DreamBooth").remedy


def test_photos_that_are_missing_stop_it_and_the_rest_is_still_looked_at(tmp_path):
    found = findings(
        tmp_path, experiment={"dataset": {"name": "dreambench", "path": str(tmp_path)}, "subjects": "all"}
    )
    assert told(found, "photos").verdict == "stop"
    assert told(found, "weights").verdict == told(found, "MLflow").verdict == "ok"


def test_a_base_model_that_must_be_fetched_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = findings(
        tmp_path,
        experiment={
            "backbone": "nobody/no-such-model",
            "encoders": {"clip": "toybox-clip", "dino": "toybox-dino"},
        },
    )
    assert told(found, "weights").verdict == "stop"
    assert "hf download nobody/no-such-model" in told(found, "weights").remedy
    assert told(found, "memory").verdict == "note"


def test_weights_that_are_not_whole_stop_it(tmp_path, tiny_sd):
    folder = tmp_path / "sd"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    found = findings(
        tmp_path,
        experiment={
            "backbone": {"path": str(folder)},
            "encoders": {"clip": "toybox-clip", "dino": "toybox-dino"},
        },
    )
    assert "lacks vae, text_encoder" in told(found, "weights").remedy


def test_a_method_that_cannot_be_reckoned_is_a_note(tmp_path, tiny_sd):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from harness.api import Personalized\n\n@dataclass(frozen=True)\nclass Mine:\n"
        "    title: ClassVar[str] = 'Mine'\n    role: ClassVar[str] = 'method'\n"
        "    version: ClassVar[int] = 1\n"
        "    changes_weights: ClassVar[bool] = True\n    uses_shots: ClassVar[bool] = True\n"
        "    presets: ClassVar[dict] = {}\n\n"
        "    def skip(self, subject, family):\n        return None\n\n"
        "    def fit(self, backbone, subject, trainer):\n"
        "        float(next(iter(backbone.parameters('denoiser').values())).sum())\n"
        "        return Personalized('x')\n"
    )
    found = findings(tmp_path, experiment={"methods": [str(path)]})
    assert told(found, "memory of Mine").verdict == "note"
    assert told(found, "memory of Mine").remedy.startswith("cannot be reckoned")


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *words):
        pass


def test_mlflow_is_asked_and_its_absence_is_no_reason_to_stop(tmp_path):
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    try:
        assert told(findings(tmp_path, mlflow=uri), "MLflow").there == "reached"
    finally:
        server.shutdown()
        server.server_close()
    absent = told(findings(tmp_path, mlflow=uri), "MLflow")
    assert (absent.verdict, absent.there) == ("note", "not reached")


@pytest.mark.parametrize(("gpus", "status"), [(0, 0), (1, 1)])
def test_the_exit_status_says_whether_the_sweep_can_start(tmp_path, monkeypatch, gpus, status):
    monkeypatch.setattr(preflight_memory, "gpus", lambda: [])
    path = tmp_path / "x.yaml"
    path.write_text(
        yaml.safe_dump({"subjects": ["mossy-mug"], "methods": ["frozen"], "resources": {"gpus": gpus}})
    )
    done = CliRunner().invoke(app, ["doctor", str(path), "--runs", str(tmp_path / "runs")])
    assert done.exit_code == status, done.output
    assert ("the sweep can start" in done.output) == (status == 0)
