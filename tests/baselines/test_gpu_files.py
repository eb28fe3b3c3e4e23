"""Every file that asks for a GPU runs end to end on tiny pipelines: two subjects, two prompts, two steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dreambench_clone import write_clone

from harness import methods
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.files import locked
from harness.records import read
from harness.sweep import worklist
from harness.sweep.catalog import Installed
from harness.sweep.course import Course
from harness.sweep.grid import expand
from harness.sweep.record_writer import RecordWriter

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
WRITTEN = {path: yaml.safe_load(path.read_text()) for path in sorted(EXPERIMENTS.rglob("*.yaml"))}
GPU = {path: data for path, data in WRITTEN.items() if data.get("resources", {}).get("gpus")}
TINY = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "tiny_sd",
    "stabilityai/stable-diffusion-xl-base-1.0": "tiny_sdxl",
    "stabilityai/stable-diffusion-3-medium-diffusers": "tiny_sd3",
}


def test_there_are_files_for_gpus():
    assert {path.stem for path in GPU} >= {
        "dreambench_sd15", "dreambench_sdxl", "dreambench_sd3", "figure6_sd15"
    }  # fmt: skip


def shrunk(entry):
    """The row with two steps and two class images; all else as written."""
    name = entry if isinstance(entry, str) else entry["name"]
    known = getattr(methods.load(name), "__dataclass_fields__", {})
    small = {key: 2 for key in ("steps", "prior_count") if key in known}
    written = {} if isinstance(entry, str) else entry
    return {**written, "name": name, "params": {**written.get("params", {}), **small}}


def small(written, backbone, clone):
    return {
        **written,
        "backbone": str(backbone),
        "dataset": {**written["dataset"], "path": str(clone)},
        "encoders": {"clip": "toybox-clip", "dino": "toybox-dino"},
        "subjects": ["dog2", "backpack"],
        "shots": [1],
        "methods": [shrunk(entry) for entry in written["methods"]],
        "sampling": {**written["sampling"], "steps": 2, "prompts": 2, "images": 1},
        "drift": {"prompts": 4, "timesteps": 2, "images": 4},
        "precision": "fp32",
        "resources": {},
    }


def carried_out(experiment, runs, cache):
    """Run every trial in this process, as a worker would; return the records."""
    from harness.trial.worker import Worker

    worker = Worker(
        backbone=experiment.backbone[0],
        dataset=experiment.dataset,
        encoders=experiment.encoders,
        cache=cache,
        threads=1,
    )
    catalog, folder = Installed(experiment), runs / experiment.name
    with locked(folder):
        writer = RecordWriter(folder, described=experiment.described())
        course = Course(experiment, catalog, expand(experiment, catalog), writer, [])
        course.start(1)
        while (index := course.agenda.take()) is not None:
            for task in course.agenda.jobs[index].tasks:
                outcome = worker.run(worklist.plan(task, experiment, folder), lambda *report: None)
                assert outcome.status == "done", (task.trial.title, outcome.error)
                course.agenda.filed(index, writer.commit(task, outcome))
    return read(folder)


@pytest.mark.parametrize("path", GPU, ids=lambda path: path.stem)
def test_a_file_for_gpus_runs_end_to_end_on_a_tiny_pipeline(path, request, tmp_path, cache):
    written = {"name": path.stem, **GPU[path]}
    backbone = request.getfixturevalue(TINY[written["backbone"]])
    clone = write_clone(tmp_path / "dreambench")
    experiment = strict_yaml.check(Experiment, small(written, backbone, clone), source=path.name)
    records = carried_out(experiment, tmp_path, cache)
    rows = {record.trial["title"] for record in records}
    assert len(records) == 2 * len(rows)
    assert {record.trial["subject"] for record in records} == {"dog2", "backpack"}
    assert {(r.trial["method"], *solver(r.trial["sampling"])) for r in records} == {
        (each["name"], *solver({**written["sampling"], **each.get("sampling", {})}))
        for each in map(shrunk, written["methods"])
    }
    for record in records:
        wanted = {"dino"} if record.trial["method"].startswith("real") else {"dino", "clip_t"}
        assert not {name for name in wanted if record.scores.get(name) is None}, record.trial["title"]


def solver(sampling):
    return sampling["sampler"], sampling["guidance"]
