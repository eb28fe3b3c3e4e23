"""DreamBooth with low-rank adapters (arXiv 2106.09685): the attention projections learn W + alpha/rank·B·A.

Defaults: the settings for Stable Diffusion 1.5 released with arXiv 2505.19519, on all four projections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.api import Count, NonNegative, NotEmpty, Personalized, Positive, Role, Subject, Word, later

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
"""Every projection of self- and cross-attention."""

JOINT = (*PROJECTIONS, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
"""Every projection of Stable Diffusion 3's joint attention, the text's own among them."""

_RANK_4 = {
    "rank": 4,
    "alpha": 4.0,
    "start": "gaussian",
    "batch": 1,
    "accumulate": 4,
    "weight_decay": 1e-4,
    "clip": 1.0,
}


@dataclass(frozen=True)
class DreamBoothLoRA:
    """Train adapters; the denoiser itself stays as it is.

    targets       endings of the names of the linear layers that get an adapter
    start         how A is drawn: Kaiming-uniform as PEFT does by default, or Gaussian of deviation 1/rank
    accumulate    micro-batches of ``batch`` per step
    precondition  compare clean latents: weights a flow's loss with σ² (Stable Diffusion 3 alone)
    prior_weight, prior_count  as in ``dreambooth``
    lr_decay      ``linear``: the learning rate falls from ``lr`` along a line that ends at 0
    """

    title: ClassVar[str] = "DreamBooth-LoRA"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {"steps": 50, "batch": 4, "lr": 6.9e-3, "lr_decay": "linear"},
        # rlgnswk/Preserve-and-Personalize @ 2da3509. SD1.5/README.md: lora_r, lora_alpha, steps, lr, decay;
        # pnp_sd15_lora.py: UNET_TARGET_MODULES, train_batch_size, max_grad_norm. λ = 1e-7, ``norm: sum, on:
        # entries``.
        "paper-sd15": {
            "steps": 500,
            "lr": 1e-4,
            "batch": 4,
            "rank": 16,
            "alpha": 27.0,
            "targets": ("to_q", "to_v"),
            "weight_decay": 0.0,
            "clip": 1.0,
        },
        # SDXL/README.md: steps, lr, batch, accumulation; pnp_sdxl_lora.py: rank, alpha = rank, Gaussian
        # start, targets, decay, max_grad_norm. λ = 1e-6.
        "paper-sdxl": {"steps": 500, "lr": 5e-4, "targets": PROJECTIONS, **_RANK_4},
        # SD3/README.md and pnp_sd3_lora.py, precondition_outputs = 1. Its penalty is never added to its loss.
        "paper-sd3": {"steps": 500, "lr": 4e-4, "targets": JOINT, **_RANK_4, "precondition": True},
        # huggingface/diffusers @ 58eb52c. examples/dreambooth/README.md, "Training with Low-Rank Adaptation":
        # steps, lr, batch; train_dreambooth_lora.py: rank, targets, decay of 1e-2.
        "diffusers-sd15": {
            "steps": 500,
            "lr": 1e-4,
            "targets": PROJECTIONS,
            **_RANK_4,
            "accumulate": 1,
            "weight_decay": 1e-2,
        },
        # README_sdxl.md and train_dreambooth_lora_sdxl.py.
        "diffusers-sdxl": {"steps": 500, "lr": 1e-4, "targets": PROJECTIONS, **_RANK_4},
        # README_sd3.md and train_dreambooth_lora_sd3.py, precondition_outputs = 1.
        "diffusers-sd3": {"steps": 500, "lr": 4e-4, "targets": JOINT, **_RANK_4, "precondition": True},
    }
    sources: ClassVar[dict[str, str]] = {
        "toybox": "experiments/tuning/search.yaml",
        "paper-sd15": "rlgnswk/Preserve-and-Personalize @ 2da3509, SD1.5/pnp_sd15_lora.py",
        "paper-sdxl": "rlgnswk/Preserve-and-Personalize @ 2da3509, SDXL/pnp_sdxl_lora.py",
        "paper-sd3": "rlgnswk/Preserve-and-Personalize @ 2da3509, SD3/pnp_sd3_lora.py",
        "diffusers-sd15": "huggingface/diffusers @ 58eb52c, examples/dreambooth/train_dreambooth_lora.py",
        "diffusers-sdxl": (
            "huggingface/diffusers @ 58eb52c, examples/dreambooth/train_dreambooth_lora_sdxl.py"
        ),
        "diffusers-sd3": "huggingface/diffusers @ 58eb52c, examples/dreambooth/train_dreambooth_lora_sd3.py",
    }

    steps: Count = 500
    lr: Positive = 1e-4
    batch: Count = 4
    rank: Count = 16
    alpha: Positive = 27.0
    targets: Annotated[tuple[Word, ...], NotEmpty] = ("to_q", "to_k", "to_v", "to_out.0")
    weight_decay: NonNegative = 0.0
    clip: Positive = 1.0
    token: Word = "sks"
    start: Literal["kaiming", "gaussian"] = later("kaiming")
    accumulate: Count = later(1)
    precondition: bool = later(False)
    lr_decay: Literal["none", "linear"] = later("none")
    prior_weight: NonNegative = later(0.0)
    prior_count: Count = later(200)

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.examples import examples_of

        phrase = f"{self.token} {subject.category}"
        prior = trainer.prior(
            backbone, f"a photo of a {subject.category}", count=self.prior_count, weight=self.prior_weight
        )
        trainer.fit(
            backbone,
            parameters=backbone.adapters(
                rank=self.rank,
                alpha=self.alpha,
                targets=self.targets,
                seed=trainer.seed,
                start=self.start,
            ),
            examples=examples_of(subject, f"a photo of a {phrase}"),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
            prior=prior,
            precondition=self.precondition,
        )
        return Personalized(phrase)
