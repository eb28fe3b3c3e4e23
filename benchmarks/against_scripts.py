"""A sweep against the scripts that one would write otherwise: the same trials, side by side, on one machine.

    python benchmarks/against_scripts.py --scripts CLONE [--trials 4 12] [--curve 10]

CLONE is a clone of github.com/huggingface/diffusers; its ``examples/dreambooth/train_dreambooth.py`` runs as
it is on the exported Toybox backbone. Each trial is DreamBooth on one subject (200 steps of batch 4), 10
images by DDIM with 20 steps, CLIP and DINO scores.

* *as they come*: train, generate, score, one after the other, threads as the libraries take them, text
  encoded at every step, images one at a time;
* *by hand*: two trials at a time with a thread each, text precomputed, images in one batch;
* *harness*: ``harness sweep`` with as many workers as cores.

Printed are seconds for each trial, their quotient by harness's, and the same of the trials between the two
numbers, without what is paid once (*steady*). ``--curve N``: a trade-off of N points, as N fits by hand of
rising length against N readouts of one fit. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.files import cores

STEPS, BATCH, LR, PROMPTS = 200, 4, "5e-5", 10
ROUTE = Path(__file__).with_name("script_route.py")
EXPERIMENT = """
name: {name}
subjects: [{subjects}]
shots: 5
methods:
  - name: dreambooth
    params: {{steps: {steps}, batch: {batch}, lr: {lr}, optimizer: adamw, weight_decay: 0.01, clip: 1.0}}
readouts: {readouts}
scores: [clip_t, clip_i, dino]
sampling: {{sampler: ddim, steps: 20, guidance: 5.0, prompts: {prompts}, images: 1}}
drift: {{prompts: 1, timesteps: 1, images: 0}}
resources: {{cpus: 1, workers: {workers}}}
"""


@dataclass(frozen=True)
class Scripts:
    """The way without harness: one process for each step of each trial."""

    clone: Path
    folder: Path
    by_hand: bool

    @property
    def environment(self) -> dict[str, str]:
        """One thread each where two run at a time."""
        pinned = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if self.by_hand else {}
        return {**os.environ, **pinned, "HF_HUB_OFFLINE": "1"}

    def trial(self, subject: str, steps: int = STEPS) -> None:
        """Train, generate, score."""
        place = self.folder / f"{subject}-{steps}-{'by-hand' if self.by_hand else 'plain'}"
        shots, model, images = self.folder / subject, place / "model", place / "images"
        images.mkdir(parents=True)
        noun = subject.rpartition("-")[2]
        script = self.clone / "examples/dreambooth/train_dreambooth.py"
        train = (
            f"--pretrained_model_name_or_path {self.folder / 'toybox'} --instance_data_dir {shots} "
            f"--output_dir {model} --resolution 64 --train_batch_size {BATCH} --max_train_steps {steps} "
            f"--learning_rate {LR} --lr_scheduler constant --lr_warmup_steps 0 --seed 0 "
            f"--checkpointing_steps 1000000"
        ).split()
        words = ["--instance_prompt", f"a photo of a sks {noun}"]
        faster = ["--pre_compute_text_embeddings"] if self.by_hand else []
        self._run(script, *train, *words, *faster)
        prompts = self.folder / f"{subject}.json"
        batch = ["--one-batch"] if self.by_hand else []
        self._run(ROUTE, "generate", str(model), str(prompts), str(images), *batch)
        self._run(ROUTE, "score", str(shots), str(prompts), str(images))

    def _run(self, script: Path, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, str(script), *words], env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{script.name} failed:\n{done.stderr[-2000:]}")


def prepare(folder: Path, subjects: Sequence[str]) -> None:
    """Write what the scripts read: the backbone, shots and prompts of every subject."""
    from harness.datasets.toybox import ToyboxDataset
    from harness.toybox import loading

    loading.export(folder / "toybox")
    data = ToyboxDataset()
    for subject in subjects:
        (folder / subject).mkdir()
        for i, photo in enumerate(data.photos(subject)[:5]):
            photo.save(folder / subject / f"{i}.png")
        noun = subject.rpartition("-")[2]
        prompts = [prompt.template.format(f"sks {noun}") for prompt in data.prompts(subject)[:PROMPTS]]
        (folder / f"{subject}.json").write_text(json.dumps(prompts))


def timed(work: Callable[[], object]) -> float:
    """Seconds on the clock."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def by_scripts(scripts: Scripts, trials: Sequence[tuple[str, int]]) -> float:
    """Seconds for the trials (subject, steps)."""
    workers = cores() if scripts.by_hand else 1
    with ThreadPoolExecutor(workers) as pool:
        return timed(lambda: list(pool.map(lambda each: scripts.trial(*each), trials)))


def by_harness(folder: Path, subjects: Sequence[str], readouts: str = "{}") -> float:
    """Seconds for a sweep over the subjects, of a process of its own."""
    name = f"of-{len(subjects)}-{'points' if readouts != '{}' else 'trials'}"
    file = folder / f"{name}.yaml"
    file.write_text(
        EXPERIMENT.format(
            name=name, subjects=", ".join(subjects), steps=STEPS, batch=BATCH, lr=LR, prompts=PROMPTS,
            workers=cores(), readouts=readouts,
        )
    )  # fmt: skip
    command = [sys.executable, "-m", "harness", "sweep", str(file), "--runs", str(folder / "runs")]
    return timed(lambda: subprocess.run([*command, "--no-report"], check=True, capture_output=True))


def compare(clone: Path, counts: Sequence[int], folder: Path, subjects: Sequence[str]) -> None:
    """Print the table of routes."""
    found: dict[str, list[float]] = {"as they come": [], "by hand": [], "harness": []}
    for count in counts:
        chosen = [(subject, STEPS) for subject in subjects[:count]]
        for by_hand, name in ((False, "as they come"), (True, "by hand")):
            with tempfile.TemporaryDirectory() as place:
                prepare(Path(place), subjects[:count])
                found[name].append(by_scripts(Scripts(clone, Path(place), by_hand), chosen))
        found["harness"].append(by_harness(folder, subjects[:count]))
        print(
            f"{count} trials: " + ", ".join(f"{name} {found[name][-1]:.1f} s" for name in found), flush=True
        )
    own = _columns(found["harness"], counts)
    heads = [*(f"{count} trials" for count in counts), *(["steady"] if len(counts) == 2 else [])]
    print("\n| route | " + " | ".join(f"{head}: s/trial | ÷ harness" for head in heads) + " |")
    print("|---" * (1 + 2 * len(heads)) + "|")
    for name, seconds in found.items():
        cells = zip(_columns(seconds, counts), own, strict=True)
        print(
            f"| {name} | " + " | ".join(f"{value:.1f} | {value / base:.2f}" for value, base in cells) + " |"
        )


def _columns(seconds: Sequence[float], counts: Sequence[int]) -> list[float]:
    each = [total / count for total, count in zip(seconds, counts, strict=True)]
    if len(counts) == 2:
        each.append((seconds[1] - seconds[0]) / (counts[1] - counts[0]))
    return each


def curve(clone: Path, points: int, folder: Path, subject: str) -> None:
    """Print what a curve of so many points costs either way."""
    steps = [STEPS * (i + 1) // points for i in range(points)]
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place), [subject])
        scripts = by_scripts(Scripts(clone, Path(place), True), [(subject, n) for n in steps])
    own = by_harness(folder, [subject], f"{{steps: {steps[:-1]}}}")
    print(
        f"\na curve of {points} points: by hand {scripts:.1f} s, harness {own:.1f} s, ÷ {scripts / own:.2f}"
    )


def main() -> None:
    """Read the arguments, prepare, run every route, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scripts", type=Path, required=True, help="a clone of huggingface/diffusers")
    parser.add_argument("--trials", type=int, nargs="+", default=[4, 12])
    parser.add_argument("--curve", type=int, default=10, help="points of the curve; 0: none")
    chosen = parser.parse_args()
    if not (chosen.scripts / "examples/dreambooth/train_dreambooth.py").is_file():
        sys.exit(f"{chosen.scripts}: no clone of github.com/huggingface/diffusers; skipped")
    from harness.toybox import subjects

    names = [subject.name for subject in subjects.subjects() if subject.split == "test"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        compare(chosen.scripts, chosen.trials, folder, names)
        if chosen.curve:
            curve(chosen.scripts, chosen.curve, folder, names[0])


if __name__ == "__main__":
    main()
