"""Every artefact of the paper, in its order, and where its counterpart can be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.paper import costs, curves, tables
from harness.paper.pages import Page
from harness.paper.pictures import figure5
from harness.paper.sources import Sources
from harness.paper.toy import toy


@dataclass(frozen=True)
class Artefact:
    """One table or figure: what is made of it here, on a GPU, or why not. ``build`` is None for the last."""

    name: str
    title: str
    here: str
    gpu: str
    build: Callable[[Sources], Page] | None = None


DAYS = "days"
RECORDS = "committed records"

ARTEFACTS = (
    Artefact(
        "table1",
        "Table 1, gains by backbone",
        f"{RECORDS}; paper/table1.yaml about 30 min",
        f"dreambench_{{sd15,sdxl,sd3}}: {DAYS}",
        tables.table1,
    ),
    Artefact(
        "table2",
        "Table 2, nine baselines",
        RECORDS,
        f"dreambench_sd15: {DAYS}; encoder-based rows are not here",
        tables.table2,
    ),
    Artefact("figure2", "Figure 2, seconds", RECORDS, "from the records of dreambench_*", costs.figure2),
    Artefact(
        "figure5",
        "Figure 5, pictures along λ",
        "paper/figure5.yaml about 20 min",
        "from the pictures of dreambench_sd15",
        figure5,
    ),
    Artefact("figure6", "Figure 6, along λ", RECORDS, f"paper/figure6_sd15: {DAYS}", curves.figure6),
    Artefact("toy", "Toy, five Gaussians", "paper/toy.yaml about 12 min of one core", "no need", toy),
    Artefact("theorem2", "Theorem 2, ‖Δε‖₂/‖Δθ‖₂", RECORDS, "from dreambench_*", costs.theorem2),
    Artefact(
        "flux2", "Adapters on FLUX.2 (PEFT)", "published values alone", "no such family", curves.adapters
    ),
    Artefact("user_study", "User study", "none: needs people", "none"),
    Artefact("proofs", "Proofs of Theorems 1 and 2", "none: nothing to measure", "none"),
)
"""Costs are reckoned, not measured."""
