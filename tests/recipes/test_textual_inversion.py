"""Textual Inversion restated as rows of the whole embedding table, which alone may move."""

from __future__ import annotations

import pytest
import torch
from recipes.comparison import assert_same_update
from recipes.restated import train

SMALL = {"steps": 3, "lr": 1e-3}


def restated(pair, fitted, words, **settings):
    for word in words:
        pair.reference.add_word(word, "dog")
    losses = train(pair.reference, [], fitted.drawn, **settings)
    return rows(pair.reference), losses


def rows(reference):
    return {f"{name}.new_tokens": table[ids] for name, (table, ids) in reference.rows.items()}


@pytest.mark.parametrize(("vectors", "batch", "accumulate"), [(1, 1, 4), (1, 2, 1), (3, 2, 2)])
def test_textual_inversion_is_adamw_on_the_new_rows(pair, photos, vectors, batch, accumulate):
    settings = {"batch": batch, "accumulate": accumulate, "weight_decay": 0.1}
    fitted = pair.fit("textual_inversion", photos, vectors=vectors, **settings, **SMALL)
    words = ["<v>", "<v>_1", "<v>_2"][:vectors]
    assert fitted.phrase == " ".join(words)
    assert len(fitted.drawn) == 3 * accumulate
    expected = restated(
        pair, fitted, words, optimizer="adamw", lr=1e-3, weight_decay=0.1, accumulate=accumulate
    )
    assert_same_update(fitted, *expected)


def test_every_row_starts_as_the_class_noun(pair, photos):
    fitted = pair.fit("textual_inversion", photos, vectors=2, **SMALL)
    for word in ("<v>", "<v>_1"):
        pair.reference.add_word(word, "dog")
    for name, expected in rows(pair.reference).items():
        torch.testing.assert_close(fitted.start[name], expected, rtol=0, atol=0)
