"""Published numbers: the rows that must be there, their tags and the remarks beside them."""

import io
import re

import pandas as pd
import pytest

from harness.errors import ConfigError
from harness.report.tables.published_results import REMARKS, RESULTS, published


def find(source, backbone, method):
    rows = pd.read_csv(io.StringIO(published("csv")), dtype=str, keep_default_na=False)
    (row,) = rows[
        (rows["source"] == source) & (rows["backbone"] == backbone) & (rows["method"] == method)
    ].itertuples()
    return (row.dino, row.clip_t, row.clip_i)


def test_numbers_stand_in_the_columns_they_were_printed_in():
    assert find("P&P, Table 1", "SD 1.5", "DreamBooth + Lipschitz") == ("0.6394", "0.2976", "0.7948")
    assert find("P&P, Table 2", "SD 1.5", "IP-Adapter") == ("0.6304", "0.2635", "0.8318")
    assert find("DreamBooth paper", "–", "Real images") == ("0.774", "", "0.885")


def test_what_was_read_off_a_plot_is_tagged():
    assert {row.source for row in RESULTS if row.origin == "digitised"} == {"P&P, Figure 6"}
    text = published()
    assert "P&P, Figure 6 (digitised)" in text
    assert "digitised: read off a plot" in text
    assert re.search(r"500 +\| +0\.6395 \| +0\.2976 \| +0\.7949 \| +315 \| +4330 \|", text)


@pytest.mark.parametrize("format", ["markdown", "tex"])
def test_all_remarks_are_shown(format):
    text = published(format)
    assert all(f"[{number}]" in text for number in (1, 2, 3))
    assert len(REMARKS) == 3
    if format == "tex":
        assert text.isascii()


def test_csv_parses_back():
    parsed = pd.read_csv(io.StringIO(published("csv", backbone="SDXL")))
    assert list(parsed.columns[:6]) == ["source", "backbone", "method", "dino", "clip_t", "clip_i"]
    assert len(parsed) == 4


def test_unknown_backbone_names_the_known_ones():
    with pytest.raises(ConfigError, match="did you mean 'SDXL'"):
        published(backbone="SDXXL")
