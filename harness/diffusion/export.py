"""A tuned model in the files that diffusers reads, and the lines of Python that load them. Knows no trial.

Low-rank adapters become ``pytorch_lora_weights.safetensors``, new tokens ``learned_embeds.safetensors``, a
fully tuned denoiser a folder of its own (``unet/`` or ``transformer/``). Some of a denoiser's tensors
(Custom Diffusion's keys and values) become ``weights.safetensors``.

Where diffusers can load them, its own loaders do. Two loaders stand here: :func:`load` for some of the
tensors (diffusers' loads nothing where PEFT is installed), and :func:`load_token` for a pipeline with several
text encoders (SD3's has no loader, and SDXL's second encoder takes a new token for the end of the text).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.families import FAMILIES, Family
from harness.diffusion.weights.delta import Delta
from harness.diffusion.weights.tokens import extend_tokenizer
from harness.errors import BackboneError

LORA, TOKENS, WEIGHTS = (
    "pytorch_lora_weights.safetensors",
    "learned_embeds.safetensors",
    "weights.safetensors",
)
TABLES = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
"""diffusers' names for the rows of a new token, where a pipeline has several text encoders."""


def write(backbone: Backbone, folder: Path) -> list[str]:
    """Write what a fit changed; return the lines of Python that load it into ``pipe``, a plain pipeline.

    The lines need ``diffusers`` and ``harness.diffusion.export`` to be imported. Raises BackboneError where
    nothing was changed.
    """
    delta, family = backbone.delta(), FAMILIES[backbone.family]
    if not backbone.changed:
        raise BackboneError("nothing was trained: the base model is all there is to export")
    if "singular_values" in delta.details:
        raise BackboneError("diffusers has no file for trained singular values; keep_weights holds them")
    if "rotations" in delta.details:
        raise BackboneError("diffusers has no file for rotations; keep_weights holds them")
    if "gate" in delta.details.get("lora", {}):
        raise BackboneError("diffusers' LoRA is always on, these adapters are not; keep_weights holds them")
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    if delta.adapters:
        lines.append(_write_adapters(backbone, family, folder))
    if delta.rows:
        lines += _write_token(delta, folder)
    part, weights = family.denoiser, backbone.adaptation.weights
    if delta.weights and len(weights.out) == len(weights.parameters):
        backbone.networks.denoiser.save_pretrained(folder / part)
        kind = type(backbone.networks.denoiser).__name__
        lines.append(f"pipe.{part} = diffusers.{kind}.from_pretrained({str(folder / part)!r})")
    elif delta.weights:
        named = {name.removeprefix("denoiser."): value for name, value in delta.weights.items()}
        save_file({name: value.contiguous() for name, value in named.items()}, folder / WEIGHTS)
        lines.append(f"harness.diffusion.export.load(pipe, {str(folder)!r})")
    return lines


def _write_adapters(backbone: Backbone, family: Family, folder: Path) -> str:
    pipeline: Any = getattr(diffusers, family.pipeline)
    part, denoiser = family.denoiser, backbone.networks.denoiser
    given = {
        f"{part}_lora_layers": get_peft_model_state_dict(denoiser),
        f"{part}_lora_adapter_metadata": denoiser.peft_config["default"].to_dict(),
    }
    pipeline.save_lora_weights(folder, safe_serialization=True, **given)
    return f"pipe.load_lora_weights({str(folder)!r}, weight_name={LORA!r})"


def _write_token(delta: Delta, folder: Path) -> list[str]:
    """Write one token's file, as diffusers has it: by token, or by text encoder where there are several."""
    tokens = delta.details["tokens"]
    if len(tokens) != 1:
        raise BackboneError(f"{len(tokens)} new tokens; diffusers' files hold one each")
    (token,) = tokens
    rows = {name.removesuffix(".new_tokens"): row.clone() for name, row in delta.rows.items()}
    if len(rows) == 1:
        save_file(dict(zip(tokens, rows.values())), folder / TOKENS)
        return [f"pipe.load_textual_inversion({str(folder)!r}, weight_name={TOKENS!r}, token={token!r})"]
    save_file({TABLES[name]: row for name, row in rows.items()}, folder / TOKENS)
    lines = [f"harness.diffusion.export.load_token(pipe, {str(folder)!r}, token={token!r})"]
    if stand_ins := delta.details.get("stand_ins"):
        instead = f"prompt.replace({token!r}, {stand_ins[0]!r})"
        lines.append(f"# T5 learns no new token; call pipe(prompt, prompt_3={instead})")
    return lines


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


@torch.no_grad()
def load_token(pipe: Any, folder: Path | str, *, token: str) -> None:
    """Teach every CLIP of a diffusers pipeline the new token of a folder's ``learned_embeds.safetensors``.

    The projected text is read at the tokenizer's end of text from then on. An encoder with the old
    ``eos_token_id: 2`` reads it at the largest id, which the new token has. Raises ValueError for a token
    that is a word already.
    """
    rows = load_file(Path(folder) / TOKENS)
    for name, table in TABLES.items():
        encoder, tokenizer = getattr(pipe, name), name.replace("text_encoder", "tokenizer")
        words = encoder.get_input_embeddings().num_embeddings
        extended = extend_tokenizer(getattr(pipe, tokenizer), [token], first=words)
        encoder.resize_token_embeddings(words + 1, mean_resizing=False)
        encoder.get_input_embeddings().weight[words] = rows[table][0]
        setattr(pipe, tokenizer, extended)
        for module in encoder.modules():
            if hasattr(module, "eos_token_id"):
                module.eos_token_id = extended.eos_token_id
