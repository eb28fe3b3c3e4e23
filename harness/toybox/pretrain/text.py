"""Stage ``text``: toybox-sd's own text tower, a small CLIPTextModel over the real CLIP vocabulary.

It learns by telling a scene's attributes from its caption, read out of the last hidden states by
cross-attention, as the U-Net will read them. What a caption leaves out has the prior as its best answer, so
silence becomes a state of its own. Rare tokens stand in some captions and tell nothing: known words, bound to
nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from harness.toybox.captions import caption
from harness.toybox.pretrain import shipping
from harness.toybox.pretrain.loop import Draw, TrainingSchedule, averaged, shortened, train
from harness.toybox.scenes.attributes import LABELS, numbers
from harness.toybox.scenes.world import sample_scene
from harness.toybox.tokenizer import LENGTH, tokenizer

WIDTH = 160
ARCHITECTURE: dict[str, Any] = {
    "vocab_size": 49_408,
    "hidden_size": WIDTH,
    "intermediate_size": 4 * WIDTH,
    "projection_dim": WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": LENGTH,
    "hidden_act": "quick_gelu",
    "bos_token_id": 49_406,
    "eos_token_id": 49_407,
    "pad_token_id": 49_407,
}
COURSE = TrainingSchedule(
    pictures=150_000, batch=128, warmup=100, cooldown=0.4, average=0.99, seed=12, evaluate_every=25_000
)
DROP, RARE = 0.3, 0.1
BLUR = 0.3


class Reader(nn.Module):
    """The text tower with its readout: one query per attribute, cross-attention, one classifier each."""

    def __init__(self) -> None:
        super().__init__()
        self.text = CLIPTextModel(CLIPTextConfig(**ARCHITECTURE))
        self.queries = nn.Parameter(torch.randn(len(LABELS), WIDTH) * 0.5)
        self.attention = nn.MultiheadAttention(WIDTH, 5, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, len(labels)) for labels in LABELS.values())

    def forward(self, tokens: Tensor, noise: Tensor | None = None) -> list[Tensor]:
        """Logits per attribute of tokens [n, length]; ``noise`` [n, length, width] blurs hidden states."""
        hidden = self.text(tokens).last_hidden_state
        if noise is not None:
            hidden = hidden + noise
        queries = self.queries.expand(len(tokens), -1, -1)
        read = self.norm(queries + self.attention(queries, hidden, hidden, need_weights=False)[0])
        return [head(read[:, number]) for number, head in enumerate(self.heads)]


def build() -> Reader:
    """Make the tower and its readout with their initial weights."""
    torch.manual_seed(COURSE.seed)
    return Reader()


def tokenize(captions: list[str], length: int | None = LENGTH) -> Tensor:
    """Token numbers padded with the end token to ``length`` (None: to the longest): int64 [n, length]."""
    padding = {"padding": "longest"} if length is None else {"padding": "max_length", "max_length": length}
    return tokenizer()(captions, truncation=True, return_tensors="pt", **padding).input_ids


def draw_captions(rng: np.random.Generator, count: int, *, drop: float, rare: float) -> tuple[Tensor, Tensor]:
    """Scenes' captions as tokens, padded to a random length, and the scenes' attributes."""
    scenes = [sample_scene(rng) for _ in range(count)]
    tokens = tokenize([caption(scene, rng, drop=drop, rare=rare) for scene in scenes], None)
    padding = int(rng.integers(LENGTH - tokens.shape[1] + 1))
    return F.pad(tokens, (0, padding), value=ARCHITECTURE["pad_token_id"]), numbers(scenes)


def attribute_loss(logits: list[Tensor], targets: Tensor) -> Tensor:
    """Mean cross-entropy over attributes: logits [n, values] of each, targets int64 [n, attributes]."""
    losses = [F.cross_entropy(one.float(), target) for one, target in zip(logits, targets.T, strict=True)]
    return torch.stack(losses).mean()


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on captions of fresh scenes (no images); the curve holds accuracies on full captions."""
    course = shortened(COURSE, pictures, cooldown)
    tokens, targets = draw_captions(np.random.default_rng(1_012), 500, drop=0.0, rare=0.0)

    def loss(network: Any, draw: Draw) -> Tensor:
        tokens, targets = draw_captions(draw.numpy, course.batch, drop=DROP, rare=RARE)
        return attribute_loss(network(tokens, BLUR * draw.normal(*tokens.shape, WIDTH)), targets)

    def evaluate(network: Any) -> dict[str, float]:
        right = [(one.argmax(1) == target).float().mean().item()
                 for one, target in zip(network(tokens), targets.T, strict=True)]  # fmt: skip
        return dict(zip(LABELS, right, strict=True))

    train("text", build(), loss=loss, evaluate=evaluate, course=course, workdir=workdir)


def trained(workdir: Path) -> Any:
    """The averaged text tower of the working folder, without its readout."""
    return averaged("text", build(), workdir).text


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``sd/text_encoder``."""
    trained(workdir).half().save_pretrained(weights / "sd" / "text_encoder")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``sd/text_encoder``; the readout, which is not shipped, with its initial weights."""
    network = build()
    shipping.read(network.text, weights / "sd" / "text_encoder" / shipping.TRANSFORMERS_FILE)
    shipping.begin("text", network, course=COURSE, workdir=workdir)
