"""The committed results: their tables are what the committed records say, to the byte; nothing is large."""

import itertools
import json
import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

from harness import methods, records
from harness.config import experiment
from harness.metrics.registry import MEASURES
from harness.report import publish, stats
from harness.report.rows import select
from harness.report.tables import best_settings, method_table
from harness.sweep.grid import trials
from harness.toybox.confirmation import confirmation

RESULTS = Path(__file__).parents[1] / "results"
EXPERIMENTS = sorted(path.parent for path in RESULTS.glob("*/records.jsonl"))
LARGEST = 5_000_000
MEASURED = ("dino_heldout", "prompt_accuracy_accessory")


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


@pytest.mark.parametrize("folder", EXPERIMENTS, ids=lambda folder: folder.name)
def test_committed_records_are_of_unmodified_commits(folder):
    found = {(r.provenance["commit"], r.provenance["dirty"]) for r in records.read(folder)}
    assert not any(dirty for _, dirty in found)
    assert len(found) <= (3 if folder.name == "tuning-toybox" else 1)  # the search was extended twice


def rows(name, shots):
    return [row for row in select(records.read(RESULTS / name)).of("method") if row.shots == shots]


def penalty(row):
    return row.strength("penalty")


@pytest.mark.parametrize("measure", ["weight_l2", "noise_l2"])
def test_drift_falls_with_every_larger_penalty(measure):
    chain = [row for row in rows("lipschitz_bounds", 5) if row.strength("penalty") is not None]
    drifts = [row.cells[measure].mean for row in sorted(chain, key=penalty)]
    assert len(drifts) >= 5
    assert all(tighter < looser for looser, tighter in pairwise(drifts))


def test_penalties_reach_from_hardly_felt_to_hardly_moved():
    everything = rows("lipschitz_bounds", 5)
    (free,) = [row.cells["weight_l2"].mean for row in everything if not row.constrained]
    chain = sorted((row for row in everything if row.strength("penalty") is not None), key=penalty)
    least, most = chain[0].cells["weight_l2"].mean, chain[-1].cells["weight_l2"].mean
    assert abs(least / free - 1) <= 0.05
    assert most <= 0.2 * free


def test_no_bound_is_exceeded():
    bounded = [row for row in rows("lipschitz_bounds", 5) if row.strength("bound") is not None]
    assert bounded
    for row in bounded:
        assert max(row.cells["weight_l2"].by_subject.values()) <= row.strength("bound") * (1 + 1e-5)


@pytest.mark.parametrize("method", ["dreambooth", "dreambooth_lora", "custom_diffusion"])
def test_five_shots_teach_more_than_nothing(method):
    (frozen,) = [
        row for row in select(records.read(RESULTS / "fewshot")).of("floor") if row.method == "frozen"
    ]
    taught = [row for row in rows("fewshot", 5) if row.method == method and not row.constrained]
    assert taught
    for row in taught:
        pairs = [cells["dino_heldout"].by_subject for cells in (row.cells, frozen.cells)]
        gains = stats.paired_differences(*pairs)
        assert stats.mean(gains) > 2 * stats.standard_error(gains)


SEARCHES = {
    "tuning-toybox": ("dreambooth", "dreambooth_lora", "textual_inversion"),
    "tuning-custom-diffusion": ("custom_diffusion",),
}
"""Committed search → the methods whose present version it is of."""


def chosen():
    """Method, parameters and penalty of the settings that the first merit and the first rule take.

    The merit and the rule of today come after them; a search by those follows.
    """
    taken = set()
    for name, present in SEARCHES.items():
        groups = best_settings.ranked(records.read(RESULTS / name), best_settings.MERITS["accuracy"])
        rows = [best_settings.chosen(group, paired=False).row for group in groups]
        taken |= {
            (row.method, written(row.records[0].trial["params"]), penalty(row))
            for row in rows
            if row.method in present
        }
    return taken


def written(params):
    return json.dumps(params, sort_keys=True)


@pytest.mark.parametrize("name", SEARCHES)
def test_every_method_was_given_as_many_settings(name):
    groups = best_settings.ranked(records.read(RESULTS / name))
    assert {len(group) for group in groups} == {11}
    assert {candidate.merit.n for group in groups for candidate in group} == {4}


def test_the_merit_on_toybox_is_recovered_from_the_committed_records():
    groups = best_settings.ranked(records.read(RESULTS / "tuning-toybox"))
    taken = {(group[0].row.method, penalty(group[0].row)): group[0] for group in groups}
    assert max(value for _, value in taken if value is not None) == 50
    for candidate in taken.values():
        for record in candidate.row.records:
            fidelity, accessory = (record.by_prompt[name] for name in MEASURED)
            colour = record.by_prompt["prompt_accuracy_colour"]
            context = [value for value, other in zip(fidelity, colour, strict=True) if other is None]
            asked = [value for value in accessory if value is not None]
            assert len(context) == 20 and len(asked) in (8, 10)
            merit = math.sqrt(max(0, math.fsum(context) / 20) * math.fsum(asked) / len(asked))
            assert candidate.merit.by_subject[record.trial["subject"]] == pytest.approx(merit, abs=1e-12)


def test_presets_are_what_the_search_chose():
    taken = chosen()
    for name in itertools.chain(*SEARCHES.values()):
        assert (name, written(methods.resolve_params(methods.load(name), {}, "toybox")), None) in taken


def test_fewshot_compares_the_methods_at_the_settings_that_the_search_chose():
    found = trials(experiment.load(RESULTS.parent / "experiments" / "fewshot.yaml"))
    ran = {
        (each.method, written(each.params), each.lipschitz.penalty if each.lipschitz else None)
        for each in found
    }
    assert chosen() <= ran


@pytest.mark.parametrize(
    ("method", "least"), [("dreambooth", 0.4), ("dreambooth_lora", 0.2), ("custom_diffusion", 0.2)]
)
def test_on_the_full_protocol_methods_close_their_share_of_the_gap(method, least):
    found = select(records.read(RESULTS / "toybox_floors"))
    mean = {row.method: row.cells["dino_heldout"].mean for row in found.rows}
    assert {row.subjects for row in found.rows} == {16}
    assert (mean[method] - mean["frozen"]) / (mean["real_ae"] - mean["frozen"]) >= least


def test_on_the_full_protocol_backgrounds_stay_as_asked():
    found = select(records.read(RESULTS / "toybox_floors"))
    kept = {
        row.method: row.cells["prompt_accuracy_background"].mean
        for row in found.rows
        if row.role != "ceiling"
    }
    assert max(value for method, value in kept.items() if method != "frozen") >= 0.7 * kept["frozen"]


def test_the_protocol_names_measures_that_can_fall_and_subjects_that_no_search_has_seen():
    text = (RESULTS.parent / "experiments" / "PROTOCOL.md").read_text()
    margins = dict(re.findall(r"^\| [a-z ]+ \| `(\w+)`.*? \| (\.\d+) \| higher \|$", text, re.MULTILINE))
    assert margins == {
        "dino_context": ".03",
        "prompt_accuracy_accessory": ".06",
        "prior_accuracy_other": ".03",
    }
    assert all(MEASURES[name].direction == "higher" for name in margins)
    assert best_settings.MERITS["composition"] == tuple(margins)[:2]
    confirming = {each.name for each in confirmation()}
    tried = {record.trial["subject"] for folder in EXPERIMENTS for record in records.read(folder)}
    assert not tried & confirming


def test_no_result_file_is_large():
    large = [path for path in RESULTS.rglob("*") if path.is_file() and path.stat().st_size > LARGEST]
    assert not large


def test_the_readme_shows_the_tables_that_the_records_give():
    columns = ["dino_heldout", "clip_t", "prompt_accuracy", "noise_l2", "image_drift", "weight_l2"]
    found = method_table.table(
        records.read(RESULTS / "fewshot"), where=["shots=5"], measures=columns, experiment="fewshot"
    )
    assert found.strip() in (RESULTS.parent / "README.md").read_text()
