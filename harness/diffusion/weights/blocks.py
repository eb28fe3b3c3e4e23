"""Blocks of a denoiser by the names of its parameters, and a share of the change for each. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.diffusion.weights.addition import PREFIX

REST = "rest"
"""The block of what lies in none: first and last layers, embeddings of the timestep."""


def block_of(name: str, pattern: str) -> str | None:
    """Return the block of a named change; None outside of the denoiser.

    >>> block_of("denoiser.down_blocks.1.resnets.0.conv1.weight", r"down_blocks\\.\\d+")
    'down_blocks.1'
    """
    if not name.startswith(PREFIX):
        return None
    found = re.match(pattern, name.removeprefix(PREFIX))
    return found[0] if found else REST


@dataclass(frozen=True)
class BlockShares:
    """A share of the change for each block, as :meth:`Adaptation.interpolate` takes it.

    pattern   the family's, which says what a block is
    shares    block → share; those not named have none of the change
    """

    pattern: str
    shares: Mapping[str, float]

    def __call__(self, name: str) -> float:
        """Return the share of a named change; 1 outside of the denoiser: a new word moves no prior prompt."""
        block = block_of(name, self.pattern)
        return 1.0 if block is None else self.shares.get(block, 0.0)
