"""Records: one line of JSON per finished trial, appended by the driver and synced before it counts.

The file only grows; of several lines with one key the last one holds. Knows nothing of Ray, torch or MLflow.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness import __version__
from harness.errors import BusyError, RecordsError
from harness.files import write_atomically

FILE = "records.jsonl"
WANTED = "wanted.json"
LOCK = "lock"


class Record(BaseModel):
    """The result of one trial.

    key        the sample key: identity of the images, and their folder's name
    trial      {dataset, backbone, method, title, label, params, lipschitz, subject, shots, seed, sampling},
               and ``readout`` where the fit was not read out at its own end; records of before have no
               label: see :func:`harness.config.titles.label`
    scores     name → value, None where it cannot be had (``notes`` says why); see ``harness.metrics``
    drift      likewise
    by_prompt  score → values in prompt order
    seconds    fit, sample, score; the fit's for each of its readouts: see :attr:`own_seconds`
    images     number of images
    bound      what the trial's constraints prove. A hard bound: ``radius`` and the ``l2`` that it limits
               (absolute, whatever form was requested): l2 ≤ radius to 1e-5 relative
    readout    of a readout between base model and fit: ``alpha``, or of a merge ``share.BLOCK`` for each
               block that moved; of a budget and a merge also ``calibration``, the drift on the calibration
               probe, ``limit``, and ``evaluations`` of it
    provenance commit, dirty, versions, device, revisions of backbone and data, encoder behind each score:
               the fit's; of a later scoring of its images under ``scored``. ``fit_shared``: another record
               has the seconds of the same fit
    search     of a search's proposal: ``study``, ``proposal`` (counted from 0), its ``point`` and the ranges
               that it lies in (``over``), what was sought if that was named (``merit``), and where ASHA
               ``stopped`` it: {rung, merit, needed, place, of, why}
    error      one line, when failed

    A field that is not among these is a newer version's, and its record is refused rather than half read.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="forbid")

    key: str
    keys: dict[str, str]
    status: Literal["done", "failed"]
    trial: dict[str, Any]
    scores: dict[str, float | None] = Field(default_factory=dict)
    drift: dict[str, float | None] = Field(default_factory=dict)
    by_prompt: dict[str, list[float | None]] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: int | None = None
    images: int = 0
    bound: dict[str, float] | None = None
    readout: dict[str, float] | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Any] | None = None
    error: str | None = None

    def line(self) -> bytes:
        """Encode as one line, newline included; keys in a fixed order."""
        unused = {name for name in ("readout", "search") if getattr(self, name) is None}
        return (self.model_dump_json(exclude=unused) + "\n").encode()

    @property
    def own_seconds(self) -> dict[str, float]:
        """Seconds by stage without a fit that another record has: what sums count."""
        spared = {"fit"} if self.provenance.get("fit_shared") else set()
        return {stage: spent for stage, spent in self.seconds.items() if stage not in spared}


class Lines:
    """The records file of one run directory. Only the holder of :func:`locked` may append or repair."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def append(self, record: Record) -> None:
        """Add a record: one write, synced. A write that fails half-way is taken back, then reported."""
        line = record.line()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            _write_whole(descriptor, line)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        finally:
            os.close(descriptor)

    def repair(self) -> Path | None:
        """Set a truncated last line aside, in a file of its own; return that file, None if all was whole."""
        data = self.path.read_bytes() if self.path.exists() else b""
        if not data or data.endswith(b"\n"):
            return None
        whole, _, rest = data.rpartition(b"\n")
        aside = next(
            path
            for n in range(1, 10_000)
            if not (path := self.path.with_name(f"{FILE}.truncated-{n}")).exists()
        )
        try:
            write_atomically(aside, rest)
            os.truncate(self.path, len(whole) + 1 if whole else 0)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return aside

    def __iter__(self) -> Iterator[Record]:
        """Yield every record in file order, superseded ones too; warn of a truncated last line."""
        line = b"\n"
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.endswith(b"\n"):
                        yield self._record(number, line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RecordsError(f"{self.path}: cannot be read: {error.strerror}") from error
        if not line.endswith(b"\n"):
            warnings.warn(
                f"{self.path}: the last line is cut off ({len(line)} bytes) and does not count", stacklevel=2
            )

    def _record(self, number: int, line: bytes) -> Record:
        try:
            return Record.model_validate_json(line)
        except ValidationError as error:
            unknown = [str(each["loc"][0]) for each in error.errors() if each["type"] == "extra_forbidden"]
            if unknown:
                raise RecordsError(
                    f"{self.path}:{number}: written by a newer version of harness than this one, "
                    f"{__version__}, which does not know {unknown[0]!r}; read it with that version"
                ) from None
            why = error.errors()[0]["msg"]
            raise RecordsError(f"{self.path}:{number}: not a record ({why}); move the line away") from None


def read(folder: Path) -> list[Record]:
    """Read a run directory: the last record of every key, in the order in which those were written."""
    latest: dict[str, Record] = {}
    for record in Lines(folder):
        latest.pop(record.key, None)
        latest[record.key] = record
    return list(latest.values())


class Current(NamedTuple):
    """The records that the last sweep's experiment still asks for, and how many others there are."""

    records: list[Record]
    left_out: int

    @property
    def remark(self) -> str:
        """Say in a line what was left out; empty where nothing was."""
        if not self.left_out:
            return ""
        return f"{self.left_out} records left out: the experiment as last swept has no such trials any more"


def read_current(folder: Path) -> Current:
    """Read what tables, figures and the mirror speak of: see :class:`Current`.

    A run directory that does not say what is wanted (committed results) shows everything.
    """
    latest = read(folder)
    path = folder / WANTED
    try:
        keys = set(json.loads(path.read_text()))
    except FileNotFoundError:
        return Current(latest, 0)
    except (OSError, ValueError, TypeError) as error:
        raise RecordsError(f"{path}: no list of keys ({error}); the next sweep writes it anew") from None
    chosen = [record for record in latest if record.key in keys]
    return Current(chosen, len(latest) - len(chosen))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run directory while a sweep writes to it.

    The system's lock on the file decides, not its text, so a killed holder leaves nothing behind to clean up.
    Raises BusyError naming the holder's process, machine and start.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritable(folder, error) from error
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
            raise _unwritable(path, error) from error
        yield
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']}, since {holder['started']}"
    except (ValueError, KeyError, OSError):
        return "it did not say who"


def _write_whole(descriptor: int, line: bytes) -> None:
    before = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            written += os.write(descriptor, line[written:])  # says why: a full disk raises only now
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _unwritable(path: Path, error: OSError) -> RecordsError:
    return RecordsError(f"{path}: cannot be written: {error.strerror or error}")
