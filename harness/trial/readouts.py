"""One fit and its readouts: the tuned weights, and what is between them and the base model, set in turn.

Knows no images and no scores.
"""

from __future__ import annotations

from dataclasses import replace

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.checkpoints import Checkpoints
from harness.specs import Readout, Trial
from harness.trial.calibration import Calibration, Drift, largest_share
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

    def read_out(self, trial: Trial, calibration: Calibration | None, clock: Clock) -> Fitted:
        """Set the weights of a trial; give what its sample stage starts from.

        From the second trial on, the seconds of the fit are charged as shared.
        """
        fitted = replace(self._fitted, drift={}, seconds={}, origin=dict(self._fitted.origin))
        if self._asked:
            clock.add("fit", self._seconds)
            fitted.origin["fit_shared"] = True
        self._asked += 1
        readout = trial.readout
        if self._tuned is None or fitted.phrase is None:
            return fitted
        if readout is not None and readout.kind == "steps":
            return self._at_step(int(readout.value), fitted)
        if readout is None:
            self._backbone.interpolate(self._tuned, 1.0)
            return fitted
        return self._between(readout, trial, fitted, calibration, clock)

    def peak_memory(self, clock: Clock) -> int:
        """Bytes at most in use while fitting and since the clock was made."""
        return max(self._peak, clock.peak_memory())

    def _at_step(self, step: int, fitted: Fitted) -> Fitted:
        if self._restored:
            return fitted
        assert self._tuned is not None
        checkpoint = self._checkpoints.at(step)
        self._backbone.interpolate(checkpoint.delta, 1.0)
        return replace(fitted, bound=checkpoint.bound, losses=fitted.losses[:step])

    def _between(
        self, readout: Readout, trial: Trial, fitted: Fitted, calibration: Calibration | None, clock: Clock
    ) -> Fitted:
        assert self._tuned is not None
        share, found = float(readout.value), {}
        if readout.kind == "budget":
            assert calibration is not None
            with clock.time("sample"):
                reached = largest_share(self._drift(calibration), share)
            share = reached.share
            found = {
                "limit": float(readout.value),
                "calibration": reached.drift,
                "evaluations": float(reached.evaluations),
            }
            clock.add("sample", calibration.seconds)
        self._backbone.interpolate(self._tuned, share)
        return replace(fitted, readout={"alpha": share, **found}, bound=self._held(fitted, trial, share))

    def _drift(self, calibration: Calibration) -> Drift:
        def at(share: float) -> float:
            assert self._tuned is not None
            self._backbone.interpolate(self._tuned, share)
            return calibration.drift(self._backbone)

        return at

    def _held(self, fitted: Fitted, trial: Trial, share: float) -> dict[str, float] | None:
        """What a hard bound was held to, with the distance that is left of it."""
        if share == 1 or fitted.bound is None or "l2" not in fitted.bound:
            return fitted.bound
        on = trial.lipschitz.on if trial.lipschitz else "effective"
        return {**fitted.bound, "l2": self._backbone.distance(on=on).l2}
