"""An experiment: one YAML file, checked when read, and the trials that it stands for.

A list where a scalar is expected is an axis. What exists (methods, subjects, scores) is asked of a
``Catalog``; nothing here imports torch, Ray or MLflow.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    Tag,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from harness.api import Lipschitz
from harness.config import strict_yaml
from harness.config.readouts import ReadoutsEntry
from harness.diffusion.constraints.registry import kinds
from harness.errors import one_of
from harness.metrics.registry import MEASURES
from harness.specs import (
    BackboneSpec,
    DatasetSpec,
    DriftSet,
    EncoderSpec,
    Execution,
    Frozen,
    KeepWeights,
    Precision,
    Resources,
    Sampling,
    is_path,
)

T = TypeVar("T")

SCORES = tuple(measure.name for measure in MEASURES.values() if measure.kind == "score")
"""Every score, in the registry's order: what an experiment computes unless it names some."""


def _as_axis(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("needs at least one value: it is an axis of the sweep")
        return tuple(value)
    return (value,)


Axis = Annotated[tuple[T, ...], BeforeValidator(_as_axis)]
Shots = Annotated[int, Field(ge=1)] | Literal["all"]
Seed = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0)]


_OWN = frozenset(Lipschitz().settings())
"""Keys that every constraint has in a record; those of other kinds are there when the kind is used."""

_ADDED = {key: default for kind in kinds() for key, default in kind.added().items()}
"""Keys that came later: at their defaults they stand in no key and no record."""


class _LipschitzEntry(Frozen):
    """The constraint as written: every key may be an axis. Its keys are those of the kinds, and ``on``."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        used = [kind for kind in kinds() if getattr(self, kind.key) is not None]
        if not used:
            raise ValueError(f"needs {' or '.join(kind.noun for kind in kinds())}")
        for kind in kinds():
            alone = self.model_fields_set & (kind.fields().keys() - {kind.key} - _OWN)
            if alone and kind not in used:
                raise ValueError(f"{min(alone)} needs {kind.noun}")
        return self

    @model_serializer(mode="wrap")
    def _without_unused_kinds(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = {key for kind in kinds() if getattr(self, kind.key) is None for key in kind.fields()} - _OWN
        unused |= {key for key, default in _ADDED.items() if getattr(self, key) == (default,)}
        return {key: value for key, value in handler(self).items() if key not in unused}

    def each(self) -> Iterator[Lipschitz]:
        """Yield every constraint that the entry stands for."""
        used = [kind for kind in kinds() if kind.key in _OWN or getattr(self, kind.key) is not None]
        names = [*(key for kind in used for key in kind.fields()), "on"]
        for values in itertools.product(*(getattr(self, name) or (None,) for name in names)):
            chosen = zip(names, values, strict=True)
            yield Lipschitz.of(
                {key: value for key, value in chosen if key not in _ADDED or value != _ADDED[key]}
            )


def _entry() -> type[_LipschitzEntry]:
    """Build the model of ``lipschitz:`` from the kinds: their keys first, then what qualifies them."""
    strengths: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for kind in kinds():
        for name, (hint, default) in kind.fields().items():
            if name == kind.key:
                strengths[name] = (Axis[hint] | None, None)  # type: ignore[valid-type]
            else:
                options[name] = (Axis[hint], (default,))  # type: ignore[valid-type]
    options["on"] = (Axis[Literal["effective", "entries"]], (Lipschitz.on,))
    return create_model("LipschitzEntry", __base__=_LipschitzEntry, **strengths, **options)


if TYPE_CHECKING:
    LipschitzEntry = _LipschitzEntry
else:
    LipschitzEntry = _entry()


class _MayHaveReadouts(Frozen):
    """Something that may ask for readouts; in a resolved file they stand only where they were written."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if (key, value) != ("readouts", None)}


class MethodEntry(_MayHaveReadouts):
    """A row of the sweep: a method by name or path, what to call it, its parameters, its constraint.

    ``preset`` names the method's preset that ``params`` are written over; None: that of the backbone's name.
    ``readouts`` stand in place of the experiment's.
    """

    name: str
    label: str | None = None
    preset: Axis[str | None] = (None,)
    params: dict[str, Any] = Field(default_factory=dict)
    lipschitz: Axis[LipschitzEntry | None] = (None,)
    readouts: ReadoutsEntry | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


_SAMPLING = Sampling()


class SamplingEntry(Frozen):
    """Sampling as written: sampler, steps and guidance may be axes. Defaults: the settled form's."""

    sampler: Axis[str] = (_SAMPLING.sampler,)
    steps: Axis[Annotated[int, Field(ge=1)]] = (_SAMPLING.steps,)
    guidance: Axis[NonNegative] = (_SAMPLING.guidance,)
    prompts: Any = _SAMPLING.prompts
    images: int = Field(default=_SAMPLING.images, ge=1)
    seed: Seed = _SAMPLING.seed
    clip_text: Literal["class", "raw"] = _SAMPLING.clip_text

    @field_validator("prompts")
    @classmethod
    def _checked_prompts(cls, value: Any) -> Any:
        return Sampling._some_prompts(value)

    def each(self) -> Iterator[Sampling]:
        """Yield every setting that the entry stands for."""
        fixed = {name: getattr(self, name) for name in ("prompts", "images", "seed", "clip_text")}
        for sampler, steps, guidance in itertools.product(self.sampler, self.steps, self.guidance):
            yield Sampling(sampler=sampler, steps=steps, guidance=guidance, **fixed)


class SubjectSplit(Frozen):
    """Subjects by split, the first ``count`` of them; ``confirmation`` has as many as are asked for."""

    split: Literal["development", "test", "confirmation", "all"]
    count: Annotated[int, Field(ge=1)] | None = None


Subjects = Annotated[
    Annotated[tuple[str, ...], Tag("names")] | Annotated[SubjectSplit, Tag("split and count")],
    Discriminator(lambda value: "names" if isinstance(value, tuple) else "split and count"),
]
"""The form decides which of the two it is, so that a mistake is explained in terms of what was written."""


class Experiment(_MayHaveReadouts):
    """One question and everything needed to answer it: the YAML file, checked."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    question: str | None = None
    backbone: Axis[BackboneSpec] = (BackboneSpec(name="toybox"),)
    dataset: DatasetSpec = DatasetSpec(name="toybox")
    encoders: dict[Literal["clip", "dino", "probe", "lpips"], EncoderSpec] = Field(default_factory=dict)
    subjects: Subjects = SubjectSplit(split="test")
    shots: Axis[Shots] = (5,)
    seeds: Axis[Seed] = (0,)
    methods: Axis[MethodEntry]
    readouts: ReadoutsEntry | None = None
    sampling: SamplingEntry = SamplingEntry()
    drift: DriftSet = DriftSet()
    scores: tuple[str, ...] = SCORES
    resources: Resources = Resources()
    precision: Precision = "fp32"
    execution: Execution = Execution()
    keep_weights: KeepWeights = "small"
    _source: str = PrivateAttr(default="experiment")

    @model_validator(mode="before")
    @classmethod
    def _shots_of_dreambench(cls, data: Any) -> Any:
        dataset = data.get("dataset")
        name = dataset.get("name") if isinstance(dataset, dict) else dataset
        return {"shots": [1, 3, "all"], **data} if name == "dreambench" else data

    @field_validator("subjects", mode="before")
    @classmethod
    def _subjects(cls, value: Any) -> Any:
        if value in ("development", "test", "confirmation", "all"):
            return SubjectSplit(split=value)
        if isinstance(value, str | list | tuple):
            return _as_axis(value)
        if not isinstance(value, dict | SubjectSplit):
            raise ValueError("must be development, test, confirmation, all, names, or {split: …, count: …}")
        return value

    @field_validator("scores", mode="before")
    @classmethod
    def _scores(cls, value: Any) -> Any:
        names = SCORES if value == "all" else _as_axis(value)
        for name in names:
            if name not in SCORES:
                raise ValueError(one_of(name, SCORES, noun="score"))
        return tuple(name for name in SCORES if name in names)

    def described(self) -> dict[str, Any]:
        """What a record says of the experiment beside its trial; drift set and precision if not the defaults.

        Rows that differ in them are different rows.
        """
        fields = type(self).model_fields
        description: dict[str, Any] = {"dataset": self.dataset.name}
        if self.drift != fields["drift"].default:
            description["drift"] = self.drift.model_dump(mode="json")
        if self.precision != fields["precision"].default:
            description["precision"] = self.precision
        return description

    @property
    def source(self) -> str:
        """The file that the experiment was read from, for messages."""
        return self._source


def load(path: Path, changes: Sequence[str] = ()) -> Experiment:
    """Read an experiment file. Raises ConfigError: one line with file, key, value and remedy.

    ``changes`` are settings in place of the file's own: see :func:`harness.config.strict_yaml.amend`.
    Relative paths in it start from the file's own folder if they exist there, else from the current one.
    """
    path = Path(path)
    data = {"name": path.stem, **strict_yaml.read(path)}
    strict_yaml.amend(data, changes)
    experiment = strict_yaml.check(Experiment, data, source=str(path))
    experiment._source = str(path)
    return _with_paths(experiment, path.parent)


def _with_paths(experiment: Experiment, folder: Path) -> Experiment:
    """Settle every local path of the file, so that it holds from any folder and process."""

    def settled(text: str | None) -> str | None:
        if text is None:
            return None
        here = next((base / text for base in (folder, Path()) if (base / text).exists()), None)
        return str(here.resolve()) if here else text

    def with_vae(spec: BackboneSpec) -> BackboneSpec:
        vae = spec.options.get("vae")
        return spec.model_copy(update={"options": {**spec.options, "vae": settled(vae)}}) if vae else spec

    def moved(spec: Any, field: str) -> Any:
        return spec.model_copy(update={field: settled(getattr(spec, field))})

    entries = tuple(moved(entry, "name") if is_path(entry.name) else entry for entry in experiment.methods)
    return experiment.model_copy(
        update={
            "backbone": tuple(with_vae(moved(spec, "path")) for spec in experiment.backbone),
            "dataset": moved(experiment.dataset, "path"),
            "encoders": {kind: moved(spec, "checkpoint") for kind, spec in experiment.encoders.items()},
            "methods": entries,
        }
    )
