"""A search: what it proposes, what it stops, and that records alone take it on, whatever was killed."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from carried_out import Killed, carry_out
from fakes import FakeCatalog

from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.records import WANTED, Lines, read
from harness.report.search import searched
from harness.sweep import halving
from harness.sweep.grid import expand
from harness.sweep.proposals import STARTUP, Tried, propose, seed_of
from harness.sweep.worklist import Worklist

HERE = Path(__file__).parents[1]
MEASURES = ("dino_context", "prompt_accuracy_accessory")
OVER = {"lr": {"log": [1e-4, 1.0]}, "steps": {"choice": [4, 10]}}


@pytest.fixture
def search(make):
    """Build an experiment with one study over ``lr`` and ``steps``, on two subjects."""

    def build(*, over=OVER, readouts=None, methods=None, subjects=("d0", "d1"), **rules):
        given = {"algorithm": "optuna", "trials": 8, "subjects": list(subjects), **rules}
        entries = methods or ["frozen", {"name": "tuned", "over": over}]
        more = {"readouts": readouts} if readouts else {}
        experiment = {"name": "x", "methods": entries, "search": given, "shots": 1, **more}
        return strict_yaml.check(Experiment, experiment, source="x.yaml")

    return build


def peak(trial):
    """Best at lr = .01 and at many steps, the same for all subjects."""
    if trial.method == "frozen":
        return 0.1
    steps = trial.readout.value if trial.readout else trial.params["steps"]
    return max(0.0, 0.8 - 0.1 * abs(math.log10(trial.params["lr"]) + 2) + 0.01 * steps)


def study_of(experiment, name="Tuned"):
    found = expand(experiment, FakeCatalog()).studies
    return next(study for study in found if study.name == name)


def points(runs):
    (study,) = searched(read(runs / "x"), MEASURES)
    return [dict(each.point) for each in study.proposals]


def test_a_range_is_kept_rounded_to_three_digits_and_whole_where_the_method_counts(search):
    over = {"lr": {"log": [1.2345e-4, 1.2346e-4]}, "steps": {"linear": [3, 9]}}
    study = study_of(search(over=over, trials=12))
    tried = []
    for _ in range(12):
        tried.append(Tried(propose(study, tried), 0.5))
    assert all(1.2345e-4 <= each.point["lr"] <= 1.2346e-4 for each in tried)
    assert len({each.point["steps"] for each in tried}) > 3 and all(
        3 <= each.point["steps"] <= 9 for each in tried
    )
    assert all(type(each.point["steps"]) is int for each in tried)


def test_proposals_are_those_of_optunas_own_estimator_told_the_same(search):
    """An independent study, by Optuna's suggest interface, with the seed of the proposal."""
    study = study_of(search())
    tried = [Tried({"lr": 10.0**-n, "steps": 10}, 0.1 * n) for n in range(1, 4)]
    tried += [Tried({"lr": 0.5, "steps": 4}, None, {2: 0.3}), Tried({"lr": 0.7, "steps": 4})]
    tried += [Tried({"lr": 0.02, "steps": 10}, 0.35)]
    assert len(tried) == STARTUP
    ranges = {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "steps": optuna.distributions.CategoricalDistribution((4, 10)),
    }
    sampler = optuna.samplers.TPESampler(seed=seed_of(study, STARTUP), n_startup_trials=0)
    own = optuna.create_study(direction="maximize", sampler=sampler)
    for each in tried:
        state = "COMPLETE" if each.merit is not None else "PRUNED" if each.rungs else "FAIL"
        own.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[state],
                value=each.merit,
                params=each.point,
                distributions=ranges,
                intermediate_values=dict(each.rungs),
            )
        )
    trial = own.ask()
    expected = {
        "lr": float(f"{trial.suggest_float('lr', 1e-4, 1.0, log=True):.3g}"),
        "steps": trial.suggest_categorical("steps", (4, 10)),
    }
    assert propose(study, tried) == expected


def test_the_same_seed_proposes_the_same_points_and_another_others(search, runs, tmp_path):
    carry_out(search(), runs, peak)
    carry_out(search(), tmp_path / "again", peak)
    carry_out(search(seed=1), tmp_path / "other", peak)
    assert points(runs) == points(tmp_path / "again")
    assert points(runs) != points(tmp_path / "other")
    assert len({json.dumps(point) for point in points(runs)}) == 8


def test_what_is_found_steers_what_is_proposed(search, runs, tmp_path):
    carry_out(search(trials=24), runs, peak)
    carry_out(search(trials=24, algorithm="random"), tmp_path, peak)

    def near(folder):
        return sum(abs(math.log10(point["lr"]) + 2) < 0.5 for point in points(folder)[STARTUP:])

    assert near(runs) > near(tmp_path)


def test_a_second_run_does_nothing_and_more_trials_add_to_those_there(search, runs, tmp_path):
    first = carry_out(search(trials=4), runs, peak)
    assert len(first) == 1 * 2 + 4 * 2
    assert carry_out(search(trials=4), runs, peak) == []
    more = carry_out(search(trials=8), runs, peak)
    assert len(more) == 4 * 2
    carry_out(search(trials=8), tmp_path, peak)
    assert points(runs) == points(tmp_path)
    fewer = carry_out(search(trials=2), runs, peak)
    assert fewer == [] and len(json.loads((runs / "x" / WANTED).read_text())) == 2 + 2 * 2


def test_killed_anywhere_and_taken_up_again_equals_uninterrupted(search, runs, tmp_path):
    experiment = search(trials=5, scheduler="asha", reduction=2, readouts={"steps": [2, 6]})
    whole = carry_out(experiment, runs, peak)
    pieces = []
    for kill in range(1, len(whole) + 2):
        try:
            pieces += carry_out(experiment, tmp_path, peak, most=kill % 4 + 1)
            break
        except Killed:
            continue
    kept = read(tmp_path / "x")
    assert {r.key: (r.scores, r.search) for r in read(runs / "x")} == {
        r.key: (r.scores, r.search) for r in kept
    }
    lines = [record for record in Lines(tmp_path / "x") if "stopped" not in (record.search or {})]
    assert len(lines) == len(whole) == len({record.key for record in lines})


def test_records_of_the_same_settings_count_whoever_asked_for_them(search, runs, make):
    grid = {"name": "tuned", "params": {"lr": [0.5, 0.01, 7.0], "steps": 10}}
    before = make(methods=[grid], subjects=["d0", "d1"], shots=1)
    carry_out(before, runs, peak)
    carried = carry_out(search(trials=3), runs, peak)
    proposals = points(runs)
    assert proposals[:2] == [{"lr": 0.5, "steps": 10}, {"lr": 0.01, "steps": 10}]  # 7.0 is out of range
    tuned = [trial for trial in carried if trial.method == "tuned"]
    assert len(proposals) == 3 and {trial.params["lr"] for trial in tuned} == {proposals[2]["lr"]}
    assert all(record.keys["fit"] for record in read(runs / "x"))


def test_a_failed_proposal_is_tried_again_by_the_next_run_and_the_points_stay(search, runs):
    bad = []

    def failing(trial):
        if trial.method == "tuned" and len(bad) < 1:
            bad.append(trial.params["lr"])
        return None if bad and trial.params.get("lr") == bad[0] else peak(trial)

    carry_out(search(trials=4), runs, failing)
    before = [r.trial["params"]["lr"] for r in read(runs / "x") if r.trial["method"] == "tuned"]
    again = carry_out(search(trials=4), runs, peak)
    assert {trial.params["lr"] for trial in again} == {bad[0]} and len(again) == 2
    assert {r.trial["params"]["lr"] for r in read(runs / "x") if r.trial["method"] == "tuned"} == set(before)


def test_halving_lets_the_best_third_go_on_by_hand():
    go, stop = None, "stop"
    merits, earlier, said = [0.4, 0.3, 0.5, 0.45, 0.45, 0.1], [], []
    for merit in merits:
        found = halving.verdict(50, merit, earlier, 3)
        said.append(stop if found else go)
        earlier.append(merit)
    # Of n so far ⌈n / 3⌉ go on: 1, 1, 1, 2, 2, 2; .45 is second of four and, as an equal, second of five.
    assert said == [go, stop, go, go, go, stop]
    last = halving.verdict(50, 0.1, merits[:5], 3)
    assert last == {
        "rung": 50, "merit": 0.1, "needed": 0.45, "place": 6, "of": 6,
        "why": "merit 0.100 at 50 steps: place 6 of 6, the best 2 go on",
    }  # fmt: skip


def test_asha_runs_rung_after_rung_and_the_records_say_where_a_proposal_stopped(search, runs):
    experiment = search(trials=6, scheduler="asha", reduction=2, readouts={"steps": [2, 6], "scale": 0.5})
    ran = carry_out(experiment, runs, peak)
    (study,) = searched(read(runs / "x"), MEASURES)
    earlier = {2: [], 6: []}
    for each in study.proposals:
        rungs = [step for step in (2, 6) if step < each.point["steps"]]
        for rung in rungs:
            verdict = halving.verdict(rung, each.merits[rung], earlier[rung], 2)
            earlier[rung].append(each.merits[rung])
            if verdict:
                break
        assert each.stopped == verdict
        reached = [step for step in rungs if step in each.merits]
        expected = reached if verdict else [*rungs, each.point["steps"]]
        assert list(each.merits) == expected and each.trained == sum(expected)
    assert any(each.stopped for each in study.proposals) and study.proposals[0].stopped is None
    stopped = [r for r in read(runs / "x") if (r.search or {}).get("stopped")]
    assert {r.search["stopped"]["rung"] for r in stopped} == {r.trial["readout"]["value"] for r in stopped}
    assert len(stopped) == 2 * sum(each.stopped is not None for each in study.proposals)
    ends = [trial for trial in ran if trial.method == "tuned" and trial.readout is None]
    assert len(ends) == 2 * sum(each.stopped is None for each in study.proposals)
    assert study.spared == (sum(p.trained for p in study.proposals), sum(p.course for p in study.proposals))


def test_what_was_stopped_stays_so_and_without_a_scheduler_all_run_to_their_end(search, runs):
    given = {"trials": 4, "readouts": {"steps": [2]}}
    carry_out(search(scheduler="asha", reduction=2, **given), runs, peak)
    assert carry_out(search(scheduler="asha", reduction=2, **given), runs, peak) == []
    (study,) = searched(read(runs / "x"), MEASURES)
    stopped = sum(each.stopped is not None for each in study.proposals)
    assert stopped
    rest = carry_out(search(scheduler="none", **given), runs, peak)
    assert len(rest) == 2 * stopped and all(trial.readout is None for trial in rest)
    (study,) = searched(read(runs / "x"), MEASURES)
    assert all(each.end is not None and each.stopped is None for each in study.proposals)


def test_every_point_is_an_ordinary_trial(search, runs, make):
    carry_out(search(trials=2), runs, peak)
    one = next(r for r in read(runs / "x") if r.trial["method"] == "tuned")
    entry = {"name": "tuned", "params": {k: one.trial["params"][k] for k in ("lr", "steps")}}
    plain = make(methods=[entry], subjects=[one.trial["subject"]], shots=1)
    (trial,) = expand(plain, FakeCatalog()).trials
    assert Worklist(plain, FakeCatalog(), [], runs).keys(trial).sample == one.key
    assert one.trial["title"] == f"Tuned (lr={one.trial['params']['lr']:g}, steps={entry['params']['steps']})"


def test_methods_and_constraints_have_studies_of_their_own_and_equally_many_proposals(search, runs):
    held = {"lr": {"log": [1e-3, 1e-1]}, "lipschitz": {"penalty": {"log": [1, 1000]}}}
    methods = [
        {"name": "tuned", "over": OVER},
        {"name": "tuned", "over": held},
        {"name": "tuned", "label": "Long", "params": {"steps": 40}, "over": {"lr": [0.1, 0.2, 0.3, 0.4]},
         "lipschitz": [None, {"bound": 2}]},
    ]  # fmt: skip
    carry_out(search(methods=methods, trials=4), runs, peak)
    found = searched(read(runs / "x"), MEASURES)
    assert [study.name for study in found] == ["Long", "Long (B=2)", "Tuned", "Tuned + penalty"]
    assert [len(study.proposals) for study in found] == [4] * 4
    penalties = [each.point["lipschitz.penalty"] for each in found[3].proposals]
    assert all(1 <= penalty <= 1000 for penalty in penalties)
    of_held = [r for r in read(runs / "x") if r.search["study"] == "Tuned + penalty"]
    assert {r.trial["lipschitz"]["penalty"] for r in of_held} == set(penalties)


def test_a_grid_is_gone_through_once_in_an_order_of_the_seed(search, runs):
    over = {"lr": {"choice": [0.1, 0.2, 0.3]}, "steps": [4, 10]}
    carry_out(search(over=over, algorithm="grid", trials=6), runs, peak)
    found = [(each["lr"], each["steps"]) for each in points(runs)]
    assert sorted(found) == [(lr, steps) for lr in (0.1, 0.2, 0.3) for steps in (4, 10)]
    assert found != sorted(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"over": {"lr": {"log": [1, 0.1]}}}, r"methods\[1\].over.lr: log needs two numbers, the lower"),
        ({"over": {"lr": {"log": [0, 0.1]}}}, r"methods\[1\].over.lr: log needs numbers above 0"),
        ({"over": {"lr": {"logg": [1, 2]}}}, r"methods\[1\].over.lr: unknown kind of range 'logg'; did you"),
        ({"over": {"lr": {"log": [1, 2], "linear": [1, 2]}}}, r"over.lr: must be one of \{log: "),
        ({"over": {"steps": [4, 4]}}, r"over.steps: 4 is there twice"),
        ({"over": {}}, r"methods\[1\].over: must be ranges by hyperparameter"),
        ({"over": {"lrr": [1, 2]}, "trials": 2}, r"methods\[1\].over: unknown parameter 'lrr'; did you mean"),
        ({"over": {"steps": {"linear": [1.5, 9]}}}, r"methods\[1\].over.steps: takes whole numbers, not 1.5"),
        ({"over": {"steps": [4, 10]}}, r"methods\[1\].over: 2 points in all, search.trials asks for 8"),
        ({"algorithm": "grid"}, r"methods\[1\].over.lr: a grid is of choices"),
        ({"algorithm": "bayes"}, r"search.algorithm: must be 'optuna', 'random' or 'grid'"),
        ({"trials": 0}, r"search.trials: must be greater than or equal to 1"),
        ({"trails": 4}, r"search: unknown key 'trails'; did you mean 'trials'"),
        ({"scheduler": "asha"}, r"search.scheduler: asha stops at readouts.steps, and there are none"),
        ({"subjects": ["d9"]}, r"subjects\[0\]: unknown subject 'd9'"),
        ({"merit": ["dinno"]}, r"search.merit: unknown measure 'dinno'"),
        ({"merit": ["weight_l2"]}, r"search.merit: weight_l2: only measures that are better when higher"),
        ({"over": {"lr": [1, 2], "lipschitz": {"penalti": [1]}}}, r"over.lipschitz: unknown key 'penalti'"),
        ({"methods": ["frozen"]}, r"search: no method says over"),
        ({"methods": [{"name": "frozen", "over": OVER}]}, r"methods\[0\].over: 'frozen' is a floor"),
        ({"methods": [{"name": "tuned", "params": {"lr": [1, 2]}, "over": {"steps": {"linear": [1, 9]}}}]},
         r"methods\[0\].params.lr: a list beside over"),
        ({"methods": [{"name": "tuned", "params": {"lr": 1.0}, "over": OVER}]},
         r"methods\[0\].over.lr: stands under params too"),
        ({"methods": [{"name": "tuned", "over": OVER, "lipschitz": {"penalty": [1, 2]}}]},
         r"methods\[0\].lipschitz: beside over: put it under over.lipschitz"),
        ({"methods": [{"name": "tuned", "over": OVER}] * 2}, r"methods\[1\]: two searches are called 'Tu"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(search, given, message):
    with pytest.raises(ConfigError, match=message) as caught:
        expand(search(**given), FakeCatalog())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": [{"name": "tuned", "over": OVER}]}, r"methods\[0\].over: needs search:"),
        ({"search": {"trials": 2, "subjects": ["d0"]}, "subjects": ["d1"]}, "subjects: a search has its own"),
        ({"search": {"trials": 2, "subjects": "confirmation"}}, "nothing is tuned on the confirmation"),
        ({"search": {"trials": 2}, "shots": [1, 3]}, "shots: a search is for one number of shots"),
        (
            {"search": {"trials": 2}, "shots": 1, "sampling": {"steps": [10, 20]}},
            "sampling: a search is for one",
        ),
        ({"search": {"trials": 2}, "shots": 1, "scores": ["dino"]}, "scores: the search needs dino_context"),
        (
            {"search": {"trials": 2}, "shots": 1, "dataset": "folder"},
            "search.merit: folder has no prompts with",
        ),
    ],
)
def test_what_a_search_cannot_be_part_of_is_one_line(changes, message):
    methods = [{"name": "tuned", "over": OVER}]
    given = {"name": "x", "methods": methods, "shots": 1, **changes}
    experiment = strict_yaml.check(Experiment, given, source="x.yaml")
    with pytest.raises(ConfigError, match=message) as caught:
        if isinstance(experiment.subjects, tuple) or experiment.subjects.split != "confirmation":
            expand(experiment, FakeCatalog())
        else:
            from harness.sweep.studies import studies

            studies(experiment, ["c0"], FakeCatalog())
    assert "\n" not in str(caught.value)


def test_a_resolved_file_is_the_same_search_and_one_without_says_nothing_of_it(search, make):
    experiment = search(scheduler="asha", readouts={"steps": [2]})
    dumped = experiment.model_dump(mode="json")
    again = strict_yaml.check(Experiment, dumped, source="x.yaml")
    assert again.model_dump(mode="json") == dumped
    assert study_of(again).identity == study_of(experiment).identity
    assert not {"search", "over"} & set(json.dumps(make().model_dump(mode="json")).split('"'))


def test_subjects_of_a_search_are_the_development_ones_unless_it_says_otherwise():
    given = {"name": "x", "methods": [{"name": "tuned", "over": OVER}], "search": {"trials": 1}, "shots": 1}
    assert study_of(strict_yaml.check(Experiment, given, source="x")).subjects == ("d0", "d1", "d2", "d3")


SLOW = {
    "name": "x",
    "methods": ["frozen", {"name": "tuned", "params": {"pause": 0.3}, "over": OVER}],
    "search": {"trials": 3, "scheduler": "asha", "reduction": 2, "subjects": ["d0", "d1"]},
    "shots": 1,
    "readouts": {"steps": [2]},
}


def test_a_search_on_ray_killed_and_taken_up_again_has_the_trials_of_one_without_ray(runs, tmp_path_factory):
    command = [sys.executable, str(HERE / "sweeping.py"), str(runs), json.dumps(SLOW)]
    paths = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": paths}
    for count in (4, None):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        for line in process.stdout:
            count = count and count - line.startswith("recorded")
            if count == 0:
                process.send_signal(signal.SIGKILL)
                break
        said = process.communicate()
    assert process.returncode == 0, said
    scores = {r.key: r.scores for r in read(runs / "x")}
    experiment = strict_yaml.check(Experiment, SLOW, source="x")
    known = Worklist(experiment, FakeCatalog(), [], runs)
    whole = tmp_path_factory.mktemp("whole")

    def same(trial):
        return math.prod(scores[known.keys(trial).sample][name] for name in MEASURES) ** 0.5

    carry_out(experiment, whole, same)
    assert {r.key for r in read(whole / "x")} == {r.key for r in read(runs / "x")}
    done = [r for r in Lines(runs / "x") if "stopped" not in (r.search or {})]
    assert len(done) == len({r.key for r in done})
