"""Cosine scores by hand, against torchmetrics and scipy, and their invariances."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from harness.metrics.scores import similarity


def features(rows: int, width: int = 4):
    """Rows of ordinary numbers, none of them (nearly) zero."""
    entry = st.floats(-3, 3, allow_nan=False, width=32)
    return arrays(np.float32, (rows, width), elements=entry).filter(
        lambda matrix: (np.linalg.norm(matrix, axis=1) > 1e-2).all()
    )


def test_cosine_matrix_by_hand():
    pictures = [[1.0, 0.0], [1.0, 1.0]]
    references = [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]
    half = 1 / np.sqrt(2)
    assert similarity.cosine_matrix(pictures, references) == pytest.approx(
        np.array([[1.0, 0.0, -1.0], [half, half, -half]])
    )


def test_cosine_matrix_equals_torchmetrics_and_scipy():
    from torchmetrics.functional import pairwise_cosine_similarity

    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(7, 32, generator=generator), torch.randn(5, 32, generator=generator)
    ours = similarity.cosine_matrix(a, b)
    assert ours == pytest.approx(pairwise_cosine_similarity(a, b).numpy(), abs=1e-6)
    assert ours == pytest.approx(1 - cdist(a.numpy(), b.numpy(), "cosine"), abs=1e-6)


def test_fidelity_is_the_mean_of_the_full_matrix():
    pictures, references = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    per_picture = similarity.similarity_to_references(pictures, references)
    assert per_picture == pytest.approx([2 / 3, 1 / 3])
    assert per_picture.mean() == pytest.approx(similarity.cosine_matrix(pictures, references).mean())


def test_leave_one_out_skips_each_photo_itself():
    photos = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    per_photo = similarity.similarity_to_references(photos, photos, same=np.eye(3, dtype=bool))
    assert per_photo == pytest.approx([0.5, 0.0, 0.5])
    alone = similarity.similarity_to_references(photos[:1], photos[:1], same=[[True]])
    assert np.isnan(alone).all()


def test_paired_cosine_by_hand():
    assert similarity.paired_cosine([[1.0, 0.0], [0.0, 2.0]], [[3.0, 4.0], [0.0, -1.0]]) == pytest.approx(
        [0.6, -1.0]
    )


def test_paired_distance_by_hand_and_exactly_zero_for_equal_rows():
    a = np.array([[1.0, 0.0], [0.3, 0.7]], dtype=np.float32)
    b = np.array([[3.0, 4.0], [0.3, 0.7]], dtype=np.float32)
    distance = similarity.paired_distance(a, b)
    assert distance[0] == pytest.approx(0.4)
    assert distance[1] == 0.0


def test_diversity_by_hand():
    assert similarity.diversity([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="at least 2 pictures"):
        similarity.diversity([[1.0, 0.0]])


def test_preservation_by_hand():
    assert similarity.preservation([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0]]) == pytest.approx(0.5)


def test_a_row_of_zeros_has_no_direction():
    with pytest.raises(ValueError, match="row 1 has length 0"):
        similarity.cosine_matrix([[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0]])


@given(features(3), features(4), st.permutations(range(4)))
def test_shuffling_references_changes_nothing(pictures, references, order):
    straight = similarity.similarity_to_references(pictures, references)
    assert similarity.similarity_to_references(pictures, references[list(order)]) == pytest.approx(
        straight, abs=1e-12
    )
    assert similarity.preservation(pictures, references[list(order)]) == pytest.approx(
        similarity.preservation(pictures, references), abs=1e-12
    )


@given(features(3))
def test_similarity_of_a_picture_with_itself_is_one(pictures):
    assert np.diag(similarity.cosine_matrix(pictures, pictures)) == pytest.approx(np.ones(3), abs=1e-12)
    assert (similarity.paired_distance(pictures, pictures) == 0).all()


@given(features(2), features(2), st.floats(0.5, 8, width=32))
def test_length_of_features_changes_nothing(a, b, factor):
    assert similarity.cosine_matrix(a * factor, b) == pytest.approx(similarity.cosine_matrix(a, b), abs=1e-5)


@given(features(5))
def test_paired_distance_is_one_minus_paired_cosine(pictures):
    other = np.roll(pictures, 1, axis=0)
    expected = 1 - similarity.paired_cosine(pictures, other)
    assert similarity.paired_distance(pictures, other) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "given",
    [np.ones((2, 3), dtype=np.float32), torch.ones(2, 3, dtype=torch.bfloat16), [[1, 1, 1], [1, 1, 1]]],
)
def test_every_kind_of_features_is_computed_in_float64(given):
    assert similarity.rows(given).dtype == np.float64
    assert similarity.rows(given).tolist() == [[1.0] * 3] * 2
    with pytest.raises(ValueError, match="two axes"):
        similarity.rows(given[0])


def test_a_cosine_leaves_its_range_by_no_rounding():
    x = np.random.default_rng(0).normal(size=(400, 7))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert (unit * unit).sum(axis=1).max() > 1, "rounding would leave it"
    for sign in (1, -1):
        pairs = similarity.paired_cosine(x, sign * x)
        matrix = np.diag(similarity.cosine_matrix(x, sign * x))
        assert (abs(pairs) <= 1).all() and (abs(matrix) <= 1).all()
        assert pairs == pytest.approx(np.full(400, sign)) and matrix == pytest.approx(np.full(400, sign))


def test_two_photos_are_compared_with_each_other_and_one_alone_with_nothing():
    photos = np.array([[1.0, 0.0], [3.0, 4.0]])
    assert similarity.similarity_to_references(photos, photos, same=[[1, 0], [0, 1]]) == pytest.approx(
        [0.6, 0.6]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = similarity.similarity_to_references(photos, photos, same=[[1, 1], [0, 1]])
    assert np.isnan(alone[0]) and alone[1] == pytest.approx(0.6)


@pytest.mark.parametrize("same", [[[False]], [[False, False]]])
def test_pairs_to_leave_out_must_have_the_shape_of_the_matrix(same):
    with pytest.raises(ValueError, match="'same' has shape"):
        similarity.similarity_to_references([[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2, same=same)


def test_the_mean_over_pairs_by_hand():
    assert similarity.mean_pairwise([[9.0, 2.0], [7.0, 9.0]]) == 2.0
    assert similarity.mean_pairwise([[0.0, 1.0, 2.0], [0.0, 0.0, 6.0], [0.0, 0.0, 0.0]]) == 3.0
    small = np.array([[0, 0.1, 0.7], [0, 0, 0.9], [0, 0, 0]], dtype=np.float32)
    assert similarity.mean_pairwise(small) == pytest.approx(small.astype(np.float64).sum() / 3, rel=1e-14)


@pytest.mark.parametrize("given", [[[0.0]], [[0.0, 1.0]], [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0]], [0.0, 1.0]])
def test_what_is_no_square_of_two_pictures_has_no_pairs(given):
    with pytest.raises(ValueError, match="square matrix of at least 2"):
        similarity.mean_pairwise(given)
