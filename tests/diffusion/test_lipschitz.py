"""The Lipschitz constraint on plain tensors: its gradient is the definition's, the ball is never left."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Lipschitz
from harness.diffusion import lipschitz as maths
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.lipschitz import (
    Full,
    LowRank,
    add_penalty_gradient,
    base_norm,
    change_norm,
    constrained,
    penalty_factor,
    penalty_value,
    project,
    step_back,
)

NORMS = ("tensor_mean", "sum")


def tensors(*shapes, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def full_terms(dtype=torch.float64, distance=0.1):
    """A matrix, a vector and a token row that counts with a table of 1,000 entries."""
    shapes = [(7, 5), (11,), (1, 6)]
    bases, changes = tensors(*shapes, dtype=dtype), tensors(*shapes, dtype=dtype, seed=1)
    values = [torch.nn.Parameter(base + distance * change) for base, change in zip(bases, changes)]
    sizes = [35, 11, 1000]
    return [Full(str(i), v, b, n) for i, (v, b, n) in enumerate(zip(values, bases, sizes))]


def low_rank_term(dtype=torch.float64):
    down, up, base = tensors((3, 6), (8, 3), (8, 6), dtype=dtype)
    return LowRank("layer", torch.nn.Parameter(down), torch.nn.Parameter(up), 1.7, base)


def zero_gradients(terms):
    for term in terms:
        for tensor in (term.value,) if isinstance(term, Full) else (term.down, term.up):
            tensor.grad = torch.zeros_like(tensor)


def close(actual, expected, relative=1e-6):
    assert (actual - expected).norm() <= relative * expected.norm()


def definition(terms, norm):
    """λ-free penalty as in the paper's code, for autograd."""
    total = torch.zeros((), dtype=torch.float64)
    for term in terms:
        change = term.value - term.base if isinstance(term, Full) else term.scale * term.up @ term.down
        size = term.size if norm == "tensor_mean" else 1
        total = total + change.square().sum() / size
    return total


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("terms", [full_terms(), [low_rank_term()]], ids=["full", "low_rank"])
def test_analytic_gradient_is_autograd_of_the_definition(terms, norm):
    lam = 500.0
    leaves = [
        t for term in terms for t in ((term.value,) if isinstance(term, Full) else (term.down, term.up))
    ]
    expected = torch.autograd.grad(lam * definition(terms, norm), leaves)
    zero_gradients(terms)
    ActiveConstraints(Lipschitz(penalty=lam, norm=norm), terms).add_gradient()
    for leaf, gradient in zip(leaves, expected):
        close(leaf.grad, gradient)


@pytest.mark.parametrize("norm", NORMS)
def test_penalty_value_is_the_definition(norm):
    terms = [*full_terms(), low_rank_term()]
    assert penalty_value(terms, norm) == pytest.approx(definition(terms, norm).item(), rel=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_entries_penalize_the_factors_themselves(norm):
    term = low_rank_term()
    zero_gradients([term])
    ActiveConstraints(Lipschitz(penalty=3.0, norm=norm, on="entries"), [term]).add_gradient()
    for factor in (term.down, term.up):
        size = factor.numel() if norm == "tensor_mean" else 1
        close(factor.grad, 2 * 3.0 * factor.detach() / size)


def decoupled(penalty, norm="tensor_mean"):
    return Lipschitz.of({"penalty": penalty, "norm": norm, "decoupled": True})


def test_the_decoupled_sum_from_zero_is_the_weight_decay_of_adamw():
    generator = torch.Generator().manual_seed(3)
    start, *gradients = torch.randn(6, 4, 3, generator=generator, dtype=torch.float64)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    adam = torch.optim.Adam([ours], lr=0.02)
    adamw = torch.optim.AdamW([theirs], lr=0.02, weight_decay=2 * 0.7)
    term = Full("w", ours, torch.zeros_like(start), start.numel())
    constraints = ActiveConstraints(decoupled(0.7, "sum"), [term], lr=0.02)
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        constraints.add_gradient()
        assert torch.equal(ours.grad, gradient)
        constraints.before_step()
        adam.step()
        constraints.after_step()
        adamw.step()
    close(ours.detach(), theirs.detach())


def test_the_decoupled_mean_goes_back_by_its_share_by_hand():
    value = torch.nn.Parameter(torch.tensor([1.0, 2.0, 4.0]))
    value.grad = torch.zeros(3)
    term = Full("a", value, torch.ones(3), 30)
    ActiveConstraints(decoupled(15.0), [term], lr=0.1).before_step()  # lr·2λ/n = 0.1
    torch.testing.assert_close(value.detach(), torch.tensor([1.0, 1.9, 3.7]))


@pytest.mark.parametrize("norm", NORMS)
def test_decoupled_low_rank_terms_step_along_their_gradient(norm):
    term = low_rank_term()
    expected = torch.autograd.grad(5.0 * definition([term], norm), [term.down, term.up])
    old = [term.down.detach().clone(), term.up.detach().clone()]
    zero_gradients([term])
    ActiveConstraints(decoupled(5.0, norm), [term], lr=1e-3).before_step()
    for tensor, start, gradient in zip((term.down, term.up), old, expected):
        close(tensor.detach(), start - 1e-3 * gradient)


def test_a_decoupled_step_beyond_the_base_is_refused():
    term = Full("a", torch.ones(2), torch.zeros(2), 2)
    with pytest.raises(ValueError, match=r"λ = 500 at lr = 0.1 takes 'a' back by 50 of its change"):
        ActiveConstraints(decoupled(500.0), [term], lr=0.1)
    with pytest.raises(ValueError, match="needs the learning rate"):
        ActiveConstraints(decoupled(500.0), [term])


def test_tensor_mean_by_hand():
    value, base = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 1.0])
    terms = [Full("a", value, base, 3), Full("row", value, base, 100)]
    assert penalty_value(terms) == pytest.approx(10 / 3 + 10 / 100)
    assert change_norm(terms) == pytest.approx(math.sqrt(20))


def test_gradient_is_added_to_what_is_there():
    (term, *_) = full_terms()
    term.value.grad = torch.ones_like(term.value)
    ActiveConstraints(Lipschitz(penalty=35 / 2), [term]).add_gradient()
    torch.testing.assert_close(term.value.grad, 1 + (term.value.detach() - term.base))


@pytest.mark.parametrize(
    "lipschitz", [None, Lipschitz(), Lipschitz(penalty=0.0), Lipschitz(penalty=0.0, norm="sum")]
)
def test_no_penalty_touches_no_gradient(lipschitz):
    terms = full_terms()
    zero_gradients(terms)
    before = [term.value.detach().clone() for term in terms]
    constraints = ActiveConstraints(lipschitz, terms)
    constraints.add_gradient()
    constraints.after_step()
    assert all(not term.value.grad.any() for term in terms)
    assert all(torch.equal(term.value, old) for term, old in zip(terms, before))


@settings(max_examples=60, deadline=None)
@given(bound=st.floats(1e-9, 10), distance=st.floats(1e-6, 100), relative=st.booleans())
def test_the_ball_is_never_left_in_float32(bound, distance, relative):
    terms = full_terms(torch.float32, distance)
    radius = (
        bound * math.sqrt(sum(float(term.base.double().square().sum()) for term in terms))
        if relative
        else bound
    )
    before = change_norm(terms)
    ActiveConstraints(Lipschitz(bound=bound, relative=relative), terms).after_step()
    assert change_norm(terms) <= radius * (1 + 1e-5)
    if before <= radius:
        assert change_norm(terms) == before


@settings(max_examples=30, deadline=None)
@given(bound=st.floats(1e-6, 10))
def test_low_rank_projection_scales_only_up(bound):
    term = low_rank_term(torch.float32)
    down = term.down.detach().clone()
    before = change_norm([term])
    ActiveConstraints(Lipschitz(bound=bound), [term]).after_step()
    after = float((term.scale * term.up.detach().double() @ term.down.detach().double()).norm())
    assert after <= bound * (1 + 1e-5)
    assert torch.equal(term.down, down)
    assert after == pytest.approx(min(bound, before), rel=1e-5)


def test_projection_keeps_the_direction():
    terms = full_terms(torch.float64, distance=1.0)
    before = torch.cat([term.change().flatten() for term in terms])
    ActiveConstraints(Lipschitz(bound=0.5), terms).after_step()
    after = torch.cat([term.change().flatten() for term in terms])
    torch.testing.assert_close(after, before * 0.5 / before.norm(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("on", ["effective", "entries"])
def test_bound_zero_is_the_pretrained_model(on):
    full, low_rank = full_terms(torch.float32), low_rank_term(torch.float32)
    ActiveConstraints(Lipschitz(bound=0.0, on=on), [*full, low_rank]).after_step()
    assert all(torch.equal(term.value, term.base) for term in full)
    assert not low_rank.up.any()


def test_relative_bound_on_entries_is_refused():
    with pytest.raises(ValueError, match="effective"):
        ActiveConstraints(Lipschitz(bound=1.0, relative=True, on="entries"), [low_rank_term()])


def test_the_mean_over_tensors_is_what_nothing_else_said_means():
    term = Full("a", torch.nn.Parameter(torch.tensor([3.0, 1.0])), torch.ones(2), 8)
    assert penalty_factor(term, 20.0) == penalty_factor(term, 20.0, "tensor_mean") == 2 * 20 / 8
    assert penalty_factor(term, 20.0, "sum") == 40.0
    term.value.grad = torch.zeros(2)
    add_penalty_gradient([term], 20.0)
    assert term.value.grad.tolist() == [10.0, 0.0]
    step_back([term], 20.0, lr=0.1)
    assert term.value.tolist() == [2.0, 1.0]


def test_a_tensor_without_a_gradient_is_passed_over():
    moved, still = full_terms()[:2]
    low_rank, frozen_up, frozen_down = (low_rank_term() for _ in range(3))
    zero_gradients([moved, low_rank, frozen_up, frozen_down])
    frozen_up.up.grad = frozen_down.down.grad = None
    terms = [still, moved, low_rank, frozen_up, frozen_down]
    add_penalty_gradient(terms, 5.0)
    assert still.value.grad is frozen_up.up.grad is frozen_down.down.grad is None
    close(moved.value.grad, 2 * 5.0 / 35 * moved.change())
    close(frozen_up.down.grad, low_rank.down.grad)
    close(frozen_down.up.grad, low_rank.up.grad)
    before = [still.value.detach().clone(), frozen_up.up.detach().clone()]
    step_back(terms, 5.0, lr=0.1)
    assert torch.equal(still.value, before[0]) and torch.equal(frozen_up.up, before[1])


def test_factors_are_constrained_towards_zero_by_their_own_size():
    full, low_rank = full_terms()[0], low_rank_term()
    assert constrained([full, low_rank], "effective") == [full, low_rank]
    kept, down, up = constrained([full, low_rank], "entries")
    assert kept is full
    assert (down.name, down.size, down.base) == ("layer.down", 18, None) and down.value is low_rank.down
    assert (up.name, up.size, up.base) == ("layer.up", 24, None) and up.value is low_rank.up
    assert base_norm([full, down]) == pytest.approx(float(full.base.norm()))
    both = math.hypot(float(full.base.norm()), float(low_rank.base.norm()))
    assert base_norm([full, low_rank]) == pytest.approx(both)


def test_a_change_of_zero_size_has_length_zero_in_float64():
    term = low_rank_term(torch.float32)
    with torch.no_grad():
        term.up.mul_(1e-3)
    dense = 1.7 * term.up.detach().double() @ term.down.detach().double()
    assert change_norm([term]) == pytest.approx(float(dense.norm()), rel=1e-12)
    assert change_norm([]) == 0.0
    with torch.no_grad():
        term.up.zero_()
    assert change_norm([term]) == 0.0


def test_lengths_of_float32_weights_are_added_in_float64():
    value, base = tensors((100, 99), (100, 99), dtype=torch.float32)
    length = float((value - base).double().norm()), float(base.double().norm())
    terms = [Full("w", value, base, value.numel())]
    assert (change_norm(terms), base_norm(terms)) == pytest.approx(length, rel=1e-12)


def test_a_change_is_a_copy():
    value = torch.nn.Parameter(torch.ones(2))
    for base in (None, torch.zeros(2)):
        Full("a", value, base, 2).change().zero_()
    assert value.tolist() == [1.0, 1.0]


def test_terms_are_handled_in_chunks_of_limited_size(monkeypatch):
    monkeypatch.setattr(maths, "CHUNK", {"cpu": 10, "other": 3})

    def sizes(device, *numbers):
        terms = [Full("", torch.empty(n, device=device), None, n) for n in numbers]
        return [[term.value.numel() for term in chunk] for chunk in maths._chunks(terms)]

    assert sizes("cpu", 4, 6, 1, 20, 3, 7, 1) == [[4, 6], [1], [20], [3, 7], [1]]
    assert sizes("meta", 2, 1, 2, 2) == [[2, 1], [2], [2]]
    assert sizes("cpu") == []


def test_a_penalty_over_several_chunks_is_that_over_one(monkeypatch):
    found = []
    for most in (12, 1 << 18):
        monkeypatch.setattr(maths, "CHUNK", {"cpu": most})
        terms = full_terms()
        zero_gradients(terms)
        add_penalty_gradient(terms, 7.0)
        found.append([term.value.grad for term in terms])
    assert all(torch.equal(one, other) for one, other in zip(*found))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_to_the_weights_precision_does_not_leave_the_ball(dtype):
    base = tensors((40, 30), dtype=dtype)[0]
    term = Full("w", torch.nn.Parameter(base + tensors((40, 30), dtype=dtype, seed=1)[0]), base, 1200)
    project([term], 0.7)
    assert change_norm([term]) <= 0.7 * (1 + 1e-5)


@pytest.mark.parametrize("first", ["full", "low rank"])
def test_full_and_low_rank_changes_shrink_together(first):
    full, low_rank = full_terms(torch.float32)[0], low_rank_term(torch.float32)
    before = full.change().double(), low_rank.change().double()
    length = math.hypot(float(before[0].norm()), float(before[1].norm()))
    project([full, low_rank] if first == "full" else [low_rank, full], 0.25)
    close(full.change().double(), before[0] * 0.25 / length, 1e-4)
    close(low_rank.change().double(), before[1] * 0.25 / length, 1e-4)


def test_factors_from_zero_are_scaled_as_entries():
    term = low_rank_term(torch.float32)
    entries = constrained([term], "entries")
    before = [term.down.detach().clone(), term.up.detach().clone()]
    length = math.hypot(*(float(each.double().norm()) for each in before))
    project(entries, length / 4)
    close(term.down.detach(), before[0] / 4, 1e-4)
    close(term.up.detach(), before[1] / 4, 1e-4)


def test_weights_that_are_no_numbers_are_left_alone():
    term = full_terms(torch.float32)[0]
    with torch.no_grad():
        term.value[0, 0] = float("inf")
    before = term.value.detach().clone()
    project([term], 0.1)
    assert torch.equal(term.value, before)
