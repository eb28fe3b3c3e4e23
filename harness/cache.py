"""A content-addressed disk cache for tensors, shared by trials and workers; knows not what they mean."""

from __future__ import annotations

import contextlib
import hashlib
import json
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

SEAL = "blake2b"
"""Where an entry's metadata hold its checksum."""
BLANK = "0" * 64
"""What stands there while the checksum is computed."""
VERSION = 2
"""Raised when entries are written in another form: part of their names."""


class Damaged(Exception):
    """An entry whose bytes are not those that were written."""


class Cache:
    """Entries are safetensors files named by the hash of what decides their content.

    An entry is computed once even when several processes ask for it at the same time, and appears whole or
    not at all. It carries a checksum over all of its bytes: one that is damaged is named in a warning and
    computed again. Where the folder cannot be written, results are computed every time.
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
        numerics = {"torch": torch.__version__, "threads": torch.get_num_threads(), "entry": VERSION}
        name = json_digest({"kind": kind, **numerics, **content}, 32)
        path = self.root / kind / f"{name}.safetensors"
        try:
            if (found := _read(path)) is not None:
                return found
        except Damaged:
            pass  # said below, by the one process that holds the lock
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._lock(path))
            lock.acquire()
        except OSError as error:
            self._complain(error)
            return compute()
        try:
            if (found := _read_or_remove(path)) is not None:
                return found
            tensors = {name: value.detach().cpu().contiguous() for name, value in compute().items()}
            try:
                write_atomically(path, sealed(tensors))
            except RecordsError as error:
                self._complain(error.__cause__ or error)
            return tensors
        finally:
            lock.release()

    def _lock(self, path: Path) -> Path:
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return locks / f"{path.stem}.lock"

    def _complain(self, error: BaseException) -> None:
        """Warn in the same words for every entry, so that a process says it once."""
        reason = getattr(error, "strerror", None) or error
        warnings.warn(f"cache {self.root} cannot be written ({reason}); going on without it", stacklevel=1)


def sealed(tensors: Mapping[str, Tensor]) -> bytes:
    """Write tensors (any shapes [...]) as a safetensors file whose metadata hold a checksum of all of it."""
    data = save(dict(tensors), {SEAL: BLANK})
    return data.replace(BLANK.encode(), hashlib.blake2b(data, digest_size=32).hexdigest().encode(), 1)


def unsealed(path: Path) -> dict[str, Tensor]:
    """Read a file that :func:`sealed` wrote. Raises Damaged where a bit of it is another, OSError."""
    with path.open("rb") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        if size > path.stat().st_size:
            raise Damaged(path)
        header = file.read(size)
        seal = _seal(header)
        if seal is None:
            raise Damaged(path)
        total = hashlib.blake2b(length + header.replace(seal.encode(), BLANK.encode(), 1), digest_size=32)
        hashlib.file_digest(file, lambda: total)
    if total.hexdigest() != seal:
        raise Damaged(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise Damaged(path) from error


def _seal(header: bytes) -> str | None:
    try:
        seal = json.loads(header)["__metadata__"][SEAL]
    except (ValueError, LookupError, TypeError):
        return None
    return seal if isinstance(seal, str) and len(seal) == len(BLANK) else None


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        return unsealed(path)
    except OSError:
        return None


def _read_or_remove(path: Path) -> dict[str, Tensor] | None:
    try:
        return _read(path)
    except Damaged:
        warnings.warn(f"{path}: is damaged: its checksum is wrong; computed again", stacklevel=1)
        with contextlib.suppress(OSError):  # a folder that became read-only: writing the new one says so
            path.unlink(missing_ok=True)
        return None
