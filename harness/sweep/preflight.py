"""Whether a sweep can start: weights, photos, licences, memory, disk, MLflow: what is needed, what is there.

Every finding stands for itself; one that cannot be made says why.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import methods
from harness.config.experiment import Experiment
from harness.config.titles import counted
from harness.datasets.base import Dataset, chosen_prompts
from harness.errors import HarnessError, one_line
from harness.specs import BackboneSpec, EncoderSpec, Trial
from harness.sweep.catalog import Installed
from harness.sweep.grid import expand
from harness.trial.plan import SMALL_SHARE

if TYPE_CHECKING:
    from harness.sweep.memory_estimate import Memory

Verdict = Literal["ok", "note", "stop"]

PNG_SHARE = 0.6
"""Size of a picture as PNG, of its three bytes a pixel; photographs take about that."""
ROOM_FOR_ACTIVATIONS = 1.25
"""Below so many times what the arithmetic says, a note is made: activations are not part of it."""
TIMEOUT = 5.0
SPARING = (
    "fewer trials at a time (resources), precision: bf16, execution.checkpointing: true, a smaller "
    "params.batch, or a method that trains less"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    verdict  ``ok``; ``note``: the sweep can start, but look at this; ``stop``: it cannot
    """

    verdict: Verdict
    what: str
    needed: str
    there: str
    remedy: str = ""


def examine(experiment: Experiment, *, runs: Path, mlflow: str | None = None) -> list[Finding]:
    """Look at everything that a sweep of the experiment needs. Nothing is downloaded or written."""
    findings = list(_resources(experiment))
    for spec in experiment.backbone:
        findings += _weights(spec)
    findings += _encoders(experiment)
    catalog, trials = Installed(experiment), list[Trial]()
    with _Caught(findings, "photos and prompts", experiment.dataset.name):
        trials = expand(experiment, catalog).trials
        subjects = {trial.subject for trial in trials}
        told = f"{counted(len(subjects), 'subject')}, {counted(len(trials), 'trial')}"
        findings.append(Finding("ok", "photos and prompts", told, f"found in {experiment.dataset.name}"))
    if trials:
        findings += _memory_and_disk(experiment, catalog.dataset, trials, runs)
    findings.append(_mlflow(experiment.name, mlflow, runs))
    return findings


class _Caught:
    """Turns an error of the user's into a finding."""

    def __init__(self, findings: list[Finding], what: str, needed: str, verdict: Verdict = "stop") -> None:
        self.findings, self.what, self.needed, self.verdict = findings, what, needed, verdict

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, HarnessError):
            self.findings.append(Finding(self.verdict, self.what, self.needed, "–", one_line(error)))
            return True
        return False


def _resources(experiment: Experiment) -> Iterator[Finding]:
    asked = experiment.resources
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(
        "ok" if asked.cpus <= cores else "stop",
        "cores",
        f"{asked.cpus} a trial",
        str(cores),
        "" if asked.cpus <= cores else f"--set resources.cpus={cores}, or --address of a cluster",
    )
    if asked.gpus:
        there = _gpus()
        enough = len(there) >= max(1.0, asked.gpus)
        yield Finding(
            "ok" if enough else "stop",
            "GPUs",
            f"{asked.gpus:g} a trial",
            ", ".join(f"{name}, {size / 1e9:.0f} GB" for name, size in there) or "none",
            "" if enough else "--set resources.gpus=0, or --address of a cluster that has them",
        )


def _gpus() -> list[tuple[str, int]]:
    """Name and bytes of every GPU that torch sees."""
    import torch

    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [(each.name, each.total_memory) for each in found]


def _weights(spec: BackboneSpec) -> Iterator[Finding]:
    from harness.diffusion.backbones.families import FAMILIES, check_parts, family_of
    from harness.diffusion.backbones.locate import find_here, find_local

    what, found = f"weights of {spec.name}", list[Finding]()
    with _Caught(found, what, spec.path or spec.name):
        local = find_local(spec)
        try:
            folder = find_here(spec)
        except HarnessError:
            if local is not None:
                raise
            yield _on_the_hub(what, str(spec.path))
            return
        family = FAMILIES[family_of(spec, folder)[0]]
        unwanted = tuple(part for part, value in spec.options.items() if value == "none")
        networks = tuple(part for part in family.networks if part not in unwanted)
        check_parts(spec, folder, networks, ())
        size = sum(path.stat().st_size for part in networks for path in (folder / part).glob("*.safetensors"))
        found.append(Finding("ok", what, spec.path or spec.name, f"{_size(size)} of safetensors"))
    yield from found


def _on_the_hub(what: str, hub_id: str) -> Finding:
    """A base model that must still be fetched: whether it can be, and what must be accepted first."""
    from huggingface_hub import auth_check, model_info
    from huggingface_hub.errors import GatedRepoError

    fetch = f"hf download {hub_id}"
    try:
        info = model_info(hub_id, timeout=TIMEOUT)
        try:
            auth_check(hub_id)
        except GatedRepoError:
            where = f"accept its licence at https://huggingface.co/{hub_id}, then `hf auth login`"
            return Finding("stop", what, hub_id, "gated, not accepted", where)
        licence = getattr(info.card_data, "license", None) or "not said"
        there = f"on the hub, licence: {licence}"
        return Finding("note", what, hub_id, there, f"is downloaded at first; beforehand: {fetch}")
    except Exception as error:  # offline, renamed, private: the hub has a dozen kinds
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)[:80]
        return Finding("stop", what, hub_id, "not on this machine, and no hub", f"{why}; elsewhere: {fetch}")


def _encoders(experiment: Experiment) -> Iterator[Finding]:
    catalog, seen = Installed(experiment), set[str]()
    for backbone in experiment.backbone:
        for kind, spec in catalog.encoders(backbone).items():
            if spec.model_dump_json() not in seen:
                seen.add(spec.model_dump_json())
                found: list[Finding] = []
                with _Caught(found, f"encoder {kind}", spec.model):
                    found.append(_encoder(kind, spec, catalog.encoder_revision(spec)))
                yield from found


def _encoder(kind: str, spec: EncoderSpec, revision: str) -> Finding:
    from harness.metrics.encoders.registry import in_hub_cache

    if not revision.startswith("hub:"):
        return Finding("ok", f"encoder {kind}", spec.model, revision)
    if in_hub_cache(spec):
        return Finding("ok", f"encoder {kind}", spec.model, "in the hub's cache")
    own = f"encoders: {{{kind}: {{model: {spec.model}, checkpoint: FILE}}}}"
    if _hub_answers():
        remedy = f"is downloaded at first; or {own}"
        return Finding("note", f"encoder {kind}", spec.model, "not on this machine", remedy)
    return Finding("stop", f"encoder {kind}", spec.model, "not on this machine, and no hub", own)


@cache
def _hub_answers() -> bool:
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(ENDPOINT, timeout=TIMEOUT).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _memory_and_disk(
    experiment: Experiment, dataset: Dataset, trials: Sequence[Trial], runs: Path
) -> Iterator[Finding]:
    """Memory of each method on each backbone, then the disk that pictures and weights will take."""
    pictures = kept = known = 0
    for spec in experiment.backbone:
        own = [trial for trial in trials if trial.backbone == spec]
        found: list[Finding] = []
        with _Caught(found, f"memory on {spec.name}", "not known without its weights", "note"):
            ward = _Ward(experiment, spec, slots=len(own))
            found += ward.findings(own)
            kept += ward.kept
            drawn = sum(_samples(dataset, trial) + experiment.drift.images for trial in own)
            pictures += int(drawn * 3 * ward.backbone.resolution**2 * PNG_SHARE)
            known += 1
        yield from found
    more = "" if known == len(experiment.backbone) else " and what unknown base models take"
    yield _disk(runs, pictures, kept, more)


class _Ward:
    """One base model without its weights, on which methods are tried.

    kept  bytes of weights that the trials looked at so far will keep
    """

    def __init__(self, experiment: Experiment, spec: BackboneSpec, *, slots: int) -> None:
        from harness.diffusion.backbones.loading import without_weights

        self.experiment, self.spec, self.kept = experiment, spec, 0
        self.backbone = without_weights(spec, precision=experiment.precision, execution=experiment.execution)
        self.there, self.where = _room(experiment, slots)

    def findings(self, trials: Sequence[Trial]) -> Iterator[Finding]:
        """One for each method and batch; trials that train alike are looked at once."""
        tried: dict[str, Memory | None] = {}
        told: set[tuple[str, int, int]] = set()
        for trial in trials:
            name = trial.model_dump_json(include={"method", "params"})
            if name not in tried:
                tried[name] = None
                what = f"memory of {trial.title} on {self.spec.name}"
                try:
                    memory = tried[name] = self._rehearsed(trial)
                except Exception as error:  # a user's method may do anything
                    yield Finding("note", what, "–", "–", f"cannot be reckoned: {one_line(error)}")
                    continue
                outline = (trial.method if memory.pictures else "", memory.peak, memory.pictures)
                if outline not in told:
                    told.add(outline)
                    yield self._judged(what, memory)
            if known := tried[name]:
                self.kept += self._kept(known)

    def _rehearsed(self, trial: Trial) -> Memory:
        from harness.sweep.memory_estimate import rehearse

        method = methods.build(methods.load(trial.method), trial.params)
        parked = bool(self.experiment.resources.gpus) and self.experiment.execution.park
        return rehearse(self.backbone, method, "thing", parked=parked)

    def _judged(self, what: str, memory: Memory) -> Finding:
        needed = _size(memory.peak)
        if memory.pictures:
            needed += f" + activations of {memory.pictures} picture{'s' if memory.pictures > 1 else ''}"
        verdict: Verdict = "ok"
        if memory.peak * ROOM_FOR_ACTIVATIONS > self.there:
            verdict = "stop" if memory.peak > self.there > 0 else "note"
        there = f"{_size(self.there)} {self.where}" if self.there else "no GPU"
        return Finding(verdict, what, needed, there, SPARING if verdict != "ok" and self.there else "")

    def _kept(self, memory: Memory) -> int:
        from harness.sweep.memory_estimate import denoiser_bytes

        policy = self.experiment.keep_weights
        small = memory.kept <= SMALL_SHARE * denoiser_bytes(self.backbone)
        return memory.kept if policy == "all" or (policy == "small" and small) else 0


def _room(experiment: Experiment, trials: int) -> tuple[int, str]:
    """Bytes that one trial may take, and of what."""
    asked = experiment.resources
    if asked.gpus:
        sizes = [size for _, size in _gpus()] or [0]
        return int(min(sizes) * min(1.0, asked.gpus)), "of a GPU"
    from harness.sweep.run import slots_of

    slots = slots_of(experiment, None, trials)
    share = f", shared by {slots} trials" if slots > 1 else ""
    return _free_memory() // slots, f"of main memory{share}"


def _free_memory() -> int:
    """Bytes of main memory that can be had now."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _samples(dataset: Dataset, trial: Trial) -> int:
    """How many pictures of the test prompts a trial draws."""
    prompts = chosen_prompts(dataset, trial.subject, trial.sampling.prompts)
    return len(prompts) * trial.sampling.images


def _disk(runs: Path, pictures: int, kept: int, more: str) -> Finding:
    place = next(path for path in (runs.resolve(), *runs.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    needed = f"{_size(pictures)} of pictures, {_size(kept)} of weights{more}"
    if not os.access(place, os.W_OK):
        return Finding("stop", "disk", needed, f"{place} cannot be written", "--runs DIR")
    enough = pictures + kept < free
    remedy = "" if enough else "--runs DIR on a larger disk, keep_weights: none, fewer images"
    return Finding("ok" if enough else "stop", "disk", needed, f"{_size(free)} free in {place}", remedy)


def _mlflow(name: str, uri: str | None, runs: Path) -> Finding:
    from harness.tracking.mlflow_store import Store

    store = Store(runs, name, uri)
    shown = store.hide(store.uri)
    if not store.uri.startswith("http"):
        return Finding("ok", "MLflow", shown, "a file")
    try:
        urllib.request.urlopen(f"{store.uri.rstrip('/')}/health", timeout=TIMEOUT).close()
    except (OSError, ValueError) as error:
        remedy = f"{store.hide(one_line(error))}; the sweep runs without it, `harness mirror` catches up"
        return Finding("note", "MLflow", shown, "not reached", remedy)
    return Finding("ok", "MLflow", shown, "reached")


def _size(count: float) -> str:
    """Bytes in the unit that reads best, decimal."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
