"""Copies of a scene: distances by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist

from harness.metrics.scores.copying import SIDE, copies, nearest, thumbnails


def noise(seed, size=(64, 64)):
    values = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_the_nearer_side_decides_and_a_tie_is_no_copy():
    shots, elsewhere = [[0.0, 0.0], [10.0, 0.0]], [[4.0, 0.0]]
    assert copies([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0], [9.0, 9.0]], shots, elsewhere).tolist() == [1, 0, 0, 1]


def test_distances_are_those_of_scipy():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(7, 12)), random.normal(size=(5, 12))
    assert nearest(a, b) == pytest.approx(cdist(a, b).min(axis=1))


def test_nothing_to_compare_with_is_an_error():
    with pytest.raises(ValueError, match="at least one picture"):
        copies([[0.0]], [[0.0]], np.zeros((0, 1)))


def test_a_thumbnail_averages_blocks():
    picture = noise(1)
    blocks = np.asarray(picture, dtype=np.float64).reshape(SIDE, 4, SIDE, 4, 3).mean(axis=(1, 3)) / 255
    (found,) = thumbnails([picture])
    differences = np.abs(found.reshape(SIDE, SIDE, 3) - blocks)  # 8 bits are rounded once for each axis
    assert differences.max() <= 1 / 255 + 1e-9


def test_an_exact_copy_is_one_whatever_there_is_elsewhere_and_at_any_size():
    shots, elsewhere = [noise(n) for n in range(3)], [noise(n) for n in range(3, 40)]
    for size in ((64, 64), (200, 300)):
        again = [each.resize(size, Image.Resampling.NEAREST) for each in shots]
        small, others = thumbnails(shots), thumbnails(elsewhere)
        assert copies(thumbnails(again), small, others).tolist() == [1, 1, 1]
    assert copies(thumbnails(elsewhere), thumbnails(shots), thumbnails(elsewhere)).sum() == 0


def test_a_thumbnail_is_of_colours_between_0_and_1_whatever_the_picture_s_mode():
    for mode, colour, wanted in (
        ("L", 51, [0.2] * 3),
        ("RGB", (255, 0, 51), [1, 0, 0.2]),
        ("RGBA", (255, 0, 51, 9), [1, 0, 0.2]),
    ):
        (found,) = thumbnails([Image.new(mode, (40, 20), colour)])
        assert found.dtype == np.float64
        assert found.reshape(-1, 3) == pytest.approx(np.tile(wanted, (SIDE * SIDE, 1)))
