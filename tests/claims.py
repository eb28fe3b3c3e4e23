"""What committed records say, in the words of README and of experiments' headers: numbers as text."""

from functools import cache
from pathlib import Path

from harness import records
from harness.report import merit, stats
from harness.report.rows import Row, select

REPOSITORY = Path(__file__).parents[1]


@cache
def rows(experiment: str) -> tuple[Row, ...]:
    """The rows of a committed experiment."""
    return select(records.read(REPOSITORY / "results" / experiment)).rows


def row(experiment: str, method: str, shots: int = 5, **settings: object) -> Row:
    """The one row of a method whose settings (``penalty``, ``bound``, ``prior_weight``, …) are these.

    A penalty, bound, prior weight or readout that is not named is one that the row has not.
    """
    absent = ("lipschitz.penalty", "lipschitz.bound", "params.prior_weight", "readout.value")
    wanted: dict[str, object] = dict.fromkeys(absent)
    for name, value in settings.items():
        part = {"penalty": "lipschitz", "bound": "lipschitz", "norm": "lipschitz", "value": "readout"}
        part["null_space"] = "lipschitz"
        part["guidance"] = "sampling"
        wanted[f"{part.get(name, 'params')}.{name}"] = value
    (found,) = [
        each
        for each in rows(experiment)
        if each.method == method
        and each.shots in (shots, 0)
        and all((each.setting.get(name) or None) == value for name, value in wanted.items())
    ]
    return found


def by_subject(of: Row, measure: str) -> dict[str, float]:
    """One number for each subject."""
    return dict(merit.measured(of.records, measure).by_subject)


def number(value: float, digits: int = 3) -> str:
    """A number without the 0 before its point and with an ASCII minus: ``-.024``, ``14.8``."""
    text = f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before a zero
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def signed(value: float, digits: int = 3) -> str:
    """The same, with its sign."""
    text = number(value, digits)
    return text if text.startswith("-") else f"+{text}"


def mean(of: Row, measure: str, digits: int = 3) -> str:
    """The mean over subjects."""
    return number(stats.mean(by_subject(of, measure).values()), digits)


def interval(found: stats.Interval, digits: int = 3) -> str:
    """``[.029, .104]``; both ends with their sign where 0 lies between them."""
    write = signed if found.low < 0 < found.high else number
    return f"[{write(found.low, digits)}, {write(found.high, digits)}]"


def difference(first: Row, second: Row, measure: str, digits: int = 3) -> str:
    """Mean paired difference with its 95 % interval: ``+.067 [.029, .104]``."""
    found = stats.paired_interval(by_subject(first, measure), by_subject(second, measure))
    assert found is not None
    return f"{signed(found.mean, digits)} {interval(found, digits)}"


def closed(of: Row, floor: Row, ceiling: Row, measure: str = "dino_heldout") -> str:
    """The share of each subject's gap between floor and ceiling that a row closes: ``81 % [72, 89]``."""
    own, low, high = (by_subject(each, measure) for each in (of, floor, ceiling))
    found = stats.t_interval([100 * (own[s] - low[s]) / (high[s] - low[s]) for s in sorted(own)])
    assert found is not None
    return f"{found.mean:.0f} % [{found.low:.0f}, {found.high:.0f}]"


def text(name: str) -> str:
    """A file of the repository as one line: no comment marks, no breaks, ASCII minus."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    return " ".join(" ".join(line.removeprefix("#") for line in lines).replace("−", "-").split())
