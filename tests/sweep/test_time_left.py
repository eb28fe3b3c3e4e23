"""The time left of a sweep, from the work ahead and what was measured: every number by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import FakeCatalog
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Record
from harness.sweep.observer import Status
from harness.sweep.pace import FILING, SAMPLING, SCORING, TRAINING, TRUST, Measured, Pace, by_default, median
from harness.sweep.time_left import TimeLeft, span
from harness.sweep.worklist import in_order, tasks
from harness.sweep.workload import Workload, workloads

FIT = Workload("a", training=2400, sampling=1000, scored=20)  # by default 25.92, 6.6 and 0.29 s


def done(key: str, **seconds: float) -> Record:
    return Record(key=key, keys={}, status="done", trial={}, seconds=seconds)


def expected(load: Workload, times: float = 1.0) -> float:
    alone = load.training * TRAINING + load.sampling * SAMPLING + load.scored * SCORING + FILING
    return times * alone


def test_a_machine_three_times_as_slow_is_known_after_one_trial():
    left = TimeLeft({"one": FIT, "two": FIT, "three": FIT}, 2)
    assert left.seconds() is None
    left.recorded(done("one", **{stage: 3 * s for stage, s in by_default(FIT).items()}))
    assert left.seconds() == pytest.approx(2 * expected(FIT, 3) / 2)


def test_of_a_method_that_was_not_measured_the_others_tell():
    other = replace(FIT, method="b", training=1200)
    left = TimeLeft({"one": FIT, "two": other}, 1)
    left.recorded(done("one", **{stage: 2 * s for stage, s in by_default(FIT).items()}))
    assert left.seconds() == pytest.approx(expected(other, 2))


def test_floors_say_nothing_of_training():
    floor = Workload("floor", sampling=400, scored=10)
    left = TimeLeft({"floor": floor, "one": FIT}, 1)
    left.recorded(done("floor", fit=0.0, sample=2.64, score=0.145))
    assert left.seconds() is None
    left = TimeLeft({"floor": floor, "another": floor}, 1)
    left.recorded(done("floor", fit=0.0, sample=2.64, score=0.145))
    assert left.seconds() == pytest.approx(expected(floor))


def test_a_trial_under_way_is_measured_and_counted(make, tmp_path):
    task = in_order(tasks(make(shots=1), FakeCatalog(), [], tmp_path))[0]
    left = TimeLeft({task.keys.sample: FIT}, 1)
    whole = 2 * FIT.training * TRAINING  # twice the default
    for step in (0, 50):
        left.running({0: (task, Status("fit", step, 100))}, at=whole * step / 100)
    ahead = expected(FIT, 2) - whole / 2
    assert left.seconds() == pytest.approx(ahead)
    left.running({0: (task, Status("sample", 0, 26))}, at=whole)
    assert left.seconds() == pytest.approx(expected(FIT, 2) - whole)


def test_a_failure_leaves_the_work_and_says_nothing():
    left = TimeLeft({"one": FIT, "two": FIT}, 1)
    left.recorded(Record(key="one", keys={}, status="failed", trial={}, seconds={"fit": 1.0}))
    assert left.seconds() is None


def test_the_base_models_work_is_waited_for():
    shared = replace(FIT, base=1000)
    assert span([shared, FIT], Pace(), 2) == pytest.approx(expected(FIT) + 6.6)


def test_few_measurements_of_a_method_lean_on_all_the_others():
    pace = Pace()
    for _ in range(3):
        pace = pace.with_measured("fit", "a", 60.0, 30.0)
    assert pace.factor("fit", "b") == pytest.approx(2.0)
    pace = pace.with_measured("fit", "b", 10.0, 10.0)
    stage = (100 * pace.factor("fit") + TRUST * 0) / 100
    assert pace.factor("fit", "b") == pytest.approx((10 * 1.0 + TRUST * stage) / (10 + TRUST))


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=8))
def test_the_median_lies_among_what_was_measured_and_one_burst_does_not_move_it(pairs):
    measured = [Measured(*pair) for pair in pairs]
    found = median(measured)
    assert min(m.factor for m in measured) - 1e-9 <= found <= max(m.factor for m in measured) + 1e-9
    assert median([Measured(f, 1.0) for f in (1.0, 1.0, 1.0, 50.0)]) == pytest.approx(1.0)


def test_only_the_latest_measurements_count():
    pace = Pace()
    for factor in [9.0] * 30 + [1.0] * 24:
        pace = pace.with_measured("fit", "a", 30 * factor, 30.0)
    assert pace.factor("fit", "a") == pytest.approx(1.0)


def test_what_trials_share_is_the_first_ones(make, tmp_path):
    catalog = FakeCatalog()
    experiment = make(shots=1)
    pending = in_order(tasks(experiment, catalog, [], tmp_path))
    loads = workloads(pending, experiment, catalog)
    assert sum(load.base > 0 for load in loads) == 1 and loads[0].base > 0
    twice = workloads([*pending, *pending], experiment, catalog)
    assert sum(load.training for load in twice) == sum(load.training for load in loads) > 0
