"""One fit, many readouts: what must be the same bit for bit, what a budget keeps to, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness import methods
from harness.api import Lipschitz
from harness.diffusion.weights.delta import Delta
from harness.metrics.registry import MEASURES
from harness.specs import DriftSet, Readout, Sampling, Trial
from harness.trial import calibration
from harness.trial import worker as worker_module
from harness.trial.plan import Keys, Plan
from harness.trial.prior_texts import CALIBRATION_PROMPTS
from harness.trial.stages import sample

SCORES = tuple(name for name, measure in MEASURES.items() if measure.kind == "score")
SAMPLING = Sampling(steps=2, prompts=2, images=1, guidance=2.0)
DRIFT = DriftSet(prompts=8, timesteps=2, images=4)
PARAMS = {
    "dreambooth": {"steps": 4, "batch": 1, "lr": 1e-3},
    "dreambooth_lora": {"steps": 4, "batch": 1, "lr": 1e-2},
    "textual_inversion": {"steps": 4, "batch": 1, "accumulate": 1, "lr": 1e-2},
    "custom_diffusion": {"steps": 4, "batch": 1, "lr": 1e-3, "prior_weight": 0.0},
}
TAUGHT = tuple(PARAMS)


def quiet(*told):
    """Progress that nobody watches."""


def at(kind, value):
    return Readout(kind=kind, value=value, measure="noise_l2" if kind in ("budget", "merge") else None)


@pytest.fixture(scope="module")
def job(worker, spec):
    """Carry out a job: a fit with its readouts; outcomes in order."""

    def plan(method, readout, **changed):
        params = {**PARAMS.get(method, {}), **changed.pop("params", {})}
        keep = changed.pop("keep_weights", "none")
        sampling = changed.pop("sampling", SAMPLING)
        trial = Trial(
            backbone=spec,
            method=method,
            title=method,
            params=methods.resolve_params(methods.load(method), params, spec.name),
            subject="rex",
            shots=2,
            seed=0,
            sampling=sampling,
            readout=readout,
            **changed,
        )
        return Plan(trial, DRIFT, SCORES, "fp32", keep, Keys("f" * 16, "a" * 16, "b" * 16))

    def carry_out(method, *readouts, **changed):
        outcomes = list(worker.outcomes([plan(method, each, **changed) for each in readouts], quiet))
        for outcome in outcomes:
            assert outcome.status == "done", outcome.artifacts["traceback.txt"].decode()
        return outcomes

    carry_out.plan, carry_out.worker = plan, worker
    return carry_out


def images(outcome):
    return {name: data for name, data in outcome.artifacts.items() if name.startswith(("pictures", "prior"))}


def assert_same(one, other):
    for part in ("scores", "drift", "by_prompt", "bound"):
        assert getattr(one, part) == getattr(other, part)
    assert images(one) == images(other)


@pytest.mark.parametrize("method", TAUGHT)
def test_the_whole_change_is_the_fits_own_end_and_none_of_it_the_base_model(job, method):
    (alone,) = job(method, None)
    end, base, half, whole, again = job(
        method, None, at("scale", 0.0), at("scale", 0.5), at("scale", 1.0), None
    )
    for outcome in (end, whole, again):
        assert_same(outcome, alone)
    assert base.drift["weight_l2"] == base.drift["noise_l2"] == base.drift["image_drift"] == 0.0
    assert not base.drift["token_l2"]
    if method != "textual_inversion":
        assert 0 < half.drift["noise_l2"] < end.drift["noise_l2"]
        assert half.drift["weight_l2"] == pytest.approx(end.drift["weight_l2"] / 2, rel=1e-5)
    if end.drift["token_l2"]:
        assert half.drift["token_l2"] == pytest.approx(end.drift["token_l2"] / 2, rel=1e-5)
    assert [outcome.readout for outcome in (end, half)] == [None, {"alpha": 0.5}]


def test_none_of_the_change_gives_the_images_of_a_model_that_could_not_move(job):
    (held,) = job("dreambooth", None, lipschitz=Lipschitz(bound=0.0))
    (base,) = job("dreambooth", at("scale", 0.0))
    assert images(base) == images(held)


@pytest.mark.parametrize("lipschitz", [None, Lipschitz(bound=0.02), Lipschitz(penalty=10.0)])
@pytest.mark.parametrize("method", ["dreambooth", "dreambooth_lora", "textual_inversion"])
def test_a_checkpoint_is_a_fit_of_so_many_steps(job, method, lipschitz):
    held = None if method == "textual_inversion" else lipschitz
    early, end = job(method, at("steps", 2), None, lipschitz=held)
    (short,) = job(method, None, lipschitz=held, params={"steps": 2})
    (long,) = job(method, None, lipschitz=held)
    assert_same(early, short)
    assert_same(end, long)
    losses = [json.loads(outcome.artifacts["fit.json"])["losses"] for outcome in (early, short)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("method", ["dreambooth", "dreambooth_lora", "custom_diffusion"])
def test_a_budget_is_kept_to_one_percent_on_the_calibration_probe(job, method):
    (whole,) = job(method, at("budget", 1e9))
    moved = whole.readout["calibration"]
    assert (whole.readout["alpha"], whole.readout["evaluations"]) == (1.0, 1.0)
    for share in (0.3, 0.8):
        (held,) = job(method, at("budget", share * moved))
        found = held.readout
        assert 0.99 * found["limit"] <= found["calibration"] <= found["limit"] == share * moved
        assert 0 < found["alpha"] < 1
        (same,) = job(method, at("scale", found["alpha"]))
        assert_same(held, same)
        assert held.drift["noise_l2"] == pytest.approx(share * whole.drift["noise_l2"], rel=0.1)


def test_a_budget_is_the_same_whatever_is_read_out_beside_it(job):
    (whole,) = job("dreambooth", at("budget", 1e9))
    limit = whole.readout["calibration"] / 2
    (alone,) = job("dreambooth", at("budget", limit))
    *_, beside = job("dreambooth", None, at("budget", limit / 2), at("scale", 0.1), at("budget", limit))
    assert beside.readout == alone.readout
    assert_same(beside, alone)


def test_a_method_that_leaves_the_denoiser_alone_is_read_whole_at_every_budget(job):
    (held, end) = job("textual_inversion", at("budget", 1e-3), None)
    assert held.readout["alpha"] == 1.0 and held.readout["calibration"] == 0.0
    assert_same(held, end)


def shares(outcome):
    return {name: part for name, part in outcome.readout.items() if name.startswith("share.")}


UNET = ["share.rest", "share.down_blocks.0", "share.down_blocks.1", "share.up_blocks.0", "share.up_blocks.1"]


@pytest.mark.parametrize("method", ["dreambooth", "dreambooth_lora", "custom_diffusion"])
def test_a_merge_keeps_to_its_limit_with_a_share_for_each_block_that_moved(job, method):
    whole, end = job(method, at("merge", 1e9), None)
    assert set(shares(whole).values()) == {1.0} and whole.readout["evaluations"] == 1.0
    assert_same(whole, end)
    expected = set(UNET) | {"share.mid_block"} if method == "dreambooth" else set(shares(whole))
    assert set(shares(whole)) == expected and len(expected) > 1
    limit = whole.readout["calibration"] / 2
    alone, *beside = job(method, at("merge", limit), at("budget", limit), at("merge", limit))
    assert alone.readout["calibration"] <= alone.readout["limit"] == limit
    found = shares(alone)
    assert all(0 <= part <= 1 for part in found.values())
    useful_are_whole = set(found.values()) <= {0.0, 1.0}
    assert useful_are_whole or alone.readout["calibration"] >= 0.99 * limit
    assert alone.drift["noise_l2"] < end.drift["noise_l2"]
    assert beside[-1].readout == alone.readout
    assert_same(beside[-1], alone)


def test_a_merge_of_a_single_block_is_the_readout_at_a_budget(job, monkeypatch):
    from harness.diffusion.backbones.families import FAMILIES

    monkeypatch.setitem(FAMILIES, "sd", replace(FAMILIES["sd"], blocks="(?!)"))
    (whole,) = job("dreambooth", at("budget", 1e9), params={"steps": 12})
    limit = whole.readout["calibration"] / 3
    budget, merge = job("dreambooth", at("budget", limit), at("merge", limit), params={"steps": 12})
    assert merge.readout["share.rest"] == pytest.approx(budget.readout["alpha"], rel=1e-6)
    assert merge.readout["calibration"] == pytest.approx(budget.readout["calibration"], rel=1e-6)
    assert merge.drift["weight_l2"] == pytest.approx(budget.drift["weight_l2"], rel=1e-6)


def test_what_has_no_blocks_of_its_own_is_merged_whole(job):
    held, end = job("textual_inversion", at("merge", 1e-3), None)
    assert not shares(held) and held.readout["calibration"] == 0.0
    assert_same(held, end)


BOUND = {"output_bound": 0.05, "dual_rate": 1e-6}


@pytest.mark.parametrize("method", ["dreambooth", "dreambooth_lora", "custom_diffusion"])
def test_a_bound_on_outputs_is_held_in_every_record(job, method):
    readouts = [None, at("steps", 3), at("scale", 0.9), at("scale", 1e-3), at("budget", 0.02)]
    readouts += [at("merge", 0.02), at("merge", 1.0)]
    outcomes = job(method, *readouts, lipschitz=Lipschitz.of(BOUND), keep_weights="all")
    for outcome in outcomes:
        assert outcome.bound["output_l2"] <= outcome.bound["output_bound"] == 0.05
    end, early, most, least, budget, *merges = outcomes
    assert merges[0].readout["calibration"] <= 0.02 and merges[1].readout["limit"] == 1.0
    assert end.bound["output_l2"] >= 0.99 * 0.05 and 0 < end.readout["alpha"] < 0.9
    assert most.bound["output_l2"] >= 0.99 * 0.05 and early.readout["alpha"] > end.readout["alpha"]
    assert least.readout["alpha"] == 1e-3
    assert budget.readout["calibration"] <= budget.readout["limit"] == 0.02
    assert not any("delta.safetensors" in outcome.artifacts for outcome in outcomes)


def test_a_fit_within_its_bound_on_outputs_is_read_out_whole(job):
    loose = Lipschitz.of({**BOUND, "output_bound": 1e6})
    (held,), (free,) = job("dreambooth", None, lipschitz=loose, keep_weights="all"), job("dreambooth", None)
    assert held.readout is None and held.bound["output_l2"] > 0 and "delta.safetensors" in held.artifacts
    assert images(held) == images(free)


def test_a_bound_says_how_much_of_it_is_left(job):
    end, half = job("dreambooth", None, at("scale", 0.5), lipschitz=Lipschitz(bound=0.02))
    assert half.bound["radius"] == end.bound["radius"]
    assert half.bound["l2"] == pytest.approx(end.bound["l2"] / 2, rel=1e-4)


def test_a_job_fits_once_and_every_record_has_the_seconds_of_the_fit(job, monkeypatch):
    from harness.trial import worker as module

    fits = []
    original = module.fit
    monkeypatch.setattr(module, "fit", lambda *given: fits.append(given) or original(*given))
    outcomes = job("dreambooth", None, at("steps", 1), at("scale", 0.5))
    assert len(fits) == 1
    assert len({outcome.seconds["fit"] for outcome in outcomes}) == 1
    assert [outcome.provenance.get("fit_shared") for outcome in outcomes] == [None, True, True]
    assert all(outcome.peak_memory_bytes > 0 for outcome in outcomes)


def test_samplings_of_one_fit_are_one_job(job, worker):
    more = SAMPLING.model_copy(update={"guidance": 3.0})
    plans = [job.plan("dreambooth", None), job.plan("dreambooth", None, sampling=more)]
    first, second = worker.outcomes(plans, quiet)
    (whole,) = job("dreambooth", None, sampling=more)
    assert_same(second, whole)
    assert first.drift["noise_l2"] != 0 and images(first) != images(second)


@pytest.mark.parametrize("readout", [at("scale", 0.5), at("steps", 2), at("budget", 0.05), at("merge", 0.02)])
def test_kept_weights_give_the_readouts_of_a_whole_fit(job, worker, monkeypatch, readout):
    method = "dreambooth_lora"
    end, whole = job(method, None, readout, keep_weights="all")
    kept = whole if readout.kind == "steps" else end
    assert ("delta.safetensors" in whole.artifacts) == (readout.kind == "steps")
    saved = {name: kept.artifacts[name] for name in ("fit.json", "delta.safetensors")}
    monkeypatch.setattr("harness.trial.worker.fit", None)
    plan = job.plan(method, readout, keep_weights="all")
    (again,) = worker.outcomes([replace(plan, stage="sample", saved=saved)], quiet)
    assert again.status == "done", again.error
    assert_same(again, whole)
    assert again.readout == whole.readout


def test_images_of_a_readout_are_scored_again_without_its_fit(job, worker):
    (first,) = job("dreambooth", at("budget", 0.05))
    saved = {n: d for n, d in first.artifacts.items() if n.startswith(("pictures/", "prior/", "fit.json"))}
    plan = replace(job.plan("dreambooth", at("budget", 0.05)), stage="score", saved=saved)
    again = worker.run(plan, quiet)
    assert again.status == "done", again.error
    assert (again.scores, again.drift, again.readout) == (first.scores, first.drift, first.readout)


def test_a_fit_that_fails_is_tried_once_and_fails_every_readout(job, worker):
    told = []
    plans = [job.plan("dreambooth", each, params={"lr": 1e30}) for each in (None, at("scale", 0.5))]
    outcomes = list(worker.outcomes(plans, lambda *said: told.append(said)))
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert outcomes[0].error == outcomes[1].error
    assert told.count(("fit", 0, 1, None)) == 1


def test_a_job_that_is_left_half_way_puts_the_backbone_back(job, worker):
    outcomes = worker.outcomes([job.plan("dreambooth", each) for each in (None, at("scale", 0.5))], quiet)
    next(outcomes)
    assert worker._backbone.changed
    outcomes.close()
    assert not worker._backbone.changed


def test_a_step_beyond_the_course_is_one_line(job, worker):
    (outcome,) = worker.outcomes([job.plan("dreambooth", at("steps", 9))], quiet)
    assert outcome.error == "readouts.steps: the fit did not come to step 9"


def test_low_rank_changes_are_scaled_as_such(backbone):
    import torch

    factors = backbone.adapters(rank=2, alpha=3.0, targets=("to_q",), seed=0)
    with torch.no_grad():
        for factor in factors.values():
            factor.add_(torch.randn(factor.shape, generator=torch.Generator().manual_seed(1)))
    whole = {term.name: term.scale * term.up @ term.down for term in backbone.terms()}
    tuned = backbone.delta()
    backbone.interpolate(tuned, 0.25)
    for term in backbone.terms():
        torch.testing.assert_close(term.scale * term.up @ term.down, whole[term.name] / 4)
    backbone.interpolate(tuned, 1.0)
    assert backbone.delta().to_bytes() == tuned.to_bytes()


def test_the_calibration_probe_shares_nothing_with_the_drift_set(worker, job, spec):
    from harness.trial.reference import ReferenceSampler

    sampler = ReferenceSampler(worker._backbone, SAMPLING, DRIFT)
    texts = lambda n: worker._dataset.prior_prompts("dog", n)  # noqa: E731
    found = calibration.calibrate(sampler, texts).probe
    of_drift = sampler.reference(texts).probe
    assert len(found.prompts) == 16 and len(found.timesteps) == DRIFT.timesteps
    assert {p.text for p in found.prompts} & {p.text for p in of_drift.prompts} <= {""}
    assert not {p.seed for p in found.prompts} & {p.seed for p in of_drift.prompts}
    assert len({p.text for p in found.prompts}) == 15 and len({p.seed for p in found.prompts}) == 16


def test_the_calibration_probe_has_the_drift_sets_shares_of_groups():
    from harness.datasets.shots import group_sizes

    assert group_sizes(sum(CALIBRATION_PROMPTS.values())) == CALIBRATION_PROMPTS


def test_a_data_set_without_further_wordings_lends_those_of_the_drift_set():
    few = {"class": ["a dog", "a dog"], "other": ["a cup", "a cat"] * 9, "empty": [""]}
    chosen = calibration.calibration_prompts(lambda n: few, DRIFT)
    assert [p.text for p in chosen] == ["a dog", "a cup", "a cat", "", ""]
    assert len({p.seed for p in chosen}) == 5


@given(st.floats(0.2, 4.0), st.floats(0.01, 3.0))
@example(1.45703125, 0.01)
def test_the_largest_share_is_found_on_any_power_of_it(power, limit):
    asked = []

    def drift(share):
        asked.append(share)
        return 2.0 * share**power

    found = calibration.largest_share(drift, limit)
    assert found.evaluations == len(asked) and 0 < found.share <= 1
    assert found.drift == pytest.approx(drift(found.share)) and found.drift <= limit
    assert found.share == 1.0 or found.drift >= 0.99 * limit


def test_a_nearly_linear_drift_takes_three_evaluations():
    found = calibration.largest_share(lambda share: 5 * share + 0.4 * share**2, 3.0)
    assert found.evaluations <= 3 and 2.97 <= found.drift <= 3.0


def test_what_is_kept_of_a_fit_is_untouched_by_its_readouts(job):
    end, _, again = job("dreambooth_lora", None, at("scale", 0.3), None, keep_weights="all")
    kept = [Delta.from_bytes(each.artifacts["delta.safetensors"]).to_bytes() for each in (end, again)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("method", TAUGHT)
def test_checkpoints_alone_are_trained_no_further_and_are_those_of_the_whole_course(job, worker, method):
    wanted = [at("steps", 1), at("steps", 2)]
    whole = job(method, *wanted, None)
    seen = []

    def watch(stage, done, total, loss):
        if stage == "fit" and loss is not None:
            seen.append(total)

    plans = [job.plan(method, each) for each in wanted]
    alone = list(worker.outcomes(plans, watch))
    for outcome, expected in zip(alone, whole):
        assert_same(outcome, expected)
        assert (
            json.loads(outcome.artifacts["fit.json"])["losses"]
            == (json.loads(expected.artifacts["fit.json"])["losses"])
        )
    assert seen and set(seen) == {2}


def test_the_fits_own_end_is_drawn_once_however_often_it_is_read_out(job, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        worker_module,
        "sample",
        lambda plan, *rest, **named: drawn.append(plan) or sample(plan, *rest, **named),
    )
    readouts = [None, at("scale", 0.5), at("budget", 1e9), at("scale", 1.0), at("steps", 2)]
    end, half, within, whole, early = outcomes = job("dreambooth", *readouts)
    assert [plan.trial.readout for plan in drawn] == [None, at("scale", 0.5), at("steps", 2)]
    shared = [outcome.provenance.get("sample_shared", False) for outcome in outcomes]
    assert shared == [False, False, True, True, False]
    assert_same(end, within)
    assert_same(end, whole)
    assert images(end) != images(half) != images(early)
    assert within.seconds["sample"] > end.seconds["sample"]  # and the search for α

    drawn.clear()
    other = SAMPLING.model_copy(update={"images": 2})
    plans = job.plan("dreambooth", None), job.plan("dreambooth", at("scale", 1.0), sampling=other)
    one, two = job.worker.outcomes(plans, quiet)
    assert [plan.trial.sampling.images for plan in drawn] == [1, 2]
    assert len(images(two)) > len(images(one))
