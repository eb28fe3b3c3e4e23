"""Ray can be left while other threads are at work."""

import gc
import subprocess
import sys

from harness.sweep import ray_session

SCRIPT = """
import gc, sys, threading
from harness.config import experiment as config
from harness.config import strict_yaml
from harness.sweep import ray_session as session

data = {"name": "x", "backbone": "toybox", "dataset": "toybox", "subjects": ["mossy-mug"]}
experiment = strict_yaml.check(config.Experiment, data | {"methods": ["frozen"]}, source="x.yaml")
leaving = threading.Event()

def collect_when_told():
    leaving.wait()
    gc.collect()

class Knot:  # garbage that only the collector finds, with an object of Ray's in it
    def __init__(self):
        self.itself, self.object = self, session.ray.put(1)

class Told:  # says when Ray's own shutdown begins
    def __init__(self, worker):
        self.worker = worker

    def __getattr__(self, name):
        if name == "shutdown_driver":
            leaving.set()
        return getattr(self.worker, name)

thread = threading.Thread(target=collect_when_told, daemon=True)
thread.start()
with session.session(experiment, 1, None):
    gc.disable()
    for _ in range(10_000):
        Knot()
    session.ray._private.worker.global_worker.core_worker = Told(
        session.ray._private.worker.global_worker.core_worker
    )
thread.join(60)
print("went on" if leaving.is_set() and not thread.is_alive() else "Ray leaves in another way")
"""


def test_a_thread_that_collects_garbage_meanwhile_does_not_end_the_process():
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "went on\n"), ended.stderr


def test_nothing_is_collected_while_ray_shuts_down_and_afterwards_it_is_again(monkeypatch):
    during = []
    monkeypatch.setattr(ray_session.ray, "shutdown", lambda: during.append(gc.isenabled()))
    ray_session._leave()
    assert during == [False] and gc.isenabled()
