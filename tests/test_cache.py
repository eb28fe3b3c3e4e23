"""Entries are computed once, appear whole, and are recomputed when a bit of them is another."""

import errno
import multiprocessing
import os
import tempfile
import time
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from harness import cache as cache_module
from harness import files
from harness.cache import BLANK, Cache, sealed, unsealed


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
    with pytest.warns(UserWarning, match="checksum is wrong"):
        assert cache.tensors("kind", {}, counted(log, 2.0))["x"].item() == 2.0
    assert len(log) == 2


EVERY_KIND = {
    "latents": torch.linspace(-1, 1, 24, dtype=torch.float32).reshape(2, 3, 4),
    "half": torch.arange(9, dtype=torch.float16),
    "brain": torch.arange(9, dtype=torch.bfloat16),
    "double": torch.arange(5, dtype=torch.float64),
    "pictures": torch.arange(48, dtype=torch.uint8).reshape(4, 4, 3),
    "timesteps": torch.arange(7),
    "mask": torch.tensor([True, False, True]),
    "none": torch.zeros(0, 3),
    "scalar": torch.tensor(0.1),
}
"""One tensor of each type that entries hold."""
BITS = 8 * len(sealed(EVERY_KIND))


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@given(st.integers(0, BITS - 1))
def test_every_flipped_bit_is_found_said_and_computed_again(bit):
    with tempfile.TemporaryDirectory() as root:
        Cache(root).tensors("kind", {}, lambda: EVERY_KIND)
        (entry,) = (Path(root) / "kind").iterdir()
        whole = entry.read_bytes()
        flip(entry, bit)
        with pytest.warns(UserWarning) as said:
            again = Cache(root).tensors("kind", {}, lambda: EVERY_KIND)
        assert [str(each.message) for each in said] == [
            f"{entry}: is damaged: its checksum is wrong; computed again"
        ]
        assert all(torch.equal(again[name], tensor) for name, tensor in EVERY_KIND.items())
        assert entry.read_bytes() == whole


def test_a_sealed_file_is_read_back_bit_for_bit_by_any_reader(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(sealed(EVERY_KIND))
    for read in (unsealed, load_file):
        found = read(path)
        assert found.keys() == EVERY_KIND.keys()
        for name, tensor in EVERY_KIND.items():
            assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


def test_a_header_that_claims_two_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((2 << 30).to_bytes(8, "little") + b"{" * 100)
    with pytest.raises(cache_module.Damaged):
        unsealed(path)


@pytest.mark.parametrize("metadata", [None, {"blake2b": "0"}, {"blake2b": BLANK}, {"else": "x"}])
def test_a_file_without_a_checksum_of_its_own_is_damaged(tmp_path, metadata):
    save_file(EVERY_KIND, tmp_path / "x.safetensors", metadata)
    with pytest.raises(cache_module.Damaged):
        unsealed(tmp_path / "x.safetensors")


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


@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir", "open"])
def test_a_full_disk_is_said_once_and_only_costs_time(tmp_path, monkeypatch, call):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {"fsync": files.os, "replace": Path, "mkdir": Path, "open": os}[call]
    log: list = []
    monkeypatch.setattr(target, call, full)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        vars(cache_module).pop("__warningregistry__", None)
        for n in range(3):
            assert Cache(tmp_path).tensors("kind", {"n": n}, counted(log))["x"].item() == 1.0
    monkeypatch.undo()
    assert len(log) == 3
    assert [str(each.message) for each in said] == [
        f"cache {tmp_path} cannot be written (No space left on device); going on without it"
    ]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name == "kind"]


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
