"""Where a number comes from: commit, versions, machine. Part of every record. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "diffusers", "transformers", "peft", "open_clip_torch", "timm", "ray", "numpy")


@cache
def commit(folder: Path = Path(__file__).parents[1]) -> tuple[str | None, bool | None]:
    """Return the commit of the source tree and whether files differ from it.

    Only where the tree's root is git's top level: a package installed inside somebody else's repository is
    not of their commit. Else ``HARNESS_COMMIT`` (a container's build argument), or (None, None).
    """
    built = os.environ.get("HARNESS_COMMIT") or None
    try:
        top = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
        if top.resolve() != folder.parent.resolve():
            return built, None
        head = _git(folder, "rev-parse", "HEAD").strip()
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", str(folder.parent))
    except (OSError, subprocess.SubprocessError):
        return built, None
    return head, bool(changed.strip())


@cache
def versions() -> dict[str, str]:
    """Return the versions of the harness, Python and the packages that decide numbers."""
    from harness import __version__

    found = {"harness": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def of_process() -> dict[str, Any]:
    """Return what this process computes with: commit, dirty, versions, platform and the time."""
    head, dirty = commit()
    return {
        "commit": head,
        "dirty": dirty,
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=True
    ).stdout
