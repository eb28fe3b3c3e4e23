"""What every method holds in memory on the released models, by arithmetic: no weights are needed or made.

    python benchmarks/memory.py

Networks are built from their released configurations on the device "meta"; methods set up their training on
them with their own defaults (``harness.sweep.memory_estimate``). Bytes are of weights, θ0, gradients and
Adam; activations come on top. "Card": the smallest of 16, 24, 40 and 80 GB that leaves a quarter of itself
free.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from released import sd3, sd15, sdxl

from harness import methods
from harness.diffusion.backbones.loading import without_weights
from harness.specs import BackboneSpec
from harness.sweep.memory_estimate import estimate

CARDS = (16, 24, 40, 80)
SPARE = 0.75
METHODS = {
    "dreambooth": "whole denoiser",
    "custom_diffusion": "K/V and a word",
    "dreambooth_lora": "LoRA, rank 16",
    "textual_inversion": "a word",
}


def rows(name: str, folder: Path) -> Iterator[str]:
    """One line of the table for each method."""
    spec = BackboneSpec(name=name, path=str(folder))
    count = None
    for method, words in METHODS.items():
        cells = []
        for precision in ("fp32", "bf16"):
            backbone = without_weights(spec, precision=precision)
            count = sum(parameter.numel() for parameter in backbone.networks.denoiser.parameters())
            kind = methods.load(method)
            memory = estimate(backbone, methods.build(kind, {}), "dog", offloaded=True)
            card = next((f"{size} GB" for size in CARDS if memory.training < SPARE * size * 1e9), "–")
            cells += [f"{memory.training / 1e9:.1f} GB", card]
        yield f"| {name} | {words} | {count:,} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table as Markdown."""
    print("| model | trained | parameters of the denoiser | float32 | card | bf16 | card |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, write in {"SD 1.5": sd15, "SDXL": sdxl, "SD 3 medium": sd3}.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            print(*rows(name, Path(folder)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
