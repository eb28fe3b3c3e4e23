"""Custom Diffusion (arXiv 2212.04488): keys and values of cross-attention, and a new word before the class
noun.

Defaults: the settings for Stable Diffusion 1.5 released with arXiv 2505.19519, with the original's 200
regularization images (drawn by the base model) at weight 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api import (
    Count,
    NonNegative,
    Personalized,
    Positive,
    Role,
    Share,
    Subject,
    Template,
    Word,
    later,
)

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.objective import Reduction
    from harness.diffusion.training import Trainer

_PAIRS = {"batch": 2, "weight_decay": 1e-2, "clip": 1.0, "token": "<new1>", "init": "ktn", "flip": True}


@dataclass(frozen=True)
class CustomDiffusion:
    """Fine-tune ``to_k`` and ``to_v`` of every cross-attention and the row of a new word.

    Stable Diffusion 3 has no cross-attention: those of its joint attention instead, as the authors do.

    Where there is cross-attention, the loss is that of the published code: an image's squares summed over
    channels and its mask, divided by the mask's area (SDXL without class images: the plain mean, the mask
    without effect), so that weights of other terms act against as many times a mean as there are channels.

    init               the rare word that the new one starts from
    prior_weight       weight of the loss on class images; 0: none
    added_kv           also the text's keys and values in joint attention (Stable Diffusion 3 alone)
    flip, scale        augmentation: mirror images, of the class as well; shrunk and enlarged images
    scale_named        captions say that an image was shrunk or enlarged
    whole_from         an image that would keep this share of the side is not shrunk
    learn_token        False: ``token`` is a known word, and nothing but keys and values is trained
    template           the caption, with one ``{}``
    accumulate         micro-batches of ``batch`` per step
    precondition       compare clean latents: weights a flow's loss with σ² (Stable Diffusion 3 alone)
    start_token        detached, as published: no gradient flows through the first token's key and value in
                       any cross-attention; trained: it does, as in joint attention always
    lr_decay           ``linear``: the learning rate falls from ``lr`` along a line that ends at 0
    """

    title: ClassVar[str] = "Custom Diffusion"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 2
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # "ktn" is a piece of words in CLIP's vocabulary, and no word of Toybox has it; "sks" is known there.
        "toybox": {
            "steps": 100,
            "lr": 4.24e-4,
            "scale": False,
            "prior_weight": 0.0,
            "prior_count": 32,
            "init": "sks",
        },
        # rlgnswk/Preserve-and-Personalize @ 2da3509. SD1.5/README.md: steps, batch, lr of 3e-5 that
        # --scale_lr multiplies by 2, --hflip, no class images; pnp_sd15_custom_diffusion.py: decay,
        # max_grad_norm, initializer_token; src/diffusers_data_pipeline.py: scales, and from .6 of the side
        # on whole images. λ = 175.
        "paper-sd15": {
            "steps": 250,
            "lr": 6e-5,
            "scale": True,
            "whole_from": 0.6,
            **_PAIRS,
            "prior_weight": 0.0,
        },
        # SDXL/README.md: lr of 5e-5 × 2; src/diffusers_data_pipeline.py: the same scales, but the token ids
        # of pnp_sdxl_custom_diffusion.py are those of the plain prompt: captions do not name them. λ = 50.
        "paper-sdxl": {
            "steps": 250,
            "lr": 1e-4,
            "scale": True,
            "scale_named": False,
            "whole_from": 0.6,
            **_PAIRS,
            "prior_weight": 0.0,
        },
        # SD3/README.md: steps, lr, 1 × 4, "a photo of a sks cat"; pnp_sd3_custom_diffusion.py: decay,
        # max_grad_norm, precondition_outputs, keys and values of the picture alone, no new word. λ = 10.1.
        "paper-sd3": {
            "steps": 500,
            "lr": 1e-4,
            "batch": 1,
            "accumulate": 4,
            "weight_decay": 1e-4,
            "clip": 1.0,
            "token": "sks",
            "learn_token": False,
            "template": "a photo of a {}",
            "prior_weight": 0.0,
            "flip": False,
            "scale": False,
            "precondition": True,
        },
        # huggingface/diffusers @ 58eb52c, examples/custom_diffusion/README.md, "Cat example": steps, batch,
        # lr of 1e-5 that --scale_lr multiplies by 2 (batch) and 2 (prior preservation) on one GPU, 200 class
        # images (real ones, retrieved; here the base model's); train_custom_diffusion.py: decay, clipping.
        "diffusers-sd15": {
            "steps": 250,
            "lr": 4e-5,
            "scale": True,
            **_PAIRS,
            "prior_weight": 1.0,
            "prior_count": 200,
        },
    }
    sources: ClassVar[dict[str, str]] = {
        "toybox": "experiments/tuning/search.yaml",
        "paper-sd15": "rlgnswk/Preserve-and-Personalize @ 2da3509, SD1.5/pnp_sd15_custom_diffusion.py",
        "paper-sdxl": "rlgnswk/Preserve-and-Personalize @ 2da3509, SDXL/pnp_sdxl_custom_diffusion.py",
        "paper-sd3": "rlgnswk/Preserve-and-Personalize @ 2da3509, SD3/pnp_sd3_custom_diffusion.py",
        "diffusers-sd15": (
            "huggingface/diffusers @ 58eb52c, examples/custom_diffusion/train_custom_diffusion.py"
        ),
    }

    steps: Count = 250
    lr: Positive = 6e-5
    batch: Count = 2
    weight_decay: NonNegative = 1e-2
    clip: Positive = 1.0
    token: Word = "<new1>"
    init: Word = "ktn"
    prior_weight: NonNegative = 1.0
    prior_count: Count = 200
    flip: bool = True
    scale: bool = True
    added_kv: bool = False
    learn_token: bool = later(True)
    template: Template = later("photo of a {}")
    accumulate: Count = later(1)
    precondition: bool = later(False)
    scale_named: bool = later(True)
    whole_from: Share = later(1.0)
    start_token: Literal["detached", "trained"] = later("detached")
    lr_decay: Literal["none", "linear"] = later("none")

    def skip(self, subject: Subject, family: str) -> str | None:
        """Only joint attention has keys and values of its own for the text."""
        if not self.added_kv or family in ("", "sd3"):
            return None
        return f"added_kv: the family {family!r} has cross-attention and no added keys and values"

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.augment import Augment
        from harness.diffusion.examples import examples_of

        prior = trainer.prior(
            backbone,
            self.template.format(subject.category),
            count=self.prior_count,
            weight=self.prior_weight,
            mirrored=self.flip,
        )
        augment = Augment(
            flip=self.flip,
            scale=self.scale,
            named=self.scale_named,
            whole_from=self.whole_from,
            filter="bilinear",
        )
        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters={
                **backbone.parameters("cross_attention_kv"),
                **(backbone.parameters("added_kv") if self.added_kv else {}),
                **(backbone.token_rows([self.token], init=[self.init]) if self.learn_token else {}),
            },
            examples=examples_of(subject, self.template.format(phrase)),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
            prior=prior,
            precondition=self.precondition,
            augment=augment,
            reduction=_reduction(backbone.family, bool(prior)),
            start=self.start_token,
        )
        return Personalized(phrase)


def _reduction(family: str, with_prior: bool) -> Reduction:
    """How the published scripts average: by the mask's area, or in SDXL's without class images and SD 3's
    over everything.
    """
    return "whole" if family == "sd3" or (family == "sdxl" and not with_prior) else "area"
