"""Token-aware LoRA (arXiv 2508.08812): adapters that are on where a prompt speaks of the subject.

Low-rank adapters on the keys and values of cross-attention, on at and after the identifier's token: a prompt
without it gets the base model's prediction, bit for bit. The paper's adapters are on at that token alone, it
adapts queries and self-attention too, which are always on, and it adds a loss on attention maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api import Count, NonNegative, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer

KEYS_AND_VALUES = ("attn2.to_k", "attn2.to_v")
"""Of cross-attention in a U-Net."""


@dataclass(frozen=True)
class TokenLoRA:
    """Train adapters of keys and values that look at the identifier and at what comes after it.

    start, accumulate, lr_decay  as in ``dreambooth_lora``
    """

    title: ClassVar[str] = "Token-LoRA"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {"steps": 50, "batch": 4, "lr": 1.48e-2, "rank": 16, "alpha": 16.0},
        # YuqiPeng77/TARA @ 1b5c722. README.md, "Train on Stable Diffusion 1.5": steps, lr, batch;
        # train_dreambooth_tara_sd.py: lora_r, lora_alpha, adam_weight_decay, max_grad_norm.
        "tara-sd15": {"steps": 1000, "lr": 1e-4, "batch": 1, "rank": 8, "alpha": 32.0},
    }
    sources: ClassVar[dict[str, str]] = {
        "toybox": "experiments/tuning/rivals.yaml",
        "tara-sd15": "YuqiPeng77/TARA @ 1b5c722, train_dreambooth_tara_sd.py, without its attention loss",
    }

    steps: Count = 1000
    lr: Positive = 1e-4
    batch: Count = 1
    rank: Count = 8
    alpha: Positive = 32.0
    weight_decay: NonNegative = 1e-2
    clip: Positive | None = 1.0
    token: Word = "sks"
    start: Literal["kaiming", "gaussian", "orthogonal"] = "gaussian"
    accumulate: Count = 1
    lr_decay: Literal["none", "linear"] = "none"

    def skip(self, subject: Subject, family: str) -> str | None:
        """Stable Diffusion 3 has no cross-attention, and its text is no one sequence of tokens."""
        if family == "sd3":
            return "token_lora needs cross-attention to one sequence of tokens; sd3 has joint attention"
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.examples import examples_of
        from harness.diffusion.weights.gates import FromToken

        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters=backbone.adaptation.adapters(
                rank=self.rank,
                alpha=self.alpha,
                targets=KEYS_AND_VALUES,
                seed=trainer.seed,
                start=self.start,
                gate=FromToken.of(backbone, self.token),
            ),
            examples=examples_of(subject, f"a photo of a {phrase}"),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
        )
        return Personalized(phrase)
