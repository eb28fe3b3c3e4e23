"""Stage ``clip``: toybox-clip, a small open_clip model of images and captions.

It sees wider looks than the generator does. Attributes are left out of captions at random, and two images
with the same caption count as the same: their pair is masked in the loss.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.toybox.captions import caption
from harness.toybox.pretrain import shipping
from harness.toybox.pretrain.loop import Draw, TrainingSchedule, averaged, shortened, train
from harness.toybox.pretrain.renders import Pool

ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49_408, "width": 128, "heads": 4, "layers": 3},
}
NAME = "toybox-clip"
COURSE = TrainingSchedule(
    pictures=500_000, batch=256, warmup=200, cooldown=0.3, average=0.995, seed=14, evaluate_every=50_000
)
WIDE_SHARE = 0.4
DROP, RARE = 0.2, 0.03


def build() -> Any:
    """Make the network with its initial weights."""
    torch.manual_seed(COURSE.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.json"
        path.write_text(json.dumps(ARCHITECTURE))
        open_clip.add_model_config(path)
        return open_clip.create_model(NAME)


def normalized(images: Tensor) -> Tensor:
    """uint8 [n, 3, h, w] to what the network expects: float32, CLIP's own mean and deviation per channel."""
    mean, deviation = (
        torch.tensor(v)[:, None, None] for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    return (images.float() / 255 - mean) / deviation


def encode_captions(network: Any, tokens: Tensor) -> Tensor:
    """``network.encode_text``, normalized: int64 [n, length] to float32 [n, width].

    Tokens are cut after the longest caption: padding is never seen.
    """
    length = int(tokens.argmax(dim=1).max()) + 1
    tokens = tokens[:, :length]
    states = network.token_embedding(tokens) + network.positional_embedding[:length]
    states = network.transformer(states, attn_mask=network.attn_mask[:length, :length].to(states.dtype))
    last = network.ln_final(states)[torch.arange(len(tokens)), tokens.argmax(dim=1)]
    return F.normalize(last.float() @ network.text_projection, dim=-1)


def contrastive_loss(images: Tensor, captions: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric cross-entropy of normalized features; ``same`` [n, n] marks pairs of equal captions."""
    others = same & ~torch.eye(len(same), dtype=torch.bool)
    logits = (scale * images @ captions.T).float().masked_fill(others, -torch.inf)
    targets = torch.arange(len(logits))
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def recall(network: Any, images: Tensor, captions: list[str], *, among: int = 100) -> float:
    """Share of captions whose own image, of uint8 [n, 3, h, w], is the nearest of ``among``."""
    shown = network.encode_image(normalized(images), normalize=True).split(among)
    said = encode_captions(network, open_clip.tokenize(captions)).split(among)
    hits = [
        (text @ image.T).argmax(1) == torch.arange(len(text)) for text, image in zip(said, shown, strict=True)
    ]
    return torch.cat(hits).float().mean().item()


def distinct(pool: Pool, count: int) -> tuple[Tensor, list[str]]:
    """Images with full captions, no caption twice."""
    rng = np.random.default_rng(1_014)
    chosen: dict[str, int] = {}
    for index, scene in enumerate(pool.scenes):
        chosen.setdefault(caption(scene, rng, drop=0.0), index)
    captions = list(chosen)[:count]
    return pool.pictures([chosen[text] for text in captions]), captions


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on named and wide looks; the curve holds recall among 100 unseen images of three kinds."""
    course = shortened(COURSE, pictures, cooldown)
    pools = Pool(workdir, "named"), Pool(workdir, "wide")
    kinds = ("validation", "validation_heldout", "validation_wide")
    unseen = {name: distinct(Pool(workdir, name), 500) for name in kinds}
    wide = round(WIDE_SHARE * course.batch)

    def loss(network: Any, draw: Draw) -> Tensor:
        shown, said = [], []
        for pool, count in zip(pools, (course.batch - wide, wide), strict=True):
            indices = draw.numpy.integers(len(pool), size=count)
            shown.append(pool.pictures(indices))
            said += [caption(pool.scenes[index], draw.numpy, drop=DROP, rare=RARE) for index in indices]
        tokens = open_clip.tokenize(said)
        same = (tokens[:, None] == tokens[None]).all(dim=2)
        features = network.encode_image(normalized(torch.cat(shown)), normalize=True)
        return contrastive_loss(
            features.float(), encode_captions(network, tokens), network.logit_scale.exp().clamp_max(100), same
        )

    def evaluate(network: Any) -> dict[str, float]:
        return {f"recall_{name}": recall(network, *batch) for name, batch in unseen.items()}

    train("clip", build(), loss=loss, evaluate=evaluate, course=course, workdir=workdir)


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``clip.json``, open_clip's model configuration, and ``clip.safetensors``."""
    shipping.write(averaged("clip", build(), workdir), weights / "clip.safetensors")
    (weights / "clip.json").write_text(json.dumps(ARCHITECTURE, indent=2) + "\n")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``clip.safetensors``."""
    network = shipping.read(build(), weights / "clip.safetensors")
    shipping.begin("clip", network, course=COURSE, workdir=workdir)
