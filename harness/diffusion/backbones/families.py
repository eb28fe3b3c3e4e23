"""The families of base models: an entry each, and the module that knows the rest. Imports no torch.

An entry holds what dry runs ask. How a family's networks are read and called is its class's to say, which is
imported when a model is loaded. A new family is its module and its entry here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """A family of base models: diffusers' pipeline class, its networks, what may be requested of it.

    backbone   "module:class" of the :class:`~harness.diffusion.backbones.base.Backbone`
    networks   folders with weights, the denoiser's first; ``others`` those without
    blocks     regular expression: its match at the beginning of a parameter's name in the denoiser is the
               block that it belongs to
    crosses    whether the denoiser has cross-attention, with keys and values of the text alone
    samplers   names that ``sampling.sampler`` may take
    options    keys of a backbone in a YAML that mean something to the family
    """

    pipeline: str
    backbone: str
    networks: tuple[str, ...]
    others: tuple[str, ...]
    samplers: tuple[str, ...]
    blocks: str
    options: tuple[str, ...] = ()
    crosses: bool = True

    @property
    def denoiser(self) -> str:
        """Name of the denoiser's folder, and of its place in the pipeline."""
        return self.networks[0]

    def load_class(self) -> type[Any]:
        """Import the family's class, and torch with it."""
        module, _, name = self.backbone.partition(":")
        return getattr(importlib.import_module(module), name)


UNET = r"(down_blocks|up_blocks)\.\d+|mid_block"
DISCRETE = ("ddim", "dpmsolver++", "euler", "pndm")
FAMILIES: dict[str, Family] = {
    "sd": Family(
        "StableDiffusionPipeline",
        "harness.diffusion.backbones.stable_diffusion:StableDiffusion",
        networks=("unet", "vae", "text_encoder"),
        others=("tokenizer", "scheduler"),
        samplers=DISCRETE,
        blocks=UNET,
    ),
    "sdxl": Family(
        "StableDiffusionXLPipeline",
        "harness.diffusion.backbones.sdxl:StableDiffusionXL",
        networks=("unet", "vae", "text_encoder", "text_encoder_2"),
        others=("tokenizer", "tokenizer_2", "scheduler"),
        samplers=DISCRETE,
        blocks=UNET,
        options=("vae",),
    ),
    "sd3": Family(
        "StableDiffusion3Pipeline",
        "harness.diffusion.backbones.sd3:StableDiffusion3",
        networks=("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"),
        others=("tokenizer", "tokenizer_2", "tokenizer_3", "scheduler"),
        samplers=("euler",),
        blocks=r"transformer_blocks\.\d+",
        options=("text_encoder_3",),
        crosses=False,
    ),
}


def pipeline_parts() -> tuple[str, ...]:
    """Folders of a pipeline that some family reads; a pipeline on the Hub may hold more."""
    parts = (part for family in FAMILIES.values() for part in (*family.networks, *family.others))
    return tuple(dict.fromkeys(parts))
