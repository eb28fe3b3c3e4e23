"""Versions that are part of the keys of trials. Imports nothing."""

TRAINER_VERSION = 1
"""Raise it when :class:`harness.diffusion.training.Trainer` gives other weights for the same inputs."""

SAMPLING_VERSION = 1
"""Raise it when :func:`harness.diffusion.sampling.sample` gives other images for the same weights."""

READOUT_VERSION = 1
"""Raise it when a readout of the same fit gets other weights: :mod:`harness.trial.readouts`."""

CALIBRATION_VERSION = 2
"""Raise it when a limit on drift gives other shares of the same change: :mod:`harness.trial.calibration`."""

ALIGNMENT_VERSION = 2
"""Raise it when alignment in feature space gives other weights: :mod:`harness.diffusion.alignment`."""
