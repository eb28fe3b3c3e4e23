"""Errors that are the user's to mend: one clear line each, shown without a traceback.

``at`` says where ("experiments/x.yaml: methods[2].params.lr"), the message what and what instead.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class HarnessError(Exception):
    """Anything that a user can act on. Its text is one line."""


class ConfigError(HarnessError):
    """A mistake in an experiment file or on the command line."""


class RecordsError(HarnessError):
    """The run directory cannot be read, written or locked."""


class BusyError(RecordsError):
    """Another sweep holds the run directory."""


class BackboneError(HarnessError):
    """A base model that cannot be found, read or used."""


def one_of(value: object, known: Iterable[str], *, noun: str) -> str:
    """Say that ``value`` is unknown, which known name is nearest, and what is known.

    >>> one_of("dreambooht", ["dreambooth", "frozen"], noun="method")
    "unknown method 'dreambooht'; did you mean 'dreambooth'? known: dreambooth, frozen"
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {noun} {value!r}; {hint}known: {', '.join(names) or '(none)'}"


def one_line(error: BaseException, *, limit: int = 400) -> str:
    """Render an exception as a single line: its type unless it speaks for itself, and its text.

    What a terminal would obey (a file's name may hold it) is written out: ``\\x1b``.
    """
    text = visible(" ".join(str(error).split()) or type(error).__name__)
    if not isinstance(error, HarnessError):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def visible(text: str) -> str:
    """Write out what a terminal would obey and a database may refuse: a NUL becomes four letters."""
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else repr(c)[1:-1] for c in text)
