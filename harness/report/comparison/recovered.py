"""Records with the scores that their numbers by prompt tell, where they are older than the score.

Only comparisons read such records: tables show what was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.registry import MEASURES
from harness.records import Record


def recovered(records: Sequence[Record]) -> list[Record]:
    """Add each score that a record lacks and that its values by prompt tell, with the encoder behind them."""
    return [_completed(record) for record in records]


def _completed(record: Record) -> Record:
    found = {
        name: value
        for name, measure in MEASURES.items()
        if measure.recovered and name not in record.scores
        if (value := measure.recovered(record.by_prompt)) is not None
    }
    if not found:
        return record
    encoders = dict(record.provenance.get("encoders") or {})
    for name in found:
        # Of one encoder and one formula: the version of a score says both.
        behind = [other for other in record.by_prompt if MEASURES[name].encoder == _encoder(other)]
        encoders |= {name: encoders[behind[0]]} if behind and behind[0] in encoders else {}
    return record.model_copy(
        update={
            "scores": {**record.scores, **found},
            "provenance": {**record.provenance, "encoders": encoders},
        }
    )


def _encoder(name: str) -> str | None:
    return MEASURES[name].encoder if name in MEASURES else None
