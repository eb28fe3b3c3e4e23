"""Reads single networks out of a folder in diffusers' format: safetensors only. Knows no family."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import (  # type: ignore[attr-defined]  # an alias in version 5
    CLIPTokenizer,
    T5EncoderModel,
    T5TokenizerFast,
)
from transformers.utils import logging as transformers_logging

from harness.diffusion.backbones.checks import check_parts, check_weights
from harness.diffusion.backbones.families import Family
from harness.diffusion.backbones.locate import locate_network
from harness.diffusion.backbones.text_encoder import TextEncoder
from harness.errors import BackboneError
from harness.specs import BackboneSpec


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline's folder, and how its networks are to be loaded.

    index   content of its model_index.json
    device  "meta": shapes without weights
    dtype   of the denoiser; what else is loaded stays in float32
    """

    spec: BackboneSpec
    folder: Path
    family: Family
    index: Mapping[str, Any]
    device: torch.device
    dtype: torch.dtype

    def check(self, *, without: Sequence[str] = ()) -> None:
        """Refuse a folder that is not whole, before any of it is loaded. Raises BackboneError."""
        networks, others = (
            tuple(part for part in parts if part not in without)
            for parts in (self.family.networks, self.family.others)
        )
        if self.device.type == "meta":  # shapes are enough
            networks, others = (), (*networks, *others)
        check_parts(self.spec, self.folder, networks, others)

    def denoiser(self, kind: Any) -> Any:
        """Load the denoiser, in the wanted precision."""
        return _network(kind, self.folder / self.family.denoiser, self.dtype, self.device)

    def autoencoder(self) -> AutoencoderKL:
        """Load the autoencoder, or the option ``vae`` instead, in float32: in half some overflow."""
        folder = self.folder / "vae"
        if named := self.spec.options.get("vae"):
            folder = locate_network(str(named))[0]
            check_weights(folder)
        return _network(AutoencoderKL, folder, torch.float32, self.device)

    def clip(self, kind: Any, number: str = "") -> TextEncoder:
        """Load one of CLIP's text encoders with its tokenizer; ``number`` is "" or "_2"."""
        name = f"text_encoder{number}"
        with _one_line(self.folder):
            tokenizer = CLIPTokenizer.from_pretrained(self.folder / f"tokenizer{number}")
        return TextEncoder(name, tokenizer, _network(kind, self.folder / name, torch.float32, self.device))

    def t5(self, number: str) -> TextEncoder:
        """Load T5 with its tokenizer, in the denoiser's precision: it is larger than all else together.

        It learns no new token.
        """
        name = f"text_encoder{number}"
        with _one_line(self.folder):
            tokenizer = T5TokenizerFast.from_pretrained(self.folder / f"tokenizer{number}")
        model = _network(T5EncoderModel, self.folder / name, self.dtype, self.device)
        return TextEncoder(name, tokenizer, model, learns=False)

    def scheduler(self) -> Mapping[str, Any]:
        """Read the configuration of the noise schedule."""
        with _one_line(self.folder):
            return json.loads((self.folder / "scheduler" / "scheduler_config.json").read_text())


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
