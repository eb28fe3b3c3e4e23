"""A metric is one file: put into ``harness.metrics.measures``, it is listed, computed, recorded and shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

METRIC = """
from harness.metrics.measure import Measure, Shown


def redness(inputs, encoders):
    import numpy as np

    return [float(np.asarray(image, dtype=np.float64)[..., 0].mean()) / 255 for image in inputs.images]


ENTRIES = (
    Measure(
        name="redness",
        title="Redness",
        unit="share",
        direction="higher",
        version=7,
        definition="Mean of the red channel.",
        formula=redness,
        per="image",
        shown=Shown(table=35),
    ),
)
"""

USE = """
import json, sys
from pathlib import Path
from harness.metrics import measures

measures.__path__.append(sys.argv[1])

from fakes import FakeCatalog
from PIL import Image
from harness.cli.listing import scores_table
from harness.config import experiment as config
from harness.metrics.registry import MEASURES
from harness.metrics.scorer import Scorer
from harness.metrics.scorer_inputs import Encoders, ScorerInputs, SubjectPhotos
from harness.report.tables.method_table import table
from harness.sweep import keys, worklist
from harness.sweep.record_writer import RecordWriter
from harness.trial.plan import Outcome

folder = Path(sys.argv[2])
(folder / "x.yaml").write_text("methods: [tuned]\\nshots: 1\\nsubjects: [s0]\\n")
experiment = config.load(folder / "x.yaml")
digested = []
whole = keys.text_digest
keys.text_digest = lambda text, *how: digested.append(json.loads(text)) or whole(text, *how)
(task,) = worklist.tasks(experiment, FakeCatalog(), [], folder)
red = [Image.new("RGB", (4, 4), (level, 0, 0)) for level in (255, 0)]
inputs = ScorerInputs(red, SubjectPhotos(red, [0], [1]), prompt_of=[0, 1], texts=["a", "b"])
scores = Scorer(inputs, Encoders({})).scores(["redness"])
outcome = Outcome("done", scores=scores.values, by_prompt=scores.by_prompt)
record = RecordWriter(folder, described=experiment.described()).commit(task, outcome)
print(json.dumps({
    "wanted": experiment.scores,
    "listed": list(scores_table().columns[0].cells),
    "digested": [content["measures"] for content in digested if "measures" in content],
    "recorded": [record.scores, record.by_prompt],
    "table": table([record]),
}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a process says of a harness with one more file: a process, because metrics are found at import."""
    new, folder = tmp_path_factory.mktemp("new"), tmp_path_factory.mktemp("runs")
    (new / "redness.py").write_text(METRIC)
    command = [sys.executable, "-c", USE, str(new), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_listed_after_the_other_scores_and_computed_by_default(seen):
    assert seen["listed"].index("redness") == seen["listed"].index("prompt_accuracy_accessory") + 1
    assert seen["wanted"][-1] == "redness"


def test_its_numbers_are_in_the_record(seen):
    assert seen["recorded"] == [{"redness": 0.5}, {"redness": [1.0, 0.0]}]


def test_its_version_is_in_the_score_key_alone(seen):
    of_sample, of_score = seen["digested"]
    assert of_score["redness"] == [7, None]
    assert "redness" not in of_sample


def test_it_is_a_column_of_the_table_where_its_rank_says(seen):
    heading = next(line for line in seen["table"].splitlines() if "Redness" in line and line.startswith("|"))
    assert "Redness ↑" in heading
