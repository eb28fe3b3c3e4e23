"""A content-addressed disk cache for tensors, shared by trials and workers; knows not what they mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from harness.errors import RecordsError
from harness.files import cache_root, json_digest, write_atomically


class Cache:
    """Entries are safetensors files named by the hash of what decides their content.

    An entry is computed once even when several processes ask for it at the same time, and appears whole or
    not at all. A damaged entry is computed again. Where the folder cannot be written, results are computed
    every time.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else cache_root()

    def tensors(
        self, kind: str, content: Mapping[str, Any], compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return the entry of ``kind`` for this content, calling ``compute`` if there is none yet.

        An entry is tensors by name, each of any shape [...], on the CPU.

        kind     a folder name, for people who look into the cache
        content  JSON-able; everything that decides the result, but for torch's version and its number of
                 threads, which decide the last digits and always count
        """
        numerics = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        name = json_digest({"kind": kind, **numerics, **content}, 32)
        path = self.root / kind / f"{name}.safetensors"
        found = _read(path)
        if found is not None:
            return found
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._lock(path))
            lock.acquire()
        except OSError as error:
            self._complain(error)
            return compute()
        try:
            found = _read(path)
            if found is not None:
                return found
            tensors = {name: value.detach().cpu().contiguous() for name, value in compute().items()}
            try:
                write_atomically(path, save(tensors))
            except RecordsError as error:
                self._complain(error)
            return tensors
        finally:
            lock.release()

    def _lock(self, path: Path) -> Path:
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return locks / f"{path.stem}.lock"

    def _complain(self, error: Exception) -> None:
        warnings.warn(f"cache {self.root} cannot be written ({error}); going on without it", stacklevel=3)


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        return load_file(path)
    except (SafetensorError, OSError):
        return None
