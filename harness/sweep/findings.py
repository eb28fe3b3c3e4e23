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
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def duration_text(seconds: float) -> str:
    """Write seconds in the units that read best: ``40 s``, ``21 min``, ``3 h 20 min``, ``12 days``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    days = seconds / 86_400
    return f"{days:,.0f} days" if days < 730 else f"{days / 365:,.0f} years"
