"""Encoders by name: which goes with which backbone, and how it is loaded. Importing this loads no torch."""

from __future__ import annotations

from typing import Any

from harness.metrics.encoders.base import TOYBOX, EncoderError, family_of
from harness.specs import BackboneSpec, EncoderSpec

PHOTOS: dict[str, str] = {"clip": "ViT-B-32-quickgelu", "dino": "vit_small_patch16_224.dino"}
"""The encoder of each kind that DreamBench scores are published with."""

DESCRIPTIONS: dict[str, str] = {
    "toybox-clip": "CLIP of the embedded benchmark (open_clip)",
    "toybox-dino": "DINO of the embedded benchmark (timm; supervised by instance)",
    "toybox-probe": "attribute probe of the embedded benchmark",
    "ViT-B-32-quickgelu": "CLIP ViT-B/32, OpenAI's weights; any open_clip name (NAME:TAG: other weights)",
    "vit_small_patch16_224.dino": "DINO ViT-S/16; any timm name (DINOv2: vit_small_patch14_dinov2.lvd142m)",
    "lpips-alex": "LPIPS on AlexNet; needs a checkpoint (safetensors of lpips.LPIPS(net='alex'))",
}


def default_encoders(backbone: BackboneSpec) -> dict[str, EncoderSpec]:
    """Return the encoder of every kind that goes with a backbone: the embedded ones with the embedded one."""
    embedded = backbone.path is None and backbone.name.startswith("toybox")
    return {kind: EncoderSpec(model=model) for kind, model in (TOYBOX if embedded else PHOTOS).items()}


def load_encoder(spec: EncoderSpec, *, device: Any, kind: str | None = None) -> Any:
    """Load an encoder by name: ``toybox-*``, ``lpips-alex``, a timm name or an open_clip name.

    ``kind`` ("clip", "dino", "probe", "lpips") says what it is wanted as and is checked. Raises EncoderError
    for an unknown name, missing weights or a pickle. Returns an Encoder; for CLIP a TextEncoder; for
    the probe an AttributeProbe; for LPIPS a PerceptualDistance.
    """
    family = family_of(spec)
    if kind is not None and family != kind:
        raise EncoderError(f"encoders.{kind}: {spec.model!r} is a {family} encoder")
    if family == "clip":
        from harness.metrics.encoders.clip import load_clip

        return load_clip(spec, device=device)
    if family == "probe":
        from harness.metrics.encoders.probe import load_probe

        return load_probe(spec, device=device)
    if family == "lpips":
        from harness.metrics.encoders.lpips import load_lpips

        return load_lpips(spec, device=device)
    from harness.metrics.encoders.dino import load_dino

    return load_dino(spec, device=device)
