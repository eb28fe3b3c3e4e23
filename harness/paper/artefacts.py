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
    """One table or figure and what it takes: ``build`` is None where there is nothing to render.

    here   on Toybox, in minutes of two cores
    gpu    on DreamBench, in hours by arithmetic
    never  what cannot be reproduced, and why
    """

    name: str
    title: str
    here: str
    gpu: str
    never: str = ""
    build: Callable[[Sources], Page] | None = None


RECORDS = "committed records, 1 minute to render"
SWEEP = "experiments/paper"


def _fits(backbone: str) -> str:
    return f"{costs.hours(backbone):.0f} h for {backbone}"


ALL = ", ".join(map(_fits, tables.FILES))
"""Hours of the fits that have published seconds, sampling left out; see :func:`harness.paper.costs.hours`."""
ALONG = costs.along_hours()

ARTEFACTS = (
    Artefact(
        "table1",
        "Table 1, gains by backbone",
        f"{RECORDS}; {SWEEP}/table1.yaml 10 minutes",
        f"dreambench_{{sd15,sdxl,sd3}}: {ALL}",
        build=tables.table1,
    ),
    Artefact(
        "table2",
        "Table 2, nine baselines",
        RECORDS,
        f"dreambench_sd15: {_fits('SD 1.5')}, without SVDiff and Textual Inversion",
        "BLIP-Diffusion and IP-Adapter: encoders trained on photographs, nothing is fitted per subject",
        tables.table2,
    ),
    Artefact(
        "figure2",
        "Figure 2, seconds",
        f"{RECORDS}; {SWEEP}/figure2.yaml 6 minutes",
        f"from the records of dreambench_*: {ALL}",
        "the authors' GPU is not named: seconds compare within a machine alone",
        costs.figure2,
    ),
    Artefact(
        "figure5",
        "Figure 5, pictures along λ",
        f"{SWEEP}/figure5.yaml 4 minutes",
        f"from the pictures of figure6_sd15: {ALONG:.0f} h",
        build=figure5,
    ),
    Artefact(
        "figure6",
        "Figure 6, along λ",
        f"{RECORDS}; experiments/curves.yaml 60 minutes",
        f"{SWEEP}/figure6_sd15.yaml: {ALONG:.0f} h",
        "|Δθ| and |Δε| are not defined exactly: shapes compare, values do not",
        curves.figure6,
    ),
    Artefact("toy", "Toy, five Gaussians", f"{SWEEP}/toy.yaml 4 minutes", "no need", build=toy),
    Artefact(
        "theorem2",
        "Theorem 2, ‖Δε‖₂/‖Δθ‖₂",
        RECORDS,
        f"from the records of dreambench_*: {ALL}",
        build=costs.theorem2,
    ),
    Artefact(
        "flux2",
        "Adapters on FLUX.2 (PEFT)",
        "published values alone, 1 minute to render",
        "none",
        "FLUX.2 is no family of this version",
        curves.adapters,
    ),
    Artefact("user_study", "User study", "none", "none", "needs people"),
    Artefact("proofs", "Proofs of Theorems 1 and 2", "none", "none", "nothing to measure"),
)
"""Minutes of sweeps and hours are reckoned, not measured."""
