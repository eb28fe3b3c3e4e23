"""How often certificates hold: those of 512 prompts, held against thousands of others of the same population.

    python benchmarks/certificates.py results/equal_drift --subject steel-mushroom-01 --no-images

Of a run directory's trials that moved the denoiser some are taken, evenly spread. Each is restored once; the
statements of a certificate, on prompts of its own (seeds 1, 2, ...), are compared with what the values on
other prompts (seed 0) say: a limit of a share with the share of them within it, a limit of a mean with their
mean. A statement of 95 % confidence may fail one time in twenty. What 8,192 prompts say is itself known to
about half a percent of the prompts, hence a share counts as missed only where it is missed by more than
``--slack``.

What the base model answers is asked once for each class of subjects: with ``--subject`` once in all.
``--no-images`` looks at noise predictions alone: the tuned model draws nothing then. Prints a line for each
trial as it is done, so that it can be ended early.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cli.progress import meter
from harness.records import Record, read
from harness.report import certificate
from harness.report.stats import mean
from harness.sweep.certify import examination_of
from harness.sweep.restored import restore
from harness.trial.fresh_prompts import Answers


def main() -> None:
    """Compare and print."""
    asked = _arguments()
    chosen = spread(
        [each for each in read(asked.run) if moved(each) and asked.subject in (None, each.trial["subject"])],
        asked.trials,
    )
    held, stated = Counter[str](), Counter[str]()
    answers: Answers = {}
    for number, record in enumerate(chosen, start=1):
        started = time.perf_counter()
        with meter() as progress:
            restored = restore(asked.run, record, progress=progress, device=asked.device, purpose="certify")
            own = examination_of(restored, asked.prompts, number, images=asked.images)
            found = own.values(progress).values
            others = examination_of(restored, asked.truth, 0, images=asked.images, answers=answers)
            truth = others.values(progress).values
        restored.backbone.restore()
        limit = (record.readout or {}).get("limit")
        kept = judged(
            certificate.statements(found, confidence=asked.confidence, budget=limit), truth, asked.slack
        )
        for kind, right in kept:
            stated[kind] += 1
            held[kind] += right
        missed = ", ".join(kind for kind, right in kept if not right) or "none"
        spent = time.perf_counter() - started
        print(
            f"{number}/{len(chosen)} {record.key} {record.trial['title']}: missed {missed} ({spent:.0f} s)",
            flush=True,
        )
    print(f"{'statement':<32} held of  (at least {asked.confidence:.0%} are to hold)")
    for kind in stated:
        print(f"{kind:<32} {held[kind]:>4} {stated[kind]:>3}")


def moved(record: Record) -> bool:
    """Whether a trial's denoiser is not the base model's."""
    return record.status == "done" and bool(record.drift.get("weight_l2"))


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """Take ``count`` of the records, evenly spread over them."""
    few = min(count, len(records))
    return [records[(2 * i + 1) * len(records) // (2 * few)] for i in range(few)]


def judged(
    statements: Sequence[Mapping[str, Any]], truth: Mapping[str, Sequence[float]], slack: float
) -> list[tuple[str, bool]]:
    """Say of each statement what it is of, and whether it holds among the values of many other prompts."""
    found = []
    for each in statements:
        values, limit = truth[each["of"]], each["limit"]
        if each["kind"] == "mean":
            right = mean(values) <= limit
        else:
            right = sum(value <= limit for value in values) / len(values) >= each["share"] - slack
        share = f" {each['share']:.0%}" if each["kind"] == "share" else ""
        found.append((f"{each['of']}, {each['kind']}{share}", right))
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run directory: records.jsonl and experiment.yaml")
    parser.add_argument("--subject", help="its trials alone")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--truth", type=int, default=8192)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--slack", type=float, default=0.005)
    parser.add_argument("--no-images", dest="images", action="store_false")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
