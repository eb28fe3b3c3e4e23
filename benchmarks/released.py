"""The released models' shapes: folders with their configurations, and no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, T5Config

from harness.toybox.loading import pipeline_folder

CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
          "projection_dim": 768, "vocab_size": 49408}  # fmt: skip
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
          "projection_dim": 1280, "vocab_size": 49408}  # fmt: skip
T5_XXL = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24, "vocab_size": 32128,
          "feed_forward_proj": "gated-gelu"}  # fmt: skip
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
}
XL: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
THREE: dict[str, Any] = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "pos_embed_max_size": 192,
}


def sd15(folder: Path) -> None:
    """Stable Diffusion 1.5."""
    with torch.device("meta"):
        UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).save_config(
            folder / "unet"
        )
        AutoencoderKL(**VAE).save_config(folder / "vae")
    _clip(folder, "", CLIP_L)
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    _rest(folder, "StableDiffusionPipeline", PNDMScheduler(**betas, skip_prk_steps=True, steps_offset=1))


def sdxl(folder: Path) -> None:
    """Stable Diffusion XL."""
    with torch.device("meta"):
        UNet2DConditionModel(**XL).save_config(folder / "unet")
        AutoencoderKL(**VAE).save_config(folder / "vae")
    _clip(folder, "", CLIP_L)
    _clip(folder, "_2", CLIP_G)
    _rest(folder, "StableDiffusionXLPipeline", EulerDiscreteScheduler(beta_schedule="scaled_linear"))


def sd3(folder: Path) -> None:
    """Stable Diffusion 3 medium, with T5."""
    with torch.device("meta"):
        SD3Transformer2DModel(**THREE).save_config(folder / "transformer")
        AutoencoderKL(**VAE, latent_channels=16, use_quant_conv=False, use_post_quant_conv=False).save_config(
            folder / "vae"
        )
    _clip(folder, "", CLIP_L)
    _clip(folder, "_2", CLIP_G)
    T5Config(**T5_XXL).save_pretrained(folder / "text_encoder_3")
    (folder / "tokenizer_3").mkdir()
    _letters().save_pretrained(folder / "tokenizer_3")
    _rest(folder, "StableDiffusion3Pipeline", FlowMatchEulerDiscreteScheduler(shift=3.0))


def _clip(folder: Path, number: str, sizes: dict[str, Any]) -> None:
    CLIPTextConfig(**sizes).save_pretrained(folder / f"text_encoder{number}")
    (folder / f"tokenizer{number}").mkdir()
    for path in (Path(pipeline_folder()) / "tokenizer").iterdir():
        (folder / f"tokenizer{number}" / path.name).write_bytes(path.read_bytes())


def _letters() -> Any:
    """Any tokenizer of T5's form will do: nothing is read with it."""
    from transformers import T5TokenizerFast

    return T5TokenizerFast(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)], extra_ids=0)


def _rest(folder: Path, pipeline: str, scheduler: Any) -> None:
    scheduler.save_config(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
