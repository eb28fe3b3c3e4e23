"""A certificate says what its numbers prove, and one changed byte is noticed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordsError
from harness.report import certificate
from harness.report.guarantees import mean_at_most, share_at_least, tolerance_limit

RNG = np.random.default_rng(0)
VALUES = {
    "noise_l2": (10 * RNG.random(100)).tolist(),
    "relative_change": (0.2 * RNG.random(100)).tolist(),
    "image_drift": (0.5 * RNG.random(100)).tolist(),
}


def body(**changed):
    """A certificate's content as the sweep room makes it, without a model."""
    ratio = {"share": 1.0, "mean": 1.5, "largest": 2.5}
    local = {"prompts": 32, "timesteps": 8, "at_base": {**ratio, "share": 0.0}, "along": [ratio]}
    return {
        "certificate": certificate.VERSION,
        "key": "a" * 16,
        "asked": {"prompts": 100, "confidence": 0.95},
        "training": {"l2": 1.25, "bound": {"radius": 1.25, "l2": 1.25}},
        "statements": certificate.statements(VALUES, confidence=0.95),
        "missing": {"prior_accuracy_fall": "Toybox only"},
        "local_lipschitz": {**local, "largest": 2.5, "recorded": 1.4},
        "assumptions": list(certificate.ASSUMPTIONS),
        "digests": {"weights": "b" * 64},
        **changed,
    }


def only(found, **wanted):
    (one,) = (each for each in found if wanted.items() <= each.items())
    return one


def test_statements_are_those_of_the_statistics():
    found = certificate.statements(VALUES, confidence=0.95, budget=9.0)
    noise, image = VALUES["noise_l2"], VALUES["image_drift"]
    assert only(found, of="noise_l2", kind="share", share=0.9)["limit"] == tolerance_limit(noise, 0.9, 0.95)
    worst = only(found, of="image_drift", kind="largest")
    assert worst == {**worst, "limit": max(image), "share": pytest.approx(0.05**0.01)}
    average = only(found, of="image_drift", kind="mean")
    assert average["limit"] == mean_at_most(image, 0.95, low=0, high=2) > average["seen"]
    assert average["range"] == [0.0, 2.0]
    kept = sum(value <= 9 for value in noise)
    budget = only(found, kind="budget")
    assert budget == {
        "of": "noise_l2",
        "kind": "budget",
        "limit": 9.0,
        "seen": kept,
        "share": share_at_least(kept, 100, 0.95),
    }
    assert not [each for each in found if each["of"] == "noise_l2" and each["kind"] == "mean"]  # no range


def test_a_cosine_a_hair_outside_of_its_range_is_rounding_and_more_is_refused():
    values = {"image_drift": [-1e-7, *([0.1] * 99)]}
    assert certificate.statements(values, confidence=0.95)
    with pytest.raises(ValueError, match="outside of"):
        certificate.statements({"image_drift": [-0.1, *([0.1] * 99)]}, confidence=0.95)


@pytest.mark.parametrize(
    ("prompts", "confidence", "words"),
    [
        (58, 0.95, "at least 59"),
        (59, 0.95, None),
        (512, 0.999999999999, "at least 539"),
        (512, 1.0, "--confidence 1"),
        (512, 95.0, "--confidence 95"),
        (1, 0.5, "at least 14"),
    ],
)
def test_too_few_prompts_are_said_with_how_many_it_takes(prompts, confidence, words):
    found = certificate.too_few(prompts, confidence)
    assert found is None if words is None else words in found and "\n" not in found


def test_a_sealed_certificate_is_read_back(tmp_path):
    path = tmp_path / "certificate.json"
    path.write_bytes(certificate.to_bytes(certificate.sealed(body())))
    assert certificate.read(path) == json.loads(json.dumps(body()))


@given(st.data())
def test_every_changed_byte_is_noticed(tmp_path_factory, data):
    whole = certificate.to_bytes(certificate.sealed(body()))
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]))
    path = tmp_path_factory.mktemp("changed") / "certificate.json"
    path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
    with pytest.raises(RecordsError, match="certificate"):
        certificate.read(path)


def test_what_is_no_certificate_is_said_in_a_line(tmp_path):
    path = tmp_path / "x.json"
    for content, words in [
        ("{", "not JSON"),
        ("[1]", "not JSON with a seal"),
        ("{}", "not JSON with a seal"),
        ('{"certificate": 9, "seal": ""}', "version 9"),
    ]:
        path.write_text(content)
        with pytest.raises(RecordsError, match=words):
            certificate.read(path)
    with pytest.raises(RecordsError, match="cannot be read"):
        certificate.read(tmp_path / "none.json")


def test_differences_name_the_place():
    stated, found = body(), body()
    assert not list(certificate.differences(stated, found, tolerance=0.0))
    found["statements"][2]["limit"] *= 1 + 1e-4
    (line,) = certificate.differences(stated, found, tolerance=1e-6)
    assert line.startswith("statements[2].limit is stated as ")
    assert not list(certificate.differences(stated, found, tolerance=1e-3))
    found["digests"]["weights"] = "c" * 64
    assert "digests.weights" in next(iter(certificate.differences(stated, found, tolerance=1e-3)))
    assert list(certificate.differences({"a": [1]}, {"a": [1, 2]}, tolerance=1.0))
    assert list(certificate.differences({"a": 1.0}, {}, tolerance=1.0))


def test_sentences_say_confidence_share_and_limit():
    lines = certificate.sentences(body())
    assert lines[0] == "‖Δθ‖₂ is 1.25; training held ‖Δθ‖₂ ≤ 1.25."
    limit = tolerance_limit(VALUES["noise_l2"], 0.95, 0.95)
    assert f"With 95 % confidence at least 95 % of prior prompts keep ‖Δε‖₂ ≤ {limit:.4g}." in lines
    assert "at least 97 % of prior prompts keep ‖Δε‖₂ ≤ " in "".join(lines)  # .0294 below 1: rounded down
    assert any(line.startswith("Not stated: the prior accuracy lost") for line in lines)
    assert "the largest seen is 2.5" in lines[-1]
    assert "no bound" in certificate.sentences(body(training={"l2": 1.0, "bound": None}))[0]
    unmoved = certificate.sentences(body(local_lipschitz=None))
    assert unmoved[-1].startswith("The denoiser did not move")
    held = {"l2": 1.0, "bound": None, "output_limit": 3.0, "calibration": 2.9}
    assert "held to 3 on the calibration probe" in certificate.sentences(body(training=held))[0]
