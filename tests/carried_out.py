"""A sweep without Ray: the agenda's jobs one after the other, in this process; a test says the scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakes import FakeCatalog, FakeWorker

from harness.cache import Cache
from harness.config.experiment import Experiment
from harness.files import locked
from harness.specs import Execution, Trial
from harness.sweep import worklist
from harness.sweep.course import Course
from harness.sweep.grid import expand
from harness.sweep.record_writer import RecordWriter
from harness.trial.plan import Outcome

Merit = Callable[[Trial], float | None]


class Killed(Exception):
    """The process would be gone now."""


def carry_out(
    experiment: Experiment, runs: Path, merit: Merit, *, catalog: Any = None, most: int | None = None
) -> list[Trial]:
    """Run what is left; return the trials that were run, in order. Raises Killed after ``most`` of them.

    ``merit`` gives both measures of the merit for a trial; None fails it.
    """
    catalog, folder = catalog or FakeCatalog(), runs / experiment.name
    worker = FakeWorker(
        backbone=experiment.backbone[0],
        dataset=None,
        encoders={},
        device="cpu",
        precision="fp32",
        execution=Execution(),
        cache=Cache(None).root,
        threads=1,
    )
    ran: list[Trial] = []
    with locked(folder):
        writer = RecordWriter(folder, described=experiment.described())
        course = Course(experiment, catalog, expand(experiment, catalog), writer, [])
        course.start(1)
        while (index := course.agenda.take()) is not None:
            for task in course.agenda.jobs[index].tasks:
                if most is not None and len(ran) == most:
                    raise Killed
                outcome = worker.run(worklist.plan(task, experiment, folder), lambda *report: None)
                value = merit(task.trial)
                if value is None:
                    outcome = Outcome("failed", error="mischief")
                else:
                    outcome.scores |= {"dino_context": value, "prompt_accuracy_accessory": value}
                course.agenda.filed(index, writer.commit(task, outcome))
                ran.append(task.trial)
        assert course.agenda.idle and not course.agenda.again()
    return ran
