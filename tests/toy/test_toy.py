"""The toy: its parts against independent arithmetic, and a short run that leaves records and a figure."""

from __future__ import annotations

import math

import pytest
import torch

from harness.paper.rendering import tidy, write
from harness.paper.sources import Sources
from harness.paper.toy import toy
from harness.records import read
from harness.toy import fitting, measures, networks, run
from harness.toy.experiment import ToyExperiment
from harness.toy.fitting import Fit, World
from harness.toy.gaussians import Schedule


def test_the_schedule_is_the_cosine_one():
    schedule = Schedule.cosine()
    by_hand = [math.cos((t / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(101)]
    assert schedule.alpha_bar[49] == pytest.approx(by_hand[50] / by_hand[0], rel=1e-6)
    assert schedule.beta[49] == pytest.approx(1 - by_hand[50] / by_hand[49], rel=1e-4)
    assert schedule.alpha_bar[-1] == 0 and schedule.alpha_bar[-2] > 0


def test_energy_distance_by_hand():
    first, second = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    expected = 2 * (2 + math.sqrt(5)) / 2 - (0 + 1 + 1 + 0) / 4 - 0
    assert measures.energy_distance(first, second) == pytest.approx(expected)
    assert measures.energy_distance(first, first) == 0


def epsilon(values, noisy, timesteps, classes):
    """The network once more, of one copy."""
    hidden = torch.cat([noisy, values["embed_time"][timesteps], values["embed_class"][classes]], 1)
    for layer in ("in", "hidden"):
        hidden = torch.relu(hidden @ values[f"{layer}.weight"] + values[f"{layer}.bias"])
    return hidden @ values["out.weight"] + values["out.bias"]


def restated(base, world, schedule, fit, steps, samples):
    """One world's fine-tune in plain torch: autograd for losses and penalty, the unfused optimizer."""
    values = {name: tensor[0].clone().requires_grad_() for name, tensor in base.items()}
    start = {name: tensor[0] for name, tensor in base.items()}
    optimizer = torch.optim.Adam(values.values(), lr=2e-3)
    second = world.old[:1] if fit.prior else samples
    streams = zip(
        fitting.draws(1000, 100, world.generator(3)),
        fitting.draws(second.flatten(0, 1).shape[0], 100, world.generator(4)),
        strict=True,
    )
    for _, (own, other) in zip(range(steps), streams, strict=False):
        (rows, t, noise), (others, at, drawn) = own, other
        share = schedule.alpha_bar[t][:, None]
        noisy = share.sqrt() * world.new[rows] + (1 - share).sqrt() * noise
        loss = torch.nn.functional.mse_loss(epsilon(values, noisy, t, torch.full_like(t, 5)), noise)
        loss = loss + fit.penalty * sum(torch.nn.functional.mse_loss(values[n], start[n]) for n in values)
        if fit.prior or fit.preserve:
            share = schedule.alpha_bar[at][:, None]
            noisy = share.sqrt() * second.flatten(0, 1)[others] + (1 - share).sqrt() * drawn
            classes = others // second.shape[1]
            wanted = drawn if fit.prior else epsilon(start, noisy, at, classes)
            out = epsilon(values, noisy, at, classes)
            loss = loss + (fit.prior or fit.preserve) * torch.nn.functional.mse_loss(out, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return values


@pytest.fixture(scope="module")
def trained():
    """A world, the schedule, a base model of 20 steps and its samples."""
    world, schedule = World.drawn(0), Schedule.cosine()
    base = fitting.pretrain(world, schedule, 20)
    return world, schedule, base, measures.sample(base, schedule, world.generator(6), 100)[0]


@pytest.mark.parametrize(
    "fits",
    [
        (Fit(), Fit(penalty=5.0), Fit(alone=True)),
        (Fit(penalty=50.0), Fit(), Fit(alone=True)),
        (Fit(prior=100.0),),
        (Fit(preserve=100.0), Fit(preserve=1.0)),
    ],
    ids=["naive", "penalty", "prior", "preserve"],
)
def test_a_fit_among_others_is_the_fit_alone_in_plain_torch(trained, fits):
    world, schedule, base, samples = trained
    tuned = fitting.tune(fits, base, world, schedule, 15, samples[:5])
    expected = restated(base, world, schedule, fits[0], 15, samples[:5])
    for name, value in expected.items():
        update = value.detach() - base[name][0]
        off = (tuned[name][0] - value.detach()).norm() / update.norm()
        assert off < 2e-3, (name, float(off))  # Adam divides rounding by rounding where gradients are tiny


def test_the_gradient_written_out_is_that_of_autograd():
    generator = torch.Generator().manual_seed(0)
    one = {n: t.double() for n, t in networks.fresh(generator).items()}
    two = {n: torch.cat([t, t + 0.1 * torch.randn(t.shape, generator=generator)]) for n, t in one.items()}
    rows = networks.Rows(
        torch.randn(2, 40, 2, generator=generator).double(),
        torch.randint(100, (2, 40), generator=generator),
        torch.randint(6, (2, 40), generator=generator),
    )
    wanted = torch.randn(2, 40, 2, generator=generator).double()
    weight = torch.rand(2, 40, generator=generator).double()
    found = networks.gradient(two, rows, wanted, weight)
    for copy in range(2):
        values = {name: tensor[copy].clone().requires_grad_() for name, tensor in two.items()}
        out = epsilon(values, rows.points[copy], rows.timesteps[copy], rows.classes[copy])
        (weight[copy, :, None] * (out - wanted[copy]).square()).sum().mul(0.5).backward()
        for name, value in values.items():
            assert torch.allclose(found[name][copy], value.grad, rtol=1e-10, atol=1e-12), name


def test_tensors_laid_out_flat_come_back():
    weights = networks.repeated(networks.fresh(torch.Generator().manual_seed(0)), 3)
    back = networks.views(networks.flat(weights), 3)
    assert all(torch.equal(back[name], weights[name]) for name in networks.SHAPES)


def test_the_embedding_alone_leaves_every_old_class_where_it_was(trained):
    world, schedule, base, samples = trained
    tuned = fitting.tune([Fit(alone=True)], base, world, schedule, 10)
    assert measures.class_drift(measures.sample(tuned, schedule, world.generator(6), 100)[0], samples) == 0
    assert not torch.equal(tuned["embed_class"][0, 5], base["embed_class"][0, 5])
    for name in networks.SHAPES:
        kept = slice(None, 5) if name == "embed_class" else slice(None)
        assert torch.equal(tuned[name][0][kept], base[name][0][kept])


def test_output_preservation_holds_the_weights_as_well(trained):
    world, schedule, base, samples = trained
    later = [
        fitting.tune([fit], base, world, schedule, 200, samples[:5]) for fit in (Fit(), Fit(preserve=100.0))
    ]
    assert measures.weight_l2(later[1], base)[0] < measures.weight_l2(later[0], base)[0]


SMALL = {"backbone": "gaussian_mlp", "dataset": "five_gaussians", "seeds": [0, 1],
         "pretrain_steps": 30, "tune_steps": 10, "arms": {"penalty": [50.0], "scale": [0.5]}}  # fmt: skip


def test_a_run_leaves_records_that_a_second_run_does_not_repeat(tmp_path):
    experiment = ToyExperiment.model_validate(SMALL)
    count = run.run(experiment, tmp_path, say=lambda line: None)
    folder = tmp_path / "toy"
    records = read(folder)
    assert count == len(records) == 2 * (1 + 6)
    assert run.run(experiment, tmp_path, say=lambda line: None) == 0
    of = {(r.trial["title"], r.trial["seed"]): r for r in records}
    assert of["The new class's embedding alone", 0].drift["old_energy"] == 0
    assert {of[title, 0].trial["label"] for title in ("Naive", "Naive, α = 0.5", "λ = 50")} == {"Naive"}
    half, whole = (of[name, 1].drift["weight_l2"] for name in ("Naive, α = 0.5", "Naive"))
    assert half == pytest.approx(whole / 2, rel=1e-4)
    page = toy(Sources((tmp_path,)))
    assert "world" in page.parts[0].caption and "not run" not in tidy(page)
    written = write(page, tmp_path / "out")
    assert {path.suffix for path in written} == {".md", ".csv", ".tex", ".png", ".pdf"}
    again_without_a_stack(experiment, folder, records)
    assert {p: p.read_bytes() for p in written} == {
        p: p.read_bytes() for p in write(toy(Sources((tmp_path,))), tmp_path / "out")
    }


def again_without_a_stack(experiment, folder, records):
    """Killed before the last stacks were filed, a run makes what is missing, with the same numbers."""
    lines = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    (folder / "records.jsonl").write_text("".join([*lines[:5], lines[5][:40]]))
    for path in (folder / "bases").iterdir():
        path.chmod(0o444)
    assert run.run(experiment, folder.parent, say=lambda line: None) == len(records) - 5
    before = {r.key: (r.scores, r.drift) for r in records}
    assert {r.key: (r.scores, r.drift) for r in read(folder)} == before


def test_what_is_left_is_told_by_world_and_by_arm():
    experiment = ToyExperiment.model_validate(SMALL)
    wanted = run.keys(experiment)
    done = {key for (seed, title), key in wanted.items() if seed == 0 or title == "Naive"}
    left = [(seed, [arm.title for arm in stack]) for seed, stack in run.stacks(experiment, done)]
    assert {seed for seed, _ in left} == {1}
    assert [title for _, titles in left for title in titles].count("Naive") == 0
    assert sum(len(titles) for _, titles in left) == 6
