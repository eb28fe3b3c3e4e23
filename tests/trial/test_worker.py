"""The worker on tiny random networks: what a trial leaves behind, and what must be exactly so."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.api import Lipschitz
from harness.metrics.registry import MEASURES
from harness.specs import DriftSet, Sampling, Trial
from harness.trial.plan import Keys, Plan
from harness.trial.worker import Worker

SCORES = tuple(name for name, measure in MEASURES.items() if measure.kind == "score")
DRIFT = tuple(name for name, measure in MEASURES.items() if measure.kind == "drift" and not measure.option)
SMALL = Sampling(steps=2, prompts=3, images=2, guidance=2.0)
FEW = DriftSet(prompts=8, timesteps=2, images=8)
DREAMBOOTH = {"steps": 2, "batch": 1, "lr": 1e-3}


def replace_sampling(trial, **changed):
    return trial.model_copy(update={"sampling": trial.sampling.model_copy(update=changed)})


def quiet(*said):
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def make_plan(spec):
    def make(
        method="frozen", *, params=None, lipschitz=None, subject="rex", shots=0, sampling=SMALL, **more
    ) -> Plan:
        from harness import methods

        resolved = methods.resolve_params(methods.load(method), params or {}, spec.name)
        trial = Trial(
            backbone=spec,
            method=method,
            title=method,
            params=resolved,
            lipschitz=lipschitz,
            subject=subject,
            shots=shots,
            seed=0,
            sampling=sampling,
        )
        keys = Keys("f" * 16, "a" * 16, "b" * 16)
        settings = {"drift": FEW, "scores": SCORES, "precision": "fp32", "keep_weights": "small", **more}
        return Plan(trial=trial, keys=keys, **settings)

    return make


@pytest.fixture(scope="module")
def frozen(worker, make_plan):
    return worker.run(make_plan(), quiet)


@pytest.fixture(scope="module")
def tuned(worker, make_plan):
    return worker.run(make_plan("dreambooth", params=DREAMBOOTH, shots=3), quiet)


def test_every_measure_has_a_number_or_a_reason(frozen, tuned):
    for outcome in (frozen, tuned):
        assert outcome.status == "done", outcome.artifacts.get("traceback.txt", b"").decode()
        assert set(outcome.scores) == set(SCORES)
        assert set(outcome.drift) == set(DRIFT)
        empty = {
            name for part in (outcome.scores, outcome.drift) for name, value in part.items() if value is None
        }
        assert empty <= set(outcome.notes)


def test_record_is_accepted_as_a_record(tuned, make_plan):
    from harness.records import Record

    plan = make_plan("dreambooth", params=DREAMBOOTH, shots=3)
    result = {name: value for name, value in vars(tuned).items() if name != "artifacts"}
    record = Record.model_validate({"key": "k", "keys": {}, "trial": plan.trial.model_dump(), **result})
    assert record.images == 6
    assert set(record.seconds) == {"fit", "sample", "score"}
    assert record.peak_memory_bytes > 0
    assert record.provenance["encoders"]["dino"].startswith("test_vit (sha256:")
    assert "v1" in record.provenance["encoders"]["dino"]
    assert set(record.provenance["preprocessing"]) == {"test_vit"} | {
        name for name in record.provenance["preprocessing"] if name.startswith("local-dir:")
    }


def test_paired_drift_is_exactly_zero_for_frozen(frozen):
    drift = frozen.drift
    paired = [n for n in DRIFT if n.startswith(("weight_", "noise_", "image_drift", "prior_clip_t_fall"))]
    assert {name: drift[name] for name in paired} == dict.fromkeys(paired, 0.0)
    assert frozen.notes["kid"] == "needs at least 100 prior pictures, not 8 (drift.images)"
    assert drift["lipschitz_ratio"] is None
    assert frozen.notes["lipschitz_ratio"] == "Δθ = 0"


def test_a_tuned_model_has_moved_in_all_three_spaces(tuned):
    drift = tuned.drift
    assert drift["weight_l2"] > 0 and drift["weight_tensor_mean"] > 0
    assert drift["noise_l2"] > 0 and drift["noise_mse"] > 0
    assert drift["image_drift"] > 0
    assert drift["lipschitz_ratio"] == pytest.approx(drift["noise_l2"] / drift["weight_l2"])
    groups = [drift[f"noise_l2_{group}"] for group in ("class", "other", "empty")]
    assert min(groups) <= drift["noise_l2"] <= max(groups)


def test_the_shift_on_the_subject_is_measured_where_it_is_asked_for(worker, make_plan, frozen, tuned):
    asked = FEW.model_copy(update={"subject": True})
    learnt = worker.run(make_plan("dreambooth", params=DREAMBOOTH, shots=3, drift=asked), quiet)
    assert learnt.status == "done", learnt.error
    assert learnt.drift["noise_l2_subject"] > 0
    same = {name: value for name, value in learnt.drift.items() if name != "noise_l2_subject"}
    assert (same, learnt.scores) == (tuned.drift, tuned.scores)
    untaught = worker.run(make_plan(drift=asked), quiet)
    assert untaught.drift == {**frozen.drift, "noise_l2_subject": 0.0}
    photos = worker.run(make_plan("real", drift=asked), quiet)
    assert photos.drift["noise_l2_subject"] is None
    assert photos.notes["noise_l2_subject"] == "photos, not a model"


def test_textual_inversion_leaves_the_denoiser_alone(worker, make_plan):
    params = {"steps": 2, "batch": 1, "accumulate": 1}
    outcome = worker.run(make_plan("textual_inversion", params=params, shots=2), quiet)
    drift = outcome.drift
    assert outcome.status == "done", outcome.error
    assert drift["weight_l2"] == drift["noise_l2"] == drift["image_drift"] == 0.0
    assert drift["token_l2"] > 0
    assert "delta.safetensors" in outcome.artifacts


def test_bound_of_zero_leaves_the_base_weights_but_not_the_prompt(worker, make_plan, frozen):
    plan = make_plan("dreambooth", params=DREAMBOOTH, lipschitz=Lipschitz(bound=0.0), shots=2)
    outcome = worker.run(plan, quiet)
    assert outcome.drift["weight_l2"] == outcome.drift["image_drift"] == 0.0
    assert outcome.artifacts["prior/class-00.png"] == frozen.artifacts["prior/class-00.png"]
    assert outcome.artifacts["pictures/00-00.png"] != frozen.artifacts["pictures/00-00.png"]


def test_a_model_that_moved_by_a_hair_draws_the_base_model_s_prior_images(worker, make_plan, frozen, tuned):
    outcome = worker.run(make_plan("dreambooth", params=DREAMBOOTH | {"lr": 1e-8}, shots=3), quiet)
    assert outcome.drift["weight_l2"] > 0
    names = [name for name in frozen.artifacts if name.startswith("prior/")]
    assert len(names) == 8
    for name in names:
        base, moved, far = (pixels(o.artifacts[name]) for o in (frozen, outcome, tuned))
        assert abs(moved - base).max() <= 1 < abs(far - base).max()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)), dtype=int)


def test_files_are_what_the_run_directory_promises(tuned):
    pictures = [f"pictures/{prompt:02d}-{image:02d}.png" for prompt in range(3) for image in range(2)]
    prior = [
        f"prior/{g}-{n:02d}.png"
        for g, count in (("class", 4), ("other", 3), ("empty", 1))
        for n in range(count)
    ]
    rest = {"fit.json", "images.json", "contact_sheet.png"}
    assert set(tuned.artifacts) == {*pictures, *prior, *rest}
    assert Image.open(io.BytesIO(tuned.artifacts["pictures/00-00.png"])).size == (32, 32)
    fit = json.loads(tuned.artifacts["fit.json"])
    assert len(fit["losses"]) == 2 and fit["phrase"] == "sks dog"
    images = json.loads(tuned.artifacts["images.json"])
    assert [each["file"] for each in images["pictures"]] == pictures
    assert images["pictures"][0]["prompt"].count("sks dog") == 1
    assert images["pictures"][0]["clip_text"] == images["pictures"][0]["prompt"].replace("sks dog", "dog")
    assert len({each["seed"] for each in images["pictures"]}) == 6


def test_record_is_the_average_over_prompts_of_the_pictures(tuned):
    images = json.loads(tuned.artifacts["images.json"])["pictures"]
    for name in ("dino", "clip_t"):
        values = [each["scores"][name] for each in images]
        prompts = [sum(values[i : i + 2]) / 2 for i in (0, 2, 4)]
        assert tuned.by_prompt[name] == pytest.approx(prompts)
        assert tuned.scores[name] == pytest.approx(sum(prompts) / 3)


def test_seeds_depend_on_the_prompt_and_never_on_the_method(frozen, tuned):
    seeds = [
        [each["seed"] for each in json.loads(outcome.artifacts["images.json"])[part]]
        for outcome in (frozen, tuned)
        for part in ("pictures", "prior")
    ]
    assert seeds[0] == seeds[2]
    assert seeds[1] == seeds[3]
    assert len(set(seeds[0] + seeds[1])) == len(seeds[0] + seeds[1])


def test_the_same_trial_gives_the_same_pictures_and_numbers_in_another_worker(
    spec, album, encoders, tmp_path, make_plan, tuned
):
    other = Worker(backbone=spec, dataset=album, encoders=encoders, cache=tmp_path)
    again = other.run(make_plan("dreambooth", params=DREAMBOOTH, shots=3), quiet)
    assert again.scores == tuned.scores
    assert again.drift == tuned.drift
    pictures = [name for name in tuned.artifacts if name.endswith(".png")]
    assert {name: again.artifacts[name] for name in pictures} == {
        name: tuned.artifacts[name] for name in pictures
    }


@pytest.mark.parametrize("method", ["frozen", "dreambooth", "real", "real_ae"])
def test_scoring_saved_pictures_again_gives_the_same_numbers_and_trains_nothing(
    worker, make_plan, monkeypatch, method
):
    plan = make_plan(
        method, params=DREAMBOOTH if method == "dreambooth" else {}, shots=2 * (method == "dreambooth")
    )
    first = worker.run(plan, quiet)
    assert first.status == "done", first.error
    saved = {
        n: data for n, data in first.artifacts.items() if n.startswith(("pictures/", "prior/", "fit.json"))
    }
    monkeypatch.setattr("harness.trial.worker.fit", None)
    again = worker.run(replace(plan, stage="score", saved=saved), quiet)
    assert again.status == "done", again.error
    for part in ("scores", "drift", "by_prompt", "notes", "images"):
        assert getattr(again, part) == getattr(first, part)
    assert again.seconds["fit"] == first.seconds["fit"]
    assert again.peak_memory_bytes == first.peak_memory_bytes
    fitted, scored = first.provenance, dict(again.provenance)
    assert {"commit", "versions", "device", "backbone_revision"} <= set(scored.pop("scored"))
    assert scored == fitted
    assert not any(name.startswith(("pictures/", "prior/")) for name in again.artifacts)


def test_changed_sampling_with_kept_weights_gives_a_whole_trial_s_numbers_and_trains_nothing(
    worker, make_plan, monkeypatch
):
    params = {"steps": 2, "batch": 1, "lr": 1e-2}
    plan = make_plan("dreambooth_lora", params=params, lipschitz=Lipschitz(bound=0.5), shots=2)
    first = worker.run(plan, quiet)
    other = replace(plan, trial=replace_sampling(plan.trial, steps=3))
    whole = worker.run(other, quiet)
    assert whole.status == "done", whole.error
    monkeypatch.setattr("harness.trial.worker.fit", None)
    saved = {name: first.artifacts[name] for name in ("fit.json", "delta.safetensors")}
    again = worker.run(replace(other, stage="sample", saved=saved), quiet)
    assert again.status == "done", again.error
    for part in ("scores", "drift", "by_prompt", "bound"):
        assert getattr(again, part) == getattr(whole, part)
    assert again.seconds["fit"] == first.seconds["fit"]
    assert again.provenance["fitted"] == {
        name: first.provenance[name] for name in json.loads(first.artifacts["fit.json"])["origin"]
    }
    assert again.artifacts["delta.safetensors"] == first.artifacts["delta.safetensors"]


@pytest.mark.parametrize(
    ("method", "lipschitz"),
    [
        ("dreambooth", Lipschitz(bound=0.05)),
        ("dreambooth", Lipschitz(bound=1e-4, relative=True)),
        ("dreambooth_lora", Lipschitz(bound=0.05, on="entries")),
        ("dreambooth_lora", Lipschitz(bound=1e-5, relative=True)),
    ],
)
def test_record_proves_the_bound_in_every_form(worker, make_plan, method, lipschitz):
    plan = make_plan(method, params={"steps": 2, "batch": 1, "lr": 1e-2}, lipschitz=lipschitz, shots=2)
    record = worker.run(plan, quiet)
    assert record.status == "done", record.error
    held = record.bound
    assert 0.99 * held["radius"] <= held["l2"] <= held["radius"] * (1 + 1e-5)
    assert lipschitz.relative or held["radius"] == lipschitz.bound
    if lipschitz.on == "effective":
        assert held["l2"] == pytest.approx(record.drift["weight_l2"], rel=1e-6)


def test_numbers_do_not_depend_on_what_the_worker_saw_before(spec, album, encoders, cache, make_plan, tuned):
    cold = Worker(backbone=spec, dataset=album, encoders=encoders, cache=cache, threads=1)
    fresh = cold.run(make_plan("dreambooth", params=DREAMBOOTH, shots=3), quiet)
    assert (fresh.scores, fresh.drift) == (tuned.scores, tuned.drift)


def test_a_missing_picture_is_named(worker, make_plan, frozen):
    saved = {name: data for name, data in frozen.artifacts.items() if name != "pictures/01-00.png"}
    again = worker.run(replace(make_plan("frozen"), stage="score", saved=saved), quiet)
    assert again.status == "failed"
    assert again.error.startswith("pictures/01-00.png is missing")


def test_a_backbone_that_cannot_be_restored_is_not_used_again(
    spec, album, encoders, cache, make_plan, monkeypatch
):
    worker = Worker(backbone=spec, dataset=album, encoders=encoders, cache=cache, threads=1)
    before = worker._backbone

    def broken():
        raise RuntimeError("no way back")

    monkeypatch.setattr(before, "restore", broken)
    plan = make_plan("dreambooth", params=DREAMBOOTH, shots=2)
    assert worker.run(plan, quiet).status == "done"
    assert worker._backbone is not before
    assert worker.run(plan, quiet).status == "done"


def test_peak_memory_is_the_trial_s_own():
    import mmap

    import torch

    from harness.trial.timing import Clock

    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("Linux")
    with mmap.mmap(-1, 80 << 20) as block:  # what is freed in the heap may stay there
        block.write(b"1" * (80 << 20))
        high = Clock(torch.device("cpu")).peak_memory()
    assert Clock(torch.device("cpu")).peak_memory() < high - (60 << 20)


def test_ceiling_of_real_photos_leaves_each_photo_out_of_its_own_references(worker, make_plan, album):
    from harness.metrics.scores.similarity import cosine_matrix

    outcome = worker.run(make_plan("real"), quiet)
    assert outcome.status == "done", outcome.error
    dino = worker._encoders.features("dino").of(worker._dataset.photos("rex"))
    matrix = cosine_matrix(dino, dino)
    n = len(matrix)
    assert outcome.scores["dino"] == pytest.approx((matrix.sum() - n) / (n * (n - 1)))
    assert outcome.scores["clip_t"] is None
    assert outcome.notes["clip_t"] == "photos follow no prompt"
    assert outcome.drift["noise_l2"] is None


def test_a_failing_trial_is_one_line_and_leaves_the_worker_whole(worker, make_plan, frozen):
    plan = make_plan("dreambooth", params={**DREAMBOOTH, "lr": 1e30, "steps": 5}, shots=2)
    failed = worker.run(plan, quiet)
    assert failed.status == "failed"
    assert "step" in failed.error and "\n" not in failed.error
    assert b"Traceback" in failed.artifacts["traceback.txt"]
    after = worker.run(make_plan(), quiet)
    assert after.scores == frozen.scores


def test_more_shots_than_photos_fails_before_anything_is_fitted(worker, make_plan):
    failed = worker.run(make_plan("dreambooth", params=DREAMBOOTH, shots=9), quiet)
    assert failed.error == "subject 'rex' has 5 photos to learn from, 9 shots are requested"


def test_photos_that_change_during_a_trial_fail_it(worker, make_plan, monkeypatch):
    assert worker._revisions
    seen = iter(["as planned", "another"])
    monkeypatch.setattr(worker._dataset, "references_identity", lambda subject: next(seen))
    failed = worker.run(make_plan("real", photos="as planned"), quiet)
    assert failed.status == "failed" and failed.error.startswith("the photos of 'rex' changed while")
    assert next(seen, None) is None


def test_a_method_that_calls_exit_fails_its_trial_and_leaves_the_worker_whole(worker, make_plan, monkeypatch):
    monkeypatch.setattr("harness.trial.worker.fit", lambda *args: sys.exit(3))
    failed = worker.run(make_plan("dreambooth", params=DREAMBOOTH, shots=2), quiet)
    assert failed.status == "failed" and failed.error == "SystemExit: 3"


def test_held_out_scores_are_empty_where_every_photo_is_a_shot(worker, make_plan):
    outcome = worker.run(make_plan("dreambooth", params=DREAMBOOTH, shots=5), quiet)
    assert outcome.scores["dino_heldout"] is None
    assert (
        outcome.notes["dino_heldout"]
        == "every photo of the subject is a shot of the experiment's largest draw"
    )
    assert outcome.scores["dino"] is not None


def test_one_picture_per_prompt_has_no_diversity(worker, make_plan):
    outcome = worker.run(make_plan(sampling=SMALL.model_copy(update={"images": 1})), quiet)
    assert outcome.scores["div_dino"] is None
    assert "sampling.images" in outcome.notes["div_dino"]


def test_a_picture_is_the_same_whatever_other_prompts_are_asked(worker, make_plan, frozen):
    fewer = worker.run(make_plan(sampling=SMALL.model_copy(update={"images": 1})), quiet)
    one, other = (
        Image.open(io.BytesIO(outcome.artifacts["pictures/00-00.png"])) for outcome in (frozen, fewer)
    )
    assert max(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes())) <= 1


def test_raw_prompts_can_be_what_clip_t_sees(worker, make_plan, tuned):
    sampling = SMALL.model_copy(update={"clip_text": "raw"})
    outcome = worker.run(make_plan("dreambooth", params=DREAMBOOTH, shots=3, sampling=sampling), quiet)
    assert outcome.scores["clip_t"] != tuned.scores["clip_t"]
    assert outcome.scores["dino"] == tuned.scores["dino"]


def test_progress_is_told_by_stage(worker, make_plan):
    said = []
    worker.run(make_plan("dreambooth", params=DREAMBOOTH, shots=2), lambda *told: said.append(told))
    stages = list(dict.fromkeys(stage for stage, *_ in said))
    assert stages == ["fit", "sample", "score"]
    assert all(0 <= done <= total for _, done, total, _ in said)
