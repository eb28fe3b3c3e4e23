"""The certificates of an experiment's trials: what they state, in words, and of which weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.config.titles import title
from harness.errors import RecordsError, one_line
from harness.report import certificate
from harness.report.html.source import Source


@dataclass(frozen=True)
class Certified:
    """A trial's certificate: its sentences, what they assume, and the digests; or why it is none."""

    experiment: str
    title: str
    subject: str
    key: str
    sentences: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()
    reason: str = ""


def certificates(sources: Sequence[Source]) -> list[Certified]:
    """Read the certificate of every finished trial that has one; the seal is checked, nothing computed."""
    return [
        _read(source, record.key, title(record.trial), str(record.trial["subject"]))
        for source in sources
        for record in source.selection.records
        if (source.folder / record.key / certificate.FILE).is_file()
    ]


def _read(source: Source, key: str, words: str, subject: str) -> Certified:
    named = (source.name, words, subject, key)
    try:
        found = certificate.read(source.folder / key / certificate.FILE)
        if found["key"] != key:
            raise RecordsError(f"it is the certificate of {found['key']}")
    except RecordsError as error:
        return Certified(*named, reason=one_line(error).replace(f"{source.folder}/", ""))
    return Certified(
        *named,
        tuple(certificate.sentences(found)),
        tuple(found["assumptions"]),
        tuple(found["digests"].items()),
    )
