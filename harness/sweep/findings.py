"""What a look before a sweep can find: one line each, and whether it stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import HarnessError, one_line

Verdict = Literal["ok", "note", "stop"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    verdict  ``ok``; ``note``: the sweep can start, but look at this; ``stop``: it cannot
    """

    verdict: Verdict
    what: str
    needed: str
    there: str
    remedy: str = ""


class Caught:
    """Turns a HarnessError of its block into a finding."""

    def __init__(self, findings: list[Finding], what: str, needed: str, verdict: Verdict = "stop") -> None:
        self.findings, self.what, self.needed, self.verdict = findings, what, needed, verdict

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, HarnessError):
            self.findings.append(Finding(self.verdict, self.what, self.needed, "–", one_line(error)))
            return True
        return False


def size_text(count: float) -> str:
    """Write bytes in the unit that reads best, decimal: ``3.2 GB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
