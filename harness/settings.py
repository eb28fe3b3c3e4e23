"""The settled nouns of an experiment, as checked and frozen data: specs, sampling, drift set, trial.

A value here is fully resolved: no axes, no defaults left to fill in. The shapes that a user may write (lists
for axes, short forms) belong to :mod:`harness.config`. Imports neither torch nor Ray.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from harness.api import Lipschitz

Precision = Literal["fp32", "bf16", "fp16"]
KeepWeights = Literal["small", "all", "none"]


class Frozen(BaseModel):
    """Base of everything that is read from a YAML: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class BackboneSpec(Frozen):
    """A base model: a known name, a hub id, or a local folder in diffusers' format.

    ``name`` is what tables say; ``path`` a hub id or a folder (None: ``name`` is one that the harness knows);
    ``revision`` a hub revision; ``family`` overrides what the folder says of itself (``sd``, ``sdxl``, ``sd3``);
    ``options`` are passed on to the family (``text_encoder_3: none``).
    """

    name: str
    path: str | None = None
    revision: str | None = None
    family: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class DatasetSpec(Frozen):
    """Subjects with photos and prompts: a known data set and its own options (``folder``: ``path``, …)."""

    name: str
    path: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class EncoderSpec(Frozen):
    """A network that scores: ``model`` a name known to the harness, to open_clip or to timm; weights from ``checkpoint``."""

    model: str
    checkpoint: str | None = None


class Sampling(Frozen):
    """How every method's pictures are drawn. Image i of prompt p depends on (seed, p, i), never on the method."""

    sampler: str = "ddim"
    steps: int = Field(default=20, ge=1)
    guidance: float = Field(default=5.0, ge=0)
    prompts: int | tuple[str, ...] | Literal["all"] = "all"
    images: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    clip_text: Literal["class", "raw"] = "class"

    @field_validator("prompts")
    @classmethod
    def _some_prompts(cls, value: int | tuple[str, ...] | str) -> int | tuple[str, ...] | str:
        if value != "all" and (value < 1 if isinstance(value, int) else not value):
            raise ValueError("needs at least one prompt: a count, a list of templates with one {}, or 'all'")
        if isinstance(value, tuple):
            for template in value:
                if template.count("{}") != 1:
                    raise ValueError(f"prompt {template!r} needs exactly one {{}} for the subject")
        return value


class DriftSet(Frozen):
    """The fixed probe of what the base model knew: prior prompts × timesteps for noise, prior pictures for images."""

    prompts: int = Field(default=64, ge=1)
    timesteps: int = Field(default=8, ge=1)
    images: int = Field(default=32, ge=0)
    seed: int = Field(default=0, ge=0)


class Resources(Frozen):
    """What one trial takes (cores, fractions of a GPU allowed) and how many run at a time."""

    cpus: int = Field(default=1, ge=1)
    gpus: float = Field(default=0, ge=0)
    workers: int | Literal["auto"] = "auto"

    @field_validator("workers")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("needs at least 1, or 'auto' (cores divided by cpus)")
        return value


class Trial(Frozen):
    """One cell: fully resolved. ``title`` is its name in tables and decides nothing; ``shots`` is 0 where unused."""

    backbone: BackboneSpec
    method: str
    title: str
    params: dict[str, Any] = Field(default_factory=dict)
    lipschitz: Lipschitz | None = None
    subject: str
    shots: int = Field(ge=0)
    seed: int = Field(ge=0)
    sampling: Sampling = Field(default_factory=Sampling)
