"""Runs the trials of an experiment through Ray Tune. The only module that imports Ray.

Tune hands out trials to resident workers and retries the trial of a worker that dies. Everything else is the
harness's own: outcomes come back as bytes and the driver files them; Tune's storage is a throw-away folder.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.update(
    RAY_AIR_NEW_OUTPUT="0",
    RAY_CHDIR_TO_TRIAL_DIR="0",
    RAY_DEDUP_LOGS="0",
    RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    RAY_USAGE_STATS_ENABLED="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
    TUNE_GLOBAL_CHECKPOINT_S="86400",
    TUNE_PRINT_ALL_TRIAL_ERRORS="0",
)  # read when Ray is imported

import ray
from ray import tune

from harness import artifacts, document, scratch, worklist
from harness.catalog import Catalog
from harness.config import Experiment
from harness.diffusion.folders import cache_root
from harness.errors import ConfigError, HarnessError, one_line
from harness.interrupt import Interrupted, Interruption
from harness.ledger import Ledger
from harness.observer import Observer, Status
from harness.plan import Outcome, Plan, TrialWorker
from harness.records import Record, locked
from harness.settings import EncoderSpec
from harness.worklist import Task

WORKER = "harness.trial:Worker"
POLL_SECONDS = 0.5
START_ATTEMPTS = 3
OBJECT_STORE_BYTES = 256 << 20


@dataclass
class Summary:
    """How a sweep ended: trials by what became of them, and whether it was interrupted."""

    total: int
    before: int = 0
    done: int = 0
    failed: list[Record] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True)
class _Bench:
    """What every worker of a sweep is made of."""

    factory: str
    experiment: Experiment
    encoders: Mapping[str, Mapping[str, EncoderSpec]]
    desk: Any


def run_sweep(
    experiment: Experiment,
    *,
    runs: Path,
    catalog: Catalog,
    workers: int | None = None,
    address: str | None = None,
    worker_factory: str = WORKER,
    observers: Sequence[Observer] = (),
) -> Summary:
    """Do what the run directory still lacks of the experiment, and record it trial by trial.

    ``workers`` overrides ``resources.workers``; ``address`` names a Ray cluster, None starts Ray on this
    machine; ``worker_factory`` is "module:attribute" of a :class:`harness.plan.WorkerFactory`.
    Raises ConfigError before anything is started, BusyError if another sweep holds the directory,
    RecordsError if it cannot be written. A trial's own failure is recorded and counted; Ctrl-C ends the sweep
    early, with ``interrupted`` set.
    """
    folder = Path(runs).resolve() / experiment.name
    with locked(folder):
        artifacts.clear_leftovers(folder)
        ledger = Ledger(folder, dataset=experiment.dataset.name)
        aside = ledger.lines.repair()
        if aside:
            logging.getLogger("harness").warning("%s: the last line was cut off; set aside", aside)
        tasks = worklist.tasks(experiment, catalog, ledger.lines, folder)
        pending = worklist.in_order([task for task in tasks if task.stage != "done"])
        resolved = document.dump(experiment.model_dump(mode="json"))
        artifacts.write_whole(folder / "experiment.yaml", resolved)
        slots = _slots(experiment, workers, len(pending)) if address is None else workers
        for observer in observers:
            observer.started(tasks, pending, slots or 0)
        summary = Summary(total=len(tasks), before=len(tasks) - len(pending))
        if pending:
            clerk = _Clerk(pending, ledger, summary, observers)
            with _ray(experiment, slots, address) as session:
                _tune(experiment, catalog, folder, clerk, slots, worker_factory, storage=session)
    return summary


def _slots(experiment: Experiment, workers: int | None, pending: int) -> int:
    """How many trials run at a time on this machine."""
    resources = experiment.resources
    wanted = workers or resources.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slots = cores // resources.cpus if wanted == "auto" else int(wanted)
    return max(1, min(slots, pending))


@contextmanager
def _ray(experiment: Experiment, slots: int | None, address: str | None) -> Iterator[Path]:
    """Hold a Ray of our own on this machine, or a connection to the cluster at ``address``.

    Yields a folder for what nobody needs afterwards.
    """
    resources = experiment.resources
    threads = str(resources.cpus)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    env = {**dict.fromkeys(names, threads), "TOKENIZERS_PARALLELISM": "false", "RAY_USAGE_STATS_ENABLED": "0"}
    scratch.sweep_up()
    session = scratch.folder()
    if address is None:
        assert slots
        settings: dict[str, Any] = {
            "address": "local",
            "num_cpus": slots * resources.cpus,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": str(session),
            "runtime_env": {"env_vars": env},
        }
    else:
        settings = {"address": address, "runtime_env": {"env_vars": env, "py_modules": _modules()}}
    try:
        _connect(settings)
    except Exception as error:  # Ray raises a bare Exception where a node does not come up
        where = f"reach the Ray cluster at {address}" if address else "start Ray on this machine"
        raise HarnessError(f"cannot {where}: {one_line(error)}") from error
    try:
        if resources.gpus and not ray.cluster_resources().get("GPU"):
            raise ConfigError(
                f"{experiment.source}: resources.gpus: {resources.gpus:g} asked for, Ray sees no GPU here"
            )
        yield session
    finally:
        ray.shutdown()
        shutil.rmtree(session, ignore_errors=True)


def _connect(settings: dict[str, Any]) -> None:
    """Start or reach Ray. A busy machine with cold disks can miss Ray's 30 seconds: then once more, warm."""
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(**settings, logging_level=logging.CRITICAL, log_to_driver=False)
            return
        except Exception as error:
            ray.shutdown()
            if "timed out" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise


def _modules() -> list[str]:
    """The packages that travel to the nodes of a cluster, so that they run the driver's code."""
    import baselines
    import harness

    return [str(Path(next(iter(package.__path__)))) for package in (harness, baselines)]


def _tune(
    experiment: Experiment,
    catalog: Catalog,
    folder: Path,
    clerk: _Clerk,
    slots: int | None,
    factory: str,
    *,
    storage: Path,
) -> None:
    """Let Tune run the pending tasks, each as a trial whose only parameter is its place in the list."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    clerk.desk = (
        ray.remote(_Desk)
        .options(num_cpus=0, scheduling_strategy=here)
        .remote(clerk.tasks, experiment, catalog, folder)
    )
    encoders = {spec.model_dump_json(): catalog.encoders(spec) for spec in experiment.backbone}
    bench = _Bench(factory, experiment, encoders, clerk.desk)
    resources = experiment.resources
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(_Resident, bench=bench), {"cpu": resources.cpus, "gpu": resources.gpus}
        ),
        param_space={"index": tune.grid_search(list(range(len(clerk.tasks))))},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            max_concurrent_trials=slots,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(storage / "tune"),
            verbose=0,
            callbacks=[clerk],
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    try:
        with Interruption() as clerk.interruption:
            tuner.fit()
    except Interrupted:
        clerk.summary.interrupted = clerk.error is None
    if clerk.error:
        raise clerk.error


class _Clerk(tune.Callback):
    """Sits in the driver: files every outcome as it comes, and passes on the news."""

    def __init__(
        self, tasks: list[Task], ledger: Ledger, summary: Summary, observers: Sequence[Observer]
    ) -> None:
        self.tasks = tasks
        self.summary = summary
        self.desk: Any = None
        self.interruption = Interruption()
        self.error: HarnessError | None = None
        self._ledger = ledger
        self._observers = observers
        self._running: dict[int, Status] = {}
        self._asked: Any = None
        self._asked_at = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its callbacks into its own storage, which nobody reads: locks and threads stay out."""
        return {}

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to prepare; Tune asks."""

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._running[trial.config["index"]] = Status("starting", 0, 0)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        outcome = result.pop("outcome")  # else Tune keeps every picture of the sweep in memory
        self._file(trial.config["index"], outcome)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        index = trial.config["index"]
        self._file(index, Outcome({"status": "failed", "error": "its worker died, and so did a second one"}))

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self.interruption.check()
        now = time.monotonic()
        if self._asked is None and now - self._asked_at >= POLL_SECONDS:
            self._asked, self._asked_at = self.desk.statuses.remote(), now
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            told = ray.get(self._asked)
            self._asked = None
            self._running = {index: told.get(index, status) for index, status in self._running.items()}
            for observer in self._observers:
                observer.running({index: (self.tasks[index], s) for index, s in self._running.items()})

    def _file(self, index: int, outcome: Outcome) -> None:
        self._running.pop(index, None)
        try:
            record = self._ledger.commit(self.tasks[index], outcome)
        except HarnessError as error:
            self.error = error
            raise Interrupted from error
        if record.status == "done":
            self.summary.done += 1
        else:
            self.summary.failed.append(record)
        for observer in self._observers:
            observer.recorded(record)


class _Desk:
    """An actor beside the driver: hands out plans, and keeps what running trials say of themselves."""

    def __init__(self, tasks: list[Task], experiment: Experiment, catalog: Catalog, folder: Path) -> None:
        self._tasks = tasks
        self._experiment = experiment
        self._catalog = catalog
        self._folder = folder
        self._statuses: dict[int, Status] = {}

    def plan(self, index: int) -> Plan:
        return worklist.plan(self._tasks[index], self._experiment, self._catalog, self._folder)

    def tell(self, index: int, status: Status) -> None:
        self._statuses[index] = status

    def statuses(self) -> dict[int, Status]:
        return self._statuses


class _Resident(tune.Trainable):
    """Lives in a worker process for the whole sweep and runs one trial after the other.

    Every exception becomes a failed outcome: one that escaped would end the process and the models in it.
    """

    def setup(self, config: dict[str, Any], bench: _Bench | None = None) -> None:
        assert bench is not None
        self._bench = bench
        self._worker: TrialWorker | None = None
        self._backbone = ""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        index = self.config["index"]
        try:
            plan = ray.get(self._bench.desk.plan.remote(index))
            outcome = self._worker_for(plan).run(plan, _Teller(self._bench.desk, index))
        except Exception as error:
            text = traceback.format_exc()
            outcome = Outcome(
                {"status": "failed", "error": one_line(error)}, {"traceback.txt": text.encode()}
            )
        return {"outcome": outcome, "done": True}

    def _worker_for(self, plan: Plan) -> TrialWorker:
        bench, spec = self._bench, plan.trial.backbone
        name = spec.model_dump_json()
        if self._worker is None or self._backbone != name:
            self._worker = None  # frees the other backbone before this one is loaded
            module, attribute = bench.factory.split(":")
            factory = getattr(importlib.import_module(module), attribute)
            self._worker = factory(
                backbone=spec,
                dataset=bench.experiment.dataset,
                encoders=bench.encoders[name],
                device="cuda" if bench.experiment.resources.gpus else "cpu",
                precision=bench.experiment.precision,
                cache=cache_root(),
                threads=bench.experiment.resources.cpus,
            )
            self._backbone = name
        return self._worker


class _Teller:
    """The progress callback of one trial: passes on every change of stage, and steps twice a second."""

    def __init__(self, desk: Any, index: int) -> None:
        self._desk = desk
        self._index = index
        self._stage = ""
        self._told_at = 0.0

    def __call__(self, stage: str, done: int, total: int, loss: float | None = None) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._told_at >= POLL_SECONDS:
            self._stage, self._told_at = stage, now
            self._desk.tell.remote(self._index, Status(stage, done, total, loss))
