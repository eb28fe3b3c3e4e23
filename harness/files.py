"""Files on disk: written as a whole or not at all, known by their digests; run directories with one writer.

Knows nothing of what the files mean, and imports no torch.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import BusyError, RecordsError

COMING = ".coming-"
GOING = ".going-"
LOCK = "lock"


def cache_root() -> Path:
    """Return ``$HARNESS_CACHE``, or ``~/.cache/harness``."""
    chosen = os.environ.get("HARNESS_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "harness"


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def file_digest(path: Path) -> str:
    """Hash a file's bytes: sha256, 64 hex digits. Raises OSError where it cannot be read.

    A digest is remembered for the life of the process, by path, size and modification time.
    """
    stat = path.stat()
    return _digest_of_version(path, stat.st_size, stat.st_mtime_ns)


@cache
def _digest_of_version(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any, digits: int, *, compact: bool = False, ascii_only: bool = False) -> str:
    """Hash JSON-able data to ``digits`` hex digits; the order of the keys of a mapping does not matter.

    compact     no space after commas and colons
    ascii_only  other characters are escaped

    The two options change the digest. Keys of trials and names of cache entries were made with either and
    must stay what they are. Raises ValueError for NaN and infinity, which JSON does not have.
    """
    return text_digest(json_text(value, compact=compact, ascii_only=ascii_only), digits)


def json_text(value: Any, *, compact: bool = False, ascii_only: bool = False) -> str:
    """Write what :func:`json_digest` hashes."""
    return _encoder(compact, ascii_only).encode(value)


@cache
def _encoder(compact: bool, ascii_only: bool) -> json.JSONEncoder:
    separators = (",", ":") if compact else None
    return json.JSONEncoder(sort_keys=True, separators=separators, ensure_ascii=ascii_only, allow_nan=False)


def text_digest(text: str, digits: int) -> str:
    """Hash a text to ``digits`` hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def write_atomically(path: Path, data: bytes | Callable[[BinaryIO], object]) -> None:
    """Write one file so that a reader sees the old content or the new; make its folder if there is none.

    ``data`` is the content, or a function that writes it to an open file. The content is synced to disk
    under a temporary name beside ``path`` and then renamed. Raises RecordsError where the disk refuses.
    """
    coming = path.with_name(f"{COMING}{path.name}.{secrets.token_hex(4)}")
    try:
        _write_synced(coming, data)
        coming.replace(path)
    except OSError as error:
        raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        _remove(coming)


def place(folder: Path, key: str, artifacts: Mapping[str, bytes], *, replace: bool) -> None:
    """Put a trial's files under ``folder/key``, synced to disk before their names appear.

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


def clear_leftovers(folder: Path) -> int:
    """Remove what a killed sweep left half-done; return how many leftovers there were."""
    leftovers = [*folder.glob(f"{COMING}*"), *folder.glob(f"{GOING}*")]
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RecordsError(f"artifact {name!r} points outside the trial's folder")
    return path


def _write_synced(path: Path, data: bytes | Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if callable(data):
            data(file)
        else:
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # its folder is a file or read-only: then nothing was written
        path.unlink(missing_ok=True)


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


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run directory while a sweep writes to it.

    The system's lock on the file decides, not its text, so a killed holder leaves nothing behind to clean up.
    Raises BusyError naming the holder's process, machine and start.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{folder}: another sweep is writing to it ({_holder(path)})") from None
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        except OSError as error:  # no room for a line: none for a record either
            raise unwritable(path, error) from error
        yield
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']}, since {holder['started']}"
    except (ValueError, KeyError, OSError):
        return "it did not say who"


def unwritable(path: Path, error: OSError) -> RecordsError:
    """Say in a line what could not be written, and why."""
    return RecordsError(f"{path}: cannot be written: {error.strerror or error}")
