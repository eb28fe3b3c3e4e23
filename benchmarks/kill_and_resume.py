"""Kills real sweeps at the moments that hurt most, resumes them, and compares with an uninterrupted one.

    python benchmarks/kill_and_resume.py [--moment MOMENT]…

For each moment a fresh sweep of the embedded benchmark is started as a user starts it; there, once, the
driver or a worker gets SIGKILL. The same command then runs to the end. The records must equal the
uninterrupted sweep's in every score, none lost, none doubled, and the tracking server must hold every run
once, finished.
Exit status 1 if one does not. About half a minute a moment on two cores.

How the moments are hit: every process of the sweep, Ray's included, loads a ``sitecustomize`` that wraps one
function of the harness as soon as its module is imported. The harness itself knows nothing of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXPERIMENT = """
name: kills
subjects: [mossy-mug]
shots: 2
seeds: [0, 1]
methods:
  - frozen
  - name: dreambooth
    params: {steps: 20, batch: 2}
  - name: dreambooth_lora
    params: {steps: 20, batch: 2}
sampling: {sampler: ddim, steps: 4, prompts: 3, images: 1}
drift: {prompts: 8, timesteps: 2, images: 8}
resources: {cpus: 1, workers: 2}
"""

HOOK = '''
import importlib.util, os, signal, sys
from pathlib import Path

MODULE, NAME, WHEN, WHO, FOLDER = os.environ["KILL_AT"].split("|")

def kill():
    """Once in all: the first process to make the mark does it."""
    try:
        os.close(os.open(FOLDER + "/killed", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    pid = os.getpid() if WHO == "self" else int(Path(FOLDER, "driver").read_text())
    os.kill(pid, signal.SIGKILL)

def calls():
    path = Path(FOLDER, f"calls-{os.getpid()}")
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    return count

def wrap(real):
    def wrapped(*given, **named):
        if calls() < 2:
            return real(*given, **named)
        if WHEN == "before":
            kill()
        if WHEN == "half":
            descriptor, line = given
            os.write(descriptor, line[: len(line) // 2])
            kill()
        if WHEN == "progress":
            given = [eager(each) if getattr(each, "__name__", "") == "_note" else each for each in given]
        result = real(*given, **named)
        if WHEN == "after":
            kill()
        return result
    return wrapped

def eager(tell):
    def report(stage, done, total, loss=None):
        tell(stage, done, total, loss)
        if done >= 1:
            kill()
    return report

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            owner, _, attribute = NAME.rpartition(".")
            place = getattr(module, owner) if owner else module
            setattr(place, attribute, wrap(getattr(place, attribute)))
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
'''

MOMENTS = {
    "fit, worker": ("harness.trial.worker", "fit", "progress", "self"),
    "fit, driver": ("harness.trial.worker", "fit", "progress", "driver"),
    "sample, worker": ("harness.trial.worker", "sample", "progress", "self"),
    "sample, driver": ("harness.trial.worker", "sample", "progress", "driver"),
    "score, worker": ("harness.trial.worker", "outputs.outcome", "after", "self"),
    "score, driver": ("harness.trial.worker", "outputs.outcome", "after", "driver"),
    "images filed, no record yet": ("harness.records", "Lines.append", "before", "self"),
    "half of a record": ("harness.records", "_write_whole", "half", "self"),
    "record written, nothing else": ("harness.records", "Lines.append", "after", "self"),
    "mirror, before a run": ("harness.tracking.mlflow_store", "Store._fill", "before", "self"),
    "mirror, after a run": ("harness.tracking.mlflow_store", "Store._fill", "after", "self"),
}


def sweep(yaml: Path, runs: Path, moment: tuple[str, str, str, str] | None = None) -> int:
    """Run ``harness sweep``; with a moment it is killed there. Returns the exit status."""
    environment = dict(os.environ, HARNESS_CACHE=str(yaml.parent / "cache"))
    if moment is not None:
        hook = runs / "hook"
        hook.mkdir(parents=True)
        (hook / "sitecustomize.py").write_text(HOOK)
        environment["KILL_AT"] = "|".join((*moment, str(hook)))
        environment["PYTHONPATH"] = os.pathsep.join([str(hook), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "harness", "sweep", str(yaml), "--runs", str(runs)]
    with (runs.parent / f"{runs.name}.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        if moment is not None:
            (hook / "driver").write_text(str(process.pid))
        return process.wait()


def records_of(runs: Path) -> dict[str, dict]:
    """The records of an unbroken sweep, by key."""
    lines = (runs / "kills" / "records.jsonl").read_text().splitlines()
    return {record["key"]: record for record in map(json.loads, lines)}


def differences(runs: Path, reference: dict[str, dict]) -> list[str]:
    """What of a run directory is not as it should be."""
    lines = (runs / "kills" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    done = [record["key"] for record in records if record["status"] == "done"]
    wrong = [f"{key} was done {done.count(key)} times" for key in set(done) if done.count(key) > 1]
    wrong += [f"{key} is lost" for key in reference.keys() - set(done)]
    wrong += [f"{key} failed: {r['error']}" for r in records if (key := r["key"]) and r["status"] != "done"]
    for record in records:
        for part in ("scores", "drift", "by_prompt"):
            if record["status"] == "done" and record[part] != reference[record["key"]][part]:
                wrong.append(f"{record['key']}: other {part}")
    return wrong + tracked(runs, len(reference))


def tracked(runs: Path, trials: int) -> list[str]:
    """What of the tracking database is not as it should be."""
    from mlflow import MlflowClient

    from harness.tracking.mlflow_store import default_uri

    client = MlflowClient(default_uri(runs))
    (experiment,) = (e for e in client.search_experiments() if e.name == "kills")
    found = client.search_runs([experiment.experiment_id])
    nested = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    wrong = [] if len(nested) == trials else [f"{len(nested)} nested runs for {trials} trials"]
    return wrong + [f"run {r.info.run_id} is {r.info.status}" for r in found if r.info.status != "FINISHED"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--moment", action="append", choices=MOMENTS)
    options = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        yaml = Path(folder) / "kills.yaml"
        yaml.write_text(EXPERIMENT)
        if sweep(yaml, Path(folder) / "whole"):
            sys.exit((Path(folder) / "whole.log").read_text())
        reference = records_of(Path(folder) / "whole")
        for name in options.moment or MOMENTS:
            runs = Path(folder) / name.replace(" ", "-").replace(",", "")
            first = sweep(yaml, runs, MOMENTS[name])
            killed = (runs / "hook" / "killed").exists()
            second = sweep(yaml, runs)
            wrong = differences(runs, reference)
            wrong += [] if killed else ["was never killed"]
            wrong += [f"the resumed sweep ended with {second}"] if second else []
            failures += bool(wrong)
            print(f"{name:32} killed: {first:4}, resumed: {second}; {'; '.join(wrong) or 'same'}", flush=True)
            if wrong:
                print((runs.parent / f"{runs.name}.log").read_text()[-3000:], file=sys.stderr)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
