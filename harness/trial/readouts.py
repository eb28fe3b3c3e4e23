"""One fit and its readouts: the tuned weights, and what is between them and the base model, set in turn.

Knows no images and no scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.checkpoints import Checkpoints
from harness.diffusion.weights.delta import Delta
from harness.specs import Trial
from harness.trial.calibration import Calibration, Reached, largest_share
from harness.trial.plan import Plan
from harness.trial.stages import Fitted
from harness.trial.timing import Clock


class TunedModel:
    """A backbone after its fit, from which every trial of the job is set.

    restored  the weights are kept ones; those of a checkpoint are then that checkpoint's
    alone     the fit's own end is all that will be asked for: no copy is made
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

    def read_out(self, plan: Plan, calibration: Calibration | None, clock: Clock) -> Fitted:
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
        whole = self._tuned
        if readout is not None and readout.kind == "steps":
            fitted, whole = self._at_step(int(readout.value), fitted)
        search = Search(self._backbone, whole, calibration, clock)
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
        between = readout is not None and readout.between
        if not between and limit is None:
            search.place(1.0)
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
        search.place(share)
        bound = self._held(fitted, plan.trial, share)
        if plan.output_limit is not None and reached is not None:
            bound = {**(bound or {}), "output_l2": reached.drift}
        if not between and share == 1:
            return replace(fitted, bound=bound)
        return replace(fitted, readout={"alpha": share, **found}, bound=bound)

    def _held(self, fitted: Fitted, trial: Trial, share: float) -> dict[str, float] | None:
        """What a hard bound was held to, with the distance that is left of it."""
        if share == 1 or fitted.bound is None or "l2" not in fitted.bound:
            return fitted.bound
        on = trial.lipschitz.on if trial.lipschitz else "effective"
        return {**fitted.bound, "l2": self._backbone.distance(on=on).l2}


@dataclass(frozen=True)
class Search:
    """The weights between the base model and a fit, and the largest share of the change within a limit."""

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
