"""What MLflow says of an experiment as a whole: question, findings, table, mean scores, data set.

Made from records by the rules of the report; knows neither MLflow's client nor where it is stored.
"""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import strict_yaml
from harness.errors import ConfigError, visible
from harness.files import json_digest
from harness.metrics.registry import MEASURES
from harness.records import Record

if TYPE_CHECKING:
    from harness.report.rows import Row

MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""The tag by which MLflow's UI opens an experiment at its runs; without it at traces of language models."""
VIEW, VIEW_TAG = "harness", "mlflow.sharedViewState.harness"
"""The key of the runs page with columns chosen, for its address, and the tag in which MLflow looks it up."""
COLUMNS = {
    "tags": ("title", "subject"),
    "params": ("shots",),
    "metrics": ("dino_heldout", "clip_t", "prompt_accuracy", "drift.noise_l2", "seconds.fit"),
}
"""What that page shows of a trial."""
LONGEST = 7_900
"""Characters of a description; MLflow's tags hold 8,000."""
LONGEST_DIGEST, DIGITS = 36, 16
"""Characters that MLflow takes for a digest, and those of a hash of our own."""


def view(kind: str) -> str:
    """Write what the tag :data:`VIEW_TAG` holds: the columns, and trials by their first score, best on top.

    By time, MLflow would fold them under the sweep's run. ``kind``: the tag that tells a trial from it.
    """
    columns = [f"{group}.`{name}`" for group, names in COLUMNS.items() for name in names]
    order = {"orderByKey": f"metrics.`{COLUMNS['metrics'][0]}`", "orderByAsc": False}
    return json.dumps({"selectedColumns": columns, "searchFilter": f"tags.`{kind}` = 'trial'", **order})


def user() -> str:
    """Name the user as the system does; "unknown" where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def source(command: str, record: Record | None = None) -> dict[str, str]:
    """Give the tags of MLflow's columns *Source* and *User*: the command, the user, the record's commit."""
    commit = record and record.provenance.get("commit")
    return {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": command,
        "mlflow.user": user(),
        **({"mlflow.source.git.commit": str(commit)} if commit else {}),
    }


def question(folder: Path) -> str:
    """Read the question of a run directory's experiment; empty where none was asked."""
    try:
        return str(strict_yaml.read(folder / "experiment.yaml").get("question") or "")
    except ConfigError:
        return ""


def note(folder: Path, records: Sequence[Record]) -> str:
    """Write an experiment's description in Markdown: its question, what was found, the table."""
    from harness.report.rows import select
    from harness.report.tables import method_table

    asked = question(folder)
    parts = [f"**{asked}**" if asked else ""]
    if any(record.status == "done" for record in records):
        parts += ["\n".join(f"* {visible(line)}" for line in findings(select(records).rows))]
        parts += [method_table.table(records, measures=main_scores(), experiment=folder.name)]
    text = "\n\n".join(filter(None, parts))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def findings(rows: Sequence[Row]) -> list[str]:
    """Say for each main score and number of shots which methods cannot be told from the best.

    ``rows`` are those of :func:`harness.report.rows.select`. The rule is that of the table's bold numbers:
    paired 95 % intervals over subjects. Without two methods that share 3 subjects there is nothing to say.
    """
    from harness.report.tables import method_table

    lines = []
    for name in main_scores():
        chosen = method_table.best(rows, column := method_table.COLUMNS[name])
        groups: dict[str, list[Row]] = {}
        for row in chosen:
            groups.setdefault(row.shots_in_words, []).append(row)
        for shots, among in groups.items():
            lead, *others = (f"{row.title} ({row.cells[name].mean:.3f})" for row in among)
            told = f"; cannot be told from it: {', '.join(others)}" if others else ""
            n = among[0].cells[name].n
            lines.append(f"{column.title} {column.arrow}, {shots} (n = {n}): best {lead}{told}")
    return lines


def main_scores() -> list[str]:
    """Name the scores of the compact table."""
    from harness.report.tables.method_table import COMPACT

    return [name for name in COMPACT if name in MEASURES and MEASURES[name].kind == "score"]


def mean_scores(records: Sequence[Record]) -> dict[str, float]:
    """Average the main scores over subjects, row by row: ``mean/SCORE/ROW/SHOTS`` → value."""
    from harness.report.rows import select

    return {
        metric_name(f"mean/{name}/{row.title}/{row.shots_in_words}"): row.cells[name].mean
        for row in select(records).rows
        for name in main_scores()
        if name in row.cells
    }


def metric_name(text: str) -> str:
    """Write a name with the characters that MLflow lets a metric have: letters, digits, ``_-. :/``."""
    return " ".join(re.sub(r"[^\w\-. :/]", " ", text).split())[:250]


def dataset_digest(records: Sequence[Record]) -> str | None:
    """Name the content of the data set that records were made from; None where they do not say.

    One revision stands for itself; of several, subjects swept at different times, a hash.
    """
    known = sorted({str(r.provenance["data_revision"]) for r in records if r.provenance.get("data_revision")})
    if len(known) <= 1:
        return known[0][:LONGEST_DIGEST] if known else None
    return json_digest(known, DIGITS)
