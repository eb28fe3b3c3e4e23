"""The toy's experiment file: worlds (seeds), steps, and the arms that are compared. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.config import strict_yaml
from harness.specs import Frozen

BACKBONE = "gaussian_mlp"
"""The ``backbone:`` by which a file is known as the toy's."""

NAIVE = "Naive"
"""The fine-tune that nothing holds back; with λ, or read out along α, it has a title of its own."""

Positive = Annotated[float, Field(gt=0)]


class Arms(Frozen):
    """What is compared beside the naive fine-tune. Every list may be empty.

    penalty    λ of the mean form
    prior      weights of prior preservation, on class 0 alone
    preserve   weights of output preservation, on all old classes with the base model as its teacher
    scale      α: readouts θ0 + α(θ − θ0) of the naive fine-tune
    embedding  the new class's embedding trained alone
    """

    penalty: list[Positive] = Field(default_factory=lambda: [5.0, 15.0, 50.0, 150.0, 500.0])
    prior: list[Positive] = Field(default_factory=lambda: [100.0])
    preserve: list[Positive] = Field(default_factory=lambda: [100.0])
    scale: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=lambda: [0.25, 0.5, 0.75])
    embedding: bool = True


class ToyExperiment(Frozen):
    """The file as read."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)] = "toy"
    question: str | None = None
    backbone: Literal["gaussian_mlp"]
    dataset: Literal["five_gaussians"]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        default_factory=lambda: [0, 1, 2, 3, 4]
    )
    pretrain_steps: Annotated[int, Field(ge=1)] = 10_000
    tune_steps: Annotated[int, Field(ge=1)] = 10_000
    arms: Arms = Arms()


def is_toy(path: Path) -> bool:
    """Say whether a file is the toy's. Raises ConfigError where it cannot be read."""
    return strict_yaml.read(path).get("backbone") == BACKBONE


def load(path: Path, changes: list[str] | tuple[str, ...] = ()) -> ToyExperiment:
    """Read a file. Raises ConfigError: one line with file, key, value and remedy."""
    data = {"name": path.stem, **strict_yaml.read(path)}
    strict_yaml.amend(data, changes)
    return strict_yaml.check(ToyExperiment, data, source=str(path))


@dataclass(frozen=True)
class Arm:
    """One thing that is compared: its title, what a record says of it, and ``alpha`` of a readout.

    The base model itself has the method ``frozen``.
    """

    title: str
    method: str
    params: dict[str, Any]
    penalty: float = 0.0
    alpha: float = 1.0


def arms(experiment: ToyExperiment) -> Iterator[Arm]:
    """Yield the base model, then every arm; those that differ in α alone are readouts of one fit."""
    asked = experiment.arms
    yield Arm("Base model", "frozen", {}, alpha=0.0)
    yield Arm(NAIVE, "dreambooth", {"prior_weight": 0.0})
    for alpha in asked.scale:
        yield Arm(f"{NAIVE}, α = {alpha:g}", "dreambooth", {"prior_weight": 0.0}, alpha=alpha)
    for penalty in asked.penalty:
        yield Arm(f"λ = {penalty:g}", "dreambooth", {"prior_weight": 0.0}, penalty=penalty)
    for weight in asked.prior:
        title = f"Prior preservation, class 0, weight {weight:g}"
        yield Arm(title, "dreambooth", {"prior_weight": weight})
    for weight in asked.preserve:
        title = f"Output preservation, weight {weight:g}"
        yield Arm(title, "output_preservation", {"preserve_weight": weight})
    if asked.embedding:
        yield Arm("The new class's embedding alone", "class_embedding", {})
