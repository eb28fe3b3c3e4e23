"""Records: one line of JSON per finished trial, appended by the driver and synced before it counts.

The file only grows; of several lines with one key the last one holds. Knows nothing of Ray, torch or MLflow.
"""

from __future__ import annotations

import gzip
import json
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import core_schema
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from harness import __version__
from harness.errors import RecordsError
from harness.files import unwritable, write_atomically

FILE = "records.jsonl"
PACKED = "records.jsonl.gz"
"""What came before the lines of FILE, packed: how large results are committed. Only read."""
WANTED = "wanted.json"


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
               has the seconds of the same fit; ``sample_shared``: and of the same images, where a readout
               is at α = 1
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
        """Seconds by stage without a fit or images that another record has: what sums count."""
        return _own(self.seconds, self.provenance)


class _Skipped:
    """Makes pydantic pass over a field's value, which is then None and takes neither time nor memory."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.with_default_schema(core_schema.none_schema(), default=None, on_error="default")


Unread = Annotated[None, _Skipped]


class _Shared(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="ignore")  # type: ignore[misc]
    fit_shared: bool
    sample_shared: bool


class Outline(BaseModel):
    """What planning asks of a record: it is read in an eighth of the time, and cannot be written."""

    model_config = Record.model_config

    key: str
    keys: dict[str, str]
    status: Literal["done", "failed"]
    trial: dict[str, Any]
    scores: Unread = None
    drift: Unread = None
    by_prompt: Unread = None
    notes: Unread = None
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_memory_bytes: Unread = None
    images: Unread = None
    bound: Unread = None
    readout: Unread = None
    provenance: _Shared = Field(default_factory=_Shared)
    search: dict[str, Any] | None = None
    error: Unread = None

    @property
    def own_seconds(self) -> dict[str, float]:
        """See :attr:`Record.own_seconds`."""
        return _own(self.seconds, self.provenance)


def _own(seconds: Mapping[str, float], provenance: Mapping[str, Any]) -> dict[str, float]:
    spared = {stage for stage in ("fit", "sample") if provenance.get(f"{stage}_shared")}
    return {stage: spent for stage, spent in seconds.items() if stage not in spared}


AnyRecord = Record | Outline
_Kind = TypeVar("_Kind", Record, Outline)


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
            raise unwritable(self.path, error) from error
        try:
            _write_whole(descriptor, line)
        except OSError as error:
            raise unwritable(self.path, error) from error
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
            raise unwritable(self.path, error) from error
        return aside

    def __iter__(self) -> Iterator[Record]:
        """Yield every record in file order, superseded ones too; warn of a truncated last line."""
        return self._read(Record)

    def outlines(self) -> Iterator[Outline]:
        """Yield the outline of every record, as iterating yields the whole."""
        return self._read(Outline)

    def _read(self, kind: type[_Kind]) -> Iterator[_Kind]:
        for path, opened in ((self.path.with_name(PACKED), gzip.open), (self.path, open)):
            line = b"\n"
            try:
                with opened(path, "rb") as file:
                    for number, line in enumerate(file, start=1):
                        if line.endswith(b"\n"):
                            yield _record(path, number, line, kind)
            except FileNotFoundError:
                continue
            except (OSError, EOFError, zlib.error) as error:
                why = getattr(error, "strerror", None) or error
                raise RecordsError(f"{path}: cannot be read: {why}") from error
            if not line.endswith(b"\n"):
                cut = f"{path}: the last line is cut off ({len(line)} bytes) and does not count"
                warnings.warn(cut, stacklevel=2)


def _record(path: Path, number: int, line: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        unknown = [str(each["loc"][0]) for each in error.errors() if each["type"] == "extra_forbidden"]
        if unknown:
            raise RecordsError(
                f"{path}:{number}: written by a newer version of harness than this one, "
                f"{__version__}, which does not know {unknown[0]!r}; read it with that version"
            ) from None
        why = error.errors()[0]["msg"]
        raise RecordsError(f"{path}:{number}: not a record ({why}); move the line away") from None


def has_records(folder: Path) -> bool:
    """Whether a folder has records."""
    return any((folder / name).is_file() for name in (FILE, PACKED))


def run_directories(runs: Path) -> list[Path]:
    """List the folders in a folder that have records, by name."""
    return sorted({path.parent for name in (FILE, PACKED) for path in runs.glob(f"*/{name}")})


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
