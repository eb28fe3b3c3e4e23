"""Methods at equal fidelity, and the area below each one's curve, in tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.report.comparison.arms import Arm, arms_of
from harness.report.comparison.curves import Resampled, area, differences_at
from harness.report.comparison.protocol import BUDGETS, COMPOSITION, DRIFT, FIDELITY, KEPT_PRIOR, LEVELS
from harness.report.rows import COLUMNS, Row, Selection
from harness.report.tables.curve_differences import curves, floor_for, interval, moved, plain
from harness.report.tables.markup import Block, number

ALONG_FIDELITY = (DRIFT, COMPOSITION.name, KEPT_PRIOR.name)
LARGEST = max(BUDGETS)


def equal_fidelity_block(selection: Selection, against: str) -> Block | None:
    """Lay out drift, composition and kept prior at equal fidelity; None without two curves.

    The base model's fidelity is where every curve begins.
    """
    arms = [arm for arm in arms_of(selection) if len(arm.rows) > 1]
    rivals = {arm.group: arm for arm in arms if arm.key == against}
    measured = [name for name in ALONG_FIDELITY if any(name in row.cells for arm in arms for row in arm.rows)]
    lines = [
        (arm.name, f"{level:g}", str(count), *cells)
        for arm in arms
        if arm.key != against and arm.group in rivals
        for level, count, cells in _lines(selection, arm, rivals[arm.group], measured)
    ]
    titles = [f"{COLUMNS[name].title} {COLUMNS[name].arrow}".strip() for name in measured]
    return (
        Block(
            f"Difference to {against} at equal fidelity ({COLUMNS[FIDELITY.name].title}) [95 % interval]. "
            "Exploratory. In brackets behind: the share of replicates in which both curves reach it.",
            ("Method", "At fidelity", "n", *titles),
            plain(lines),
        )
        if lines
        else None
    )


def _lines(
    selection: Selection, arm: Arm, rival: Arm, measured: Sequence[str]
) -> list[tuple[float, int, list[str]]]:
    floor, count = floor_for(selection, arm), 0
    columns: list[list[Resampled | None]] = []
    for name in measured:
        pair = curves(arm, rival, floor, FIDELITY.name, name)
        if pair is None:
            columns.append([None] * len(LEVELS))
            continue
        count = pair[0].drift.shape[1]
        columns.append(list(differences_at(*pair, LEVELS)))
    if not count:
        return []
    return [
        (level, count, [interval(column[place]) for column in columns]) for place, level in enumerate(LEVELS)
    ]


def area_block(selection: Selection) -> Block | None:
    """Lay out the area below each method's curve of fidelity over drift, up to the largest budget; no test.

    As a share of (ceiling − floor)·budget: the ceiling is the subject as each prompt asks it, else photos.
    """
    lines = []
    for arm in arms_of(selection):
        if len(arm.rows) < 2 or not moved(arm, DRIFT):
            continue
        floor, ceiling = floor_for(selection, arm), _ceiling(selection, arm)
        pair = curves(arm, arm, floor, DRIFT, FIDELITY.name)
        if pair is None or ceiling is None:
            continue
        ones = np.ones(pair[0].drift.shape[1])
        path = pair[0].path(ones)
        share = area(path, LARGEST, floor=float(path.score[0]), ceiling=ceiling)
        ends = "–".join(number(end, 2) for end in path.support)
        lines.append((arm.name, str(len(arm.rows)), str(len(ones)), ends, number(share, 3)))
    return (
        Block(
            f"Area below the curve of fidelity over ‖Δε‖₂ up to {LARGEST:g}, as a share of what the ceiling "
            "leaves above the base model. No test.",
            ("Method", "Settings", "n", "‖Δε‖₂", "Area ↑"),
            plain(lines),
        )
        if lines
        else None
    )


def _ceiling(selection: Selection, arm: Arm) -> float | None:
    rows = {row.method: row for row in selection.of("ceiling") if row.comparison_group[:2] == arm.group[:2]}
    found = [row for name in ("real_asked", "real_ae", "real") if (row := rows.get(name))]
    held = [value for row in found if (value := _fidelity(row)) is not None]
    return held[0] if held else None


def _fidelity(row: Row) -> float | None:
    """Fidelity of photos: in every context alike, so DINO held out where they have no other."""
    cell = row.cells.get(FIDELITY.name) or row.cells.get("dino_heldout")
    return None if cell is None else cell.mean
