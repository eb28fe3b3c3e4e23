"""The experiments that come with the package, and ``harness init``, which writes one down to start from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import ConfigError

FOLDER = Path(__file__).parents[1] / "experiments"
TEMPLATE = Path(__file__).with_name("template.yaml")


def shipped() -> dict[str, Path]:
    """Name → file of every experiment that comes with the package; ``tuning/search`` lies a folder deeper."""
    files = sorted(FOLDER.glob("**/*.yaml"))
    return {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in files}


def init(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Of the experiment; one that comes with it is copied.")
    ] = "experiment",
) -> None:
    """Write an experiment file with comments into the current folder, to start from.

    Example:  harness init mugs
    """
    if not name.replace("-", "").replace("_", "").replace(".", "").replace("/", "").isalnum():
        raise ConfigError(f"{name}: a name has letters, digits, '-', '_' and '.'")
    known = shipped()
    path = Path(f"{Path(name).name.removesuffix('.yaml')}.yaml")
    text = known.get(name, TEMPLATE).read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text if name in known else text.replace("NAME", path.stem, 2))
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; give another name") from None
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # half a file would be "there already" the next time
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None
    typer.echo(f"{path}: next, harness sweep {path} --dry-run")
