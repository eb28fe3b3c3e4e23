"""Measured rows beside published ones: the same model, method and constraint, and nothing else."""

from __future__ import annotations

import pytest

from harness.errors import ConfigError
from harness.report.rows import select
from harness.report.tables import published_table
from harness.report.tables.published_results import REMARKS

PHOTOS = {"dataset": "folder", "backbone": "stable-diffusion-v1-5"}


def sources(record):
    (row,) = select([record]).rows
    return [(result.source, result.method) for result in published_table.counterparts(row)]


def test_a_row_meets_the_published_ones_of_its_method_and_constraint(make):
    plain = [("P&P, Table 1", "DreamBooth"), ("P&P, Table 2", "DreamBooth")]
    assert sources(make("dreambooth", **PHOTOS)) == plain
    assert sources(make("dreambooth", lipschitz={"penalty": 500.0}, **PHOTOS)) == [
        ("P&P, Table 1", "DreamBooth + Lipschitz"),
        ("P&P, Figure 6", "DreamBooth + Lipschitz λ=500"),
    ]
    assert sources(make("dreambooth", lipschitz={"penalty": 2000.0}, **PHOTOS)) == [
        ("P&P, Figure 6", "DreamBooth + Lipschitz λ=2000")
    ]
    lora = {"lipschitz": {"penalty": 1e-7, "norm": "sum"}}
    assert sources(make("dreambooth_lora", **lora, **PHOTOS)) == [
        ("P&P, Table 1", "DreamBooth LoRA + Lipschitz")
    ]
    assert sources(make("real", **PHOTOS)) == [("DreamBooth paper", "Real images")]


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "toybox"},
        {"backbone": "toybox"},
        {"lipschitz": {"penalty": 499.0}},
        {"lipschitz": {"penalty": 500.0, "norm": "sum"}},
        {"lipschitz": {"penalty": 500.0, "bound": 1.0}},
        {"lipschitz": {"bound": 1.0}},
        {"lipschitz": {"penalty": 500.0}, "params": {"prior_weight": 1.0}},
    ],
)
def test_another_setting_has_no_published_counterpart(make, changes):
    assert sources(make("dreambooth", **(PHOTOS | changes))) == []


@pytest.mark.parametrize("format", ["markdown", "tex"])
def test_the_table_shows_both_numbers_and_every_remark(make, format):
    scores = {"dino": 0.61234, "clip_t": 0.28, "clip_i": 0.79}
    records = [make("dreambooth", subject=name, scores=scores, **PHOTOS) for name in ("cup", "dog")]
    text = published_table.table(records, format=format)
    assert "0.6123" in text and "0.6028" in text and "[1]" in text
    assert len(REMARKS) == 3 and all(f"[{number}]" in text for number in (1, 2, 3))
    if format == "markdown":
        assert all(remark in text for remark in REMARKS)


def test_toybox_is_never_set_beside_photographs(make):
    with pytest.raises(ConfigError, match="no row here has a published one"):
        published_table.table([make("dreambooth", scores={"dino": 0.5})])


def test_csv_is_refused(make):
    with pytest.raises(ConfigError, match="--published: unknown format 'csv'"):
        published_table.table([make("dreambooth", **PHOTOS)], format="csv")
