"""Where a base model's networks are while they are not needed, and how they spare memory. Knows no method."""

from __future__ import annotations

from typing import Any

import torch

from harness.specs import Execution

SLICED_FROM = 256
"""Pixels along a side from which ``autoencoder: auto`` takes one image at a time."""


class Offload:
    """Carries out an :class:`~harness.specs.Execution` on a device.

    target  where networks wait until they are needed: the CPU
    """

    def __init__(self, device: torch.device, execution: Execution) -> None:
        self.device, self.execution = device, execution
        self.target = torch.device("cpu")

    def prepare(self, denoiser: Any, autoencoder: Any, *, resolution: int) -> None:
        """Lay out the denoiser, and choose how the autoencoder goes through its images."""
        chosen = self.execution
        if chosen.gradient_checkpointing:
            denoiser.enable_gradient_checkpointing()
        last = self.device.type == "cuda" if chosen.channels_last == "auto" else chosen.channels_last
        if last:
            denoiser.to(memory_format=torch.channels_last)
        way = chosen.autoencoder
        if way == "auto":
            way = "sliced" if resolution >= SLICED_FROM else "whole"
        if way in ("sliced", "tiled"):
            autoencoder.enable_slicing()
        if way == "tiled":
            autoencoder.enable_tiling()

    def ready(self, network: Any) -> Any:
        """Return a network that is on the device; one that was offloaded comes back."""
        if next(network.parameters()).device.type != self.device.type:
            network.to(self.device)
        return network

    def to_cpu(self, *networks: Any) -> None:
        """Move networks off the device until they are needed again, if the execution says so."""
        if self.execution.cpu_offload and self.target.type != self.device.type:
            for network in networks:
                network.to(self.target)
            free(self.device)


def free(device: torch.device) -> None:
    """Give cached memory back to other processes that share the GPU; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
