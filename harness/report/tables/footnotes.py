"""What stands below a table: how bold is meant, what is missing and why, which trials failed, provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from harness.config.titles import title
from harness.methods import role_of
from harness.metrics.registry import MEASURES
from harness.records import Record
from harness.report import stats
from harness.report.comparison.arms import aligned, base_of, readout_of, trains_on_outputs
from harness.report.comparison.paired import LEAST_SUBJECTS
from harness.report.comparison.protocol import FIDELITY
from harness.report.rows import COLUMNS, Cell, Selection
from harness.report.tables.markup import number
from harness.report.values import outdated, values

ALIGNED = "‡: trained on features of its images too. A score by that very encoder is left empty."


def encoder(records: Iterable[Record], measure: str) -> str | None:
    """Name the encoder (and its version) behind a measure, as recorded; several are joined, None for none."""
    named = {
        found if isinstance(found, str) else " ".join(str(part) for part in found.values())
        for record in records
        if (found := (record.provenance.get("encoders") or {}).get(measure))
    }
    return " / ".join(sorted(named)) or None


def footnotes(
    selection: Selection,
    shown: Sequence[str],
    wanted: Sequence[str],
    present: set[str],
    *,
    experiment: str | None,
) -> list[str]:
    """Write the lines below a table: bold, noise floors, what is empty, what failed, provenance.

    ``shown`` are the columns of the table, ``wanted`` those requested, ``present`` those that hold a number.
    """
    return [
        note
        for note in (
            _bold_note(selection),
            _unlearnt_note(selection),
            _outputs_note(selection),
            _alignment_note(selection),
            _shared_note(shown),
            *(_floor_note(selection, name) for name in shown),
            _empty_note(selection, wanted, present),
            _failed_note(selection),
            _provenance_note(selection, experiment),
        )
        if note
    ]


def _outputs_note(selection: Selection) -> str | None:
    """Say what a † is, where a row has one."""
    if not any(trains_on_outputs(row) for row in selection.rows):
        return None
    return "†: held to the base model's outputs, on prompts of which no drift is measured."


def _alignment_note(selection: Selection) -> str | None:
    """Say what a ‡ is, where a row has one."""
    return ALIGNED if any(aligned(row) for row in selection.rows) else None


def _bold_note(selection: Selection) -> str | None:
    methods = selection.of("method")
    if not methods:
        return None
    if max(row.subjects for row in methods) < 2:
        return "One subject: no spread, no interval, nothing bold."
    return (
        "Bold: not separable from the best method at the same number of shots (paired 95 % t interval over "
        "the subjects that both have, at least 3, contains 0; not corrected for many comparisons). Floors, "
        "ceilings, exact zeros and drifts of the base model's own images do not compete; a lone method is "
        "not bold."
    )


def _unlearnt_note(selection: Selection) -> str | None:
    """Name the fits that show no more of the subject than the base model does, by two standard errors."""
    found: dict[str, list[str]] = {}
    for row in selection.of("method"):
        base = base_of(selection, row) if readout_of(row) is None else None
        names = (FIDELITY.name, "dino_heldout", "dino")
        name = next((name for name in names if base and name in row.cells and name in base.cells), None)
        if base is None or name is None:
            continue
        gained = stats.paired_differences(row.cells[name].by_subject, base.cells[name].by_subject)
        if len(gained) < LEAST_SUBJECTS:
            continue
        error = stats.standard_error(gained) or 0.0
        if stats.mean(gained) < 2 * error:
            words = f"{row.title}, {row.shots_in_words} (+{stats.mean(gained):.3f} ± {error:.3f})"
            found.setdefault(name, []).append(words.replace("+-", "−"))
    return " ".join(
        f"Not two standard errors above the base model in {COLUMNS[name].title} (paired): {'; '.join(rows)}."
        for name, rows in found.items()
    )


def _shared_note(shown: Sequence[str]) -> str | None:
    """Say of which columns the spread over subjects is not the error."""
    titles = [COLUMNS[name].title for name in shown if COLUMNS[name].shared]
    if not titles:
        return None
    return (
        f"{', '.join(titles)}: over prior prompts and seeds that subjects share, so that their numbers are "
        "not independent: no error over subjects is given; bold compares methods on these prompts and seeds."
    )


def _floor_note(selection: Selection, name: str) -> str | None:
    """Say what a measure reads on the unchanged base model, where another one measures that."""
    floor = (MEASURES[name].noise_floor if name in MEASURES else None) or ""
    pooled: dict[str, list[float]] = {}
    for row in selection.rows:
        for subject, value in (row.cells[floor].by_subject if floor in row.cells else {}).items():
            pooled.setdefault(subject, []).append(value)
    if not pooled:
        return None
    cell = Cell({subject: stats.mean(held) for subject, held in pooled.items()})
    return (
        f"{COLUMNS[name].title} between two samples of the unchanged base model "
        f"(the estimator's noise floor): {number(cell.mean, 5)}."
    )


def _empty_note(selection: Selection, wanted: Sequence[str], present: set[str]) -> str | None:
    reasons = []
    for name in wanted:
        requested = any(name in values(record) for record in selection.records)
        if name in present or not requested:
            continue
        given = Counter(record.notes[name] for record in selection.records if name in record.notes)
        reason = min(given, key=lambda text: (-given[text], text)) if given else "no reason recorded"
        if old := {version for record in selection.records if (version := outdated(record, name))}:
            reason = f"recorded as version {max(old)}, now {MEASURES[name].version}; a sweep scores it again"
        reasons.append(f"{COLUMNS[name].title} ({reason})")
    return f"Left out, empty everywhere: {'; '.join(reasons)}." if reasons else None


def _failed_note(selection: Selection, *, most: int = 5) -> str | None:
    if not selection.failed:
        return None
    count = len(selection.failed)
    failures = [
        f"{title(record.trial)}, {record.trial['shots']} shots, {record.trial['subject']}, "
        f"seed {record.trial['seed']} ({record.error or 'no reason recorded'})"
        for record in selection.failed[:most]
    ]
    more = [f"and {count - most} more"] if count > most else []
    return (
        f"{'1 trial failed and does' if count == 1 else f'{count} trials failed and do'} not count: "
        + "; ".join([*failures, *more])
        + "."
    )


def _provenance_note(selection: Selection, experiment: str | None) -> str:
    records = selection.records
    if not records:
        return "No finished trial."
    parts = [
        f"{len(records)} records" + (f" of experiment {experiment}" if experiment else ""),
        f"{len(selection.failed)} failed",
        f"commit {commits(records) or 'not recorded'}",
        *(
            f"{word} {_revisions(records, part)}"
            for word, part in (("backbone", "backbone"), ("data", "dataset"))
        ),
        f"device {provenance(records, 'device') or 'not recorded'}",
        _sampling(records),
    ]
    return "; ".join(parts) + "."


def commits(records: Iterable[Record]) -> str:
    """Name the commits behind some records, ten digits each, with a word where files differed from them."""
    return _joined(
        f"{str(commit)[:10]}{' (modified)' if record.provenance.get('dirty') else ''}"
        for record in records
        if (commit := record.provenance.get("commit"))
    )


def _revisions(records: Iterable[Record], part: str) -> str:
    field = {"backbone": "backbone_revision", "dataset": "data_revision"}[part]
    return _joined(
        f"{record.trial[part]} (revision {str(record.provenance.get(field) or 'not recorded')[:16]})"
        for record in records
    )


def _sampling(records: Iterable[Record]) -> str:
    seeds = _joined(str(record.trial["seed"]) for record in records)
    images = _images(records)
    settings = [record.trial.get("sampling") or {} for record in records]
    sampler = _joined(
        f"{s.get('sampler', 'sampler')} {s['steps']} steps, guidance {s['guidance']:g}"
        + (f", {s['precision']}" if s.get("precision") else "")
        for s in settings
        if isinstance(s, Mapping) and "steps" in s and "guidance" in s
    )
    return "; ".join(part for part in (sampler, images, f"seeds {seeds}") if part)


def _images(records: Iterable[Record]) -> str:
    """Count a trial's images; ceilings hold photos, whose number says nothing of sampling."""
    counts = {
        record.images for record in records if record.images and role_of(record.trial["method"]) != "ceiling"
    }
    if not counts:
        return ""
    least, most = min(counts), max(counts)
    return f"{most} pictures a trial" if least == most else f"{least} to {most} pictures a trial"


def provenance(records: Iterable[Record], field: str) -> str:
    """Give what some records say of a field of their provenance, each answer once, the shorter first."""
    return _joined(str(found) for record in records if (found := record.provenance.get(field)))


def _joined(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words), key=lambda word: (len(word), word)))
