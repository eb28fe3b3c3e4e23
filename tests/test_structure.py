"""House rules that a parser can check: what lies where, how long things are, what says what it is."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
DOOR = {"api", "errors", "records", "methods", "specs", "files", "cache", "plugins"}
LONGEST_FUNCTION, MEDIAN_FUNCTION, LONGEST_MODULE = 60, 8, 300

OVERRIDES = {
    "Callback": {"on_trial_start", "on_trial_result", "on_trial_error", "on_trial_complete", "on_step_end"},
    "Trainable": {"setup", "step", "reset_config", "cleanup"},
    "Module": {"forward"},
}
"""Base class of another package → methods of which that package's documentation says what they do."""

METHODS = {
    "dco": "DCO",
    "oft": "OFT",
    "output_preservation": "Output preservation †",
    "svdiff": "SVDiff",
    "t_lora": "T-LoRA",
    "token_lora": "Token-LoRA",
}
"""Method → its title, for those that none of the paper's tables and figures is about."""
CONSTRAINTS = {"activation", "fisher", "null_space", "output_bound"}
"""Kinds and norms that came after the paper's penalty and bound."""
PAPERS_OWN = ("harness/paper/", "harness/toy/", "harness/report/tables/published_")
"""Numbers of a paper are quoted there, and experiments in two dimensions that have methods of their own."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True)
class Public:
    """A public definition: where it stands, the class around it, and its syntax tree."""

    place: str
    node: Definition
    owner: ast.ClassDef | None


def public(name: str) -> bool:
    """Whether a name is for others to use."""
    return not name.startswith("_")


@cache
def trees() -> dict[Path, ast.Module]:
    """Path → syntax tree of every module of the package and of the methods."""
    files = sorted([*(ROOT / "harness").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")])
    return {path.relative_to(ROOT): ast.parse(path.read_text()) for path in files}


@cache
def functions() -> dict[str, int]:
    """Place → number of lines of every function, nested ones too, signature and docstring included."""
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    }


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """Name → the classes of that name."""
    found: dict[str, list[ast.ClassDef]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


def methods(kind: ast.ClassDef) -> dict[str, Function]:
    """Name → method of a class, its own ones only."""
    return {node.name: node for node in kind.body if isinstance(node, Function)}


def bases(kind: ast.ClassDef) -> set[str]:
    """Names of a class's bases, without their modules and parameters."""
    return {ast.unparse(base).split("[")[0].split(".")[-1] for base in kind.bases}


@cache
def protocols() -> list[ast.ClassDef]:
    """The package's protocols."""
    return [kind for kinds in classes().values() for kind in kinds if "Protocol" in bases(kind)]


def described_above(name: str, kind: ast.ClassDef) -> bool:
    """Whether a base class describes the method ``name``, in this package or in the one it comes from."""
    for base in bases(kind):
        if name in OVERRIDES.get(base, ()):
            return True
        for parent in classes().get(base, []):
            method = methods(parent).get(name)
            if (method and ast.get_docstring(method)) or described_above(name, parent):
                return True
    return False


def described_by_protocol(name: str, kind: ast.ClassDef) -> bool:
    """Whether a protocol describes the method ``name`` and the class has all the protocol's methods."""
    return kind not in protocols() and any(
        name in methods(protocol)
        and ast.get_docstring(methods(protocol)[name]) is not None
        and methods(protocol).keys() <= methods(kind).keys()
        for protocol in protocols()
    )


def definitions(body: list[ast.stmt], place: str, owner: ast.ClassDef | None = None) -> Iterator[Public]:
    """Public classes, functions and methods; what a function defines inside itself is its own affair."""
    for node in body:
        if isinstance(node, Definition) and public(node.name):
            name = f"{place}{'.' if owner else ' '}{node.name}"
            yield Public(name, node, owner)
            if isinstance(node, ast.ClassDef):
                yield from definitions(node.body, name, node)


@cache
def publics() -> list[Public]:
    """Every public definition."""
    return [found for path, tree in trees().items() for found in definitions(tree.body, str(path))]


def described_elsewhere(found: Public) -> bool:
    """Whether a method says nothing because a base class or a protocol says it already."""
    if found.owner is None or ast.get_docstring(found.node):
        return False
    name = found.node.name
    return described_above(name, found.owner) or described_by_protocol(name, found.owner)


def takes_tensor(node: Definition) -> bool:
    """Whether a parameter is a tensor, or a collection of tensors."""
    if isinstance(node, ast.ClassDef):
        return False
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    annotations = [parameter.annotation for parameter in parameters if parameter.annotation]
    return any(re.search(r"\bTensor\b", ast.unparse(annotation)) for annotation in annotations)


@cache
def words(path: Path) -> tuple[frozenset[str], str]:
    """A module's texts, and its code with them, both without what only describes."""
    tree = ast.parse((ROOT / path).read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            told = [
                line for line in body if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
            ]
            node.body = [line for line in body if line not in told] or [ast.Pass()]  # type: ignore[attr-defined]
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return frozenset(text for text in texts if isinstance(text, str)), ast.unparse(tree)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_known_by_name_to_no_file_but_its_own(name):
    """Hence a new one is one new file: nothing decides by what a method is called."""
    knowing = {
        path.as_posix()
        for path in trees()
        if {name, METHODS[name]} & words(path)[0] and not path.as_posix().startswith(PAPERS_OWN)
    }
    assert knowing == {f"baselines/{name}.py"}
    assert METHODS[name] in words(Path(f"baselines/{name}.py"))[0]


@pytest.mark.parametrize("name", sorted(CONSTRAINTS))
def test_a_constraint_is_known_by_name_to_three_files_at_most(name):
    """Where it is declared, where its metric is chosen and where that is computed; presets are free."""
    knowing = {
        path.as_posix()
        for path in trees()
        if path.parts[0] == "harness" and re.search(rf"\b{name}\b", words(path)[1])
    }
    assert 1 <= len(knowing) <= 3, knowing
    assert all(path.startswith(("harness/api.py", "harness/diffusion/")) for path in knowing)


def test_the_package_and_the_methods_are_looked_at():
    assert len(trees()) > 100
    assert len(publics()) > 300


def test_only_the_door_lies_directly_in_the_package():
    found = {path.stem for path in (ROOT / "harness").glob("*.py")}
    assert found == DOOR | {"__init__", "__main__"}


@pytest.mark.parametrize("path", [path for path in trees() if path.name == "__init__.py"], ids=str)
def test_an_init_file_holds_a_docstring_only(path):
    code = trees()[path].body[1:]
    if path == Path("harness/__init__.py"):
        assert [ast.unparse(line).split(" ->")[0].split(" = ")[0] for line in code] == [
            "__version__",
            "def __getattr__(name: str)",
        ]
    else:
        assert code == []


def test_no_function_is_longer_than_a_screen():
    assert {place: lines for place, lines in functions().items() if lines > LONGEST_FUNCTION} == {}


def test_half_of_the_functions_are_short():
    assert median(functions().values()) <= MEDIAN_FUNCTION


def test_no_module_is_long():
    lines = {str(path): len((ROOT / path).read_text().splitlines()) for path in trees()}
    assert {path: count for path, count in lines.items() if count > LONGEST_MODULE} == {}


def test_every_public_definition_says_what_it_is():
    silent = [str(path) for path, tree in trees().items() if not ast.get_docstring(tree)]
    silent += [
        found.place
        for found in publics()
        if not ast.get_docstring(found.node) and not described_elsewhere(found)
    ]
    assert silent == []


def test_public_functions_that_take_tensors_say_their_shapes():
    """A shape is written in brackets: ``[n, 3, height, width]``; ``[]``: a scalar, ``[...]``: any."""
    assert [
        found.place
        for found in publics()
        if takes_tensor(found.node)
        and not described_elsewhere(found)
        and not re.search(r"\[[^\]]*\]", ast.get_docstring(found.node) or "")
    ] == []


@pytest.fixture(scope="module")
def drawing():
    return runpy.run_path(str(ROOT / "docs" / "figures" / "draw_rooms.py"))


def test_the_figure_of_the_rooms_is_up_to_date(drawing):
    committed = (ROOT / "docs" / "figures" / "rooms.svg").read_text(encoding="utf-8")
    assert drawing["draw"]() == committed, "run python docs/figures/draw_rooms.py"


def test_no_arrow_of_the_figure_goes_up(drawing):
    floor = {name: box.floor for name, box in drawing["BOXES"].items()}
    pairs = list(drawing["arrows"](drawing["modules"]()))
    assert len(pairs) > 20
    assert [pair for pair in pairs if floor[pair[0]] >= floor[pair[1]]] == []
