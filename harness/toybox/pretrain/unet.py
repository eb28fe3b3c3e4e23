"""Stage ``unet``: the denoiser of toybox-sd, an epsilon-predicting UNet2DConditionModel on 8x8 latents.

Latents are encoded once and kept; captions are drawn afresh for every picture at every step and pass through
the frozen text tower on the way. A tenth of them is empty, for classifier-free guidance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from harness.files import write_atomically
from harness.toybox.captions import caption
from harness.toybox.pretrain import autoencoder, shipping, text
from harness.toybox.pretrain.loop import Course, Draw, averaged, shortened, train
from harness.toybox.pretrain.renders import Pool, as_signed

ARCHITECTURE: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 16,
    "out_channels": 16,
    "block_out_channels": (96, 192),
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    "layers_per_block": 1,
    "cross_attention_dim": text.WIDTH,
    "attention_head_dim": 6,  # diffusers' name; the number of heads, as in Stable Diffusion 1.5
    "norm_num_groups": 16,
}
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1_000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.35.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
COURSE = Course(
    pictures=1_000_000, batch=96, warmup=200, cooldown=0.2, average=0.9985, seed=13, evaluate_every=32_000
)
DROP, RARE, EMPTY = 0.3, 0.08, 0.1
GAMMA = 5.0


def build() -> Any:
    """Make the network with its initial weights."""
    torch.manual_seed(COURSE.seed)
    network: Any = UNet2DConditionModel(**ARCHITECTURE)
    network.set_attn_processor(AttnProcessor())  # plain products: 5.7 ms a picture against 8.6, fused
    return network


def alphas() -> Tensor:
    """The schedule's cumulative products, ᾱ_t: float32 [1000]."""
    scheduler: Any = DDIMScheduler(**SCHEDULE)
    return scheduler.alphas_cumprod


def noised(latents: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε for ᾱ_t of each row."""
    alpha = alpha[:, None, None, None]
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def denoising_errors(
    network: Any,
    latents: Tensor,
    hidden: Tensor,
    steps: Tensor,
    noise: Tensor,
    alpha_bar: Tensor,
) -> Tensor:
    """Mean squared error of the predicted noise for each row: float32 [n]."""
    output = network(noised(latents, noise, alpha_bar[steps]), steps, hidden, return_dict=False)[0]
    return (output.float() - noise).square().mean(dim=(1, 2, 3))


def snr_weights(alpha: Tensor) -> Tensor:
    """min(SNR, γ) / SNR of each ᾱ (Hang et al. 2023, for ε-prediction)."""
    snr = alpha / (1 - alpha)
    return snr.clamp_max(GAMMA) / snr


def spread_steps(draw: Draw, count: int, total: int) -> Tensor:
    """Time steps spread evenly over the batch, each uniform on its own: int64 [count] in [0, total)."""
    places = (torch.arange(count) + torch.rand(count, generator=draw.torch)) / count
    return (places * total).long().clamp_max(total - 1)


class Latents:
    """The latents of a pool's pictures, encoded once: mean and deviation, float16, scaled."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    @classmethod
    def of(cls, network: Any, pool: Pool, path: Path) -> Latents:
        """Read ``path``, or encode the pool and write it there in one move."""
        if not path.exists():
            latents = encode(network, pool)
            write_atomically(path, lambda file: np.save(file, latents))
        return cls(np.load(path, mmap_mode="r"))

    def draw(self, indices: np.ndarray, noise: Tensor) -> Tensor:
        """Sample latents at ``indices``: float32 [n, 16, 8, 8]."""
        mean, deviation = torch.from_numpy(self.values[indices]).float().unbind(dim=1)
        return mean + deviation * noise


@torch.no_grad()
def encode(network: Any, pool: Pool, *, batch: int = 100) -> np.ndarray:
    """Encode a pool: float16 [n, 2, 16, 8, 8], mean and deviation."""
    rows = []
    for start in range(0, len(pool), batch):
        pictures = as_signed(pool.pictures(range(start, min(start + batch, len(pool)))))
        latent = network.encode(pictures).latent_dist
        rows.append(torch.stack([latent.mean, latent.std], dim=1) * network.config.scaling_factor)
    return torch.cat(rows).half().numpy()


def pool_latents(workdir: Path, pool: str) -> Latents:
    """The latents of a pool under the trained autoencoder."""
    network, source = autoencoder.trained(workdir), Pool(workdir, pool)
    name = f"{pool}-{len(source)}-{autoencoder.digest(network)}.npy"
    return Latents.of(network, source, workdir / "latents" / name)


def draw_captions(pool: Pool, indices: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Tokens of a fresh caption of each scene, some of them empty."""
    captions = [
        "" if rng.random() < EMPTY else caption(pool.scenes[index], rng, drop=DROP, rare=RARE)
        for index in indices
    ]
    return text.tokenize(captions)


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on named looks; the curve holds the error at fixed noise on unseen scenes of both splits."""
    course = shortened(COURSE, pictures, cooldown)
    pool, latents, tower, alpha_bar = (
        Pool(workdir, "named"),
        pool_latents(workdir, "named"),
        text.trained(workdir),
        alphas(),
    )
    unseen = {name: unseen_batch(workdir, name, tower) for name in ("validation", "validation_heldout")}

    def loss(network: Any, draw: Draw) -> Tensor:
        indices = draw.numpy.integers(len(pool), size=course.batch)
        x0, noise = (draw.normal(course.batch, 16, 8, 8) for _ in range(2))
        x0 = latents.draw(indices, x0)
        with torch.no_grad():
            hidden = tower(draw_captions(pool, indices, draw.numpy)).last_hidden_state
        steps = spread_steps(draw, course.batch, len(alpha_bar))
        errors = denoising_errors(network, x0, hidden, steps, noise, alpha_bar)
        return (errors * snr_weights(alpha_bar[steps])).mean()

    def evaluate(network: Any) -> dict[str, float]:
        return {
            name: denoising_errors(network, *batch, alpha_bar).mean().item() for name, batch in unseen.items()
        }

    train(
        "unet", build(), loss=loss, evaluate=evaluate, course=course, workdir=workdir,
        encoder=autoencoder.encoder_digest(workdir),
    )  # fmt: skip


@torch.no_grad()
def unseen_batch(
    workdir: Path, name: str, tower: Any, count: int = 256
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents, hidden states, time steps and noise of an evaluation, always the same."""
    draw, pool, indices = Draw.of(1_013, 0), Pool(workdir, name), np.arange(count)
    noise = draw.normal(count, 16, 8, 8)
    x0 = pool_latents(workdir, name).draw(indices, torch.zeros(1))
    tokens = text.tokenize([caption(pool.scenes[index], draw.numpy, drop=0.0) for index in indices])
    return x0, tower(tokens).last_hidden_state, spread_steps(draw, count, 1_000), noise


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``sd/unet``, ``sd/scheduler`` and the index of the pipeline's parts."""
    network = averaged("unet", build(), workdir, encoder=autoencoder.encoder_digest(workdir))
    network.half().save_pretrained(weights / "sd" / "unet")
    scheduler: Any = DDIMScheduler(**SCHEDULE)
    scheduler.save_pretrained(weights / "sd" / "scheduler")
    (weights / "sd" / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``sd/unet``."""
    network = shipping.read(build(), weights / "sd" / "unet" / shipping.DIFFUSERS_FILE)
    shipping.begin("unet", network, course=COURSE, workdir=workdir)
