"""From a name, a folder or a hub id to a backbone: chooses the family, refuses what is unsafe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import (  # type: ignore[attr-defined]  # an alias in version 5
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5EncoderModel,
    T5TokenizerFast,
)
from transformers.utils import logging as transformers_logging

from harness.cache import Cache
from harness.diffusion.backbones.base import DTYPES, Backbone, Networks, Precision
from harness.diffusion.backbones.families import FAMILIES, check_parts, check_spec, check_weights, family_of
from harness.diffusion.backbones.locate import (
    BackboneError,
    content_revision,
    find_here,
    locate,
    locate_network,
    with_options,
)
from harness.diffusion.backbones.sd3 import StableDiffusion3
from harness.diffusion.backbones.sdxl import StableDiffusionXL
from harness.diffusion.backbones.stable_diffusion import StableDiffusion
from harness.diffusion.backbones.text_encoder import TextEncoder
from harness.errors import one_of
from harness.specs import BackboneSpec, Execution


def load_backbone(
    spec: BackboneSpec | str,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    cache: Cache | Path | None = None,
    execution: Execution = Execution(),
) -> Backbone:
    """Load a base model, frozen.

    spec       "toybox", a local folder in diffusers' format, a hub id ("org/name", "org/name@revision"), or a
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
    folder, snapshot = locate(spec)
    family, index = family_of(spec, folder)
    check_spec(spec, family)
    return LOADERS[family](
        Pipeline(spec, folder, family, index, torch.device(device), DTYPES[precision]),
        name=spec.name,
        revision=with_options(snapshot or content_revision(folder, cache.root), spec, cache.root),
        device=torch.device(device),
        precision=precision,
        cache=cache,
        execution=execution,
    )


def without_weights(
    spec: BackboneSpec, *, precision: Precision = "fp32", execution: Execution = Execution()
) -> Backbone:
    """Build a base model's networks on the device "meta": their shapes, and no memory. For a local folder.

    Raises BackboneError as :func:`load_backbone` does, and for a hub id that is not on this machine yet.
    """
    folder = find_here(spec)
    family, index = family_of(spec, folder)
    check_spec(spec, family)
    meta = torch.device("meta")
    return LOADERS[family](
        Pipeline(spec, folder, family, index, meta, DTYPES[precision]),
        name=spec.name,
        revision="none",
        device=meta,
        precision=precision,
        cache=Cache(None),
        execution=execution,
    )


@dataclass(frozen=True)
class Pipeline:
    """A pipeline's folder, and how its networks are to be loaded; ``index`` is its model_index.json."""

    spec: BackboneSpec
    folder: Path
    family: str
    index: Mapping[str, Any]
    device: torch.device
    dtype: torch.dtype

    def check(self, *, without: Sequence[str] = ()) -> None:
        """Refuse a folder that is not whole, before any of it is loaded. Raises BackboneError."""
        family = FAMILIES[self.family]
        networks, others = (
            tuple(part for part in parts if part not in without) for parts in (family.networks, family.others)
        )
        if self.device.type == "meta":  # shapes are enough
            networks, others = (), (*networks, *others)
        check_parts(self.spec, self.folder, networks, others)

    def denoiser(self, kind: Any, part: str) -> Any:
        """The denoiser, in the wanted precision."""
        return _network(kind, self.folder / part, self.dtype, self.device)

    def autoencoder(self) -> AutoencoderKL:
        """The autoencoder, or the one that the option ``vae`` names, in float32: in half some overflow."""
        folder = self.folder / "vae"
        if named := self.spec.options.get("vae"):
            folder = locate_network(str(named))[0]
            check_weights(folder)
        return _network(AutoencoderKL, folder, torch.float32, self.device)

    def clip(self, kind: Any, number: str = "") -> TextEncoder:
        """One of CLIP's text encoders with its tokenizer; ``number`` is "" or "_2"."""
        name = f"text_encoder{number}"
        with _one_line(self.folder):
            tokenizer = CLIPTokenizer.from_pretrained(self.folder / f"tokenizer{number}")
        return TextEncoder(name, tokenizer, _network(kind, self.folder / name, torch.float32, self.device))

    def scheduler(self) -> Mapping[str, Any]:
        """The configuration of the noise schedule."""
        with _one_line(self.folder):
            return json.loads((self.folder / "scheduler" / "scheduler_config.json").read_text())


def _stable_diffusion(pipeline: Pipeline, **named: Any) -> StableDiffusion:
    pipeline.check()
    networks = Networks(
        denoiser=pipeline.denoiser(UNet2DConditionModel, "unet"),
        autoencoder=pipeline.autoencoder(),
        text_encoders=(pipeline.clip(CLIPTextModel),),
        scheduler=pipeline.scheduler(),
    )
    return StableDiffusion(networks, **named)


def _stable_diffusion_xl(pipeline: Pipeline, **named: Any) -> StableDiffusionXL:
    pipeline.check()
    networks = Networks(
        denoiser=pipeline.denoiser(UNet2DConditionModel, "unet"),
        autoencoder=pipeline.autoencoder(),
        text_encoders=(pipeline.clip(CLIPTextModel), pipeline.clip(CLIPTextModelWithProjection, "_2")),
        scheduler=pipeline.scheduler(),
    )
    zeros = bool(pipeline.index.get("force_zeros_for_empty_prompt", True))
    return StableDiffusionXL(networks, zeros_without_prompt=zeros, **named)


def _stable_diffusion_3(pipeline: Pipeline, **named: Any) -> StableDiffusion3:
    without = () if _wants_t5(pipeline) else ("text_encoder_3", "tokenizer_3")
    pipeline.check(without=without)
    clip = tuple(pipeline.clip(CLIPTextModelWithProjection, number) for number in ("", "_2"))
    networks = Networks(
        denoiser=pipeline.denoiser(SD3Transformer2DModel, "transformer"),
        autoencoder=pipeline.autoencoder(),
        text_encoders=clip if without else (*clip, _t5(pipeline)),
        scheduler=pipeline.scheduler(),
    )
    return StableDiffusion3(networks, **named)


def _wants_t5(pipeline: Pipeline) -> bool:
    option = pipeline.spec.options.get("text_encoder_3")
    if option == "none":
        return False
    if option is not None:
        raise BackboneError(
            f"backbone {pipeline.spec.name!r}: text_encoder_3 can only be none, got {option!r}; "
            "leave it out to use the folder's own"
        )
    if not (pipeline.folder / "text_encoder_3").is_dir():
        raise BackboneError(
            f"backbone {pipeline.spec.name!r}: {pipeline.folder} lacks text_encoder_3 (T5); "
            "to go without it on purpose say text_encoder_3: none"
        )
    return True


def _t5(pipeline: Pipeline) -> TextEncoder:
    """T5 in the denoiser's precision: it is larger than all else together."""
    with _one_line(pipeline.folder):
        tokenizer = T5TokenizerFast.from_pretrained(pipeline.folder / "tokenizer_3")
    model = _network(T5EncoderModel, pipeline.folder / "text_encoder_3", pipeline.dtype, pipeline.device)
    return TextEncoder("text_encoder_3", tokenizer, model, learns=False)


def _network(kind: Any, folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Load one network, frozen; safetensors only."""
    if device.type == "meta":
        return _empty(kind, folder, dtype)
    files = list(folder.glob("*.safetensors"))
    variant = "fp16" if all(".fp16" in path.name for path in files) else None
    with _one_line(folder), no_progress_bar():
        network = kind.from_pretrained(folder, use_safetensors=True, torch_dtype=dtype, variant=variant)
    return _aligned(network.to(device)).eval().requires_grad_(False)


def _empty(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A network's shapes alone."""
    with _one_line(folder), torch.device("meta"):
        if hasattr(kind, "load_config"):  # diffusers'
            network = kind.from_config(kind.load_config(folder))
        else:
            network = kind(kind.config_class.from_pretrained(folder))
    for weight in (*network.parameters(), *network.buffers()):
        if weight.is_floating_point():
            weight.data = weight.data.to(dtype)
    return network.eval().requires_grad_(False)


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


LOADERS: dict[str, Callable[..., Backbone]] = {
    "sd": _stable_diffusion,
    "sdxl": _stable_diffusion_xl,
    "sd3": _stable_diffusion_3,
}
