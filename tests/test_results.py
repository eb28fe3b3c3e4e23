"""The committed results: their tables are what the committed records say, to the byte; nothing is large."""

from pathlib import Path

import pytest

from harness import publish, records

RESULTS = Path(__file__).parents[1] / "results"
EXPERIMENTS = sorted(path.parent for path in RESULTS.glob("*/records.jsonl"))
LARGEST = 5_000_000


def test_there_are_results():
    assert {"fewshot", "lipschitz_bounds"} <= {folder.name for folder in EXPERIMENTS}


@pytest.mark.parametrize("folder", EXPERIMENTS, ids=lambda folder: folder.name)
def test_tables_are_rendered_from_the_committed_records(folder, tmp_path):
    publish.write_tables(records.read(folder), tmp_path, experiment=folder.name)
    rendered = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}
    assert rendered == committed


@pytest.mark.parametrize("folder", EXPERIMENTS, ids=lambda folder: folder.name)
def test_every_committed_trial_is_done(folder):
    assert {record.status for record in records.read(folder)} == {"done"}


def test_no_result_file_is_large():
    large = [path for path in RESULTS.rglob("*") if path.is_file() and path.stat().st_size > LARGEST]
    assert not large
