"""Draw the rooms of the package and the imports between them: ``python docs/figures/draw_rooms.py``.

Reads the sources and imports nothing of the package, so it writes the same bytes everywhere.
An arrow's number counts pairs of an importing and an imported module.
Imports for type checkers alone are left out.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FIGURE = Path(__file__).with_name("rooms.svg")

WIDTH, TOP, FLOOR, HEIGHT = 918, 56, 108, 66
COLUMN = 180


class Box(NamedTuple):
    """Where a room stands: its floor from the top, its left and right end in columns, its line of text."""

    floor: int
    left: float
    right: float
    note: str


BOXES = {
    "cli": Box(0, 0.1, 5.0, "composes every room"),
    "toy": Box(1, 0.1, 0.85, "five Gaussians"),
    "sweep": Box(1, 0.9, 5.0, "which trials, where they run: alone imports Ray"),
    "tracking": Box(2, 0.1, 1.0, "alone imports MLflow"),
    "paper": Box(2, 1.2, 2.1, "its artefacts"),
    "report": Box(3, 1.2, 1.9, "no torch"),
    "trial": Box(2, 3.05, 3.95, "fit, sample, score"),
    "baselines": Box(2, 4.1, 5.0, "the methods"),
    "datasets": Box(3, 1.95, 2.9, "photos, prompts"),
    "config": Box(4, 0.95, 1.9, "no torch"),
    "metrics": Box(5, 2.2, 3.15, "scores, encoders"),
    "diffusion": Box(6, 3.65, 5.0, "backbones, training, sampling"),
    "toybox": Box(7, 2.2, 4.2, "embedded world and networks"),
    "door": Box(8, 0.1, 5.0, ""),
}

PATHS = {
    ("sweep", "tracking"): (0.95, 0.95),
    ("sweep", "config"): (1.1, 1.1),
    ("sweep", "datasets"): (2.5, 2.5),
    ("sweep", "metrics"): (2.97, 2.97),
    ("sweep", "trial"): (3.45, 3.45),
    ("sweep", "diffusion"): (4.03, 4.03),
    ("sweep", "baselines"): (4.6, 4.6),
    ("tracking", "report"): (0.8, 1.3),
    ("trial", "report"): (3.1, 1.85),
    ("report", "config"): (1.5, 1.5),
    ("report", "metrics"): (1.8, 2.35),
    ("datasets", "config"): (2.3, 1.7),
    ("datasets", "metrics"): (2.5, 2.6),
    ("datasets", "toybox"): (2.85, 3.5),
    ("trial", "datasets"): (3.2, 2.75),
    ("trial", "metrics"): (3.3, 3.1),
    ("trial", "diffusion"): (3.8, 3.8),
    ("baselines", "diffusion"): (4.6, 4.6),
    ("config", "metrics"): (1.6, 2.3),
    ("metrics", "toybox"): (2.7, 2.7),
    ("metrics", "diffusion"): (3.1, 3.75),
    ("diffusion", "toybox"): (4.0, 4.0),
}
"""Arrow → the columns where it leaves and arrives; an arrow that is not here goes from middle to middle."""


def modules() -> dict[str, Path]:
    """Dotted name → file of every module of the package and of the methods."""
    found = {}
    for path in sorted([*(ROOT / "harness").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    """Return the room of a module; what lies directly in the package is the door."""
    first, *rest = module.split(".")
    if first != "harness":
        return first
    return rest[0] if rest and (ROOT / "harness" / rest[0]).is_dir() else "door"


def imported(tree: ast.Module, known: dict[str, Path]) -> set[str]:
    """Return the known modules that a syntax tree imports, wherever in it, but not for type checkers."""
    names = set()
    for node in at_run_time(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else str(node.module) for name in full}
    return names & known.keys()


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a syntax tree, leaving out ``if TYPE_CHECKING:``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield from at_run_time(child)


def arrows(known: dict[str, Path]) -> Counter[tuple[str, str]]:
    """Count the imports from one room into another."""
    count: Counter[tuple[str, str]] = Counter()
    for module, path in known.items():
        if module == "harness.__main__":  # starts the command line, and is no room
            continue
        targets = imported(ast.parse(path.read_text(encoding="utf-8")), known)
        count.update((room(module), room(target)) for target in targets)
    return Counter({pair: n for pair, n in count.items() if pair[0] != pair[1]})


def top(name: str) -> float:
    """Return the height of a box's upper edge."""
    return TOP + BOXES[name].floor * FLOOR


def box(name: str, count: int, note: str) -> str:
    """Return a room's box with its name, number of modules and note."""
    left, right = BOXES[name].left * COLUMN, BOXES[name].right * COLUMN
    middle, y = (left + right) / 2, top(name)
    size = f"{count} module{'' if count == 1 else 's'}"
    place = f'x="{left:.0f}" y="{y:.0f}" width="{right - left:.0f}" height="{HEIGHT}"'
    return (
        f'<rect {place} rx="6" class="room"/>\n'
        f'<text x="{middle:.0f}" y="{y + 22:.0f}" class="name">{name}</text>\n'
        f'<text x="{middle:.0f}" y="{y + 38:.0f}" class="note">{note}</text>\n'
        f'<text x="{middle:.0f}" y="{y + 54:.0f}" class="note">{size}</text>'
    )


def arrow(pair: tuple[str, str]) -> tuple[float, float, float, float]:
    """Return where an arrow begins and ends: x, y, x, y."""
    above, below = (BOXES[name] for name in pair)
    middles = (above.left + above.right) / 2, (below.left + below.right) / 2
    start, end = PATHS.get(pair, middles)
    return start * COLUMN, top(pair[0]) + HEIGHT, end * COLUMN, top(pair[1]) - 2


def line(pair: tuple[str, str]) -> str:
    """Return an arrow's line."""
    x, y, to_x, to_y = arrow(pair)
    return f'<line x1="{x:.0f}" y1="{y:.0f}" x2="{to_x:.0f}" y2="{to_y:.0f}" marker-end="url(#tip)"/>'


def label(pair: tuple[str, str], count: int) -> str:
    """Return an arrow's number, on a light ground near the arrow's end."""
    x, y, to_x, to_y = arrow(pair)
    share = 1 - 24 / (to_y - y)
    at, height = x + share * (to_x - x), y + share * (to_y - y)
    return (
        f'<rect x="{at - 10:.0f}" y="{height - 8:.0f}" width="20" height="16" class="ground"/>\n'
        f'<text x="{at:.0f}" y="{height + 4:.0f}" class="count">{count}</text>'
    )


STYLE = """
text { font-family: Helvetica, Arial, sans-serif; font-size: 13px; text-anchor: middle; fill: #222; }
.name { font-weight: bold; font-size: 15px; }
.note { fill: #666; font-size: 12px; }
.count { font-size: 12px; }
.room { fill: #eef3f8; stroke: #5b7b9a; }
.ground { fill: #fff; }
line { stroke: #888; stroke-width: 1.3; }
"""

TIP = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'


def at_the_door(known: dict[str, Path]) -> str:
    """List the modules that lie directly in the package."""
    names = [name for name in known if name.startswith("harness.") and room(name) == "door"]
    return ", ".join(sorted(name.removeprefix("harness.") for name in names if "__main__" not in name))


def draw() -> str:
    """Return the figure as SVG. KeyError for a room that has no place in ``BOXES``."""
    known = modules()
    sizes = Counter(room(name) for name, path in known.items() if not path.stem.startswith("__"))
    drawn = {pair: n for pair, n in sorted(arrows(known).items()) if pair[0] != "cli" and pair[1] != "door"}
    if missing := sizes.keys() - BOXES.keys():
        raise KeyError(f"give these rooms a place in BOXES: {sorted(missing)}")
    title = "Rooms and imports: an arrow goes down and counts the imports between two rooms"
    legend = "Not drawn: the arrows of cli to every room, and of every room to the modules at the door."
    bottom = int(top("door") + HEIGHT + 34)
    size = f'viewBox="0 0 {WIDTH} {bottom}" width="{WIDTH}" height="{bottom}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            f'<defs>{TIP}<path d="M0 0 L8 4 L0 8 z" fill="#888"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{bottom}" fill="#fff"/>',
            f'<text x="{WIDTH / 2:.0f}" y="30">{title}</text>',
            *(line(pair) for pair in drawn),
            *(box(name, sizes[name], BOXES[name].note or at_the_door(known)) for name in BOXES),
            *(label(pair, n) for pair, n in drawn.items()),
            f'<text x="{WIDTH / 2:.0f}" y="{bottom - 12}" class="note">{legend}</text>',
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    FIGURE.write_text(draw(), encoding="utf-8")
