"""Class images drawn from the base model, for prior preservation; cached together with what they cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from harness.diffusion.sampling import Report, sample_images
from harness.diffusion.seeds import named_seed
from harness.diffusion.versions import SAMPLING_VERSION

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone


def prior_images(
    backbone: Backbone, prompt: str, count: int, *, progress: Report | None = None
) -> tuple[list[Image.Image], float]:
    """Draw ``count`` images of ``prompt`` from the base model; return them and the seconds that it took when
    they were made.

    Their seeds depend on the prompt and the index alone, so that all trials share them. Raises ValueError if
    the backbone was changed already: the images would not be the base model's.
    """
    if backbone.changed:
        raise ValueError(
            "prior images must be drawn before anything of the backbone is handed out for training"
        )

    sampler, steps, guidance = backbone.prior_sampling

    def compute() -> dict[str, Tensor]:
        started = time.perf_counter()
        images = sample_images(
            backbone,
            [prompt] * count,
            seeds=[named_seed("prior", prompt, i) for i in range(count)],
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            report=progress,
        )
        seconds = torch.tensor(time.perf_counter() - started, dtype=torch.float64)
        return {"pictures": images, "seconds": seconds}

    content = {
        **backbone.identity,
        "prompt": prompt,
        "count": count,
        "sampler": [sampler, steps, guidance],
        "version": SAMPLING_VERSION,
    }
    entry = backbone.cache.tensors("prior", content, compute)
    images = [Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()) for image in entry["pictures"]]
    return images, float(entry["seconds"])
