"""T-LoRA (arXiv 2507.05964): low-rank adapters whose rank falls with the noise, in training and in sampling.

r(t) = ⌊((T − t)/T)^power·(rank − least_rank)⌋ + least_rank: what is learnt from few photos at high noise is
their layout. Gradients reach the first r(t) directions alone, of each example its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.api import Count, NonNegative, NotEmpty, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class TLoRA:
    """Train adapters of a rank that depends on the timestep.

    least_rank  r₀, what is left of ``rank`` at the highest noise
    power       of the share of the schedule that lies above t
    start       ``orthogonal``: rows of A orthonormal, so that directions that are on by turns do not overlap
                at first. The paper's also decomposes B, and subtracts the start from the weights.
    targets, accumulate, precondition, lr_decay  as in ``dreambooth_lora``
    """

    title: ClassVar[str] = "T-LoRA"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {"steps": 100, "batch": 4, "lr": 3e-3, "rank": 16, "least_rank": 4, "alpha": 27.0},
        # ControlGenAI/T-LoRA @ 602c4f7, README.md: epochs of one image, ranks; train.py: rate, batch, decay,
        # alpha_rank_scale; tlora/model/lora.py: alpha = rank.
        "tlora-sdxl": {"steps": 800, "lr": 1e-4, "batch": 1, "rank": 64, "least_rank": 32, "alpha": 64.0},
    }
    sources: ClassVar[dict[str, str]] = {
        "toybox": "experiments/tuning/rivals.yaml",
        "tlora-sdxl": "ControlGenAI/T-LoRA @ 602c4f7, train.py, with A alone orthogonal",
    }

    steps: Count = 800
    lr: Positive = 1e-4
    batch: Count = 1
    rank: Count = 64
    least_rank: Count = 32
    power: Positive = 1.0
    alpha: Positive = 64.0
    targets: Annotated[tuple[Word, ...], NotEmpty] = ("to_q", "to_k", "to_v", "to_out.0")
    weight_decay: NonNegative = 1e-4
    clip: Positive | None = None
    token: Word = "sks"
    start: Literal["kaiming", "gaussian", "orthogonal"] = "orthogonal"
    accumulate: Count = 1
    precondition: bool = False
    lr_decay: Literal["none", "linear"] = "none"

    def skip(self, subject: Subject, family: str) -> str | None:
        """A rank that rises with the noise is none of the paper's."""
        if self.least_rank > self.rank:
            return f"least_rank: {self.least_rank} is above rank: {self.rank}; lower it"
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.examples import examples_of
        from harness.diffusion.weights.gates import RankOverTime

        phrase = f"{self.token} {subject.category}"
        length = int(backbone.networks.scheduler["num_train_timesteps"])
        trainer.fit(
            backbone,
            parameters=backbone.adaptation.adapters(
                rank=self.rank,
                alpha=self.alpha,
                targets=self.targets,
                seed=trainer.seed,
                start=self.start,
                gate=RankOverTime(self.rank, self.least_rank, self.power, length),
            ),
            examples=examples_of(subject, f"a photo of a {phrase}"),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
            precondition=self.precondition,
        )
        return Personalized(phrase)
