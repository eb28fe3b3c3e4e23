"""One fit and its readouts: the tuned weights, and what is between them and the base model, set in turn.

Knows no images and no scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from harness.api import Subject
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.checkpoints import Checkpoints
from harness.diffusion.weights.blocks import BlockShares
from harness.diffusion.weights.delta import Delta
from harness.trial.block_changes import BlockChanges, Split
from harness.trial.calibration import Calibration, Reached, largest_share
from harness.trial.merging import Merged, Tradeoff, Vector, merged
from harness.trial.plan import Plan
from harness.trial.stages import Fitted
from harness.trial.subject_loss import SubjectLoss
from harness.trial.timing import Clock

SHARE = "share."
"""Before the name of a block, where a record says what a merge has of its change."""


class TunedModel:
    """A backbone after its fit, from which every trial of the job is set.

    restored  the weights are kept ones; those of a checkpoint are then that checkpoint's
    alone     the fit's own end is all that will be asked for: no copy is made
    at_end    the weights set last are those of the fit's own end: what a readout at α = 1 shares with it
    """

    def __init__(
        self,
        backbone: Backbone,
        fitted: Fitted,
        checkpoints: Checkpoints,
        clock: Clock,
        *,
        restored: bool,
        alone: bool,
    ) -> None:
        self._backbone, self._fitted, self._checkpoints = backbone, fitted, checkpoints
        self._restored = restored
        self._tuned = None if alone else backbone.delta()
        self._seconds = clock.seconds.get("fit", 0.0)
        self._peak = clock.peak_memory()
        self._asked = 0
        self.at_end = False
        self._splits: dict[int, Split] = {}

    def read_out(self, plan: Plan, subject: Subject, calibration: Calibration | None, clock: Clock) -> Fitted:
        """Set the weights of a trial; give what its sample stage starts from.

        From the second trial on, the seconds of the fit are charged as shared.
        """
        fitted = replace(self._fitted, drift={}, seconds={}, origin=dict(self._fitted.origin))
        if self._asked:
            clock.add("fit", self._seconds)
            fitted.origin["fit_shared"] = True
        self._asked += 1
        readout = plan.trial.readout
        if self._tuned is None or fitted.phrase is None:
            return fitted
        whole, self.at_end = self._tuned, False
        if readout is not None and readout.kind == "steps":
            fitted, whole = self._at_step(int(readout.value), fitted)
        search = Search(self._backbone, whole, calibration, clock)
        if readout is not None and readout.kind == "merge":
            return self._merged(search, plan, subject, fitted)
        return self._between(search, plan, fitted)

    def peak_memory(self, clock: Clock) -> int:
        """Bytes at most in use while fitting and since the clock was made."""
        return max(self._peak, clock.peak_memory())

    def _at_step(self, step: int, fitted: Fitted) -> tuple[Fitted, Delta]:
        if self._restored:
            return fitted, self._backbone.delta()
        checkpoint = self._checkpoints.at(step)
        return replace(fitted, bound=checkpoint.bound, losses=fitted.losses[:step]), checkpoint.delta

    def _between(self, search: Search, plan: Plan, fitted: Fitted) -> Fitted:
        """Set θ0 + α(θ − θ0): α as the readout has it, less where a bound on outputs asks for less."""
        readout, limit = plan.trial.readout, plan.output_limit
        between = readout is not None and readout.kind != "steps"
        if not between and limit is None:
            self._place(search, 1.0)
            return fitted
        share, found = 1.0, {}
        if readout is not None and readout.kind == "scale":
            share = float(readout.value)
        if readout is not None and readout.kind == "budget":
            found, limit = {"limit": float(readout.value)}, min(readout.value, limit or math.inf)
        reached = None if limit is None else search.within(limit, share)
        if reached is not None:
            share = reached.share
            found |= {"calibration": reached.drift, "evaluations": float(reached.evaluations)}
        self._place(search, share)
        bound = self._held(fitted, plan, reached, whole=share == 1)
        if not between and share == 1:
            return replace(fitted, bound=bound)
        return replace(fitted, readout={"alpha": share, **found}, bound=bound)

    def _place(self, search: Search, share: float) -> None:
        search.place(share)
        self.at_end = share == 1 and search.whole is self._tuned

    def _merged(self, search: Search, plan: Plan, subject: Subject, fitted: Fitted) -> Fitted:
        """Set the shares of the blocks within the readout's limit, and that of a bound on outputs."""
        readout = plan.trial.readout
        assert readout is not None and fitted.phrase is not None
        shots, phrase, seed = subject.shots, fitted.phrase, plan.trial.seed
        learnt = partial(SubjectLoss.of, self._backbone, shots, phrase, seed=seed)
        limit = min(readout.value, plan.output_limit or math.inf)
        blocks, reached = search.merged(limit, learnt, self._splits)
        blocks.place(reached.shares)
        shares = {f"{SHARE}{name}": part for name, part in blocks.shares(reached.shares).shares.items()}
        found = {"limit": float(readout.value), "calibration": reached.drift}
        bound = self._held(fitted, plan, reached, whole=bool((reached.shares == 1).all()))
        found |= {"evaluations": float(reached.evaluations)}
        return replace(fitted, readout={**shares, **found}, bound=bound)

    def _held(
        self, fitted: Fitted, plan: Plan, reached: Reached | Merged | None, *, whole: bool
    ) -> dict[str, float] | None:
        """What hard bounds were held to, with the distance that is left of them and the drift reached."""
        bound, lipschitz = fitted.bound, plan.trial.lipschitz
        if not whole and bound is not None and "l2" in bound:
            on = lipschitz.on if lipschitz else "effective"
            bound = {**bound, "l2": self._backbone.distance(on=on).l2}
        if plan.output_limit is not None and reached is not None:
            bound = {**(bound or {}), "output_l2": reached.drift}
        return bound


@dataclass(frozen=True)
class Search:
    """The weights between the base model and a fit, and as much of the change as a limit allows."""

    backbone: Backbone
    whole: Delta
    calibration: Calibration | None
    clock: Clock

    def place(self, share: float) -> None:
        """Set the weights to θ0 + share·(θ − θ0)."""
        self.backbone.interpolate(self.whole, share)

    def within(self, limit: float, most: float) -> Reached:
        """Find the largest share up to ``most`` whose drift on the calibration probe is at most ``limit``."""
        calibration = self.calibration
        assert calibration is not None

        def drift(part: float) -> float:
            self.place(part * most)
            return calibration.drift(self.backbone)

        with self.clock.time("sample"):
            reached = largest_share(drift, limit)
        self.clock.add("sample", calibration.seconds)
        return replace(reached, share=reached.share * most)

    def merged(
        self, limit: float, learnt: Callable[[], SubjectLoss], known: dict[int, Split]
    ) -> tuple[BlockChanges, Merged]:
        """Find the shares by block that keep most of the subject within a limit of drift.

        ``known``: what was measured of the same change by calibration (its id); its seconds are charged too.
        """
        calibration, backbone = self.calibration, self.backbone
        assert calibration is not None
        blocks = BlockChanges(backbone, self.whole)

        def drift(shares: Vector) -> float:
            blocks.place(shares)
            return calibration.drift(backbone)

        def tradeoff() -> Tradeoff:
            if (split := known.get(id(calibration))) is not None:
                self.clock.add("sample", split.seconds)
            else:
                split = known[id(calibration)] = blocks.split(calibration.probe, learnt())
            return split.tradeoff

        with self.clock.time("sample"):
            reached = merged(drift, len(blocks.names), tradeoff, limit)
        self.clock.add("sample", calibration.seconds)
        return blocks, reached


def shares_of(readout: Mapping[str, float], pattern: str) -> float | BlockShares:
    """Return what a record's readout had of the change; ``pattern`` says what a block of its family is."""
    if "alpha" in readout:
        return readout["alpha"]
    parts = {name.removeprefix(SHARE): part for name, part in readout.items() if name.startswith(SHARE)}
    return BlockShares(pattern, parts) if parts else 1.0
