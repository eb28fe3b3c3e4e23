"""Encoders by name: which goes with which backbone, what its weights are, how it is loaded. Loads no torch.

An encoder is a module that says what it is in ``ENCODER``, an :class:`~.base.EncoderEntry`: a file in
:mod:`~.kinds`, or a module of an installed package under the entry points ``harness.encoders``. A plug-in
answers to the name of its entry point (``NAME`` or ``NAME:TAG``) and is no backbone's default. On a cluster
it must be installed on every node.
"""

from __future__ import annotations

import hashlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

from harness.files import file_digest
from harness.metrics.encoders import kinds
from harness.metrics.encoders.base import (
    EncoderEntry,
    EncoderError,
    checkpoint_file,
    embedded_version,
    local_folder,
)
from harness.plugins import Offer, by_name, only, plug_ins
from harness.specs import BackboneSpec, EncoderSpec

GROUP = "harness.encoders"


@cache
def _built_in() -> tuple[Offer, ...]:
    found = (each.name for each in pkgutil.iter_modules(kinds.__path__))
    return tuple(Offer(name, f"{kinds.__name__}.{name}") for name in found)


def entry(offer: Offer) -> EncoderEntry:
    """Return what a module says of its encoder. Raises PlugInError, or EncoderError where it says nothing."""
    found = vars(offer.load()).get("ENCODER")
    if not isinstance(found, EncoderEntry):
        raise EncoderError(
            f"encoder {offer.name!r} of {offer.origin}: {offer.module} must say ENCODER = EncoderEntry(…)"
        )
    return found


def offers() -> dict[str, tuple[Offer, ...]]:
    """Model → the modules that answer to it: the models worth naming, and plug-ins; imports no plug-in."""
    listed = [Offer(model, each.module) for each in _built_in() for model in entry(each).models]
    return by_name([*listed, *plug_ins(GROUP)])


def _offer(model: str) -> Offer:
    """Find what answers to a model's name; what no other answers to is for timm to know."""
    own = tuple(Offer(model, each.module) for each in _built_in() if entry(each).answers(model))
    found = [*own, *(each for each in plug_ins(GROUP) if each.name == model.partition(":")[0])]
    if found:
        return only(model, {model: tuple(found)})
    return next(Offer(model, each.module) for each in _built_in() if entry(each).takes_the_rest)


def family_of(spec: EncoderSpec) -> str:
    """Return the kind of an encoder by its name, loading nothing; "dino" for what timm may know."""
    return entry(_offer(spec.model)).kind


def default_encoders(backbone: BackboneSpec) -> dict[str, EncoderSpec]:
    """Return the encoder of every kind that goes with a backbone: the embedded ones with the embedded one."""
    embedded = backbone.path is None and backbone.name.startswith("toybox")
    entries = [entry(each) for each in _built_in()]
    models = {each.kind: each.toybox if embedded else each.photos for each in entries}
    return {kind: EncoderSpec(model=model) for kind, model in models.items() if model is not None}


def revision(spec: EncoderSpec) -> str:
    """Identify an encoder's weights without loading them, for the keys of trials.

    A local file: 16 hex digits over its content and the model's name; a folder: over its weights and
    configuration. The embedded ones: the revision of Toybox's weights. From the Hub: the name of the
    pretrained weights. A plug-in's begins with its package and version.
    """
    offer = _offer(spec.model)
    own = "" if offer.package is None else f"{offer.package}:"
    if spec.checkpoint is not None or local_folder(spec):
        path, folder = checkpoint_file(spec), local_folder(spec)
        described = [file_digest(each) for each in sorted(folder.glob("*.json"))] if folder else [spec.model]
        content = "\n".join([file_digest(path), *described])
        return f"{own}sha256:{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if (version := embedded_version(entry(offer).toybox, spec.model)) is not None:
        from harness.toybox.loading import revision as toybox_revision

        return f"toybox:{toybox_revision(network=entry(offer).kind, version=version)}"
    return f"{own}hub:{entry(offer).hub_name(spec.model)}"


def in_hub_cache(spec: EncoderSpec) -> bool:
    """Whether the weights that a name stands for were downloaded before."""
    from huggingface_hub.constants import HF_HUB_CACHE

    hub = entry(_offer(spec.model)).hub_id(spec.model)
    folder = Path(HF_HUB_CACHE) / f"models--{hub.strip('/').replace('/', '--')}" / "snapshots"
    return (bool(hub) and any(folder.glob("*/*.safetensors"))) or any(folder.glob("*/*.bin"))


def load_encoder(spec: EncoderSpec, *, device: Any, kind: str | None = None) -> Any:
    """Load an encoder by name: ``toybox-*``, ``lpips-alex``, a timm name, an open_clip name or a plug-in's.

    ``kind`` ("clip", "dino", "probe", "lpips") says what it is wanted as and is checked. Raises EncoderError
    for an unknown name, missing weights or a pickle, PlugInError. Returns an Encoder; for CLIP an
    ImageTextEncoder; for the probe an AttributeProbe; for LPIPS a PerceptualDistance.
    """
    found = entry(_offer(spec.model))
    if kind is not None and found.kind != kind:
        raise EncoderError(f"encoders.{kind}: {spec.model!r} is a {found.kind} encoder")
    return found.load(spec, device, revision(spec))
