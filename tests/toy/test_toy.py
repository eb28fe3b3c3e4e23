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
from harness.toy.gaussians import Schedule, new_points, old_points


def worlds(count=2):
    made = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        made.append(World(seed, old_points(generator), new_points(generator)))
    return made


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


def restated(weights, base, points, schedule, streams, steps, penalty):
    """One world's fine-tune in plain torch: autograd penalty, the unfused optimizer."""
    values = {name: tensor[0].clone().requires_grad_() for name, tensor in weights.items()}
    start = {name: tensor[0] for name, tensor in base.items()}
    optimizer = torch.optim.Adam(values.values(), lr=2e-3)
    for _ in range(steps):
        batch = next(streams)
        share = schedule.alpha_bar[batch.timesteps][:, None]
        noisy = share.sqrt() * points[batch.rows] + (1 - share).sqrt() * batch.noise
        embedded = values["embed_class"][5].expand(len(noisy), -1)
        hidden = torch.cat([noisy, values["embed_time"][batch.timesteps], embedded], 1)
        for layer in ("in", "hidden"):
            hidden = torch.relu(hidden @ values[f"{layer}.weight"] + values[f"{layer}.bias"])
        out = hidden @ values["out.weight"] + values["out.bias"]
        loss = torch.nn.functional.mse_loss(out, batch.noise)
        loss = loss + penalty * sum(torch.nn.functional.mse_loss(values[n], start[n]) for n in values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return values


@pytest.mark.parametrize("penalty", [0.0, 50.0])
def test_a_fit_among_others_is_the_fit_alone_in_plain_torch(penalty):
    made, schedule = worlds(), Schedule.cosine()
    base = fitting.pretrain(made, schedule, 20)
    fits = [Fit(0, penalty=penalty), Fit(1, penalty=5.0), Fit(0, alone=True)]
    tuned = fitting.tune(fits, base, made, schedule, 15)
    streams = fitting.draws(1000, 100, made[0].generator(3))
    expected = restated(base, base, made[0].new, schedule, streams, 15, penalty)
    for name, value in expected.items():
        update = value.detach() - base[name][0]
        off = (tuned[name][0] - value.detach()).norm() / update.norm()
        assert off < 2e-3, (name, float(off))  # Adam divides rounding by rounding where gradients are tiny


def test_the_embedding_alone_leaves_every_old_class_where_it_was():
    made, schedule = worlds(1), Schedule.cosine()
    base = fitting.pretrain(made, schedule, 20)
    tuned = fitting.tune([Fit(0, alone=True)], base, made, schedule, 10)
    samples = [measures.sample(each, schedule, [made[0].generator(6)], 50)[0] for each in (base, tuned)]
    assert measures.class_drift(*samples) == 0
    assert not torch.equal(tuned["embed_class"][0, 5], base["embed_class"][0, 5])
    for name in networks.SHAPES:
        kept = slice(None, 5) if name == "embed_class" else slice(None)
        assert torch.equal(tuned[name][0][kept], base[name][0][kept])


def test_output_preservation_at_the_base_model_adds_nothing_at_first():
    made, schedule = worlds(1), Schedule.cosine()
    base = fitting.pretrain(made, schedule, 20)
    samples = measures.sample(base, schedule, [made[0].generator(6)], 100)[:, :5]
    plain = fitting.tune([Fit(0)], base, made, schedule, 1)
    held = fitting.tune([Fit(0, preserve=100.0)], base, made, schedule, 1, samples)
    assert all(torch.equal(plain[name], held[name]) for name in networks.SHAPES)
    later = [
        fitting.tune([fit], base, made, schedule, 200, samples) for fit in (Fit(0), Fit(0, preserve=100.0))
    ]
    assert measures.weight_l2(later[1], base)[0] < measures.weight_l2(later[0], base)[0]


def test_a_run_leaves_records_that_a_second_run_does_not_repeat(tmp_path):
    data = {"backbone": "gaussian_mlp", "dataset": "five_gaussians", "seeds": [0, 1],
            "pretrain_steps": 30, "tune_steps": 10, "arms": {"penalty": [50.0], "scale": [0.5]}}  # fmt: skip
    experiment = ToyExperiment.model_validate(data)
    count = run.run(experiment, tmp_path, say=lambda line: None)
    records = read(tmp_path / "toy")
    assert count == len(records) == 2 * (1 + 6)
    assert run.run(experiment, tmp_path, say=lambda line: None) == 0
    of = {(r.trial["title"], r.trial["seed"]): r for r in records}
    assert of["The new class's embedding alone", 0].drift["old_energy"] == 0
    half, whole = (of[name, 1].drift["weight_l2"] for name in ("Naive, α = 0.5", "Naive"))
    assert half == pytest.approx(whole / 2, rel=1e-4)
    page = toy(Sources((tmp_path,)))
    assert "world" in page.parts[0].caption and "not run" not in tidy(page)
    assert {path.suffix for path in write(page, tmp_path / "out")} == {".md", ".csv", ".tex", ".png", ".pdf"}
