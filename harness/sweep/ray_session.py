"""Ray, started on this machine or reached on a cluster, and quiet."""

from __future__ import annotations

import gc
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
os.environ.update(
    RAY_gcs_rpc_server_reconnect_timeout_s="300",
    RAY_health_check_timeout_ms="60000",
    RAY_prestart_worker_first_driver="0",
    RAY_worker_register_timeout_seconds="300",
)  # a machine whose cores are all busy is slow, not dead; Tune uses none of the workers that Ray prestarts

import ray

from harness.config.experiment import Experiment
from harness.errors import ConfigError, HarnessError, one_line

START_ATTEMPTS = 3
OBJECT_STORE_BYTES = 256 << 20
SCRATCH = "harness-sweep-"
"""How the throw-away folder of a session begins; the process's id follows. Short enough for sockets."""


@contextmanager
def session(experiment: Experiment, slots: int | None, address: str | None) -> Iterator[Path]:
    """Hold a Ray of our own on this machine, or a connection to the cluster at ``address``.

    Yields a folder that is thrown away. Raises HarnessError where Ray cannot be started or reached,
    ConfigError where the requested GPUs are not there.
    """
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    remove_stale_scratch()
    folder = new_scratch()
    try:
        _connect(_settings(experiment, slots, address, folder))
        _check_gpus(experiment, local=address is None)
        yield folder
    finally:
        _leave()
        shutil.rmtree(folder, ignore_errors=True)


def new_scratch() -> Path:
    """Make a throw-away folder that carries this process's id."""
    return Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-"))


def remove_stale_scratch() -> int:
    """Remove the throw-away folders of processes that were killed before they could; return how many."""
    removed = 0
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        owner = re.match(rf"{SCRATCH}(\d+)-", path.name)
        if owner and path.stat().st_uid == os.getuid() and not _alive(int(owner[1])):
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
    return removed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _check_gpus(experiment: Experiment, *, local: bool) -> None:
    """Refuse what no trial could ever get; a cluster that has some GPUs may grow."""
    requested, there = experiment.resources.gpus, ray.cluster_resources().get("GPU", 0)
    if requested and (not there or (local and requested > there)):
        raise ConfigError(
            f"{experiment.source}: resources.gpus: {requested:g} requested for each trial, "
            f"Ray sees {f'{there:g}' if there else 'no GPU'} here"
        )


def _settings(experiment: Experiment, slots: int | None, address: str | None, folder: Path) -> dict[str, Any]:
    """Say how Ray is to be: the threads of every worker pinned, before torch is loaded there."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    env = dict.fromkeys(names, str(experiment.resources.cpus)) | {"TOKENIZERS_PARALLELISM": "false"}
    if address is not None:
        return {"address": address, "runtime_env": {"env_vars": env, "py_modules": _modules()}}
    return {
        "address": "local",
        "num_cpus": (slots or 1) * experiment.resources.cpus,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(folder),
        "runtime_env": {"env_vars": env},
    }


def _connect(settings: dict[str, Any]) -> None:
    """Start or reach Ray. A busy machine can miss Ray's 30 seconds with cold disks: then again, warm."""
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(**settings, logging_level=logging.CRITICAL, log_to_driver=False)
            return
        except Exception as error:  # Ray raises a bare Exception where a node does not come up
            _leave()
            if "timed out" in str(error) and attempt < START_ATTEMPTS:
                continue
            local = settings["address"] == "local"
            where = (
                "start Ray on this machine" if local else f"reach the Ray cluster at {settings['address']}"
            )
            raise HarnessError(f"cannot {where}: {one_line(error)}") from error


def _leave() -> None:
    """Shut Ray down while nobody frees an object of Ray's.

    Ray ends the whole process, with status 1 and no word, when that happens during its shutdown; the thread
    that mirrors to MLflow allocates enough for the garbage collector to run just there.
    """
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if collecting:
            gc.enable()


def _modules() -> list[str]:
    """The packages that travel to the nodes of a cluster, so that they run the driver's code."""
    import baselines
    import harness

    return [str(Path(next(iter(package.__path__)))) for package in (harness, baselines)]
