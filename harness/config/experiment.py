"""An experiment: one YAML file, checked when read, and the trials that it stands for.

A list where a scalar is expected is an axis. What exists (methods, subjects, scores) is asked of a
``Catalog``; nothing here imports torch, Ray or MLflow.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from harness.config import strict_yaml
from harness.config.alignment_entry import AlignmentEntry
from harness.config.axes import Axis, Seed, as_axis
from harness.config.constraint_entry import LipschitzEntry
from harness.config.readouts import ReadoutsEntry
from harness.config.search import OverEntry, SearchEntry
from harness.config.subjects import Subjects, SubjectSplit
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

SCORES = tuple(measure.name for measure in MEASURES.values() if measure.kind == "score")
"""Every score, in the registry's order: what an experiment computes unless it names some."""

Shots = Annotated[int, Field(ge=1)] | Literal["all"]
NonNegative = Annotated[float, Field(ge=0)]


_ASKED = ("readouts", "search", "over", "sampling", "alignment", "precision")
_NOT = (None, (None,), [None])


class _MayAskForMore(Frozen):
    """Something that may ask for what came later; a resolved file has that only where it is written."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key not in _ASKED or value not in _NOT}


class OwnSampling(Frozen):
    """How a row of the sweep is sampled where it differs from the experiment's ``sampling``."""

    sampler: Axis[str] | None = None
    steps: Axis[Annotated[int, Field(ge=1)]] | None = None
    guidance: Axis[NonNegative] | None = None


class MethodEntry(_MayAskForMore):
    """A row of the sweep: a method by name or path, what to call it, its parameters, its constraint.

    ``preset`` names the method's preset that ``params`` are written over; None: that of the backbone's name.
    ``readouts`` and what ``sampling`` names stand in place of the experiment's; ``over`` are the ranges that
    a search varies.
    """

    name: str
    label: str | None = None
    preset: Axis[str | None] = (None,)
    params: dict[str, Any] = Field(default_factory=dict)
    lipschitz: Axis[LipschitzEntry | None] = (None,)
    alignment: Axis[AlignmentEntry | None] = (None,)
    over: OverEntry | None = None
    readouts: ReadoutsEntry | None = None
    sampling: OwnSampling | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


_SAMPLING = Sampling()


class SamplingEntry(_MayAskForMore):
    """Sampling as written; how one image is drawn may be axes. Defaults: the settled form's."""

    sampler: Axis[str] = (_SAMPLING.sampler,)
    steps: Axis[Annotated[int, Field(ge=1)]] = (_SAMPLING.steps,)
    guidance: Axis[NonNegative] = (_SAMPLING.guidance,)
    prompts: Any = _SAMPLING.prompts
    images: int = Field(default=_SAMPLING.images, ge=1)
    seed: Seed = _SAMPLING.seed
    precision: Axis[Literal["bf16"] | None] = (_SAMPLING.precision,)
    clip_text: Literal["class", "raw"] = _SAMPLING.clip_text

    @field_validator("prompts")
    @classmethod
    def _checked_prompts(cls, value: Any) -> Any:
        return Sampling._some_prompts(value)

    def each(self, own: OwnSampling | None = None) -> Iterator[Sampling]:
        """Yield every setting that the entry stands for; what a method has of its ``own`` comes first."""
        if own is not None:
            yield from self.model_copy(update={key: value for key, value in own if value is not None}).each()
            return
        fixed = {name: getattr(self, name) for name in ("prompts", "images", "seed", "clip_text")}
        axes = ("sampler", "steps", "guidance", "precision")
        for each in itertools.product(*(getattr(self, name) for name in axes)):
            yield Sampling(**dict(zip(axes, each, strict=True)), **fixed)


class Experiment(_MayAskForMore):
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
    search: SearchEntry | None = None
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
        return {"shots": [1, 3, "all"], **data} if name == "dreambench" and "search" not in data else data

    @model_validator(mode="before")
    @classmethod
    def _subjects_of_the_search(cls, data: Any) -> Any:
        search = data.get("search")
        if not isinstance(search, dict):
            return data
        return {"subjects": search.get("subjects", "development"), **data}

    @field_validator("precision")
    @classmethod
    def _leaves_sampling_its_own(cls, value: Precision, info: ValidationInfo) -> Precision:
        if value != "fp32" and "sampling" in info.data and any(info.data["sampling"].precision):
            raise ValueError("must be fp32 beside sampling.precision")
        return value

    @field_validator("scores", mode="before")
    @classmethod
    def _scores(cls, value: Any) -> Any:
        names = SCORES if value == "all" else as_axis(value)
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
