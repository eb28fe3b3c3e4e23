"""DreamBooth (arXiv 2208.12242): the whole denoiser learns "a photo of a sks dog" from the shots.

With ``lipschitz: {penalty: λ}`` and no prior it is the method of arXiv 2505.19519, whose released settings
for Stable Diffusion 1.5 are the defaults. The text encoder stays frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api import Count, NonNegative, Personalized, Positive, Role, Subject, Word, later

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import FromBank
    from harness.diffusion.examples import Prior
    from harness.diffusion.training import Trainer

_ADAMW = {"optimizer": "adamw", "weight_decay": 1e-2, "clip": 1.0}


@dataclass(frozen=True)
class DreamBooth:
    """Fine-tune every weight of the denoiser.

    token         a rare word that stands for the subject
    prior_weight  weight of the loss on class images that the base model draws ("a photo of a dog"); 0: none
    prior_count   how many of them
    prior_prompts  ``class``: those class images; ``bank``: the bank's images of varied prior prompts instead,
                  with the noise as target, entry by entry the data of ``output_preservation``
    optimizer     Adam, or AdamW with its decoupled ``weight_decay``
    clip          largest L2 norm of the gradient; None: any
    accumulate    micro-batches of ``batch`` per step
    precondition  compare clean latents: weights a flow's loss with σ² (Stable Diffusion 3 alone)
    lr_decay      ``linear``: the learning rate falls from ``lr`` along a line that ends at 0
    """

    title: ClassVar[str] = "DreamBooth"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # Of experiments/tuning/search.yaml: plain, with class images, and what
        # goes with ``lipschitz: {penalty: 14.4}``.
        "toybox": {"steps": 50, "batch": 4, "lr": 2.58e-4, "prior_count": 32},
        "toybox-prior": {"steps": 100, "batch": 4, "lr": 2.43e-4, "prior_count": 32, "prior_weight": 0.02},
        "toybox-penalty": {"steps": 50, "batch": 4, "lr": 3.57e-4, "prior_count": 32},
        # Of experiments/tuning/rivals.yaml: with images of the bank, and what goes with
        # ``lipschitz: {penalty: 0.289, norm: activation}``.
        "toybox-bank": {
            "steps": 200,
            "batch": 4,
            "lr": 1.24e-4,
            "prior_count": 32,
            "prior_weight": 0.0836,
            "prior_prompts": "bank",
        },
        "toybox-activation": {"steps": 200, "batch": 4, "lr": 3.24e-4, "prior_count": 32},
        # rlgnswk/Preserve-and-Personalize @ 2da3509, SD1.5/pnp_sd15_full.py: num_train_steps, learning_rate,
        # batch_size, optim.Adam without decay, no clipping. Its λ = 500 is ``lipschitz: {penalty: 500}``.
        "paper-sd15": {"steps": 1000, "lr": 2e-6, "batch": 1, "optimizer": "adam"},
        # huggingface/diffusers @ 58eb52c, examples/dreambooth/README.md, "Dog toy example": steps, lr, batch;
        # train_dreambooth.py: torch.optim.AdamW, adam_weight_decay, max_grad_norm.
        "diffusers-sd15": {"steps": 400, "lr": 5e-6, "batch": 1, **_ADAMW},
        # The same README, "Training with prior-preservation loss"; its class images are the base model's.
        "diffusers-sd15-prior": {
            "steps": 800,
            "lr": 5e-6,
            "batch": 1,
            "prior_weight": 1.0,
            "prior_count": 200,
            **_ADAMW,
        },
        # README_sd3.md and train_dreambooth_sd3.py (weight decay of 1e-4, precondition_outputs = 1). There is
        # no script that trains the whole of SDXL.
        "diffusers-sd3": {
            "steps": 500,
            "lr": 1e-4,
            "batch": 1,
            "accumulate": 4,
            **_ADAMW,
            "weight_decay": 1e-4,
            "precondition": True,
        },
    }
    sources: ClassVar[dict[str, str]] = {
        "toybox": "experiments/tuning/search.yaml",
        "toybox-prior": "experiments/tuning/search.yaml",
        "toybox-penalty": "experiments/tuning/search.yaml, beside lipschitz: {penalty: 14.4}",
        "toybox-bank": "experiments/tuning/rivals.yaml",
        "toybox-activation": "experiments/tuning/rivals.yaml, beside {penalty: 0.289, norm: activation}",
        "paper-sd15": "rlgnswk/Preserve-and-Personalize @ 2da3509, SD1.5/pnp_sd15_full.py",
        "diffusers-sd15": "huggingface/diffusers @ 58eb52c, examples/dreambooth/train_dreambooth.py",
        "diffusers-sd15-prior": "huggingface/diffusers @ 58eb52c, examples/dreambooth/train_dreambooth.py",
        "diffusers-sd3": "huggingface/diffusers @ 58eb52c, examples/dreambooth/train_dreambooth_sd3.py",
    }

    steps: Count = 1000
    lr: Positive = 2e-6
    batch: Count = 1
    token: Word = "sks"
    prior_weight: NonNegative = 0.0
    prior_count: Count = 200
    optimizer: Literal["adam", "adamw"] = later("adam")
    weight_decay: NonNegative = later(0.0)
    clip: Positive | None = later(None)
    accumulate: Count = later(1)
    precondition: bool = later(False)
    lr_decay: Literal["none", "linear"] = later("none")
    prior_prompts: Literal["class", "bank"] = later("class")

    @property
    def uses_bank(self) -> bool:
        """Whether the bank is asked for."""
        return self.prior_prompts == "bank" and self.prior_weight > 0

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.examples import examples_of

        prior: Prior | FromBank | None
        if self.prior_prompts == "bank":
            prior = trainer.from_bank(backbone, weight=self.prior_weight, goal="noise")
        else:
            caption = f"a photo of a {subject.category}"
            prior = trainer.prior(backbone, caption, count=self.prior_count, weight=self.prior_weight)
        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters=backbone.parameters("denoiser"),
            examples=examples_of(subject, f"a photo of a {phrase}"),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
            prior=prior,
            precondition=self.precondition,
        )
        return Personalized(phrase)
