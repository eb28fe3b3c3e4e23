"""What a shell offers after Tab: experiments, keys of trials, methods. Reads file names; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.cli.shipped import shipped

Offers = list[tuple[str, str]]
"""Values, each with what it is."""


def experiments(ctx: Any, incomplete: str) -> Offers:
    """Offer what can be swept: YAML files here, run directories, experiments that come with the package."""
    found = dict(_files(incomplete))
    found |= {path.parent.name: "run directory" for path in _runs(ctx).glob("*/experiment.yaml")}
    found |= {name: "comes with harness" for name in shipped() if name not in found}
    return _starting(found, incomplete)


def swept(ctx: Any, incomplete: str) -> Offers:
    """Offer what has records: run directories, and YAML files here."""
    from harness.records import run_directories

    found = {folder.name: "run directory" for folder in run_directories(_runs(ctx))}
    return _starting(found | dict(_files(incomplete)), incomplete)


def keys(ctx: Any, incomplete: str) -> Offers:
    """Offer the keys of trials that have files, with their experiment."""
    found = {path.parent.name: path.parents[1].name for path in _runs(ctx).glob("*/*/images.json")}
    return _starting(found, incomplete)


def methods(incomplete: str) -> Offers:
    """Offer methods, built in and of plug-ins, by name."""
    from harness.methods import offers

    return _starting({name: found[0].origin for name, found in offers().items()}, incomplete)


def lists(incomplete: str) -> Offers:
    """Offer what ``harness list`` lists."""
    from harness.cli.listing import LISTS

    return _starting(dict.fromkeys(LISTS, "list"), incomplete)


def _runs(ctx: Any) -> Path:
    return Path(ctx.params.get("runs") or "runs")


def _files(incomplete: str) -> Iterator[tuple[str, str]]:
    """YAML files and folders that begin so, as a shell would offer them."""
    folder = Path(incomplete if incomplete.endswith("/") else Path(incomplete).parent)
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.suffix in (".yaml", ".yml"):
            yield path.as_posix(), "file"
        elif incomplete and path.is_dir() and not path.name.startswith("."):
            yield f"{path.as_posix()}/", "folder"


def _starting(found: dict[str, str], incomplete: str) -> Offers:
    return sorted((value, what) for value, what in found.items() if value.startswith(incomplete))
