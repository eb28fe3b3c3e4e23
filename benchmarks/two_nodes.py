"""A sweep of the embedded benchmark over two Ray nodes on this machine, one of which is lost in the middle.

    python benchmarks/two_nodes.py [--experiment experiments/smoke.yaml]

Starts a cluster of two nodes with a core each, runs the sweep with ``--address``, kills the second node once
both have finished a trial, and checks that every trial is done once, with its images, in one place.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from harness.records import Lines

POLL_SECONDS = 0.5


def trains(node: Any) -> bool:
    """Whether a worker of the sweep lives on a node: a child of its raylet."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    return any("Trainable" in Path(f"/proc/{child}/cmdline").read_text() for child in children)


def main() -> None:
    """Run the sweep, lose a node, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--experiment", default="experiments/smoke.yaml")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    head: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(num_cpus=1)
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "harness", "sweep", options.experiment, "--address", cluster.address]
        sweep = subprocess.Popen([*command, "--runs", runs])
        lost_after = None
        while sweep.poll() is None:
            time.sleep(POLL_SECONDS)
            records = next(iter(Path(runs).glob("*/records.jsonl")), None)
            done = len(records.read_text().splitlines()) if records else 0
            if lost_after is None and done >= 2 and trains(second):
                cluster.remove_node(second, allow_graceful=False)
                lost_after = done
                print(f"--- one node lost after {done} records", flush=True)
        folder = next(Path(runs).glob("*/records.jsonl")).parent
        wanted = json.loads((folder / "wanted.json").read_text())
        last = list(Lines(folder))
        files = [folder / record.key / name for record in last for name in ("images.json", "fit.json")]
        done, there = sum(r.status == "done" for r in last), all(path.exists() for path in files)
        print(f"exit status {sweep.returncode}; node lost after {lost_after} of {len(wanted)} records")
        print(f"records {len(last)}, done {done}, all files there: {there}")
    cluster.shutdown()


if __name__ == "__main__":
    main()
