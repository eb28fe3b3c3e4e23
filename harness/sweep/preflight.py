"""Whether a sweep can start: weights, photos, licences, memory, disk, MLflow: what is needed, what is there.

Every finding stands for itself; one that cannot be made says why.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from harness.config.experiment import Experiment
from harness.config.titles import counted, fits_and_readouts
from harness.errors import HarnessError, one_line
from harness.files import cores
from harness.records import Lines
from harness.specs import BackboneSpec, EncoderSpec, Trial
from harness.sweep import preflight_memory
from harness.sweep.catalog import Installed
from harness.sweep.expectation import expect
from harness.sweep.findings import Caught, Finding, size_text
from harness.sweep.grid import expand
from harness.sweep.readouts import fits
from harness.sweep.searching import at_most
from harness.sweep.studies import corners
from harness.sweep.worklist import tasks

TIMEOUT = 5.0


def examine(experiment: Experiment, *, runs: Path, mlflow: str | None = None) -> list[Finding]:
    """Look at everything that a sweep of the experiment needs. Nothing is downloaded or written."""
    findings = list(_resources(experiment))
    for spec in experiment.backbone:
        findings += _weights(spec)
    findings += _encoders(experiment)
    catalog, trials = Installed(experiment), list[Trial]()
    with Caught(findings, "photos and prompts", experiment.dataset.name):
        expanded = expand(experiment, catalog)
        trials = expanded.trials + [
            trial
            for study in expanded.studies
            for corner in corners(study)
            for trial in study.trials(corner, catalog)
        ]
        subjects = {trial.subject for trial in trials}
        count = f"{counted(len(subjects), 'subject')}, {counted(len(trials), 'trial')}"
        if (shared := fits(trials)) < len(trials):
            count += f" ({fits_and_readouts(shared, len(trials))})"
        if expanded.studies:
            proposals, fitted, readouts = at_most(expanded.studies)
            count = f"{counted(len(subjects), 'subject')}, {proposals:,} proposals: at most {fitted:,} fits, "
            count += f"{readouts:,} readouts"
        findings.append(Finding("ok", "photos and prompts", count, f"found in {experiment.dataset.name}"))
    if trials:
        findings += preflight_memory.memory_and_disk(experiment, catalog.dataset, trials, runs)
        with Caught(findings, "cost", experiment.name, "note"):
            findings.append(_cost(experiment, trials, runs / experiment.name))
    findings.append(_mlflow(experiment.name, mlflow, runs))
    return findings


def _cost(experiment: Experiment, trials: Sequence[Trial], folder: Path) -> Finding:
    catalog, records = Installed(experiment, plan_only=True), list(Lines(folder).outlines())
    work = tasks(experiment, catalog, records, folder, expanded=trials)
    return expect(work, experiment, catalog, records, folder).finding()


def _resources(experiment: Experiment) -> Iterator[Finding]:
    requested = experiment.resources
    there = cores()
    yield Finding(
        "ok" if requested.cpus <= there else "stop",
        "cores",
        f"{requested.cpus} a trial",
        str(there),
        "" if requested.cpus <= there else f"--set resources.cpus={there}, or --address of a cluster",
    )
    if requested.gpus:
        seen = preflight_memory.gpus()
        enough = len(seen) >= max(1.0, requested.gpus)
        yield Finding(
            "ok" if enough else "stop",
            "GPUs",
            f"{requested.gpus:g} a trial",
            ", ".join(f"{name}, {size / 1e9:.0f} GB" for name, size in seen) or "none",
            "" if enough else "--set resources.gpus=0, or --address of a cluster that has them",
        )


def _weights(spec: BackboneSpec) -> Iterator[Finding]:
    from harness.diffusion.backbones.checks import check_parts, family_of
    from harness.diffusion.backbones.families import FAMILIES
    from harness.diffusion.backbones.locate import find_here, find_local

    what, found = f"weights of {spec.name}", list[Finding]()
    with Caught(found, what, spec.path or spec.name):
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
        found.append(Finding("ok", what, spec.path or spec.name, f"{size_text(size)} of safetensors"))
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
                with Caught(found, f"encoder {kind}", spec.model):
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
