"""What is offered by name: modules of the harness itself, and of installed packages by entry point.

Finding reads the packages' metadata alone; a module is imported when it is used. This module knows groups
and names, and must not know what a method, a data set or an encoder is. It loads no torch.

A package offers a module under a name of its choice, in the groups ``harness.methods``, ``harness.datasets``
and ``harness.encoders``::

    [project.entry-points."harness.methods"]
    my_method = "my_package.my_method"
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.abc import InspectLoader
from types import ModuleType

from harness.errors import HarnessError, one_line


class PlugInError(HarnessError):
    """A plug-in that cannot be used: one line with its package and the reason."""


@dataclass(frozen=True)
class Offer:
    """A module under a name; ``package`` is the name and version of what brings it, None: the harness."""

    name: str
    module: str
    package: str | None = None

    @property
    def origin(self) -> str:
        """Say where it comes from: ``built in``, or package and version."""
        return self.package or "built in"

    def load(self) -> ModuleType:
        """Import the module. Raises PlugInError where a plug-in cannot be imported."""
        if self.package is None:
            return importlib.import_module(self.module)
        with self._blamed():
            return importlib.import_module(self.module)

    def source(self) -> str:
        """Read the module's text without running it; its parent package is imported. Raises PlugInError."""
        with self._blamed():
            spec = importlib.util.find_spec(self.module)
            loader = spec.loader if spec else None
            text = loader.get_source(self.module) if isinstance(loader, InspectLoader) else None
        if text is None:
            raise PlugInError(f"{self._described()}: no module {self.module!r} with a source text")
        return text

    def _described(self) -> str:
        return f"plug-in {self.name!r} of {self.package}"

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Lay an error of the plug-in's at its package's door, in one line."""
        if ":" in self.module:
            raise PlugInError(
                f"{self._described()}: its entry point must name a module alone, got {self.module!r}"
            )
        with contained(f"{self._described()} cannot be imported", self.module, PlugInError):
            yield


@contextmanager
def contained(blame: str, module: str, kind: type[HarnessError]) -> Iterator[None]:
    """Run a user's module by its name: an error, ``sys.exit`` too, becomes ``kind`` in one line.

    ``blame`` begins the line; what went wrong follows, and the file and line of the module's own package
    where it did. What the module prints goes to stderr: stdout belongs to the command's own result.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (Exception, SystemExit) as error:
        said = f"it calls sys.exit({error.code!r})" if isinstance(error, SystemExit) else one_line(error)
        raise kind(f"{blame}: {said}{_place(error, module)}") from error


def _place(error: BaseException, module: str) -> str:
    """Say where an error went through a module's package, the innermost place; empty where it did not."""
    package = module.partition(".")[0]
    frames = [
        f" ({frame.f_code.co_filename}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return frames[-1] if frames else ""


@cache
def plug_ins(group: str) -> tuple[Offer, ...]:
    """List what the installed packages offer in a group (``harness.methods``), by name; imports nothing."""
    found = [
        Offer(entry.name, entry.value, f"{entry.dist.name} {entry.dist.version}" if entry.dist else "?")
        for entry in importlib.metadata.entry_points(group=group)
    ]
    return tuple(sorted(found, key=lambda offer: (offer.name, offer.module)))


def by_name(offers: Iterable[Offer]) -> dict[str, tuple[Offer, ...]]:
    """Gather offers by name, sorted; a name with several is taken twice (see :func:`only`)."""
    found: dict[str, tuple[Offer, ...]] = {}
    for offer in offers:
        found[offer.name] = (*found.get(offer.name, ()), offer)
    return dict(sorted(found.items()))


def only(name: str, offers: Mapping[str, tuple[Offer, ...]]) -> Offer:
    """Return the one offer of a name. Raises PlugInError, naming the sources, where there are several."""
    if len(offers[name]) > 1:
        sources = " and ".join(f"{offer.origin} ({offer.module})" for offer in offers[name])
        raise PlugInError(f"{name!r} is taken twice: {sources}; rename or uninstall one")
    return offers[name][0]
