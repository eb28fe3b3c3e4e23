"""A run directory as a sweep leaves it: records, pictures, losses; some of it hostile or missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.records import Lines, Record
from harness.report.html import document

PROMPTS = ("a mug on a table", "a mug <b>in</b> the snow", "a red mug")
YAML = "name: made\nquestion: Does <i>it</i> hold?\n"


def write_run(folder: Path, records: Sequence[Record], *, pictures: bool = True) -> Path:
    """Write a run directory; each picture has a colour of its own, ceilings hold photos."""
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text(YAML)
    for place, record in enumerate(records):
        Lines(folder).append(record)
        if pictures and record.status == "done":
            write_pictures(folder / record.key, place)
    return folder


def write_pictures(folder: Path, place: int) -> None:
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    entries = []
    for number, prompt in enumerate(PROMPTS):
        name = f"pictures/{number:02}-00.png"
        Image.new("RGB", (24, 16), (place * 7 % 256, number * 80, place // 30 * 40)).save(folder / name)
        entries.append({"file": name, "prompt": prompt, "seed": number, "scores": {"clip_t": 0.25}})
    (folder / "images.json").write_text(json.dumps({"pictures": entries}))
    (folder / "fit.json").write_text(json.dumps({"losses": [1 / (step + 1) for step in range(100)]}))


def few(records: Sequence[Record]) -> list[Record]:
    """Three subjects, 3 and 5 shots: DreamBooth along both constraints, LoRA, a floor and a ceiling."""
    subjects = sorted({record.trial["subject"] for record in records})[:3]
    return [record for record in records if record.trial["subject"] in subjects and _kept(record.trial)]


def _kept(trial: Mapping[str, Any]) -> bool:
    if trial["method"] == "dreambooth":
        return trial["params"]["prior_weight"] == 0 and trial["shots"] >= 3
    if trial["method"] == "dreambooth_lora":
        return trial["shots"] == 5 and not trial["lipschitz"]
    return trial["method"] in ("frozen", "real_ae")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, experiment: list[Record]) -> Path:
    """A part of the invented experiment of tests/report, with pictures; not to be written to."""
    return write_run(tmp_path_factory.mktemp("runs") / "made", few(experiment))


@pytest.fixture(scope="session")
def file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    return document.write([run], tmp_path_factory.mktemp("reports") / "report.html")
