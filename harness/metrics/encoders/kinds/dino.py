"""DINO and other image encoders by name: timm's models. Loads no torch before one is used."""

from __future__ import annotations

from typing import Any

from harness.metrics.encoders.base import EncoderEntry, embedded_version
from harness.specs import EncoderSpec

EMBEDDED = "toybox-dino:2"
MODELS = {
    "toybox-dino": "DINO of the embedded benchmark (timm; supervised by instance), the newest version",
    "toybox-dino:1": "version 1: sees little but the palette",
    "toybox-dino:2": "version 2, trained on near misses: sees class and pattern beside the palette",
    "vit_small_patch16_224.dino": "DINO ViT-S/16; any timm name (DINOv2: vit_small_patch14_dinov2.lvd142m)",
}


def hub_id(model: str) -> str:
    """Return the Hub's repository of a model's weights, empty where there is none."""
    import timm

    config = timm.models.get_pretrained_cfg(model)
    hub = (config.hf_hub_id if config else "") or ""
    return f"timm/{model}" if hub == "timm/" else hub


def load(spec: EncoderSpec, device: Any, revision: str) -> Any:
    """Load the network."""
    from harness.metrics.encoders.dino import load_dino

    version = embedded_version(EMBEDDED, spec.model)
    return load_dino(spec, device=device, revision=revision, embedded=version)


ENCODER = EncoderEntry(
    kind="dino",
    load=load,
    answers=MODELS.__contains__,
    takes_the_rest=True,
    models=MODELS,
    photos="vit_small_patch16_224.dino",
    toybox=EMBEDDED,
    hub_id=hub_id,
)
