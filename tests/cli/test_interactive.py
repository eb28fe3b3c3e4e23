"""The results from Python: tidy data frames, tables and images; importing the package does no work."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.errors import ConfigError
from harness.records import read
from harness.report.values import outdated

RESULTS = Path(__file__).parents[2] / "results"


def test_a_frame_has_a_line_for_each_trial_and_measure_or_one_for_each_trial():
    records = {record.key: record for record in read(RESULTS / "fewshot")}
    long = harness.load("fewshot", runs=RESULTS)
    wide = harness.load("fewshot", runs=RESULTS, wide=True)
    assert set(long["key"]) == set(wide["key"]) == set(records) and len(wide) == len(records)
    for line in long[long["measure"] == "dino_heldout"].itertuples():
        assert line.value == records[line.key].scores["dino_heldout"]
        assert line.subject == records[line.key].trial["subject"]
    held = sum(
        value is not None and outdated(record, name) is None
        for record in records.values()
        for name, value in (*record.scores.items(), *record.drift.items())
    )
    costs = sum(len(r.seconds) + (r.peak_memory_bytes is not None) for r in records.values())
    assert len(long) == held + costs
    assert set(wide["lipschitz.penalty"].dropna()) == {14.4}


def test_conditions_choose_and_mistakes_are_told():
    chosen = harness.load("fewshot", runs=RESULTS, where=["shots=5", "method=dreambooth"], wide=True)
    assert set(chosen[chosen["method"] == "dreambooth"]["shots"]) == {5}
    with pytest.raises(ConfigError, match="unknown experiment 'few'"):
        harness.load("few", runs=RESULTS)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = harness.lod


def test_tables_show_as_markdown_and_a_trial_as_its_contact_sheet(tmp_path):
    text = (RESULTS / "fewshot" / "tables" / "table.md").read_text()
    assert harness.table("fewshot", runs=RESULTS)._repr_markdown_() == text
    with pytest.raises(ConfigError, match="--against frozn: unknown method"):
        harness.compare("fewshot", "frozn", runs=RESULTS)
    (tmp_path / "x").mkdir()
    shutil.copy(RESULTS / "fewshot" / "records.jsonl", tmp_path / "x")
    key = read(tmp_path / "x")[0].key
    assert harness.show(key, runs=tmp_path)._repr_png_() is None
    (tmp_path / "x" / key / "pictures").mkdir(parents=True)
    (tmp_path / "x" / key / "contact_sheet.png").write_bytes(b"png")
    (tmp_path / "x" / key / "pictures" / "00-00.png").write_bytes(b"png")
    found = harness.show(key[:12], runs=tmp_path)
    assert found._repr_png_() == b"png" and [path.name for path in found.images()] == ["00-00.png"]


def test_no_torch_is_loaded_for_the_results():
    code = (
        "import sys, json, harness; before = len([m for m in sys.modules if m.startswith('harness.')]);"
        f"harness.load('fewshot', runs={str(RESULTS)!r});"
        "print(json.dumps([before, [m for m in ('torch', 'ray', 'mlflow') if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=RESULTS.parent)
    assert json.loads(done.stdout) == [0, []], done.stderr
