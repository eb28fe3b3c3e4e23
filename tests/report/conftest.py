"""Records made by hand, and a whole experiment with the shape of a real one (invented, seed fixed)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from harness.api import Lipschitz
from harness.records import Record
from harness.sweep import grid

TITLES = {
    "frozen": "Frozen",
    "frozen_oracle": "Frozen, described in words",
    "real": "Real photos",
    "real_ae": "Real photos, autoencoded",
    "dreambooth": "DreamBooth",
    "dreambooth_lora": "DreamBooth-LoRA",
    "custom_diffusion": "Custom Diffusion",
    "textual_inversion": "Textual Inversion",
}

ENCODERS = {
    **dict.fromkeys(("dino", "dino_heldout", "pres", "image_drift", "kid"), "toybox-dino 3f2a v1"),
    **dict.fromkeys(("clip_i", "clip_i_heldout", "clip_t", "prior_clip_t_fall"), "toybox-clip 77b0 v1"),
    **dict.fromkeys(("prompt_accuracy", "subject_pattern", "subject_shape"), "toybox-probe 9c1d v1"),
}


def make_record(
    method: str = "dreambooth",
    *,
    subject: str = "mug_01",
    shots: int = 5,
    seed: int = 0,
    scores: Mapping[str, float | None] | None = None,
    drift: Mapping[str, float | None] | None = None,
    lipschitz: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    status: str = "done",
    error: str | None = None,
    dataset: str = "toybox",
    backbone: str = "toybox-sd",
    notes: Mapping[str, str] | None = None,
    seconds: Mapping[str, float] | None = None,
    version: int = 1,
    all_shots: bool = False,
    by_prompt: Mapping[str, list[float | None]] | None = None,
    readout: Mapping[str, Any] | None = None,
    encoders: Mapping[str, str] | None = None,
) -> Record:
    constraint = {"penalty": None, "norm": "tensor_mean", "bound": None, "relative": False, "on": "effective"}
    trial = {
        "dataset": dataset,
        "backbone": backbone,
        "method": method,
        "title": grid.title(TITLES.get(method, method), {}, Lipschitz.of(lipschitz) if lipschitz else None),
        "params": dict(params or {}),
        "lipschitz": constraint | dict(lipschitz) if lipschitz else None,
        "subject": subject,
        "shots": 0 if method in ("frozen", "frozen_oracle", "real", "real_ae") else shots,
        **({"all_shots": True} if all_shots else {}),
        **({"readout": dict(readout)} if readout else {}),
        "seed": seed,
        "sampling": {
            "sampler": "ddim",
            "steps": 20,
            "guidance": 5.0,
            "prompts": "all",
            "images": 1,
            "seed": 0,
        },
    }
    key = hashlib.sha256(json.dumps([trial, version], sort_keys=True).encode()).hexdigest()[:16]
    return Record(
        key=key,
        keys={"fit": key, "sample": key, "score": key},
        status=status,  # type: ignore[arg-type]
        trial=trial,
        scores=dict(scores or {}),
        by_prompt=dict(by_prompt or {}),
        drift=dict(drift or {}),
        notes=dict(notes or {}),
        seconds=dict(seconds or {}),
        images=10,
        provenance={
            "commit": "0123456789abcdef0123",
            "dirty": False,
            "device": "cpu",
            "backbone_revision": "aaaabbbbccccdddd",
            "data_revision": "1111222233334444",
            "encoders": {**ENCODERS, **(encoders or {})},
        },
        error=error,
    )


MakeRecord = Callable[..., Record]


@pytest.fixture
def make() -> MakeRecord:
    return make_record


SUBJECTS = ("mug_03", "lamp_07", "chair_11", "teapot_02")
LAMBDAS = (0.0, 5.0, 50.0, 500.0, 5e3, 5e4, 5e5)
BOUNDS = (3.0, 2.0, 1.2, 0.7, 0.3, 0.1)


def whole_experiment() -> list[Record]:
    """Floors, ceilings, four methods at 1, 3 and 5 shots, constraints along λ and bounds at 5 shots."""
    generator = np.random.default_rng(0)
    records = []
    for subject in SUBJECTS:
        ease = generator.normal(0, 0.03)

        def add(method: str, reach: float, drift: float, subject=subject, ease=ease, **trial: Any) -> None:
            records.append(_invented(generator, method, reach, drift, ease, subject=subject, **trial))

        add("frozen", 0.0, 0.0)
        add("frozen_oracle", 0.25, 0.0)
        add("real", 1.0, 0.0)
        add("real_ae", 0.93, 0.0)
        for shots, learned in ((1, 0.55), (3, 0.75), (5, 0.85)):
            add("dreambooth", learned, 1.0, shots=shots, params={"prior_weight": 0.0})
            add("dreambooth", 0.9 * learned, 0.85, shots=shots, params={"prior_weight": 1.0})
            if shots < 5:
                paper = {"params": {"prior_weight": 0.0}, "lipschitz": {"penalty": 500.0}}
                add("dreambooth", 0.95 * learned, 0.8, shots=shots, **paper)
            add("dreambooth_lora", 0.85 * learned, 0.75, shots=shots)
            add("custom_diffusion", 0.7 * learned, 0.5, shots=shots)
            add("textual_inversion", 0.35 * learned, 0.0, shots=shots)
        plain = {"shots": 5, "params": {"prior_weight": 0.0}}
        for penalty in LAMBDAS:
            left = 1 / (1 + (penalty / 5e3) ** 0.8)
            add("dreambooth", 0.85 * left**0.35, left, lipschitz={"penalty": penalty}, **plain)
        for bound in BOUNDS:
            left = min(1.0, bound / 2.92)
            add("dreambooth", 0.85 * left**0.5, left, lipschitz={"bound": bound}, **plain)
            add("dreambooth_lora", 0.75 * left**0.6, left, lipschitz={"bound": bound}, shots=5)
    return records


def _invented(generator, method: str, reach: float, drift: float, ease: float, **trial: Any) -> Record:
    def near(value: float, spread: float = 0.012) -> float:
        return float(value + generator.normal(0, spread))

    photos = method in ("real", "real_ae")
    scores = {
        "clip_i": near(0.62 + 0.25 * reach + ease),
        "dino": near(0.35 + 0.5 * reach + ease),
        "clip_i_heldout": near(0.6 + 0.25 * reach + ease),
        "dino_heldout": near(0.33 + 0.5 * reach + ease),
        "clip_t": None if photos else near(0.31 - 0.05 * drift, 0.005),
        "prompt_accuracy": None if photos else near(0.86 - 0.3 * drift, 0.02),
        "pres": None if photos else near(0.33 + 0.3 * drift * reach),
        "copying": max(0.0, near(-0.1 + 0.35 * reach)),
        "subject_pattern": near(0.2 + 0.6 * reach),
        "subject_shape": near(0.4 + 0.3 * reach),
    }
    changed = {
        "weight_l2": near(2.92 * drift, 0.05 * drift),
        "noise_l2": near(6.56 * math.sqrt(drift), 0.2 * math.sqrt(drift)),
        "lipschitz_ratio": near(6.56 / 2.92 / math.sqrt(drift), 0.1) if drift else None,
        "image_drift": near(0.4 * drift, 0.02) if drift else 0.0,
        "kid": near(0.02 * drift, 0.002),
        "kid_floor": near(0.0012, 0.0002),
        "prior_clip_t_fall": near(0.03 * drift, 0.004) if drift else 0.0,
    }
    seconds = {"frozen": 0, "frozen_oracle": 0, "real": 0, "real_ae": 0, "textual_inversion": 31}.get(
        method, 24
    )
    return make_record(
        method,
        scores=scores,
        drift=dict.fromkeys(changed) if photos else changed,
        notes={"pres": "photos, not samples"} if photos else {},
        seconds={
            "fit": near(seconds, 0.5) if seconds else 0.0,
            "sample": near(5, 0.1),
            "score": near(0.8, 0.05),
        },
        **trial,
    )


@pytest.fixture(scope="session")
def experiment() -> list[Record]:
    return whole_experiment()
