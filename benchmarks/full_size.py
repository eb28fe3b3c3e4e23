"""The paper's method on Stable Diffusion 1.5 at its true size, on a CPU: memory and seconds of two steps.

    python benchmarks/full_size.py [--folder DIR] [--threads 2] [--steps 2]

The weights are random (5 GB are written to DIR, or to a temporary folder); shapes, precision and everything
that is kept are those of a real run: DreamBooth with the Lipschitz penalty, 512 pixels, float32, Adam,
gradient checkpointing, autoencoder and text encoder gone once latents and captions are encoded.
Needs 21 GB of memory that nobody else uses.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GB = 1e9


def write(folder: Path) -> None:
    """Write a pipeline of Stable Diffusion 1.5's architecture with random weights."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from released import sd15
    from transformers import CLIPTextConfig, CLIPTextModel

    sd15(folder)
    torch.manual_seed(0)
    for part, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        network = kind.from_config(kind.load_config(folder / part))
        network.save_pretrained(folder / part, max_shard_size="20GB")
    text = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
    text.save_pretrained(folder / "text_encoder")


def measure(folder: Path, threads: int, steps: int) -> None:
    """Train, and print what it took. In a process of its own, whose peak memory is the answer."""
    import torch
    from PIL import Image

    from baselines.dreambooth import DreamBooth
    from harness.api import Lipschitz, Subject
    from harness.diffusion.backbones.loading import load_backbone, without_weights
    from harness.diffusion.training import Trainer
    from harness.specs import BackboneSpec, Execution
    from harness.sweep.memory_estimate import estimate

    torch.set_num_threads(threads)
    execution = Execution(gradient_checkpointing=True)
    method = DreamBooth(steps=steps)
    empty = without_weights(BackboneSpec(name="sd15", path=str(folder)), execution=execution)
    reckoned = estimate(empty, method, "dog", offloaded=True)
    backbone = load_backbone(str(folder), execution=execution)
    backbone.offload.target = torch.device("meta")  # what is offloaded is not needed again: nowhere
    marks = [time.perf_counter()]

    def progress(stage: str, done: int, total: int, loss: float | None) -> None:
        marks.append(time.perf_counter())
        print(f"  step {done} of {total}: loss {loss:.4f}, {marks[-1] - marks[-2]:.1f} s", flush=True)

    trainer = Trainer(seed=0, lipschitz=Lipschitz(penalty=500.0), progress=progress)
    photo = Image.effect_noise((512, 512), 64).convert("RGB")
    method.fit(backbone, Subject("dog", "dog", (photo,)), trainer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    l2 = backbone.distance().l2
    count = sum(parameter.numel() for parameter in backbone.networks.denoiser.parameters())
    print(f"parameters of the U-Net      {count:>13,}")
    print(f"states by arithmetic         {reckoned.training / GB:>10.2f} GB")
    print(f"peak memory of the process   {peak / GB:>10.2f} GB")
    print(f"beside the states            {(peak - reckoned.training) / GB:>10.2f} GB")
    print(f"the last step                {marks[-1] - marks[-2]:>10.1f} s")
    print(f"‖Δθ‖₂                        {l2:>10.4f}")


def main() -> None:
    """Write the weights if they are not there, then measure in another process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.folder, asked.threads, asked.steps)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        if not (folder / "model_index.json").exists():
            print("writing random weights …", flush=True)
            write(folder)
        command = [sys.executable, __file__, "--measure", "--folder", str(folder)]
        sys.exit(subprocess.call([*command, "--threads", str(asked.threads), "--steps", str(asked.steps)]))


if __name__ == "__main__":
    main()
