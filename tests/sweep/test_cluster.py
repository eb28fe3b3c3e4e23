"""A sweep over two Ray nodes: both work, one is lost in the middle, everything is in one place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from harness.records import Lines

HERE = Path(__file__).parents[1]
EXPERIMENT = {
    "name": "x",
    "methods": [{"name": "tuned", "params": {"pause": 2.0, "lr": [0.1, 0.2, 0.3]}}],
    "subjects": ["s0", "s1"],
    "shots": [1, 3],
}
TRIALS = 12


@pytest.fixture
def cluster(runs, monkeypatch):
    """Two nodes on this machine with a core each; the second one can be lost."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def test_a_sweep_over_two_nodes_survives_the_loss_of_one(cluster, runs):
    command = [sys.executable, str(HERE / "sweeping.py"), str(runs), json.dumps(EXPERIMENT), cluster.address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    lost = False
    for line in process.stdout:
        if line.startswith("recorded") and not lost and len(workers(runs)) == 2:
            cluster.remove_node(cluster.second, allow_graceful=False)
            lost = True
    said = process.communicate()
    assert process.returncode == 0, said
    assert lost, "one node did all the work"
    records = list(Lines(runs / "x"))
    assert len(records) == len({record.key for record in records}) == TRIALS
    assert {record.status for record in records} == {"done"}
    for record in records:
        assert len(list((runs / "x" / record.key / "pictures").glob("*.png"))) == 3
    assert len({record.provenance["worker"] for record in records}) >= 2


def workers(runs: Path) -> set[str]:
    """Processes that have begun a trial so far."""
    begun = Path(os.environ["HARNESS_CACHE"]) / "begun"
    return {line.split()[2] for line in begun.read_text().splitlines()} if begun.exists() else set()
