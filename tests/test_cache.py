"""Entries are computed once, appear whole, and are recomputed when damaged."""

import multiprocessing
import time
from pathlib import Path

import pytest
import torch

from harness.cache import Cache


def counted(log: list, value: float = 1.0):
    def compute():
        log.append(value)
        return {"x": torch.tensor([value])}

    return compute


def test_an_entry_is_computed_once(tmp_path):
    log: list = []
    for _ in range(3):
        assert Cache(tmp_path).tensors("kind", {"a": 1, "b": "x"}, counted(log))["x"].item() == 1.0
    assert len(log) == 1


def test_other_content_or_kind_is_another_entry(tmp_path):
    log: list = []
    cache = Cache(tmp_path)
    for kind, content in (("k", {"a": 1}), ("k", {"a": 2}), ("j", {"a": 1}), ("k", {"a": "1"})):
        cache.tensors(kind, content, counted(log))
    assert len(log) == 4


def test_a_damaged_entry_is_computed_again(tmp_path):
    log: list = []
    cache = Cache(tmp_path)
    cache.tensors("kind", {}, counted(log))
    (entry,) = (tmp_path / "kind").iterdir()
    entry.write_bytes(entry.read_bytes()[:20])
    assert cache.tensors("kind", {}, counted(log, 2.0))["x"].item() == 2.0
    assert len(log) == 2


def test_a_failed_computation_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cache.tensors("kind", {}, lambda: {"x": torch.tensor(1 / 0)})
    assert list((tmp_path / "kind").iterdir()) == []
    assert cache.tensors("kind", {}, counted([]))["x"].item() == 1.0


def test_an_unwritable_cache_only_costs_time(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert Cache(file).tensors("kind", {}, counted([]))["x"].item() == 1.0


def slow_entry(root: str, log: str) -> None:
    def compute():
        with Path(log).open("a") as file:
            file.write("computed\n")
        time.sleep(0.3)
        return {"x": torch.zeros(1)}

    Cache(root).tensors("kind", {}, compute)


def test_two_processes_compute_an_entry_once(tmp_path):
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    workers = [context.Process(target=slow_entry, args=(str(tmp_path / "c"), str(log))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert log.read_text() == "computed\n"


def test_another_number_of_threads_computes_for_itself(tmp_path):
    cache, computed, before = Cache(tmp_path), [], torch.get_num_threads()
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            cache.tensors("x", {"a": 1}, lambda: computed.append(1) or {"t": torch.zeros(1)})
    finally:
        torch.set_num_threads(before)
    assert len(computed) == 2
