"""Batches cover everything once, in order, and become smaller where memory does not suffice."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.diffusion.batching import Batches
from harness.metrics.encoders.pixels import in_batches


def fitting(limit, asked):
    def work(part):
        asked.append(part.stop - part.start)
        if part.stop - part.start > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return list(range(part.start, part.stop))

    return work


@given(n=st.integers(0, 50), largest=st.integers(1, 20), limit=st.integers(1, 20))
def test_everything_is_covered_once_in_order_whatever_fits(n, largest, limit):
    batches, asked = Batches(), []
    parts = batches.over(n, largest, fitting(limit, asked), purpose="images")
    assert [item for part in parts for item in part] == list(range(n))
    assert all(size <= largest for size in asked)
    if n <= limit or largest <= limit:
        assert batches.halved == {}


def test_what_did_not_fit_is_not_tried_again_and_stands_for_one_purpose_alone():
    batches, asked = Batches(), []
    batches.over(16, 16, fitting(4, asked), purpose="draw")
    batches.over(16, 16, fitting(4, asked), purpose="draw")
    assert asked == [16, 8, *[4] * 8]
    assert batches.halved == {"draw": 4}
    asked.clear()
    batches.over(8, 8, fitting(8, asked), purpose="encode")
    assert asked == [8]


def test_embedding_goes_on_in_smaller_batches():
    def network(images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return images.flatten(1)[:, :4]

    images = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    rows = in_batches(images, network, device=torch.device("cpu"), batch=4)
    wanted = torch.nn.functional.normalize(images.flatten(1)[:, :4], dim=-1)
    assert torch.equal(rows, wanted)


def test_a_single_one_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        Batches().over(3, 2, fitting(0, []), purpose="draw")
