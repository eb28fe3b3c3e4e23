"""The toolbox that methods are written with: backbones, sampling, training, the Lipschitz constraint, caches.

Importing this package loads no torch: the versions below are part of the keys that decide what is redone.
"""

TRAINER_VERSION = 1
"""Raise it when :class:`harness.diffusion.training.Trainer` gives other weights for the same inputs."""

SAMPLING_VERSION = 1
"""Raise it when :func:`harness.diffusion.sampling.sample` gives other pictures for the same weights."""
