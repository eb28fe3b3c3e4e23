"""A finished trial's certificate: made on fresh prompts, or made again and compared with a stated one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.api import Progress
from harness.diffusion.constraints.combination import Combination
from harness.diffusion.weights.delta import Distance
from harness.errors import ConfigError, HarnessError
from harness.metrics.encoders.registry import load_encoder
from harness.metrics.scorer_inputs import Encoders
from harness.records import Record
from harness.report import certificate
from harness.sweep.restored import Restored, restore
from harness.trial import local_lipschitz, provenance
from harness.trial.fresh_prompts import GROUP, PART, Answers, Examination
from harness.trial.prior_texts import spoken_for
from harness.trial.reference import ReferenceSampler
from harness.trial.timing import Clock

REPEATED = 1e-6
"""How far, relatively, ‖Δθ‖₂ of a restored model may be from the record's: the same fit, or another."""
ELSEWHERE = 1e-3
"""How far, relatively, numbers may be apart on another machine or version; on the same they are equal."""
USED = ("dino", "probe")
Certificate = dict[str, Any]


def certify(
    folder: Path,
    record: Record,
    *,
    prompts: int,
    confidence: float,
    seed: int,
    progress: Progress,
    device: str = "cpu",
) -> Certificate:
    """Measure a record's model on fresh prior prompts and state what they prove, without the seal.

    Raises HarnessError for a trial that failed, trained nothing, or cannot be repeated; ConfigError for too
    few prompts.
    """
    if reason := certificate.too_few(prompts, confidence):
        raise ConfigError(reason)
    if record.status == "done" and record.drift.get("weight_l2") is None:
        raise HarnessError(f"{record.key}: photos, not a model; there is nothing to certify")
    restored = restore(folder, record, progress=progress, device=device, purpose="certify")
    if not restored.backbone.changed:
        raise HarnessError(f"{record.key}: this trial trained nothing; there is nothing to certify")
    distance = restored.backbone.distance()
    _same_fit(record, distance)
    examination = examination_of(restored, prompts, seed)
    found = examination.values(progress)
    training = _training(record, restored, distance)
    body = {
        "certificate": certificate.VERSION,
        "experiment": folder.name,
        "key": record.key,
        "keys": {stage: record.keys[stage] for stage in ("fit", "sample")},
        "trial": {name: record.trial[name] for name in ("title", "subject", "shots", "seed", "backbone")},
        "asked": _asked(examination, prompts, confidence, seed, restored),
        "training": training,
        "statements": certificate.statements(
            found.values, confidence=confidence, budget=training.get("output_limit")
        ),
        "missing": found.missing,
        "local_lipschitz": _ratios(examination, record, distance, progress),
        "assumptions": list(certificate.ASSUMPTIONS),
        "digests": _digests(restored, examination),
        "made": {**provenance.of_process(), "device": Clock(restored.backbone.device).device_name},
    }
    restored.backbone.restore()
    return body


def verify(
    path: Path, stated: Certificate, folder: Path, record: Record, *, progress: Progress, device: str = "cpu"
) -> str:
    """Compute a certificate again and say in a line that it holds. Raises HarnessError where it does not.

    ``stated`` is what :func:`harness.report.certificate.read` gave: its bytes are those that were sealed.
    """
    if (code := code_digest()) != stated["digests"]["code"]:
        commit = stated["made"].get("commit") or "the commit that it was made with"
        raise HarnessError(f"{path}: made with other code (sha256 {code[:12]} here); check out {commit}")
    asked = stated["asked"]
    again = certify(
        folder,
        record,
        prompts=asked["prompts"],
        confidence=asked["confidence"],
        seed=asked["seed"],
        progress=progress,
        device=device,
    )
    here = _place(stated) == _place(again)
    tolerance = 0.0 if here else ELSEWHERE
    without = [
        {name: part for name, part in each.items() if name != "made"}
        for each in (stated, json.loads(certificate.to_bytes(again)))
    ]
    wrong = list(certificate.differences(*without, tolerance=tolerance))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise HarnessError(f"{path}: does not hold: {wrong[0]}{more}")
    exact = "to the last bit" if here else f"to {ELSEWHERE:g} (another machine or version)"
    return f"{path}: holds; weights, prompts and code are those it names, its numbers come out again {exact}"


def _same_fit(record: Record, distance: Distance) -> None:
    recorded, found = record.drift["weight_l2"], distance.denoiser_l2
    if recorded is None or not math.isclose(recorded, found, rel_tol=REPEATED):
        raise HarnessError(
            f"{record.key}: ‖Δθ‖₂ comes out as {found:.8g}, the record says {recorded:.8g}: not the same fit "
            "(another machine, device or version than recorded)"
        )


def examination_of(
    restored: Restored, prompts: int, seed: int, *, images: bool = True, answers: Answers | None = None
) -> Examination:
    """Draw fresh prompts for a restored trial, ready to be measured on."""
    trial, drift = restored.task.trial, restored.experiment.drift
    category = restored.dataset.category(trial.subject)
    known = spoken_for(restored.dataset, category, drift)
    drawn = restored.dataset.drawn_prompts(category, prompts, seed=seed, without=known)
    backbone = restored.backbone
    specs = restored.catalog.encoders(trial.backbone)
    encoders = {
        kind: load_encoder(specs[kind], device=backbone.device, kind=kind) for kind in USED if kind in specs
    }
    sampler = ReferenceSampler(backbone, trial.sampling, drift)
    found = Encoders(encoders)
    return Examination(sampler, backbone.delta(), found, drawn, seed, images=images, answers=answers)


def _asked(
    examination: Examination, prompts: int, confidence: float, seed: int, restored: Restored
) -> dict[str, Any]:
    groups = [each.group for each in examination.drawn]
    return {
        "prompts": prompts,
        "confidence": confidence,
        "seed": seed,
        "population": f"prior prompts of {restored.dataset.name}: half of the class, half of other classes, "
        "none in the drift set, the calibration probe or the bank",
        "of_class": groups.count("class"),
        "timesteps": examination.timesteps.tolist(),
        "sampling": dict(restored.task.trial.sampling.solver),
    }


def _training(record: Record, restored: Restored, distance: Distance) -> dict[str, Any]:
    """What training was held to, as the record proves it, with the distances measured again."""
    bound, trial = record.bound, restored.task.trial
    training: dict[str, Any] = {"l2": distance.l2, "denoiser_l2": distance.denoiser_l2, "bound": bound}
    if bound is not None and "radius" in bound:
        on = trial.lipschitz.on if trial.lipschitz else "effective"
        training["bounded_l2"] = restored.backbone.distance(on=on).l2
        if training["bounded_l2"] > bound["radius"] * (1 + 1e-5):
            raise HarnessError(
                f"{record.key}: ‖Δθ‖₂ = {training['bounded_l2']:.6g} exceeds the bound {bound['radius']:.6g}"
            )
    held = Combination.read(trial.lipschitz.settings()).output_limit if trial.lipschitz else None
    limits = [held, (record.readout or {}).get("limit")]
    known = [limit for limit in limits if limit is not None]
    if known:
        reached = (bound or {}).get("output_l2", (record.readout or {}).get("calibration"))
        training |= {"output_limit": min(known), "calibration": reached}
    return training


def _ratios(
    examination: Examination, record: Record, distance: Distance, progress: Progress
) -> dict[str, Any] | None:
    """The local Lipschitz constant on the first prompts; None where the denoiser did not move."""
    if not distance.moved:
        return None
    progress("ratios", 0, 2, None)
    backbone, whole = examination.backbone, examination.whole
    probe = examination.probe(slice(0, min(PART, len(examination.prompts))))
    along = local_lipschitz.along_path(backbone, whole, probe)
    progress("ratios", 1, 2, None)
    start = local_lipschitz.at_base(backbone, whole, probe)
    progress("ratios", 2, 2, None)
    return {
        "prompts": len(probe.prompts),
        "timesteps": len(probe.timesteps),
        "at_base": asdict(start),
        "along": [asdict(ratio) for ratio in along],
        "largest": local_lipschitz.largest([start, *along]),
        "recorded": record.drift.get("lipschitz_ratio"),
    }


def _digests(restored: Restored, examination: Examination) -> dict[str, str]:
    prompts = [[each.text, each.seed] for each in examination.prompts]
    return {
        "weights": _sha256(examination.whole.to_bytes()),
        "base_model": restored.backbone.revision,
        "prompts": _sha256(json.dumps([GROUP, prompts]).encode()),
        "code": code_digest(),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@cache
def code_digest() -> str:
    """The sha256 of the sources of the harness and its methods, names included."""
    total = hashlib.sha256()
    for package in ("baselines", "harness"):
        found = find_spec(package)
        assert found is not None and found.submodule_search_locations
        root = Path(next(iter(found.submodule_search_locations)))
        for path in sorted(root.rglob("*.py")):
            name = f"{package}/{path.relative_to(root).as_posix()}"
            total.update(f"{name}\0{path.stat().st_size}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def _place(body: Mapping[str, Any]) -> list[Any]:
    return [body["made"][name] for name in ("versions", "platform", "device")]
