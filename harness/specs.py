"""The settled nouns of an experiment, as checked and frozen data: specs, sampling, drift set, trial.

A value here is fully resolved: no axes, no defaults left to fill in. The shapes that a user may write (lists
for axes, short forms) belong to :mod:`harness.config.experiment`. Imports neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler
from pydantic.functional_serializers import field_serializer, model_serializer
from pydantic.functional_validators import field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.api import Alignment, Lipschitz, checked_template

Precision = Literal["fp32", "bf16", "fp16"]
KeepWeights = Literal["small", "all", "none"]

KNOWN_BACKBONES = ("toybox",)
"""Names that mean a base model of the package itself, whatever folders lie about."""


def is_path(name_or_path: str) -> bool:
    """Whether a ``name:`` of a YAML means a file of the user's own."""
    return name_or_path.endswith(".py") or "/" in name_or_path


class Frozen(BaseModel):
    """Base of everything that is read from a YAML: immutable, unknown keys refused, "3" is no number."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


def _gather_options(cls: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Move keys that the spec does not know into ``options``: whoever the spec names checks them."""
    known = {key: value for key, value in data.items() if key in cls.model_fields}
    extra = {str(key): value for key, value in data.items() if key not in cls.model_fields}
    return known | {"options": {**known.get("options", {}), **extra}} if extra else known


class BackboneSpec(Frozen):
    """A base model: a known name, a hub id, or a local folder in diffusers' format.

    ``name`` is what tables say; ``path`` a hub id or a folder (None: ``name`` is one that the harness knows);
    ``revision`` a hub revision; ``family`` overrides what the folder says of itself (``sd``, ``sdxl``,
    ``sd3``); ``options`` are passed on to the family (``text_encoder_3: none``).

    In a YAML: a string, or a mapping with ``path`` (or ``id``). A string with a slash, or one that is a
    folder and no known name, is a path, and its last part the name.
    """

    name: str
    path: str | None = None
    revision: str | None = None
    family: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if isinstance(data, str):
            is_path = "/" in data or (data not in KNOWN_BACKBONES and Path(data).is_dir())
            data = {"path": data} if is_path else {"name": data}
        if isinstance(data, dict):
            data = dict(data)
            if "id" in data:
                data["path"] = data.pop("id")
            if "name" not in data and isinstance(data.get("path"), str):
                data["name"] = Path(data["path"]).name
            data = _gather_options(cls, data)
        return data


class DatasetSpec(Frozen):
    """Subjects with photos and prompts: a known data set and its own options.

    In a YAML: a name, or a mapping; keys other than ``name`` and ``path`` are the data set's own options.
    """

    name: str
    path: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        data = {"name": data} if isinstance(data, str) else data
        return _gather_options(cls, data) if isinstance(data, dict) else data


class EncoderSpec(Frozen):
    """A network that scores: ``model`` is a name known to the harness, to open_clip or to timm.

    ``checkpoint`` is a local file of weights. In a YAML: the model's name, or a mapping.
    """

    model: str
    checkpoint: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"model": data} if isinstance(data, str) else data


class Sampling(Frozen):
    """How every method's images are sampled: image i of prompt p is seeded by (seed, p, i) alone.

    prompts    how many of the data set's prompts, or "all", "balanced" (Toybox), or templates with one ``{}``
    images     images for each prompt
    precision  ``bf16`` for the denoiser while images are drawn; None, in no key and no record: as it is
    clip_text  what CLIP-T reads: the prompt with the class noun ("class") or as it was sampled ("raw")
    """

    sampler: str = "ddim"
    steps: int = Field(default=20, ge=1)
    guidance: float = Field(default=5.0, ge=0)
    prompts: int | tuple[str, ...] | Literal["all", "balanced"] = "all"
    images: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["bf16"] | None = None
    clip_text: Literal["class", "raw"] = "class"

    @field_validator("prompts", mode="before")
    @classmethod
    def _some_prompts(cls, value: Any) -> Any:
        counted = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if counted or value in ("all", "balanced"):
            return value
        if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str) for v in value):
            raise ValueError("must be a count from 1, a list of templates with one {}, 'all' or 'balanced'")
        return tuple(map(checked_template, value))

    @property
    def solver(self) -> dict[str, Any]:
        """Give what decides how one image is sampled: sampler, steps, guidance, a precision of its own."""
        own = {"precision": self.precision} if self.precision else {}
        return {"sampler": self.sampler, "steps": self.steps, "guidance": self.guidance, **own}

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "precision" or value}


class DriftSet(Frozen):
    """The fixed probe of what the base model knew.

    ``prompts`` prior prompts × ``timesteps`` noise levels for noise predictions, ``images`` prior images.
    ``subject``: test prompts × ``timesteps`` too (``noise_l2_subject``); off, it is in no key and no record.
    """

    prompts: int = Field(default=64, ge=1)
    timesteps: int = Field(default=8, ge=1)
    images: int = Field(default=32, ge=0)
    seed: int = Field(default=0, ge=0)
    subject: bool = False

    @property
    def options(self) -> frozenset[str]:
        """Name the options that are on, each of which adds measures."""
        return frozenset({"subject"} if self.subject else ())

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "subject" or value}


class Resources(Frozen):
    """What one trial takes (cores, fractions of a GPU allowed) and how many run at a time."""

    cpus: int = Field(default=1, ge=1)
    gpus: float = Field(default=0, ge=0)
    workers: int | Literal["auto"] = "auto"

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and not value.is_integer():
            raise ValueError("must be a fraction of one GPU or a whole number of them")
        return value

    @field_validator("workers", mode="before")
    @classmethod
    def _at_least_one(cls, value: Any) -> Any:
        if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError("must be 1 or more, or 'auto' (cores divided by cpus)")


class Execution(Frozen):
    """How the networks run, whatever they compute: time against memory. Changes last digits at most.

    gradient_checkpointing  compute activations again in the backward pass instead of keeping them
    autoencoder             whole batches, one image at a time (``sliced``), or images in tiles as well;
                            ``auto``: sliced from 256 pixels on. Tiles have seams, and so count in the keys
    channels_last           memory layout of the denoiser; ``auto``: on a GPU
    cpu_offload             networks that training does not need wait in main memory
    """

    gradient_checkpointing: bool = False
    autoencoder: Literal["auto", "whole", "sliced", "tiled"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    cpu_offload: bool = True

    @model_validator(mode="before")
    @classmethod
    def _renamed_keys(cls, data: Any) -> Any:
        for old, new in {"checkpointing": "gradient_checkpointing", "park": "cpu_offload"}.items():
            if isinstance(data, dict) and old in data:
                raise PydanticCustomError(
                    "renamed_key", "{old} is called {new} now", {"old": old, "new": new}
                )
        return data


READOUTS = ("steps", "scale", "budget", "merge")
"""Kinds of readout, in the order in which they are read."""
BUDGETS = {"noise_l2": "‖Δε‖₂"}
"""Drift measures on which there can be a budget, and their signs: those that need no images."""


class Readout(Frozen):
    """Where a fit is read out beside its own end.

    steps   the weights after ``value`` optimizer steps: early stopping
    scale   θ0 + α(θ − θ0) for α = ``value`` in [0, 1]: interpolation after training (arXiv 2109.01903)
    budget  the same with the largest α ≤ 1 whose drift, by ``measure``, is at most ``value``
    merge   a share for each block of the denoiser: within that drift those that learn most of the subject
    """

    kind: Literal["steps", "scale", "budget", "merge"]
    value: int | float
    measure: str | None = None

    @classmethod
    def of(cls, trial: Mapping[str, Any]) -> Readout | None:
        """Read it off a record's trial; None at the fit's own end."""
        return cls(**trial["readout"]) if trial.get("readout") else None

    @property
    def sought(self) -> bool:
        """Whether the calibration probe decides how much of the change there is."""
        return self.measure is not None

    def settings(self) -> dict[str, Any]:
        """Write as a mapping: what records hold and keys cover."""
        return self.model_dump(exclude_none=True)

    @property
    def short(self) -> str:
        """Name it for conditions and parameters: ``scale:0.5``."""
        return f"{self.kind}:{self.value:g}"

    @property
    def words(self) -> str:
        """Name it for titles: "α = 0.5", "at 60 steps", "‖Δε‖₂ ≤ 5", "‖Δε‖₂ ≤ 5 by block"."""
        if self.kind == "steps":
            return f"at {self.value} steps"
        sign = "α =" if self.kind == "scale" else f"{BUDGETS[self.measure or '']} ≤"
        return f"{sign} {self.value:g}" + (" by block" if self.kind == "merge" else "")


class Trial(Frozen):
    """One cell, fully resolved. ``shots`` is 0 if unused; ``readout`` None is the fit's own end.

    ``title`` names the row with its constraint, ``label`` without it (None: the same). They decide nothing,
    nor do ``all_shots`` (all that the subject has) and ``preset``, over which ``params`` were written.
    """

    backbone: BackboneSpec
    method: str
    title: str
    label: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    preset: str | None = None
    lipschitz: Lipschitz | None = None
    alignment: Alignment | None = None
    subject: str
    shots: int = Field(ge=0)
    all_shots: bool = False
    seed: int = Field(ge=0)
    sampling: Sampling = Field(default_factory=Sampling)
    readout: Readout | None = None

    @field_serializer("lipschitz", "alignment", "readout")
    def _flat(self, value: Lipschitz | Alignment | Readout | None) -> dict[str, Any] | None:
        return value.settings() if value else None

    def summary(self) -> dict[str, Any]:
        """What a record says of the trial: the nouns by name, without the paths of this machine."""
        names = {"backbone": self.backbone.name, "method": Path(self.method).name.removesuffix(".py")}
        unused = {k for k in ("all_shots", "label", "preset", "readout", "alignment") if not getattr(self, k)}
        return {**self.model_dump(mode="json", exclude=unused), **names}
