"""Stage ``decoder``: the autoencoder's decoder learns on; its encoder, and so every latent, stays as it is.

A better decoder improves all images and invalidates nothing that was trained on latents.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.toybox.pretrain import autoencoder
from harness.toybox.pretrain.loop import averaged, shortened

COURSE = replace(autoencoder.COURSE, seed=17)


def frozen(network: Any) -> Any:
    """Let the decoder alone be trained."""
    network.requires_grad_(True)
    for part in (network.encoder, network.quant_conv):
        part.requires_grad_(False)
    return network


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train as the stage ``autoencoder`` did, from its averaged weights."""
    network = frozen(averaged("autoencoder", autoencoder.build(), workdir))
    course, encoder = shortened(COURSE, pictures, cooldown), autoencoder.digest(network)
    autoencoder.fit("decoder", network, course, workdir, encoder=encoder)


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``sd/vae``."""
    autoencoder.export(workdir=workdir, weights=weights)
