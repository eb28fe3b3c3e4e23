"""Ticks of logarithmic axes are plain characters."""

from matplotlib.figure import Figure

from harness.report.figures.decades import decades


def test_ticks_are_zero_and_powers_of_ten_of_either_sign():
    axes = Figure().subplots()
    axes.set_xscale("symlog", linthresh=1e-3)
    decades(axes.xaxis)
    written = axes.xaxis.get_major_formatter()
    assert [written(value) for value in (0, 1e-3, 1.0, 1e12, -100.0)] == ["0", "10⁻³", "10⁰", "10¹²", "−10²"]
    assert axes.xaxis.get_minor_formatter()(2.0) == ""
