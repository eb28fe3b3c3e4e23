"""The committed results: their tables are what the committed records say, to the byte; nothing is large."""

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
from harness.sweep.catalog import Installed
from harness.sweep.grid import trials
from harness.sweep.worklist import tasks
from harness.toybox.confirmation import confirmation

RESULTS = Path(__file__).parents[1] / "results"
EXPERIMENTS = records.run_directories(RESULTS)
LARGEST = 5_000_000
EXTENDED = ("tuning-search", "curves")
"""Run in two sittings, with rows or proposals that came later."""
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
    assert len(found) <= (2 if folder.name in EXTENDED else 1)


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


SEARCH, RIVALS = "tuning-search", "tuning-rivals"
PRESETS = {
    (SEARCH, "DreamBooth"): ("dreambooth", "toybox"),
    (SEARCH, "DreamBooth + prior"): ("dreambooth", "toybox-prior"),
    (SEARCH, "DreamBooth + penalty"): ("dreambooth", "toybox-penalty"),
    (SEARCH, "DreamBooth-LoRA"): ("dreambooth_lora", "toybox"),
    (SEARCH, "Custom Diffusion"): ("custom_diffusion", "toybox"),
    (SEARCH, "Textual Inversion"): ("textual_inversion", "toybox"),
    (RIVALS, "Output preservation †"): ("output_preservation", "toybox"),
    (RIVALS, "DreamBooth + bank"): ("dreambooth", "toybox-bank"),
    (RIVALS, "DreamBooth + penalty"): ("dreambooth", "toybox-activation"),
    (RIVALS, "DCO"): ("dco", "toybox"),
    (RIVALS, "SVDiff"): ("svdiff", "toybox"),
    (RIVALS, "OFT"): ("oft", "toybox"),
    (RIVALS, "T-LoRA"): ("t_lora", "toybox"),
    (RIVALS, "Token-LoRA"): ("token_lora", "toybox"),
}
"""Search and study → the method and its preset that is what was taken."""


def taken(search):
    """Study → the setting that ``harness best`` takes: parameters, and the penalty."""
    found = {}
    for group in best_settings.ranked(records.read(RESULTS / search)):
        row = best_settings.chosen(group).row
        studies = {r.search["study"] for each in group for r in each.row.records if r.search}
        if not studies:  # what stood beside the search
            continue
        (study,) = studies
        params = dict(row.records[0].trial["params"])
        if row.setting.get("readout.kind") == "steps":
            params["steps"] = row.setting["readout.value"]
        found[study] = written(params), penalty(row)
    return found


def written(params):
    return json.dumps(params, sort_keys=True)


@pytest.mark.parametrize("search", [SEARCH, RIVALS])
def test_every_method_was_given_as_many_proposals(search):
    points = {}
    for record in records.read(RESULTS / search):
        if record.search:
            points.setdefault(record.search["study"], set()).add(written(record.search["point"]))
    assert {len(found) for found in points.values()} == {16}


def test_the_merit_on_toybox_is_recovered_from_the_committed_records():
    for group in best_settings.ranked(records.read(RESULTS / SEARCH)):
        for record in group[0].row.records:
            fidelity, accessory = (record.by_prompt[name] for name in MEASURED)
            colour = record.by_prompt["prompt_accuracy_colour"]
            context = [value for value, other in zip(fidelity, colour, strict=True) if other is None]
            asked = [value for value in accessory if value is not None]
            assert len(context) == 20 and len(asked) in (8, 10)
            gained = (math.fsum(context) / 20 - 0.3) / 0.7
            merit = math.sqrt(max(0, gained) * math.fsum(asked) / len(asked))
            assert group[0].merit.by_subject[record.trial["subject"]] == pytest.approx(merit, abs=1e-12)


@pytest.mark.parametrize(("search", "study"), PRESETS)
def test_presets_are_what_the_search_chose(search, study):
    name, preset = PRESETS[search, study]
    held = methods.resolve_params(methods.load(name), {}, "toybox", preset=preset)
    assert written(held) == taken(search)[study][0]


def test_fewshot_compares_the_methods_at_the_settings_that_the_search_chose():
    found = trials(experiment.load(RESULTS.parent / "experiments" / "fewshot.yaml"))
    ran = {
        (each.method, written(each.params), each.lipschitz.penalty if each.lipschitz else None)
        for each in found
    }
    assert {(PRESETS[SEARCH, study][0], *setting) for study, setting in taken(SEARCH).items()} <= ran


@pytest.mark.parametrize(("method", "least"), [("dreambooth", 0.4), ("dreambooth_lora", 0.2)])
def test_on_the_full_protocol_methods_close_their_share_of_the_gap(method, least):
    found = select(records.read(RESULTS / "toybox_floors"))
    mean = {row.method: row.cells["dino_heldout"].mean for row in found.rows}
    assert {row.subjects for row in found.rows} == {16}
    assert (mean[method] - mean["frozen"]) / (mean["real_ae"] - mean["frozen"]) >= least


def test_on_the_full_protocol_custom_diffusion_teaches_something():
    found = select(records.read(RESULTS / "toybox_floors"))
    cells = {row.method: row.cells["dino_heldout"].by_subject for row in found.rows}
    gain = stats.paired_interval(cells["custom_diffusion"], cells["frozen"])
    assert gain.n == 16 and gain.low > 0


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
    before = [folder for folder in EXPERIMENTS if folder.name != "equal_drift"]
    tried = {record.trial["subject"] for folder in before for record in records.read(folder)}
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


@pytest.mark.parametrize("name", ["equal_drift", "equal_seconds", "fewshot", "curves", "guidance"])
def test_committed_trials_are_found_again_by_their_keys(name, tmp_path):
    """The key of the last stage covers those of the others: a sweep of the file would find all of it done."""
    asked = experiment.load(RESULTS.parent / "experiments" / f"{name}.yaml")
    found = {task.keys.score for task in tasks(asked, Installed(asked, plan_only=True), [], tmp_path)}
    assert found == {record.keys["score"] for record in records.read(RESULTS / name)}
