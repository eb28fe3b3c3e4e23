"""A catalog and a worker without models: numbers that follow from the plan, so that any two runs agree."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.api import Progress, Role
from harness.errors import ConfigError, one_of
from harness.specs import BackboneSpec, EncoderSpec, Execution
from harness.trial.plan import Outcome, Plan

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """Changes weights."""

    lr: float = 0.001
    steps: int = 10
    targets: tuple[str, ...] = ("to_q", "to_v")
    pause: float = 0.0
    mischief: str = ""

    title: ClassVar[str] = "Tuned"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True

    def skip(self, subject: Any, family: str) -> str | None:
        return None


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Changes nothing and needs no photo."""

    title: ClassVar[str] = "Frozen"
    role: ClassVar[Role] = "floor"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = False

    def skip(self, subject: Any, family: str) -> str | None:
        return None


METHODS: dict[str, type] = {"tuned": Tuned, "frozen": Frozen}


@dataclasses.dataclass
class FakeCatalog:
    """``test`` has eight subjects, ``development`` four; every fingerprint can be set from a test."""

    backbone: str = "weights-1"
    references: str = "references-1"
    prompts: str = "prompts-1"
    shots: str = "shots-1"
    encoder: str = "encoder-1"
    draws_decide: bool = False
    sources: dict[str, str] = dataclasses.field(default_factory=dict)

    def method(self, name: str) -> type[Any]:
        if name not in METHODS:
            raise ConfigError(one_of(name, METHODS, noun="method"))
        return METHODS[name]

    def params(
        self, name: str, params: Mapping[str, Any], backbone: BackboneSpec, *, preset: str | None = None
    ) -> dict[str, Any]:
        known = [field.name for field in dataclasses.fields(METHODS[name])]
        for key in params:
            if key not in known:
                raise ConfigError(one_of(key, known, noun="parameter"))
        return dataclasses.asdict(METHODS[name](**params))

    def method_source(self, name: str) -> str | None:
        return self.sources.get(name)

    def skip_reason(
        self, name: str, params: Any, lipschitz: Any, subject: str, backbone: BackboneSpec
    ) -> str | None:
        return f"{subject} is skipped" if params.get("mischief") == f"skip-{subject}" else None

    def check(self, trials: Any) -> None:
        """Nothing to look at."""

    def subjects(self, split: str, count: int | None = None) -> list[str]:
        test, development = [f"s{n}" for n in range(8)], [f"d{n}" for n in range(4)]
        if split == "confirmation":
            raise ConfigError("there is no confirmation split")
        return {"test": test, "development": development, "all": development + test}[split]

    def most_shots(self, subject: str) -> int:
        return 6 if subject == "s0" else 3

    def category(self, subject: str) -> str:
        return "thing"

    def prompt_count(self, subject: str, wanted: Any) -> int:
        return wanted if isinstance(wanted, int) else 25 if isinstance(wanted, str) else len(wanted)

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        return f"{self.shots}/{subject}/{shots}/{seed}"

    def references_identity(self, subject: str) -> str:
        return f"{self.references}/{subject}"

    def held_out_identity(self, subject: str, shots: int, seed: int) -> str | None:
        return f"{shots}/{seed}" if self.draws_decide else None

    def prompts_identity(self, subject: str, named: str = "all") -> str:
        return f"{self.prompts}/{subject}"

    def backbone_revision(self, backbone: BackboneSpec) -> str:
        return f"{self.backbone}/{backbone.name}"

    def encoders(self, backbone: BackboneSpec) -> dict[str, EncoderSpec]:
        return {kind: EncoderSpec(model=f"fake-{kind}") for kind in ("clip", "dino", "probe", "lpips")}

    def encoder_revision(self, encoder: EncoderSpec) -> str:
        return f"{self.encoder}/{encoder.model}"


class FakeWorker:
    """Runs a plan without a model. ``params.pause`` seconds are spread over the stages.

    ``params.mischief``: ``raise`` raises, ``fail`` reports a failure, ``die`` kills the process, ``die-once``
    kills it the first time, ``hang`` and ``hang-once`` stop it, ``nan`` reports a score that is no number.
    """

    def __init__(
        self,
        *,
        backbone: BackboneSpec,
        dataset: Any,
        encoders: Mapping[str, EncoderSpec],
        device: str,
        precision: str,
        execution: Execution,
        cache: Path,
        threads: int,
    ) -> None:
        self.backbone = backbone
        self.encoders = encoders
        self.threads = threads
        self.cache = cache
        self.trials = 0

    def outcomes(self, plans: Sequence[Plan], progress: Progress) -> Generator[Outcome]:
        fitted = False
        for plan in plans:
            again = fitted and plan.stage == "fit"
            yield self.run(dataclasses.replace(plan, stage="sample") if again else plan, progress)
            fitted = True

    def run(self, plan: Plan, progress: Progress) -> Outcome:
        self.trials += 1
        self._note(plan)
        params = plan.trial.params
        self._mischief(params.get("mischief", ""), plan, progress)
        stages = ("fit", "sample", "score")
        for stage in stages[stages.index(plan.stage) :]:
            for step in range(4):
                progress(stage, step, 4, 1.0 / (step + 1) if stage == "fit" else None)
                time.sleep(params.get("pause", 0.0) / 12)
        scores: dict[str, float | None] = {name: number(plan.keys.sample + name) for name in plan.scores}
        if params.get("mischief") == "nan":
            scores["clip_t"] = float("nan")
        images = {f"pictures/{p:02}-00.png": PNG for p in range(3)} | {"prior/class-00.png": PNG}
        saved = plan.saved if plan.stage == "score" else images | {"fit.json": b'{"losses": [1.0, 0.5]}'}
        made = {} if plan.stage == "score" else dict(saved)
        return Outcome(
            status="done",
            scores=scores,
            drift={"weight_l2": number(plan.keys.fit)},
            by_prompt={name: [1.0, 2.0, None] for name in plan.scores},
            seconds={"fit": 1.0, "sample": 2.0, "score": 0.5},
            images=len([name for name in saved if name.startswith("pictures/")]),
            provenance={"device": "fake", "worker": os.getpid(), "trial_of_worker": self.trials},
            artifacts=made | {"images.json": images_json(saved), "contact_sheet.png": PNG},
        )

    def _note(self, plan: Plan) -> None:
        """Leave a line for every trial that was begun, so that a test can count."""
        line = f"{plan.stage} {plan.keys.sample} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\n"
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / "begun").open("a") as file:
            file.write(line)

    def _mischief(self, kind: str, plan: Plan, progress: Progress) -> None:
        if kind == "raise":
            raise RuntimeError(f"mischief with {plan.trial.subject}")
        marker = self.cache / f"died-{plan.keys.sample}"
        if kind == "die" or (kind == "die-once" and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang" or (kind == "hang-once" and not marker.exists()):
            marker.touch()
            progress("fit", 1, 4, None)
            os.kill(os.getpid(), signal.SIGSTOP)


def images_json(files: Mapping[str, bytes]) -> bytes:
    """Name the pictures among a trial's files."""
    named = {
        part: [{"file": name} for name in sorted(files) if name.startswith(part)]
        for part in ("pictures", "prior")
    }
    return json.dumps(named).encode()


def number(seed: str) -> float:
    """A number in [0, 1) that follows from a text."""
    return int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16) / 2**32
