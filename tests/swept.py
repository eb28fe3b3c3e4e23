"""A run directory as a sweep leaves it: a small experiment, really carried out in this process."""

from __future__ import annotations

from pathlib import Path

from harness.config import experiment as config
from harness.records import read
from harness.report.filters import KEYS
from harness.sweep import worklist
from harness.sweep.catalog import Installed
from harness.sweep.job import jobs
from harness.sweep.record_writer import RecordWriter
from harness.trial.worker import Worker


def sweep(text: str, folder: Path) -> Path:
    """Carry out the experiment of a YAML's text in ``folder``; every trial must come to its end."""
    folder.mkdir()
    (folder / "experiment.yaml").write_text(text)
    experiment = config.load(folder / "experiment.yaml")
    catalog = Installed(experiment)
    (spec,) = experiment.backbone
    worker = Worker(backbone=spec, dataset=experiment.dataset, encoders=catalog.encoders(spec), threads=1)
    writer = RecordWriter(folder, described=experiment.described())
    for job in jobs(worklist.tasks(experiment, catalog, [], folder)):
        plans = worklist.plans(job.tasks, experiment, folder)
        for task, outcome in zip(job.tasks, worker.outcomes(plans, lambda *told: None), strict=True):
            assert writer.commit(task, outcome).status == "done", outcome.error
    return folder


def key_in(folder: Path, method: str, readout: str = "none") -> str:
    """The key of a method's trial."""
    found = [record for record in read(folder) if record.trial["method"] == method]
    return next(record.key for record in found if KEYS["readout"](record.trial) == readout)
