"""A trial's files in the run directory: they appear as a whole or not at all, whatever kills the driver."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import RecordsError

COMING = ".coming-"
GOING = ".going-"


def cache_root() -> Path:
    """Return ``$HARNESS_CACHE``, or ``~/.cache/harness``."""
    chosen = os.environ.get("HARNESS_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "harness"


def place(folder: Path, key: str, artifacts: Mapping[str, bytes], *, replace: bool) -> None:
    """Put files under ``folder/key``, synced to disk before their names appear.

    ``replace``: the files are all that the folder shall hold; otherwise they join those that are there, each
    by a rename. Raises RecordsError (a full disk, a read-only folder) with nothing half-written left behind.
    """
    if not artifacts:
        return
    coming, target = folder / f"{COMING}{key}", folder / key
    try:
        shutil.rmtree(coming, ignore_errors=True)
        for name, data in artifacts.items():
            _write_synced(_inside(coming, name), data)
        if replace:
            _swap(coming, target, folder / f"{GOING}{key}")
        else:
            for name in artifacts:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (coming / name).replace(target / name)
        _sync_folder(folder)
    except OSError as error:
        raise RecordsError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write one file so that a reader sees the old content or the new. Raises RecordsError."""
    coming = path.with_name(f"{COMING}{path.name}")
    try:
        _write_synced(coming, data)
        coming.replace(path)
    except OSError as error:
        coming.unlink(missing_ok=True)
        raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from error


def clear_leftovers(folder: Path) -> int:
    """Remove what a killed sweep left half-done; return how many leftovers there were."""
    leftovers = [*folder.glob(f"{COMING}*"), *folder.glob(f"{GOING}*")]
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)


def file_digest(path: Path) -> str:
    """Hash a file's bytes to 64 hex digits (sha256), once per size and time of change. Raises OSError."""
    stat = path.stat()
    return _file_digest(path, stat.st_size, stat.st_mtime_ns)


@cache
def _file_digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any, digits: int) -> str:
    """Hash JSON-able content to hex digits (sha256); the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RecordsError(f"artifact {name!r} points outside the trial's folder")
    return path


def _write_synced(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _swap(coming: Path, target: Path, going: Path) -> None:
    shutil.rmtree(going, ignore_errors=True)
    if target.exists():
        target.rename(going)
    coming.rename(target)
    shutil.rmtree(going, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
