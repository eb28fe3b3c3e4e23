"""What exists: methods, subjects, weights, and the fingerprints by which the keys tell them apart.

The protocol is all that the engine knows of the rest of the package; tests bring a catalog of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

from harness.api import Lipschitz
from harness.errors import ConfigError, one_line
from harness.specs import BackboneSpec, EncoderSpec, Trial

if TYPE_CHECKING:
    from harness.api import Subject
    from harness.config.experiment import Experiment
    from harness.datasets.base import Dataset, Split


class Catalog(Protocol):
    """Answers for one experiment's data set and encoders. Every question is cheap and needs no torch."""

    def method(self, name: str) -> type[Any]:
        """Return the method class of that name or path; raises HarnessError naming the known ones."""
        ...

    def params(
        self, name: str, params: Mapping[str, Any], backbone: BackboneSpec, *, preset: str | None = None
    ) -> dict[str, Any]:
        """Fill in presets and defaults; raises HarnessError for an unknown or ill-typed parameter."""
        ...

    def method_source(self, name: str) -> str | None:
        """Return the text of a user's own file or of a plug-in, None for a method of ``baselines/``."""
        ...

    def skip_reason(
        self,
        name: str,
        params: Mapping[str, Any],
        lipschitz: Lipschitz | None,
        subject: str,
        backbone: BackboneSpec,
    ) -> str | None:
        """Say why a constrained method cannot be tried on a subject with a backbone; None where it can."""
        ...

    def check(self, trials: Sequence[Trial]) -> None:
        """Look at everything that the trials will read; raises HarnessError for the first thing amiss."""
        ...

    def subjects(self, split: str, count: int | None = None) -> list[str]:
        """Return the subjects of a split: ``development``, ``test``, ``all``; ``count`` of confirmation."""
        ...

    def most_shots(self, subject: str) -> int:
        """Count the photos that there are to learn from."""
        ...

    def category(self, subject: str) -> str:
        """Return the class noun of a subject."""
        ...

    def prompt_count(self, subject: str, wanted: int | str | tuple[str, ...]) -> int:
        """Count the test prompts that ``sampling.prompts`` stands for."""
        ...

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        """Fingerprint of the subject's noun and of the photos that ``shots`` and ``seed`` pick."""
        ...

    def references_identity(self, subject: str) -> str:
        """Fingerprint of the photos that samples of the subject are compared with."""
        ...

    def held_out_identity(self, subject: str, shots: int, seed: int) -> str | None:
        """Fingerprint of the photos that a draw leaves; None where the draw does not decide them."""
        ...

    def prompts_identity(self, subject: str, named: str = "all") -> str:
        """Fingerprint of the subject's test prompts, of a named set too, and of its class's prior prompts."""
        ...

    def backbone_revision(self, backbone: BackboneSpec) -> str:
        """Which weights these are: a content hash, or the hub's commit."""
        ...

    def encoders(self, backbone: BackboneSpec) -> dict[str, EncoderSpec]:
        """Return the encoder of every kind (``clip``, ``dino``, …) that goes with the backbone."""
        ...

    def encoder_revision(self, encoder: EncoderSpec) -> str:
        """Which weights these are."""
        ...


class Installed:
    """The catalog of what is installed: ``baselines/``, the data sets, the weights on disk.

    With ``plan_only``, a base model that is not here is taken as it is named; ``remarks`` says so.
    """

    def __init__(self, experiment: Experiment, *, plan_only: bool = False) -> None:
        self._plan_only = plan_only
        self.remarks: list[str] = []
        self._dataset_spec = experiment.dataset
        self._encoders, self._drift = experiment.encoders, experiment.drift
        self._methods: dict[str, type[Any]] = {}
        self._bare: dict[str, Subject] = {}
        self._families: dict[str, str | None] = {}

    @cached_property
    def dataset(self) -> Dataset:
        """The experiment's data set, opened when first asked for."""
        from harness.datasets.registry import load_dataset

        return load_dataset(self._dataset_spec)

    def method(self, name: str) -> type[Any]:
        from harness import methods

        if name not in self._methods:
            self._methods[name] = methods.load(name)
        return self._methods[name]

    def params(
        self, name: str, params: Mapping[str, Any], backbone: BackboneSpec, *, preset: str | None = None
    ) -> dict[str, Any]:
        from harness import methods

        return methods.resolve_params(self.method(name), params, backbone.name, preset=preset)

    def method_source(self, name: str) -> str | None:
        from harness import methods

        return methods.own_source(name)

    def skip_reason(
        self,
        name: str,
        params: Mapping[str, Any],
        lipschitz: Lipschitz | None,
        subject: str,
        backbone: BackboneSpec,
    ) -> str | None:
        from harness import methods
        from harness.diffusion.constraints.combination import Combination

        if subject not in self._bare:
            self._bare[subject] = self.dataset.shots(subject, 0, 0)
        method = methods.build(self.method(name), params)
        family = self._family(backbone) or ""
        constraints = Combination.read(lipschitz.settings()).members if lipschitz else ()
        reasons = (constraint.skip(family) for constraint in constraints)
        return method.skip(self._bare[subject], family) or next(filter(None, reasons), None)

    def _family(self, backbone: BackboneSpec) -> str | None:
        """The family that a base model's folder says it is of, looked at once."""
        from harness.diffusion.backbones.checks import family_here

        name = backbone.model_dump_json()
        if name not in self._families:
            self._families[name] = family_here(backbone)
        return self._families[name]

    def check(self, trials: Sequence[Trial]) -> None:
        from harness.datasets.base import chosen_prompts
        from harness.diffusion.backbones import checks
        from harness.metrics.encoders.names import check_name
        from harness.trial.prior_texts import bank_texts

        for kind, spec in self._encoders.items():
            check_name(kind, spec)
        asked = {(t.backbone.model_dump_json(), t.sampling.sampler, t.sampling.steps): t for t in trials}
        for trial in asked.values():
            checks.check(trial.backbone, trial.sampling.sampler, trial.sampling.steps)
        shots: dict[str, set[int]] = {}
        for trial in trials:
            shots.setdefault(trial.subject, set()).add(trial.shots)
        for subject, counts in shots.items():
            self.dataset.check([subject], sorted(counts))
        for subject, wanted in dict.fromkeys((t.subject, t.sampling.prompts) for t in trials):
            chosen_prompts(self.dataset, subject, wanted)
        banked: set[str] = set()
        alike = {(self.dataset.category(t.subject), t.backbone.name, t.title): t for t in reversed(trials)}
        for (category, *_), trial in alike.items():
            self._check_alignment(trial)
            if category not in banked and self._banks(trial):
                bank_texts(self.dataset, category, self._drift)
                banked.add(category)

    def _check_alignment(self, trial: Trial) -> None:
        """Refuse an encoder to align with that is not there, or of another kind."""
        from harness.metrics.encoders.names import check_name

        if trial.alignment is None:
            return
        scoring = self.encoders(trial.backbone)
        for kind in trial.alignment.weights:
            model = trial.alignment.encoders.get(kind)
            if model is not None:
                check_name(kind, EncoderSpec(model=model))
            elif kind not in scoring:
                raise ConfigError(f"alignment.{kind}: there is no {kind} encoder; name one (encoders.{kind})")

    def _banks(self, trial: Trial) -> bool:
        """Whether the method or a constraint of a trial uses a bank."""
        from harness import methods
        from harness.diffusion.constraints.combination import Combination

        constraints = Combination.read(trial.lipschitz.settings() if trial.lipschitz else None)
        if constraints.uses_bank:
            return True
        method = methods.build(self.method(trial.method), trial.params)
        return bool(getattr(method, "uses_bank", False))

    def subjects(self, split: str, count: int | None = None) -> list[str]:
        chosen = cast("Split", split)
        return self.dataset.subjects(chosen) if count is None else self.dataset.subjects(chosen, count)

    def most_shots(self, subject: str) -> int:
        return self.dataset.most_shots(subject)

    def category(self, subject: str) -> str:
        return self.dataset.category(subject)

    def prompt_count(self, subject: str, wanted: int | str | tuple[str, ...]) -> int:
        from harness.datasets.base import chosen_prompts

        return len(chosen_prompts(self.dataset, subject, cast("Any", wanted)))

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        return self.dataset.shots_identity(subject, shots, seed)

    def references_identity(self, subject: str) -> str:
        return self.dataset.references_identity(subject)

    def held_out_identity(self, subject: str, shots: int, seed: int) -> str | None:
        return self.dataset.held_out_identity(subject, shots, seed)

    def prompts_identity(self, subject: str, named: str = "all") -> str:
        of_all = self.dataset.prompts_identity(subject)
        if named == "all":
            return of_all
        from harness.datasets.shots import fingerprint

        prompts = self.dataset.named_prompts(subject, named)
        return fingerprint(of_all, [[each.template, each.kind, each.attributes] for each in prompts])

    def backbone_revision(self, backbone: BackboneSpec) -> str:
        from harness.diffusion.backbones.locate import backbone_revision
        from harness.errors import BackboneError

        try:
            with _missing_files():
                return backbone_revision(backbone)
        except BackboneError as error:
            if not self._plan_only:
                raise
            self.remarks.append(f"the sweep cannot start yet: {one_line(error)}")
            return "unknown"

    def encoders(self, backbone: BackboneSpec) -> dict[str, EncoderSpec]:
        from harness.metrics.encoders.registry import default_encoders

        return default_encoders(backbone) | {str(kind): spec for kind, spec in self._encoders.items()}

    def encoder_revision(self, encoder: EncoderSpec) -> str:
        from harness.metrics.encoders.registry import revision

        with _missing_files():
            return revision(encoder)


@contextmanager
def _missing_files() -> Iterator[None]:
    """Turn files that are not there into an error of the user's."""
    try:
        yield
    except OSError as error:
        raise ConfigError(str(error)) from error
