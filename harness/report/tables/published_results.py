"""Published results to set beside ours: scores on DreamBench as printed or as read off a plot.

Source: arXiv 2505.19519 (P&P) unless a row names another. Nothing here was measured by this program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from harness.report.tables.markup import EMPTY

Origin = Literal["printed", "digitised", "inferred"]


@dataclass(frozen=True)
class Published:
    """One row: DINO, CLIP-T and CLIP-I (cosines, higher is better); None where it was not given."""

    source: str
    backbone: str
    method: str
    dino: float | None
    clip_t: float | None
    clip_i: float | None
    origin: Origin = "printed"
    remark: str = ""


FILE = Path(__file__).with_name("published.yaml")


@cache
def values() -> dict[str, list[dict[str, Any]]]:
    """Read the data file: scores, seconds, drift and adapters, each entry with its source and origin."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


RESULTS: tuple[Published, ...] = tuple(Published(**entry) for entry in values()["scores"])

REMARKS = (
    "[1] At λ = 0 the authors' own recipe (DINO .650, CLIP-T .2936, CLIP-I .8035, digitised) already beats "
    "their DreamBooth row on all three scores: the printed gain mixes a change of recipe with the "
    "regularizer. From λ = 0 to 500 the regularizer alone trades DINO −.011 and CLIP-I −.009 for CLIP-T "
    "+.004. Compare curves at equal drift and equal recipes, never single points.",
    "[2] The OFT row is quoted from a paper that scores with CLIP ViT-L/14: its CLIP columns are not "
    "comparable. SVDiff's row sits at the level of no personalization. Custom Diffusion's CLIP-I differs "
    "between Tables 1 and 2.",
    "[3] No table of drift, no ablation over shots and no evaluation code were published; |Δθ| and |Δε| are "
    "not defined exactly. Encoders are not named; the values fit CLIP ViT-B/32 (inferred).",
)

OPENING = "Published results on DreamBench (photographs), copied and not measured here; without their spread."
READ_OFF = (
    "digitised: read off a plot, about ±.0003 on scores, ±2 on |Δθ|, ±15 on |Δε|; all others as printed."
)


def digits(row: Published, value: float | None) -> str:
    """Write as many digits as the source: four in the tables of P&P, three or four elsewhere."""
    if value is None:
        return EMPTY
    text = f"{value:.4f}"
    return text if row.source.startswith("P&P, Table") else text.removesuffix("0")
