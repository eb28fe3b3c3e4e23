"""From a name, a folder or a Hub id to a backbone of the family that the folder says. Knows no family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from harness.cache import Cache
from harness.diffusion.backbones.base import DTYPES, Backbone
from harness.diffusion.backbones.checks import check_spec, family_of
from harness.diffusion.backbones.families import FAMILIES
from harness.diffusion.backbones.locate import (
    BackboneError,
    content_revision,
    find_here,
    locate,
    with_options,
)
from harness.diffusion.backbones.pipeline_folder import PipelineFolder
from harness.errors import one_of
from harness.specs import BackboneSpec, Execution, Precision


def load_backbone(
    spec: BackboneSpec | str,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    cache: Cache | Path | None = None,
    execution: Execution = Execution(),
) -> Backbone:
    """Load a base model, frozen.

    spec       "toybox", a local folder in diffusers' format, a Hub id ("org/name", "org/name@revision"), or a
               :class:`~harness.specs.BackboneSpec`
    precision  of the denoiser; autoencoder and text encoders stay in float32
    execution  what trades time for memory

    Raises BackboneError: not found, not a diffusers folder, of an unknown or another family, or pickled.
    """
    if isinstance(spec, str):
        path, _, revision = spec.partition("@")
        spec = BackboneSpec(name=spec, path=None if spec == "toybox" else path, revision=revision or None)
    if precision not in DTYPES:
        raise BackboneError(one_of(precision, DTYPES, noun="precision"))
    cache = cache if isinstance(cache, Cache) else Cache(cache)
    folder, commit = locate(spec)
    return _build(
        spec,
        folder,
        revision=lambda: with_options(commit or content_revision(folder, cache.root), spec, cache.root),
        device=torch.device(device),
        precision=precision,
        cache=cache,
        execution=execution,
    )


def without_weights(
    spec: BackboneSpec, *, precision: Precision = "fp32", execution: Execution = Execution()
) -> Backbone:
    """Build a base model's networks on the device "meta": their shapes, and no memory. For a local folder.

    Raises BackboneError as :func:`load_backbone` does, and for a Hub id that is not on this machine yet.
    """
    return _build(
        spec,
        find_here(spec),
        revision=lambda: "none",
        device=torch.device("meta"),
        precision=precision,
        cache=Cache(None),
        execution=execution,
    )


def _build(
    spec: BackboneSpec,
    folder: Path,
    *,
    revision: Callable[[], str],
    device: torch.device,
    precision: Precision,
    cache: Cache,
    execution: Execution,
) -> Backbone:
    name, index = family_of(spec, folder)
    check_spec(spec, name)
    family = FAMILIES[name]
    kind = family.load_class()
    networks = kind.read_networks(PipelineFolder(spec, folder, family, index, device, DTYPES[precision]))
    return kind(
        networks,
        name=spec.name,
        revision=revision(),
        device=device,
        precision=precision,
        cache=cache,
        execution=execution,
    )
