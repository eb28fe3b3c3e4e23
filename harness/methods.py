"""Name or path → method class; checks the class and its hyperparameters. Loads no torch.

A name is a file in ``baselines/`` or a plug-in of the group ``harness.methods``; a path is a user's own file.
Plug-ins and own files travel to the workers as text: the text that is part of a trial's key is the one that
runs, also on the nodes of a cluster, which need its package only if the text imports from it. What the text
imports is not part of the key; raise ``version`` when that changes the outcome.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import math
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import TypeAdapter, ValidationError

from harness.api import LATER, Ceiling, Personalized, Role, Subject
from harness.errors import HarnessError, one_of
from harness.plugins import Offer, PlugInError, by_name, contained, only, plug_ins
from harness.specs import is_path

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer

GROUP = "harness.methods"
CLASS_VARIABLES: dict[str, tuple[type, str]] = {
    "title": (str, 'title: ClassVar[str] = "My Method"'),
    "role": (str, 'role: ClassVar[Role] = "method"'),
    "version": (int, "version: ClassVar[int] = 1"),
    "changes_weights": (bool, "changes_weights: ClassVar[bool] = True"),
    "uses_shots": (bool, "uses_shots: ClassVar[bool] = True"),
    "presets": (dict, "presets: ClassVar[dict[str, dict[str, Any]]] = {}"),
}
"""What a method says of itself: type, and how to write it."""
SKIP = "def skip(self, subject, family): return None"


class MethodError(HarnessError):
    """A method that does not exist, breaks its contract, or is given hyperparameters it does not have."""


@runtime_checkable
class Method(Protocol):
    """A personalization method: a frozen dataclass whose fields are its hyperparameters, with one verb.

    title            the name in tables
    role             floor, method or ceiling
    version          raise it when the outcome changes
    changes_weights  accepts a constraint on the distance from the pretrained weights
    uses_shots       False: one trial for all shot counts
    presets          name → hyperparameters; one of a backbone's name is taken with that backbone

    Optional: ``sources`` (preset → where its values come from); ``uses_bank`` (whether its ``fit`` asks the
    trainer for a bank, so that the bank's prompts are checked before anything runs); ``trains_on``
    ("outputs" where its loss holds the distance from the base model's outputs: a † in its title says so).
    """

    title: ClassVar[str]
    role: ClassVar[Role]
    version: ClassVar[int]
    changes_weights: ClassVar[bool]
    uses_shots: ClassVar[bool]
    presets: ClassVar[dict[str, dict[str, Any]]]

    def skip(self, subject: Subject, family: str) -> str | None:
        """Say why this method cannot be tried on a subject or family of backbones; None where it can.

        ``subject`` comes without photos, ``family`` is empty where it is not known yet.
        """
        ...

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized | Ceiling:
        """Teach ``backbone`` the subject, in place; the harness restores the backbone afterwards."""
        ...


def known() -> dict[str, Path]:
    """Name → file of every method in ``baselines/``, sorted by name."""
    spec = importlib.util.find_spec("baselines")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [
        path for folder in folders for path in Path(folder).glob("*.py") if not path.stem.startswith("_")
    ]
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def offers() -> dict[str, tuple[Offer, ...]]:
    """Name → the methods that go by it, of ``baselines/`` and of plug-ins; imports none of them."""
    return by_name([*(Offer(name, f"baselines.{name}") for name in known()), *plug_ins(GROUP)])


def own_source(name_or_path: str) -> str | None:
    """Read the text of a user's own file or of a plug-in; None for a method of ``baselines/``.

    Raises MethodError for an unknown name or a missing file, PlugInError for a plug-in that has no text.
    """
    if is_path(name_or_path):
        try:
            return Path(name_or_path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MethodError(f"method {name_or_path!r}: cannot be read ({error})") from error
    offer = _offer(name_or_path)
    return None if offer.package is None else offer.source()


def load(name_or_path: str) -> type[Method]:
    """Return the method class of a name or of a file. Raises MethodError or PlugInError in one line."""
    text = own_source(name_or_path)
    if text is None:
        return _method_of(importlib.import_module(f"baselines.{name_or_path}"), name_or_path)
    origin = "" if is_path(name_or_path) else f" ({_offer(name_or_path).origin})"
    return from_source(text, name=name_or_path + origin)


def _offer(name: str) -> Offer:
    found = offers()
    if name not in found:
        raise MethodError(f"{one_of(name, found, noun='method')}; or the path of a .py file of your own")
    return only(name, found)


@cache
def from_source(text: str, *, name: str) -> type[Method]:
    """Return the method class that a module's text defines; a worker needs no file. Raises MethodError.

    The text runs as a module of its own; it must define exactly one frozen dataclass with ``fit``.
    """
    module = types.ModuleType(f"harness_method_{hashlib.sha256(text.encode()).hexdigest()[:16]}")
    module.__file__ = name
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up there
    try:
        with contained(f"method {name!r}: cannot be loaded", module.__name__, MethodError):
            exec(compile(text, name, "exec"), module.__dict__)
    except MethodError:
        del sys.modules[module.__name__]
        raise
    return _method_of(module, name)


def _method_of(module: types.ModuleType, name: str) -> type[Method]:
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    methods = [kind for kind in own if callable(getattr(kind, "fit", None))]
    if len(methods) != 1:
        raise MethodError(
            f"method {name!r}: defines {len(methods)} classes with a fit method; it needs exactly one"
        )
    _check(methods[0], name)
    return methods[0]


def _check(kind: type, name: str) -> None:
    """Refuse a class that breaks the contract of :class:`harness.methods.Method`."""
    settings = getattr(kind, "__dataclass_params__", None)
    if settings is None or not settings.frozen:
        raise MethodError(
            f"method {name!r}: {kind.__name__} must be a frozen dataclass (@dataclass(frozen=True))"
        )
    for variable, (wanted, example) in CLASS_VARIABLES.items():
        if type(getattr(kind, variable, None)) is not wanted:
            raise MethodError(f"method {name!r}: needs the class variable {variable}: write `{example}`")
    if (role := getattr(kind, "role", None)) not in typing.get_args(Role):
        raise MethodError(f"method {name!r}: {one_of(role, typing.get_args(Role), noun='role')}")
    if not callable(getattr(kind, "skip", None)):
        raise MethodError(f"method {name!r}: needs the method skip, None or a reason: write `{SKIP}`")
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise MethodError(f"method {name!r}: hyperparameter {field.name!r} needs a default")
    _typed(kind, dataclasses.asdict(kind()), where=f"method {name!r}: default")
    for backbone, preset in getattr(kind, "presets", {}).items():
        _typed(kind, preset, where=f"method {name!r}: presets[{backbone!r}]")


@cache
def role_of(name: str) -> Role:
    """Say what a recorded method is for: "method" where its file is a user's own and not at hand."""
    if name in known():
        return _method_of(importlib.import_module(f"baselines.{name}"), name).role
    try:
        return load(name).role if name in offers() else "method"
    except (MethodError, PlugInError):
        return "method"


def trains_on_outputs(name: str) -> bool:
    """Say whether a recorded method learnt a distance of outputs; False where it is not at hand."""
    try:
        kind = load(name) if name in offers() else None
    except (MethodError, PlugInError):
        return False
    return getattr(kind, "trains_on", None) == "outputs"


def resolve_params(
    kind: type[Method], params: Mapping[str, Any] | None, backbone: str, *, preset: str | None = None
) -> dict[str, Any]:
    """Return all hyperparameters: defaults, over them a preset, over them ``params``. JSON-able.

    ``preset`` is the name of one; None: that of the backbone's name, if the method has it. Hyperparameters
    that were added later (:func:`harness.api.later`) are left out at their defaults. Raises MethodError for
    an unknown name (naming the known ones), a value of another type or out of range.
    """
    if preset is not None and preset not in kind.presets:
        raise MethodError(one_of(preset, kind.presets, noun="preset"))
    defaults = dataclasses.asdict(kind())  # type: ignore[call-overload]
    base = _typed(kind, kind.presets.get(preset or backbone, {}), where="presets")
    resolved = {**defaults, **base, **_typed(kind, params or {})}
    added = {f.name for f in dataclasses.fields(kind) if f.metadata.get(LATER)}  # type: ignore[arg-type]
    return {
        name: _plain(value)
        for name, value in resolved.items()
        if name not in added or value != defaults[name]
    }


def build(kind: type[Method], params: Mapping[str, Any]) -> Method:
    """Make the method from resolved hyperparameters (lists become tuples again)."""
    return kind(**_typed(kind, params))


def _typed(kind: type, params: Mapping[str, Any], *, where: str = "params") -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(kind)]
    for name in params:
        if name not in names:
            raise MethodError(f"{where}: {one_of(name, names, noun='hyperparameter')}")
    return {name: _value(*_hint(kind, name), value, f"{where}.{name}") for name, value in params.items()}


@cache
def _hint(kind: type, name: str) -> tuple[Any, TypeAdapter[Any]]:
    """The type of a hyperparameter and what checks a value against it: slow to make, asked for often."""
    hint = typing.get_type_hints(kind)[name]
    return hint, TypeAdapter(typing.get_type_hints(kind, include_extras=True)[name])


def _value(hint: Any, adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
    numeric = isinstance(value, bool) and bool not in (hint, *typing.get_args(hint))
    try:
        typed = adapter.validate_python(value)
    except ValidationError as error:
        numeric, reason = True, error.errors()[0]["msg"].removeprefix("Value error, ")
    else:
        reason = f"Input should be {_name(hint)}"
    if numeric:
        raise MethodError(f"{where}: {reason[0].lower()}{reason[1:]}, got {value!r}")
    if isinstance(typed, float) and not math.isfinite(typed):
        raise MethodError(f"{where}: should be a finite number, got {value!r}")
    return typed


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
