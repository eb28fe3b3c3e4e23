"""Published drift and similarity of thirty adapters on one real model, and the one curve that they lie on.

Nothing here was measured by this program.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.report.tables.published_results import values

SOURCE = "PEFT, method_comparison/image-gen/results (August 2026, Apache-2.0)"
OPENING = (
    f"Published, not measured here: thirty adapters on FLUX.2-klein, one subject and one seed each. {SOURCE}."
)
REMARK = (
    "A later tuning of one learning rate moved HiRA from .145/.555 to .263/.708, along the curve (pull "
    "requests 3640 and 3661): points from one setting each rank learning rates. Similarity rises and then "
    "falls: past its peak a curve over drift is not monotone."
)


class Adapter(NamedTuple):
    """One adapter at its published setting: drift from the base model, similarity to the subject."""

    name: str
    drift: float
    similarity: float


ADAPTERS = tuple(
    sorted(
        (Adapter(each["method"], each["drift"], each["similarity"]) for each in values()["adapters"]),
        key=lambda adapter: adapter.drift,
    )
)


class Quadratic(NamedTuple):
    """similarity = a + b·drift + c·drift², by least squares.

    explained  share of the variance of similarity that it explains
    deviation  residual standard deviation, over n − 3
    """

    a: float
    b: float
    c: float
    explained: float
    deviation: float

    def at(self, drift: float) -> float:
        """Give the similarity at a drift."""
        return self.a + self.b * drift + self.c * drift**2

    @property
    def peak(self) -> float:
        """The drift at which similarity is largest."""
        return -self.b / (2 * self.c)


def quadratic() -> Quadratic:
    """Fit the one curve through all adapters."""
    drift, similarity = (np.array([row[place] for row in ADAPTERS]) for place in (1, 2))
    c, b, a = np.polyfit(drift, similarity, 2)
    left = float(((similarity - (a + b * drift + c * drift**2)) ** 2).sum())
    total = float(((similarity - similarity.mean()) ** 2).sum())
    return Quadratic(float(a), float(b), float(c), 1 - left / total, (left / (len(drift) - 3)) ** 0.5)
