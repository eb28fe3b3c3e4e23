"""A tuned model in the files that diffusers reads, so that it can be used without this package.

Low-rank adapters become ``pytorch_lora_weights.safetensors``, new tokens ``learned_embeds.safetensors``, a
fully tuned denoiser a folder of its own (``unet/`` or ``transformer/``). Some of a denoiser's tensors
(Custom Diffusion's keys and values) become ``weights.safetensors``, which :func:`load` puts into a pipeline:
diffusers' own loader for them loads nothing where PEFT is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.families import FAMILIES
from harness.diffusion.backbones.locate import BackboneError

LORA, TOKENS, WEIGHTS = (
    "pytorch_lora_weights.safetensors",
    "learned_embeds.safetensors",
    "weights.safetensors",
)
TABLES = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
"""diffusers' names for the rows of a new token, where a pipeline has several text encoders."""


def write(backbone: Backbone, folder: Path) -> list[str]:
    """Write what a fit changed; returns the lines of Python that load it into ``pipe``, a plain pipeline.

    Raises BackboneError where nothing was changed.
    """
    delta = backbone.delta()
    if not backbone.changed:
        raise BackboneError("nothing was trained: the base model is all there is to export")
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    if delta.adapters:
        lines.append(_write_adapters(backbone, folder))
    if delta.rows:
        lines.append(_write_tokens(delta.rows, delta.details["tokens"], folder))
    part = FAMILIES[backbone.family].networks[0]
    if len(delta.weights) == len(backbone.pretrained.parameters):
        backbone.networks.denoiser.save_pretrained(folder / part)
        kind = type(backbone.networks.denoiser).__name__
        lines.append(f"pipe.{part} = diffusers.{kind}.from_pretrained({str(folder / part)!r})")
    elif delta.weights:
        named = {name.removeprefix("denoiser."): value for name, value in delta.weights.items()}
        save_file({name: value.contiguous() for name, value in named.items()}, folder / WEIGHTS)
        lines.append(f"harness.diffusion.export.load(pipe, {str(folder)!r})")
    return lines


def _write_adapters(backbone: Backbone, folder: Path) -> str:
    pipeline: Any = getattr(diffusers, FAMILIES[backbone.family].pipeline)
    part = FAMILIES[backbone.family].networks[0]
    denoiser = backbone.networks.denoiser
    given = {
        f"{part}_lora_layers": get_peft_model_state_dict(denoiser),
        f"{part}_lora_adapter_metadata": denoiser.peft_config["default"].to_dict(),
    }
    pipeline.save_lora_weights(folder, safe_serialization=True, **given)
    return f"pipe.load_lora_weights({str(folder)!r}, weight_name={LORA!r})"


def _write_tokens(rows: dict[str, Tensor], tokens: list[str], folder: Path) -> str:
    """Write one token's file, as diffusers has it: by token, or by text encoder where there are several."""
    if len(tokens) != 1:
        raise BackboneError(f"{len(tokens)} new tokens; diffusers' files hold one each")
    by_encoder = {name.removesuffix(".new_tokens"): row for name, row in rows.items()}
    alone = len(by_encoder) == 1
    named = {tokens[0] if alone else TABLES[name]: row.clone() for name, row in by_encoder.items()}
    save_file(named, folder / TOKENS)
    if alone:
        return f"pipe.load_textual_inversion({str(folder)!r}, weight_name={TOKENS!r}, token={tokens[0]!r})"
    return "; ".join(
        f"pipe.load_textual_inversion(rows[{TABLES[name]!r}], token={tokens[0]!r}, "
        f"text_encoder=pipe.{name}, tokenizer=pipe.{name.replace('text_encoder', 'tokenizer')})"
        for name in by_encoder
    )


@torch.no_grad()
def load(pipe: Any, folder: Path | str) -> None:
    """Put ``weights.safetensors`` of a folder into a diffusers pipeline's denoiser.

    Raises BackboneError where the pipeline has no such tensor, or one of another shape.
    """
    path = Path(folder) / WEIGHTS
    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    present = dict(denoiser.named_parameters())
    for name, value in load_file(path).items():
        if name not in present or present[name].shape != value.shape:
            raise BackboneError(f"{path}: {name} does not fit {type(denoiser).__name__}; another base model?")
        present[name].copy_(value)
