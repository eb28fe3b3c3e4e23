"""A throw-away folder of this process, its name short enough for sockets; those of dead processes go."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

PREFIX = "harness-sweep-"


def folder() -> Path:
    """Make a new folder that carries this process's id."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def sweep_up() -> int:
    """Remove the folders of processes that were killed before they could; return how many."""
    removed = 0
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = re.match(rf"{PREFIX}(\d+)-", path.name)
        if owner and path.stat().st_uid == os.getuid() and not _alive(int(owner[1])):
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
    return removed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
