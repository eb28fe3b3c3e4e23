"""The check's own arithmetic; the figures of the shipped weights are `harness toybox check`'s to measure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from harness.cli import main
from harness.cli.toybox import check, figures
from harness.toybox import loading
from harness.toybox.scenes.world import sample_scene


def test_figures_keep_to_their_limits() -> None:
    assert figures.Figure("psnr", 28.0, floor=28).passed
    assert not figures.Figure("psnr", 27.9, floor=28).passed
    assert not figures.Figure("size", 81.0, ceiling=80).passed
    assert figures.Figure("kid", 3.0).passed
    assert not figures.Figure("nan", math.nan, floor=0).passed


def test_lines_say_which_figure_falls_short() -> None:
    assert figures.line(figures.Figure("a", 1.0, floor=2)).endswith("BELOW")
    assert figures.line(figures.Figure("b", 3.0, floor=2)).endswith("ok")
    assert figures.line(figures.Figure("c", 9.0, ceiling=8)).endswith("ABOVE")
    assert figures.line(figures.Figure("d", 9.0)).endswith("9.000")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three quick checks in place of the real ones, and what they were asked for, in turn."""
    told: list[str] = []

    def part(name: str, value: float) -> Callable[[object], Iterator[figures.Figure]]:
        def measure(shelf: object) -> Iterator[figures.Figure]:
            told.append(name)
            yield figures.Figure(name, value, floor=1)

        return measure

    quick = {"size": part("size", 2.0), "clip": part("clip", 0.5), "dino": part("dino", math.nan)}
    monkeypatch.setattr(check, "CHECKS", quick)
    return told


def test_figures_come_as_they_are_measured_the_time_to_load_first(told: list[str]) -> None:
    found = check.check(["clip", "size"], say=told.append)
    assert told == []
    assert next(found).name == "size"
    assert told == ["measuring size (1 of 2)", "size"]
    assert [figure.name for figure in found] == ["clip"]
    assert told[2:] == ["measuring clip (2 of 2)", "clip"]


def test_the_command_prints_lines_or_one_json_object(told: list[str]) -> None:
    plain = CliRunner().invoke(main.app, ["toybox", "check", "size", "clip"])
    assert plain.exit_code == 1
    assert [line.split()[0] for line in plain.stdout.splitlines()] == ["size", "clip"]
    assert plain.stderr.splitlines() == ["measuring size (1 of 2)", "measuring clip (2 of 2)"]
    summary = json.loads(CliRunner().invoke(main.app, ["toybox", "check", "--json"]).stdout)
    assert summary["passed"] is False
    assert summary["revision"] == loading.revision()
    assert summary["figures"] == [
        {"name": "size", "value": 2.0, "floor": 1, "ceiling": None, "passed": True},
        {"name": "clip", "value": 0.5, "floor": 1, "ceiling": None, "passed": False},
        {"name": "dino", "value": None, "floor": 1, "ceiling": None, "passed": False},
    ]
    assert CliRunner().invoke(main.app, ["toybox", "check", "size", "--json"]).exit_code == 0


def test_decibels_by_hand_whole_and_masked() -> None:
    first, second = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    second[0, :, 0, 0] = 51  # a fifth of the range at one pixel of four
    where = torch.tensor([[[True, False], [False, False]]])
    assert check.decibels(first, second, where).item() == pytest.approx(20 * math.log10(5), abs=1e-4)
    assert check.decibels(first, second).item() == pytest.approx(
        20 * math.log10(5) + 10 * math.log10(4), abs=1e-4
    )


def test_the_mask_covers_the_object_and_not_the_corners() -> None:
    mask = check.object_mask(sample_scene(np.random.default_rng(0)))
    assert 0.05 < mask.float().mean() < 0.6
    assert not mask[0, 0]


def test_prompts_are_distinct_and_name_what_they_ask_for() -> None:
    pairs = check.asked(np.random.default_rng(0), 40, "heldout")
    assert len({text for text, _ in pairs}) == 40
    for text, wanted in pairs:
        assert wanted["category"] in text
        assert wanted["colour"] in text


def test_an_unknown_check_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown check 'vae'; known: size, autoencoder"):
        check.check(["vae"])
