"""A user's YAML document: read strictly and checked against a model; a mistake is one line with its key."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import ConfigError, one_of

M = TypeVar("M", bound=BaseModel)

MOST_BYTES = 4 << 20
MOST_NODES = 1_000_000
"""More than any experiment of 100,000 trials takes; a file may hold few and stand for billions by aliases."""
UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, halves of characters, separators of lines."""
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that let a terminal show what follows from right to left."""


class _Loader(yaml.SafeLoader):
    """YAML without two traps: ``1e-4`` is a number, and a key given twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a word, not a list or mapping", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read(path: Path) -> dict[str, Any]:
    """Parse a YAML file that holds one mapping. Raises ConfigError naming file and line.

    A file over MOST_BYTES is not read, and one that stands for over MOST_NODES values is not unfolded.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ConfigError(f"{path}: over {MOST_BYTES >> 20} MB: too large for a file of settings")
        data = _parse(raw.decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid YAML: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:  # a character that no text has: a binary file
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold a mapping (name:, methods:, …), not {_shown(data)}")
    return data


def _parse(text: str) -> Any:
    """Parse one document. Raises YAMLError; RecursionError where it is nested too deeply."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values that a node stands for, those of aliases each time. Raises MarkedYAMLError."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_NODES  # what a node that holds itself comes to
        within = node.value if isinstance(node, yaml.SequenceNode) else itertools.chain(*node.value)
        known[id(node)] = 1 + sum(_count(each, known) for each in within)
    if known[id(node)] > MOST_NODES:
        problem = f"aliases stand for over {MOST_NODES} values"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return known[id(node)]


def amend(data: dict[str, Any], changes: Sequence[str]) -> None:
    """Set keys of a document in place: ``dataset.path=photos``, ``methods.0.params.lr=[1e-4, 1e-3]``.

    A value is read as YAML. Raises ConfigError where a change is no KEY=VALUE or leads through something that
    is no mapping or list.
    """
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {change}: must be KEY=VALUE, e.g. sampling.steps=50")
        try:
            value = _parse(text)
        except (yaml.YAMLError, RecursionError):
            raise ConfigError(f"--set {change}: the value is not valid YAML") from None
        _put(data, key.split("."), value, change)


def _put(data: Any, keys: list[str], value: Any, change: str) -> None:
    place: Any = data
    for number, key in enumerate(keys):
        last = number == len(keys) - 1
        if isinstance(place, list) and key.isdigit() and int(key) < len(place):
            index: Any = int(key)
        elif isinstance(place, dict):
            index = key
            if not last:
                place.setdefault(key, {})
        else:
            raise ConfigError(f"--set {change}: there is no {'.'.join(keys[: number + 1])} to set")
        if last:
            place[index] = value
        else:
            place = place[index]


def dump(data: dict[str, Any]) -> bytes:
    """Write a mapping as YAML, keys in the order given."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100).encode()


def check(model: type[M], data: dict[str, Any], *, source: str) -> M:
    """Build ``model`` from ``data``; raise ConfigError for the first mistake: source, key, value, remedy.

    Words are one line without control characters, which would reach terminals and tables; a ``question`` may
    have several lines.
    """
    for place, text in _words(data, ()):
        if not _is_plain(text, lines=place == ("question",)):
            where = _dotted(place) or "a key"
            raise ConfigError(f"{source}: {where}: must hold no control characters, got {_shown(text)}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{source}: {_describe(model, data, first)}") from None


def _words(data: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Walk the keys and values of a document that are words, each with its place."""
    if isinstance(data, str):
        yield place, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _words(key, place)
            yield from _words(value, (*place, str(key)))
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from _words(value, (*place, number))


def _is_plain(text: str, *, lines: bool) -> bool:
    if text.isprintable():
        return True
    allowed = "\n" if lines else ""
    return not any(unicodedata.category(c) in UNSEEN or c in TURNING for c in text if c not in allowed)


def _describe(model: type[BaseModel], data: Any, error: Any) -> str:
    place, value = _locate(data, error["loc"])
    match error["type"]:
        case "extra_forbidden":
            parent, key = place[:-1], place[-1]
            known = _fields_at(model, parent)
            prefix = f"{_dotted(parent)}: " if parent else ""
            return prefix + one_of(key, known, noun="key")
        case "missing":
            missing = error["loc"][-1]
            return f"{_dotted([*place, missing] if place[-1:] != [missing] else place)}: is missing"
        case "renamed_key":
            return f"{_dotted([*place, error['ctx']['old']])}: is called {error['ctx']['new']} now"
        case "value_error":
            message = str(error["ctx"]["error"])
        case _:
            message = error["msg"].replace("Input should be", "must be")
    return f"{_dotted(place)}: {message}, not {_shown(value)}"


def _locate(data: Any, loc: Sequence[str | int]) -> tuple[list[str | int], Any]:
    """Follow an error's place as far as the user's data goes, leaving out what pydantic added by itself."""
    place: list[str | int] = []
    for part in loc:
        is_key = isinstance(data, dict) and part in data
        is_item = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if is_key or is_item:
            data = data[part]
            place.append(part)
    return place, data


def _fields_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Names of the keys that are known at ``place``."""
    current: Any = model
    for part in place:
        if isinstance(part, str):
            field = current.model_fields.get(part)
            inner = _model_within(field.annotation) if field else None
            if inner is None:
                return []
            current = inner
    return list(current.model_fields)


def _model_within(annotation: Any) -> Any:
    """Find the model in ``tuple[Annotated[Model, …], ...] | None`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = getattr(annotation, "__args__", ()) or (getattr(annotation, "__origin__", None),)
    found = (_model_within(part) for part in inside if part not in (None, annotation, Ellipsis))
    return next((model for model in found if model is not None), None)


def _dotted(place: Sequence[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.lstrip(".")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
