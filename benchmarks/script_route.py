"""One step of the way without harness: images from a trained pipeline, or their scores; started by
``against_scripts.py``.

    python script_route.py generate MODEL PROMPTS OUT [--one-batch]
    python script_route.py score PHOTOS PROMPTS OUT

Plain diffusers, open_clip and timm, as a script of a repository would have it. PROMPTS is a JSON list.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SOLVER_STEPS, GUIDANCE = 20, 5.0


def generate(model: str, prompts: list[str], out: Path, *, one_batch: bool) -> None:
    """Draw an image for each prompt with DDIM: one after the other, or in one batch."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32, safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    options = {"num_inference_steps": SOLVER_STEPS, "guidance_scale": GUIDANCE}
    if one_batch:
        images = pipe(prompts, generator=seeds, **options).images
    else:
        pairs = zip(prompts, seeds, strict=True)
        images = [pipe(prompt, generator=seed, **options).images[0] for prompt, seed in pairs]
    for i, image in enumerate(images):
        image.save(out / f"{i:03}.png")


def score(photos: Path, prompts: list[str], out: Path) -> dict[str, float]:
    """CLIP-T, CLIP-I and DINO of the images, as means of cosines."""
    import torch
    from PIL import Image

    from harness.toybox import loading

    clip, prepare, tokenize = loading.load_clip()
    dino, prepare_dino = loading.load_dino(version=2)
    images = [Image.open(path).convert("RGB") for path in sorted(out.glob("*.png"))]
    real = [Image.open(path).convert("RGB") for path in sorted(photos.glob("*.png"))]
    with torch.no_grad():
        texts = torch.nn.functional.normalize(clip.encode_text(tokenize(prompts)))
        kinds = {"clip": (clip.encode_image, prepare), "dino": (dino, prepare_dino)}
        found = {
            name: [
                torch.nn.functional.normalize(encode(torch.stack([see(each) for each in part])))
                for part in (images, real)
            ]
            for name, (encode, see) in kinds.items()
        }
    return {
        "clip_t": (found["clip"][0] * texts).sum(1).mean().item(),
        **{name: (own @ photo.T).mean().item() for name, (own, photo) in found.items()},
    }


def main(words: list[str]) -> None:
    """Do the step that is named."""
    step, first, prompts, out = words[:4]
    texts = json.loads(Path(prompts).read_text())
    if step == "generate":
        generate(first, texts, Path(out), one_batch="--one-batch" in words)
    else:
        print(json.dumps(score(Path(first), texts, Path(out))))


if __name__ == "__main__":
    main(sys.argv[1:])
