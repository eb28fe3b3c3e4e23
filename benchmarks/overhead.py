"""What a trial costs in a sweep, against a bare loop of the same forward, backward and sampling calls.

    python benchmarks/overhead.py [--trials 24] [--threads 1]

Both sides do the same work on the embedded benchmark, one worker, in one run on one machine: DreamBooth's
training steps at 5 shots, the test prompts and prior images, the noise probe, features of every image.
The bare side calls diffusers, open_clip and timm directly, in one process, with nothing recorded or restored.
It runs before, between and after the sweeps, because a machine's speed drifts by more than the difference.
Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STEPS, BATCH, LR = 150, 4, 5e-5
PROMPTS, PRIOR, SOLVER_STEPS, GUIDANCE = 10, 32, 20, 5.0
PROBE_PROMPTS, PROBE_TIMESTEPS = 64, 8

EXPERIMENT = """
name: overhead
subjects: [mossy-mug]
shots: 5
seeds: {seeds}
methods:
  - name: dreambooth
    params: {{steps: {steps}, batch: {batch}, lr: {lr}}}
sampling: {{sampler: ddim, steps: {solver_steps}, guidance: {guidance}, prompts: {prompts}, images: 1}}
drift: {{prompts: {probe_prompts}, timesteps: {probe_timesteps}, images: {prior}}}
resources: {{cpus: {threads}, workers: 1}}
"""


class Bare:
    """The calls of one trial, without the harness."""

    def __init__(self) -> None:
        import torch
        from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline

        from harness.toybox import loading, subjects
        from harness.toybox.scenes import render

        folder = loading.pipeline_folder()
        pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
        self.unet, self.vae = pipe.unet, pipe.vae
        self.noising = DDPMScheduler.from_config(pipe.scheduler.config)
        self.solver = DDIMScheduler.from_config(pipe.scheduler.config)
        images = render.render(subjects.shots(subjects.subjects()[0])[:5])
        tokens = pipe.tokenizer(
            ["a photo of a sks mug", ""], padding="max_length", max_length=77, return_tensors="pt"
        )
        with torch.no_grad():
            self.latents = self.vae.encode(images / 127.5 - 1).latent_dist.mean
            self.latents = self.latents * self.vae.config.scaling_factor
            self.conditioning, self.empty = pipe.text_encoder(tokens.input_ids)[0].split(1)
        self.eyes = [loading.load_clip()[0].encode_image, loading.load_dino()[0]]

    def fit(self) -> None:
        import torch
        import torch.nn.functional as F

        self.unet.requires_grad_(True)
        optimizer = torch.optim.Adam(self.unet.parameters(), lr=LR, fused=True)
        for _ in range(STEPS):
            clean = self.latents[torch.randint(len(self.latents), (BATCH,))]
            noise, t = torch.randn_like(clean), torch.randint(1000, (BATCH,))
            noisy = self.noising.add_noise(clean, noise, t)
            prediction = self.unet(noisy, t, self.conditioning.expand(BATCH, -1, -1), return_dict=False)[0]
            F.mse_loss(prediction, noise).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.unet.requires_grad_(False)

    def sample(self) -> Any:
        import torch

        images = []
        with torch.no_grad():
            for total in (PROMPTS, PRIOR):
                images += [self._draw(min(16, total - start)) for start in range(0, total, 16)]
            for _ in range(PROBE_PROMPTS * PROBE_TIMESTEPS // 64):
                noisy, t = torch.randn(64, *self.latents.shape[1:]), torch.randint(1000, (64,))
                self.unet(noisy, t, self.conditioning.expand(64, -1, -1), return_dict=False)
        return torch.cat(images)

    def _draw(self, n: int) -> Any:
        import torch

        self.solver.set_timesteps(SOLVER_STEPS)
        latents = torch.randn(n, *self.latents.shape[1:])
        conditionings = torch.cat([self.empty.expand(n, -1, -1), self.conditioning.expand(n, -1, -1)])
        for t in self.solver.timesteps:
            without, prompted = self.unet(torch.cat([latents] * 2), t, conditionings, return_dict=False)[
                0
            ].chunk(2)
            latents = self.solver.step(without + GUIDANCE * (prompted - without), t, latents)[0]
        return self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]

    def score(self, images: Any) -> None:
        import torch

        with torch.no_grad():
            for eye in self.eyes:
                eye(images)


def bare(calls: Bare, trials: int) -> list[dict[str, float]]:
    """Seconds of each stage of the bare loop, by trial."""
    found = []
    for _ in range(trials):
        started = time.perf_counter()
        calls.fit()
        fitted = time.perf_counter()
        images = calls.sample()
        sampled = time.perf_counter()
        calls.score(images)
        ended = time.perf_counter()
        found.append({"fit": fitted - started, "sample": sampled - fitted, "score": ended - sampled})
    return found


def sweep(trials: int, threads: int, cache: Path) -> tuple[float, dict[str, float]]:
    """Wall-clock seconds of ``harness sweep`` as a user starts it, and its records' mean split.

    ``cache`` holds what sweeps keep for each other; nothing else on the machine helps or hinders.
    """
    with tempfile.TemporaryDirectory() as folder:
        yaml = Path(folder) / "overhead.yaml"
        yaml.write_text(
            EXPERIMENT.format(
                seeds=list(range(trials)), steps=STEPS, batch=BATCH, lr=LR, solver_steps=SOLVER_STEPS,
                guidance=GUIDANCE, prompts=PROMPTS, probe_prompts=PROBE_PROMPTS,
                probe_timesteps=PROBE_TIMESTEPS, prior=PRIOR, threads=threads,
            )
        )  # fmt: skip
        command = [sys.executable, "-m", "harness", "sweep", str(yaml), "--runs", folder]
        started = time.perf_counter()
        environment = dict(os.environ, HARNESS_CACHE=str(cache))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        wall = time.perf_counter() - started
        lines = (Path(folder) / "overhead" / "records.jsonl").read_text().splitlines()
    parts = [json.loads(line)["seconds"] for line in lines]
    return wall, {stage: sum(part[stage] for part in parts) / len(parts) for stage in parts[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--bare-trials", type=int, default=3, help="three times so many")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    calls, few, many = Bare(), max(1, options.trials // 6), options.trials
    calls.score(calls.sample())  # the first calls are slower
    with tempfile.TemporaryDirectory() as cache:
        sweep(1, options.threads, Path(cache))  # warms the cache, and the files on disk
        rounds = bare(calls, options.bare_trials)
        wall_few, _ = sweep(few, options.threads, Path(cache))
        rounds += bare(calls, options.bare_trials)
        wall_many, split = sweep(many, options.threads, Path(cache))
        rounds += bare(calls, options.bare_trials)
    direct = {stage: sum(each[stage] for each in rounds) / len(rounds) for stage in rounds[0]}
    per_trial = (wall_many - wall_few) / (many - few)
    totals = [sum(each.values()) for each in rounds]
    print(f"bare, each trial: {', '.join(f'{total:.1f}' for total in totals)} s")
    print(f"{'seconds a trial':24}{'bare':>8}{'harness':>10}{'ratio':>8}")
    for stage in ("fit", "sample", "score"):
        print(f"{stage:24}{direct[stage]:8.2f}{split[stage]:10.2f}{split[stage] / direct[stage]:8.2f}")
    total = sum(direct.values())
    print(f"{'one more trial':24}{total:8.2f}{per_trial:10.2f}{per_trial / total:8.2f}")
    print(f"{f'all of {many} trials':24}{total:8.2f}{wall_many / many:10.2f}{wall_many / many / total:8.2f}")
    print(f"start, base model's references, tables, figures: {wall_many - many * per_trial:.1f} s, once")


if __name__ == "__main__":
    main()
