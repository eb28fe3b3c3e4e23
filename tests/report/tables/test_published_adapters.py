"""The published adapters: thirty of them, one quadratic, a figure marked as not measured here."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit

from harness.report.figures.published_adapters import against_drift
from harness.report.tables.published_adapters import ADAPTERS, OPENING, quadratic


def test_thirty_adapters_by_rising_drift():
    assert len(ADAPTERS) == len({adapter.name for adapter in ADAPTERS}) == 30
    assert [each.drift for each in ADAPTERS] == sorted(each.drift for each in ADAPTERS)
    drift, similarity = {each.name: each[1:] for each in ADAPTERS}["frod"]
    assert (round(drift, 3), round(similarity, 3)) == (0.463, 0.548)


def test_one_quadratic_explains_94_percent_with_a_residual_deviation_of_024():
    fit = quadratic()
    assert round(fit.explained, 2) == 0.94 and round(fit.deviation, 3) == 0.024
    drift, similarity = (np.array([each[k] for each in ADAPTERS]) for k in (1, 2))
    other, _ = curve_fit(lambda x, a, b, c: a + b * x + c * x**2, drift, similarity)
    assert fit[:3] == pytest.approx(other, rel=1e-5)
    assert fit.at(fit.peak) > max(fit.at(fit.peak - 0.1), fit.at(fit.peak + 0.1))


def test_the_figure_is_marked_as_not_measured_here():
    assert "not measured here" in OPENING
    assert "not measured here" in against_drift().get_suptitle()
    assert (Path(__file__).parents[3] / "docs" / "figures" / "adapters.png").stat().st_size < 200_000
