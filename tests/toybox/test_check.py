"""The check's own arithmetic; the figures of the shipped weights are `harness toybox check`'s to measure."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.toybox import check
from harness.toybox.world import sample_scene


def test_figures_keep_to_their_limits() -> None:
    assert check.Figure("psnr", 28.0, floor=28).passed
    assert not check.Figure("psnr", 27.9, floor=28).passed
    assert not check.Figure("size", 81.0, ceiling=80).passed
    assert check.Figure("kid", 3.0).passed
    assert not check.Figure("nan", math.nan, floor=0).passed


def test_lines_say_which_figure_falls_short() -> None:
    first, second, third = check.lines(
        [check.Figure("a", 1.0, floor=2), check.Figure("b", 3.0, floor=2), check.Figure("c", 9.0, ceiling=8)]
    )
    assert first.endswith("BELOW")
    assert second.endswith("ok")
    assert third.endswith("ABOVE")


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
