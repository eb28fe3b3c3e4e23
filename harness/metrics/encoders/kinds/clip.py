"""CLIP by name: open_clip's models. Loads neither torch nor a model before one is used."""

from __future__ import annotations

from typing import Any

from harness.metrics.encoders.base import EncoderEntry
from harness.metrics.encoders.open_clip_names import DEFAULT_TAG, known_names
from harness.specs import EncoderSpec


def answers(model: str) -> bool:
    """Whether a name is open_clip's: ``NAME``, ``NAME:TAG``, ``hf-hub:ORG/REPO`` or ``local-dir:FOLDER``."""
    name = model.partition(":")[0]
    return name in ("toybox-clip", "hf-hub", "local-dir") or name in known_names()


def hub_name(model: str) -> str:
    """Name the pretrained weights: OpenAI's where no tag is given."""
    return model if ":" in model else f"{model}:{DEFAULT_TAG}"


def hub_id(model: str) -> str:
    """Return the Hub's repository of a model's weights, empty where there is none."""
    import open_clip

    name, _, tag = hub_name(model).partition(":")
    return tag if name == "hf-hub" else str(open_clip.get_pretrained_cfg(name, tag).get("hf_hub", ""))


def load(spec: EncoderSpec, device: Any, revision: str) -> Any:
    """Load the network."""
    from harness.metrics.encoders.clip import load_clip

    return load_clip(spec, device=device, revision=revision)


ENCODER = EncoderEntry(
    kind="clip",
    load=load,
    answers=answers,
    models={
        "toybox-clip": "CLIP of the embedded benchmark (open_clip)",
        "ViT-B-32-quickgelu": "CLIP ViT-B/32, OpenAI's weights; any open_clip name (NAME:TAG: other weights)",
    },
    photos="ViT-B-32-quickgelu",
    toybox="toybox-clip",
    hub_name=hub_name,
    hub_id=hub_id,
)
