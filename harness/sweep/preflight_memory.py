"""How much memory and disk a sweep takes, and how much there is: a part of the preflight.

Methods are tried on networks without weights: nothing is trained, downloaded or written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import methods
from harness.config.experiment import Experiment
from harness.datasets.base import Dataset, chosen_prompts
from harness.errors import one_line
from harness.specs import BackboneSpec, Trial
from harness.sweep.expectation import PNG_SHARE
from harness.sweep.findings import Caught, Finding, Verdict, size_text
from harness.sweep.run import slots_of
from harness.trial.plan import SMALL_SHARE

if TYPE_CHECKING:
    from harness.sweep.memory_estimate import Memory

ROOM_FOR_ACTIVATIONS = 1.25
"""Below so many times what the arithmetic says, a note is made: activations are not part of it."""
SPARING = (
    "fewer trials at a time (resources), precision: bf16, execution.gradient_checkpointing: true, a smaller "
    "params.batch, or a method that trains less"
)


def memory_and_disk(
    experiment: Experiment, dataset: Dataset, trials: Sequence[Trial], runs: Path
) -> Iterator[Finding]:
    """Find the memory of each method on each backbone, then the disk that images and weights will take."""
    images = kept = known = 0
    for spec in experiment.backbone:
        own = [trial for trial in trials if trial.backbone == spec]
        found: list[Finding] = []
        with Caught(found, f"memory on {spec.name}", "not known without its weights", "note"):
            estimator = MemoryEstimator(experiment, spec, slots=len(own))
            found += estimator.findings(own)
            kept += estimator.kept
            sampled = sum(_samples(dataset, trial) + experiment.drift.images for trial in own)
            images += int(sampled * 3 * estimator.backbone.resolution**2 * PNG_SHARE)
            known += 1
        yield from found
    more = "" if known == len(experiment.backbone) else " and what unknown base models take"
    yield _disk(runs, images, kept, more)


class MemoryEstimator:
    """One base model without its weights, on which methods are tried.

    kept  bytes of weights that the trials looked at so far will keep
    """

    def __init__(self, experiment: Experiment, spec: BackboneSpec, *, slots: int) -> None:
        from harness.diffusion.backbones.loading import without_weights

        self.experiment, self.spec, self.kept = experiment, spec, 0
        self.backbone = without_weights(spec, precision=experiment.precision, execution=experiment.execution)
        self.there, self.where = _room(experiment, slots)

    def findings(self, trials: Sequence[Trial]) -> Iterator[Finding]:
        """Yield one for each method and batch; trials that train alike are looked at once."""
        tried: dict[str, Memory | None] = {}
        seen: set[tuple[str, int, int]] = set()
        for trial in trials:
            name = trial.model_dump_json(include={"method", "params"})
            if name not in tried:
                tried[name] = None
                what = f"memory of {trial.title} on {self.spec.name}"
                try:
                    memory = tried[name] = self._estimated(trial)
                except Exception as error:  # a user's method may do anything
                    yield Finding("note", what, "–", "–", f"cannot be reckoned: {one_line(error)}")
                    continue
                outline = (trial.method if memory.images else "", memory.peak, memory.images)
                if outline not in seen:
                    seen.add(outline)
                    yield self._judged(what, memory)
            held_by_end = trial.readout is not None and trial.readout.kind != "steps"
            if (known := tried[name]) and not held_by_end:
                self.kept += self._kept(known)

    def _estimated(self, trial: Trial) -> Memory:
        from harness.sweep.memory_estimate import estimate

        method = methods.build(methods.load(trial.method), trial.params)
        offloaded = bool(self.experiment.resources.gpus) and self.experiment.execution.cpu_offload
        return estimate(self.backbone, method, "thing", offloaded=offloaded)

    def _judged(self, what: str, memory: Memory) -> Finding:
        needed = size_text(memory.peak)
        if memory.images:
            needed += f" + activations of {memory.images} image{'s' if memory.images > 1 else ''}"
        verdict: Verdict = "ok"
        if memory.peak * ROOM_FOR_ACTIVATIONS > self.there:
            verdict = "stop" if memory.peak > self.there > 0 else "note"
        there = f"{size_text(self.there)} {self.where}" if self.there else "no GPU"
        return Finding(verdict, what, needed, there, SPARING if verdict != "ok" and self.there else "")

    def _kept(self, memory: Memory) -> int:
        from harness.sweep.memory_estimate import denoiser_bytes

        policy = self.experiment.keep_weights
        small = memory.kept <= SMALL_SHARE * denoiser_bytes(self.backbone)
        return memory.kept if policy == "all" or (policy == "small" and small) else 0


def gpus() -> list[tuple[str, int]]:
    """Name and bytes of every GPU that torch sees."""
    import torch

    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [(each.name, each.total_memory) for each in found]


def _room(experiment: Experiment, trials: int) -> tuple[int, str]:
    """Bytes that one trial may take, and of what."""
    requested = experiment.resources.gpus
    if requested:
        sizes = [size for _, size in gpus()] or [0]
        return int(min(sizes) * min(1.0, requested)), "of a GPU"
    slots = slots_of(experiment, None, trials)
    share = f", shared by {slots} trials" if slots > 1 else ""
    return _free_memory() // slots, f"of main memory{share}"


def _free_memory() -> int:
    """Bytes of main memory that are free now."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _samples(dataset: Dataset, trial: Trial) -> int:
    """How many images of the test prompts a trial samples."""
    prompts = chosen_prompts(dataset, trial.subject, trial.sampling.prompts)
    return len(prompts) * trial.sampling.images


def _disk(runs: Path, images: int, kept: int, more: str) -> Finding:
    place = next(path for path in (runs.resolve(), *runs.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    needed = f"{size_text(images)} of pictures, {size_text(kept)} of weights{more}"
    if not os.access(place, os.W_OK):
        return Finding("stop", "disk", needed, f"{place} cannot be written", "--runs DIR")
    enough = images + kept < free
    remedy = "" if enough else "--runs DIR on a larger disk, keep_weights: none, fewer images"
    return Finding("ok" if enough else "stop", "disk", needed, f"{size_text(free)} free in {place}", remedy)
