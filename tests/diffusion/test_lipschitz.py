"""The Lipschitz constraint on plain tensors: its gradient is the definition's, the ball is never left."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Lipschitz
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.lipschitz import Full, LowRank, change_norm, penalty_value

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
