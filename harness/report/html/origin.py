"""Where the numbers come from: commit, versions, revisions, device, encoders; and how to cite them."""

from __future__ import annotations

from collections.abc import Iterable

from harness import __version__
from harness.config.titles import counted
from harness.records import Record
from harness.report.html.source import Source
from harness.report.tables.footnotes import commits, provenance

UNKNOWN = "not recorded"


def origin(source: Source) -> list[tuple[str, str]]:
    """List what decided an experiment's numbers, as pairs of a name and its value or values."""
    records = source.selection.records
    finished = sorted(str(found) for r in records if (found := r.provenance.get("finished")))
    return [
        ("Trials", f"{len(records)} done, {len(source.selection.failed)} failed"),
        ("Finished", " to ".join(dict.fromkeys([finished[0], finished[-1]])) if finished else UNKNOWN),
        ("Commit", commits(records) or UNKNOWN),
        ("Versions", _versions(records) or UNKNOWN),
        ("Platform", provenance(records, "platform") or UNKNOWN),
        ("Device", provenance(records, "device") or UNKNOWN),
        ("Backbone", _revised(records, "backbone", "backbone_revision")),
        ("Data", _revised(records, "dataset", "data_revision")),
        ("Encoders", _encoders(records) or UNKNOWN),
        ("Sampling", _sampling(records) or UNKNOWN),
        ("Training seeds", _joined(str(record.trial["seed"]) for record in records)),
    ]


def _versions(records: Iterable[Record]) -> str:
    return _joined(
        f"{name} {version}" for r in records for name, version in (r.provenance.get("versions") or {}).items()
    )


def _revised(records: Iterable[Record], part: str, field: str) -> str:
    return _joined(f"{r.trial[part]}, revision {r.provenance.get(field) or UNKNOWN}" for r in records)


def _encoders(records: Iterable[Record]) -> str:
    return _joined(
        found if isinstance(found, str) else " ".join(str(part) for part in found.values())
        for record in records
        for found in (record.provenance.get("encoders") or {}).values()
    )


def _sampling(records: Iterable[Record]) -> str:
    settings = [record.trial.get("sampling") or {} for record in records]
    return _joined(", ".join(f"{name} {value}" for name, value in held.items()) for held in settings)


def _joined(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))


def citation(source: Source) -> str:
    """Write a BibTeX entry that names the experiment, the program and the commit behind its numbers."""
    records = source.selection.records
    finished = max((str(r.provenance.get("finished") or "") for r in records), default="")
    entry = {
        "title": f"{source.name}: {source.question}" if source.question else source.name,
        "howpublished": f"harness {_harness(records)}, commit {commits(records) or UNKNOWN}",
        "note": f"{counted(len(records), 'trial')}, data {_joined(str(r.trial['dataset']) for r in records)}",
        **({"year": finished[:4]} if finished else {}),
    }
    body = ",\n".join(f"  {name} = {{{_plain(value)}}}" for name, value in entry.items())
    return f"@misc{{harness-{_plain(source.name)},\n{body}\n}}"


def _harness(records: Iterable[Record]) -> str:
    found = _joined(
        str(version) for r in records if (version := (r.provenance.get("versions") or {}).get("harness"))
    )
    return found or __version__


def _plain(text: str) -> str:
    """Leave out what BibTeX would read as markup."""
    return "".join(letter for letter in text if letter not in "{}\\").strip()
