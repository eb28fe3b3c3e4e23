"""From a name, a folder or a hub id to a backbone: chooses the family, refuses what is unsafe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from harness.diffusion.backbone import DTYPES, Backbone, Networks, Precision, TextEncoder
from harness.diffusion.cache import Cache
from harness.diffusion.folders import PICKLES, BackboneError, content_revision, locate
from harness.diffusion.stable_diffusion import StableDiffusion
from harness.errors import one_of
from harness.settings import BackboneSpec


def load_backbone(
    spec: BackboneSpec | str,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    cache: Cache | Path | None = None,
) -> Backbone:
    """Load a base model, frozen.

    spec       "toybox", a local folder in diffusers' format, a hub id ("org/name", "org/name@revision"), or a
               :class:`~harness.settings.BackboneSpec`
    precision  of the denoiser; autoencoder and text encoders stay in float32

    Raises BackboneError: not found, not a diffusers folder, of an unknown or another family, or pickled.
    """
    if isinstance(spec, str):
        path, _, revision = spec.partition("@")
        spec = BackboneSpec(name=spec, path=None if spec == "toybox" else path, revision=revision or None)
    if precision not in DTYPES:
        raise BackboneError(one_of(precision, DTYPES, noun="precision"))
    cache = cache if isinstance(cache, Cache) else Cache(cache)
    folder, snapshot = locate(spec)
    load = _family(spec, folder)
    return load(
        folder,
        name=spec.name,
        revision=snapshot or content_revision(folder, cache.root),
        device=torch.device(device),
        precision=precision,
        cache=cache,
    )


def _family(spec: BackboneSpec, folder: Path) -> Callable[..., Backbone]:
    index = folder / "model_index.json"
    try:
        pipeline = json.loads(index.read_text())["_class_name"]
    except (OSError, ValueError, KeyError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: {index} is missing or damaged; not a diffusers folder"
        ) from error
    if pipeline not in FAMILIES:
        raise BackboneError(f"backbone {spec.name!r}: {one_of(pipeline, FAMILIES, noun='pipeline')}")
    family, load = FAMILIES[pipeline]
    if spec.family not in (None, family):
        raise BackboneError(
            f"backbone {spec.name!r}: family {spec.family!r} was asked for, but {index} says {family!r}"
        )
    if spec.options:
        raise BackboneError(
            f"backbone {spec.name!r}: the family {family!r} has no option {next(iter(spec.options))!r}"
        )
    return load


def _stable_diffusion(
    folder: Path, *, name: str, revision: str, device: torch.device, precision: Precision, cache: Cache
) -> StableDiffusion:
    unet = _network(UNet2DConditionModel, folder / "unet", DTYPES[precision], device)
    encoder = _network(CLIPTextModel, folder / "text_encoder", torch.float32, device)
    with _one_line(folder):
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    networks = Networks(
        denoiser=unet,
        autoencoder=_network(AutoencoderKL, folder / "vae", torch.float32, device),
        text_encoders=(TextEncoder("text_encoder", tokenizer, encoder),),
        scheduler=scheduler,
    )
    return StableDiffusion(
        networks, name=name, revision=revision, device=device, precision=precision, cache=cache
    )


def _network(kind: Any, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Load one network, frozen; safetensors only."""
    files = list(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for end in PICKLES for path in folder.glob(end))
        found = f"only pickled weights ({', '.join(pickles)}), which are refused" if pickles else "no weights"
        raise BackboneError(f"{folder}: {found}; save them as safetensors")
    variant = "fp16" if all(".fp16." in path.name for path in files) else None
    with _one_line(folder), no_progress_bar():
        network = kind.from_pretrained(folder, use_safetensors=True, torch_dtype=dtype, variant=variant)
    return _aligned(network.to(device)).eval().requires_grad_(False)


def _aligned(network: Any) -> Any:
    """Copy the weights out of the file's buffer, where they start at any byte, into torch's own memory.

    Matrix products add up in another order on memory that is aligned otherwise: without this a trial's last
    digits differ from one process to the next.
    """
    for weight in (*network.parameters(), *network.buffers()):
        weight.data = weight.data.clone()
    return network


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """Turn what a library says of a damaged folder into one line that names the folder."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"{folder}: {next(iter(str(error).strip().splitlines()), error)}") from error


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep diffusers and transformers from drawing a bar of their own for every network."""
    both: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    drawing = [library for library in both if library.is_progress_bar_enabled()]
    for library in drawing:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in drawing:
            library.enable_progress_bar()


FAMILIES: dict[str, tuple[str, Callable[..., Backbone]]] = {
    "StableDiffusionPipeline": ("sd", _stable_diffusion)
}
