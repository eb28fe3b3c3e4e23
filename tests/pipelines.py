"""Tiny pipelines with random weights, in the format of released ones: SD 1.5, SD 2.1, SDXL, SD3.

    python tests/pipelines.py FOLDER

writes one of each: a base model to try everything with that takes no download, and teaches nothing.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path


def write_tokenizer(folder: Path) -> None:
    """Write CLIP's own byte-pair vocabulary, taken from open_clip's file, as a transformers tokenizer."""
    from open_clip.tokenizer import SimpleTokenizer

    bpe = SimpleTokenizer()
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {special.get(word, word): i for word, i in bpe.encoder.items()}
    merges = [" ".join(pair) for pair in bpe.bpe_ranks]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"})
    )


def write_stable_diffusion(folder: Path, *, prediction: str = "epsilon", seed: int = 0) -> Path:
    """Write a complete pipeline folder: 32×32 images, 8×8×4 latents, a U-Net of about 0.3 M parameters."""
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    write_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=8,
            norm_num_groups=8,
        )
        vae = tiny_autoencoder()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                bos_token_id=49406,
                eos_token_id=49407,
                pad_token_id=49407,
            )
        )
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        prediction_type=prediction,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    # As in Stable Diffusion 1.5's own file; PNDM has no use for them, but the schedulers made from it do.
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "clip_sample": False}))
    return folder


def tiny_autoencoder(**changed):
    """Images four times as wide as latents, with random weights."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        norm_num_groups=8,
        **changed,
    )


def tiny_text_encoder(kind, *, eos: int = 49407):
    """One of CLIP's text encoders, 32 wide, with random weights; 2 is how released SDXL ones call the end."""
    from transformers import CLIPTextConfig

    return kind(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            projection_dim=32,
            hidden_act="gelu",
            bos_token_id=49406,
            eos_token_id=eos,
            pad_token_id=1,
        )
    )


def write_sdxl(folder: Path, *, zeros: bool = True, seed: int = 0) -> Path:
    """Write a complete SDXL folder: 32×32 images, two text encoders, sizes as added conditioning."""
    import torch
    from diffusers import (
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    for part in ("tokenizer", "tokenizer_2"):
        write_tokenizer(folder / part)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=64,
            attention_head_dim=(2, 4),
            norm_num_groups=8,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        )
        vae = tiny_autoencoder(scaling_factor=0.13025)
        first = tiny_text_encoder(CLIPTextModel)
        second = tiny_text_encoder(CLIPTextModelWithProjection, eos=2)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2", pad_token="!"),
        unet=unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def tiny_t5_tokenizer():
    """A tokenizer of bytes-as-letters in T5's form: pad 0, end of text 1, unknown 2."""
    from transformers import T5TokenizerFast

    letters = "▁abcdefghijklmnopqrstuvwxyz<>0123456789"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -2.0) for letter in letters)]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=256)


def write_sd3(folder: Path, *, seed: int = 0) -> Path:
    """Write a complete SD3 folder: 32×32 images, two CLIP text encoders and T5, flow matching."""
    import torch
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5Config, T5EncoderModel

    for part in ("tokenizer", "tokenizer_2"):
        write_tokenizer(folder / part)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=64,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            out_channels=4,
            pos_embed_max_size=8,
        )
        vae = tiny_autoencoder(
            scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False
        )
        first = tiny_text_encoder(CLIPTextModelWithProjection)
        second = tiny_text_encoder(CLIPTextModelWithProjection, eos=2)
        sizes = {"d_model": 64, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 2}
        third = T5EncoderModel(T5Config(vocab_size=64, **sizes))
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=first,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder_2=second,
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2", pad_token="!"),
        text_encoder_3=third,
        tokenizer_3=tiny_t5_tokenizer(),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


WRITERS = {
    "sd15": write_stable_diffusion,
    "sd21": partial(write_stable_diffusion, prediction="v_prediction"),
    "sdxl": write_sdxl,
    "sd3": write_sd3,
}


def main(folder: Path) -> None:
    """Write every pipeline that is not there yet."""
    for name, write in WRITERS.items():
        path = folder / name
        if not path.exists():
            write(path)
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
