"""One interface over all base models: what a method trains, what a trainer asks for, and the way back to θ0.

A family (one file each) adds how its networks are called; nothing here knows prompts, data sets or scores.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn import Parameter

from harness.batching import Batches
from harness.cache import Cache
from harness.diffusion.backbones import autoencoder
from harness.diffusion.backbones.conditioning import Conditioning, LatentDistribution
from harness.diffusion.backbones.locate import BackboneError
from harness.diffusion.backbones.offload import Placement
from harness.diffusion.backbones.text_encoder import TextEncoder
from harness.diffusion.lipschitz import Full, Term, base_norm, change_norm, constrained, penalty_value
from harness.diffusion.sampling import sample
from harness.diffusion.weights import adapters
from harness.diffusion.weights.adapters import LoRA, Start
from harness.diffusion.weights.base_weights import PretrainedWeights
from harness.diffusion.weights.delta import Delta, Distance
from harness.diffusion.weights.tokens import TokenRows, initial_rows
from harness.errors import one_of
from harness.specs import Execution

Report = Callable[[int, int], None]
SAMPLING_BATCH = 16
Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Networks:
    """The frozen parts of a base model; ``scheduler`` is the configuration of its noise schedule."""

    denoiser: Any
    autoencoder: Any
    text_encoders: tuple[TextEncoder, ...]
    scheduler: Mapping[str, Any]


class Backbone(ABC):
    """A pretrained text-to-image model that methods change in place and the harness restores.

    name, revision  what it is called, and the hash of its weights (or the hub's snapshot)
    resolution      side of its pictures in pixels
    batches         how many pictures go through at once, after what memory allowed
    device, dtype   where and in what precision the denoiser runs; what is trained is always float32
    """

    family: ClassVar[str]
    groups: ClassVar[Mapping[str, str]]
    """Group of parameters → regular expression over the denoiser's parameter names."""

    prior_sampling: ClassVar[tuple[str, int, float]] = ("dpmsolver++", 25, 7.5)
    """Sampler, steps and guidance of the class pictures for prior preservation."""

    def __init__(
        self,
        networks: Networks,
        *,
        name: str,
        revision: str,
        device: torch.device,
        precision: Precision,
        cache: Cache,
        execution: Execution = Execution(),
    ) -> None:
        self.networks = networks
        self.name, self.revision = name, revision
        self.device, self.precision, self.dtype = device, precision, DTYPES[precision]
        self.cache, self.batches = cache, Batches()
        self.placement = Placement(device, execution)
        self.placement.prepare(networks.denoiser, networks.autoencoder, resolution=self.resolution)
        self.pretrained = PretrainedWeights(
            {f"denoiser.{name}": parameter for name, parameter in networks.denoiser.named_parameters()}
        )
        self._lora: LoRA | None = None
        self._known: dict[str, Conditioning] = {}

    # What every family has.

    @property
    def identity(self) -> dict[str, str]:
        """What decides the unchanged model's numbers, for the contents of a cache."""
        told = {"backbone": self.revision, "precision": self.precision, "device": self.device.type}
        tiled = self.placement.execution.autoencoder == "tiled"
        return {**told, "autoencoder": "tiled"} if tiled else told

    @property
    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        return self.latent_shape[1] * autoencoder.reduction(self.networks.autoencoder)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        config = self.networks.denoiser.config
        return config.in_channels, config.sample_size, config.sample_size

    def encode(self, pictures: Tensor) -> LatentDistribution:
        """Encode pictures [n, 3, h, w] in [-1, 1] to the scaled posterior."""
        return autoencoder.encode(self.placement.ready(self.networks.autoencoder), pictures)

    def pictures(self, latents: Tensor) -> Tensor:
        """Decode scaled latents to pictures [n, 3, h, w] in [0, 1], float32."""
        return autoencoder.decode(self.placement.ready(self.networks.autoencoder), latents)

    def make_room(self, *, taught: bool) -> None:
        """Park what training does not need: the autoencoder, and text encoders unless words are taught."""
        texts = [] if taught else [encoder.model for encoder in self.networks.text_encoders]
        self.placement.park(self.networks.autoencoder, *texts)

    # What a family says of itself.

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """Run the text encoders; gradients flow to new token rows where enabled."""

    @abstractmethod
    def draw_timesteps(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n training timesteps [n] from a CPU generator, in the family's distribution."""

    @abstractmethod
    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """z_t from z_0 [n, c, h, w], ε and t [n]."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser is trained to predict at z_t: ε, v or a flow's velocity."""

    def clean_latent_weight(self, timesteps: Tensor) -> Tensor:
        """[n, 1, 1, 1] that turns the squared error of a velocity at t [n] into that of the clean latent.

        Raises BackboneError where the denoiser predicts no flow.
        """
        raise BackboneError(f"precondition: {self.name} predicts no flow (family {self.family!r})")

    @abstractmethod
    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Call the denoiser on z_t [n, c, h, w], t [n] or a scalar, and n conditionings. Returns float32."""

    @abstractmethod
    def scheduler(self, sampler: str, steps: int) -> Any:
        """A fresh diffusers scheduler with its timesteps set. Raises BackboneError for an unknown sampler."""

    # Pictures and prompts.

    def latents(self, images: Sequence[Image.Image]) -> LatentDistribution:
        """Encode pictures of any size, resized straight to the resolution; cached on disk by content."""
        parts = [self._latent(self.fit_size(image)) for image in images]
        mean, std = (torch.cat([part[key] for part in parts]).to(self.device) for key in ("mean", "std"))
        return LatentDistribution(mean, std)

    def fit_size(self, image: Image.Image) -> Image.Image:
        """RGB at the backbone's resolution: a direct bicubic resize, as the authors do (no crop)."""
        size = (self.resolution, self.resolution)
        image = image.convert("RGB")
        return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)

    def _latent(self, image: Image.Image) -> dict[str, Tensor]:
        def compute() -> dict[str, Tensor]:
            with torch.no_grad():
                pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
                pixels = pixels.view(1, self.resolution, self.resolution, 3).permute(0, 3, 1, 2)
                posterior = self.encode(pixels.to(self.device, torch.float32) / 127.5 - 1)
            return {"mean": posterior.mean, "std": posterior.std}

        picture = hashlib.sha256(image.tobytes()).hexdigest()
        content = {"picture": picture, "resolution": self.resolution, **self.identity}
        return self.cache.tensors("latents", content, compute)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [n, c, h, w] to uint8 pictures [n, 3, h, w] on the CPU."""
        return (self.pictures(latents) * 255).round().to(torch.uint8).cpu()

    def conditioning(self, prompts: Sequence[str]) -> Conditioning:
        """Encode prompts, in their order. Those without a new token are encoded once and remembered.

        Each such prompt is encoded by itself, so that its numbers do not depend on its company. Gradients
        flow to new token rows that require them.
        """
        taught = [p for p in dict.fromkeys(prompts) if any(token in p for token in self.new_tokens)]
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._known and prompt not in taught:
                with torch.no_grad():
                    self._known[prompt] = self._encode([prompt])
        if not taught:
            return Conditioning.cat([self._known[prompt] for prompt in prompts])
        encoded = self._encode(taught)
        fresh = {prompt: encoded[i : i + 1] for i, prompt in enumerate(taught)}
        return Conditioning.cat(
            [fresh[prompt] if prompt in fresh else self._known[prompt] for prompt in prompts]
        )

    def _encode(self, prompts: Sequence[str]) -> Conditioning:
        for encoder in self.networks.text_encoders:
            self.placement.ready(encoder.model)
        return self.encode_prompts(prompts)

    def unconditional(self) -> Conditioning:
        """What the denoiser is told, [1, …], where guidance asks it without a prompt."""
        return self.conditioning([""])

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision for the denoiser; nothing in float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        sampler: str,
        steps: int,
        guidance: float,
        report: Report | None = None,
    ) -> Tensor:
        """Draw one picture per prompt and seed, as :func:`harness.diffusion.sampling.sample` says.

        Returns uint8 [n, 3, h, w] on the CPU. ``report(done, total)`` is called after each batch. Where
        memory does not suffice for a batch, batches become smaller.
        """
        chosen: dict[str, Any] = {"sampler": sampler, "steps": steps, "guidance": guidance}

        def draw(part: slice) -> Tensor:
            pictures = self.decode(sample(self, prompts[part], seeds=seeds[part], **chosen))
            if report is not None:
                report(part.stop, len(prompts))
            return pictures

        parts = self.batches.over(len(prompts), SAMPLING_BATCH, draw, purpose="pictures to draw")
        return torch.cat(parts)

    # What can be trained.

    def parameters(self, group: str) -> dict[str, Parameter]:
        """Hand out a group of the denoiser's parameters for training: ``denoiser``, ``cross_attention_kv``,
        ``attention``.

        Raises BackboneError for a group that the family does not have.
        """
        if group not in self.groups:
            raise BackboneError(one_of(group, self.groups, noun="group of parameters"))
        pattern = re.compile(self.groups[group])
        return self.pretrained.hand_out(name for name in self.pretrained.parameters if pattern.search(name))

    def token_rows(self, tokens: Sequence[str], init: Sequence[str]) -> dict[str, Parameter]:
        """Teach text encoders new tokens and return the rows for training, [tokens, width] for each.

        Row i starts from the embedding of ``init[i]`` (of several word pieces: their mean). Raises ValueError
        for a token that is a word already.
        """
        if len(tokens) != len(init):
            raise ValueError(f"{len(tokens)} new tokens need as many words to start from, got {len(init)}")
        self._refuse_second("new tokens", bool(self.new_tokens))
        for encoder in self.networks.text_encoders:
            if not encoder.learns:
                longest_first = sorted(zip(tokens, init), key=lambda pair: -len(pair[0]))
                encoder.stand_ins = dict(longest_first)
                continue
            initial = initial_rows(encoder.tokenizer, encoder.model, init)
            encoder.rows = TokenRows(encoder.tokenizer, encoder.model, tokens, initial)
        return self._rows()

    def _rows(self) -> dict[str, Parameter]:
        return {
            f"{e.name}.new_tokens": e.rows.rows for e in self.networks.text_encoders if e.rows is not None
        }

    @property
    def new_tokens(self) -> tuple[str, ...]:
        """The tokens taught since the last restore."""
        rows = self.networks.text_encoders[0].rows
        return () if rows is None else rows.tokens

    def adapters(
        self, *, rank: int, alpha: float, targets: Sequence[str], seed: int, start: Start = "kaiming"
    ) -> dict[str, Parameter]:
        """Add low-rank adapters to the denoiser and return their factors for training.

        The change of a layer is alpha/rank·B·A. A is drawn from ``seed`` as ``start`` says, B is zero.
        Raises ValueError where no linear layer's name ends in one of ``targets``.
        """
        self._refuse_second("adapters", self._lora is not None)
        lora = LoRA(rank, alpha, tuple(targets))
        adapters.insert(self.networks.denoiser, lora, seed=seed, start=start)
        self._lora = lora
        return self._factors()

    def _factors(self) -> dict[str, Parameter]:
        return {
            f"denoiser.{name}": factor for name, factor in adapters.factors(self.networks.denoiser).items()
        }

    def _refuse_second(self, what: str, present: bool) -> None:
        if present:
            raise BackboneError(f"{self.name} has {what} already; restore it first")

    # What was changed.

    def terms(self, names: Sequence[str] | None = None) -> list[Term]:
        """The changes θ − θ0 of the named trainable parameters (None: of all that are handed out)."""

        def wanted(name: str) -> bool:
            return names is None or name in names

        base = self.pretrained.base
        full: list[Term] = [
            Full(name, value, base[name], value.numel())
            for name, value in self.pretrained.out.items()
            if wanted(name)
        ]
        rows = [
            Full(f"{e.name}.new_tokens", e.rows.rows, e.rows.initial, e.rows.table_size)
            for e in self.networks.text_encoders
            if e.rows is not None and wanted(f"{e.name}.new_tokens")
        ]
        low_rank = adapters.terms(self.networks.denoiser, names, prefix="denoiser.") if self._lora else []
        return [*full, *low_rank, *rows]

    @property
    def changed(self) -> bool:
        """Whether anything was handed out, taught or added since the last restore."""
        return bool(self.pretrained.out or self.new_tokens or self._lora)

    @property
    def trained_bytes(self) -> int:
        """Bytes of everything handed out, taught or added: at most what :meth:`delta` would hold."""
        parts = (*self.pretrained.out.values(), *self._factors().values(), *self._rows().values())
        return sum(parameter.nbytes for parameter in parts)

    def distance(self, *, on: Literal["effective", "entries"] = "effective") -> Distance:
        """How far everything handed out is from the pretrained weights; all zero where nothing was.

        ``on`` says what counts for low-rank adapters, as in :class:`harness.api.Lipschitz`.
        """
        terms = constrained(self.terms(), on)
        l2, start = change_norm(terms), base_norm(terms)
        denoiser = [term for term in terms if term.name.startswith("denoiser.")]
        rows = [term for term in terms if not term.name.startswith("denoiser.")]
        return Distance(
            l2,
            change_norm(denoiser),
            penalty_value(denoiser),
            change_norm(rows) if self.new_tokens else None,
            l2 / start if start else None,
        )

    def delta(self) -> Delta:
        """Copy out what differs from the pretrained model, to be stored."""
        details: dict[str, Any] = {"family": self.family, "backbone": self.revision}
        if self._lora is not None:
            details["lora"] = self._lora.details()
        if self.new_tokens:
            details["tokens"] = list(self.new_tokens)
            if stand_ins := self.networks.text_encoders[-1].stand_ins:
                details["stand_ins"] = [stand_ins[token] for token in self.new_tokens]
        return Delta(
            weights=_copies(self.pretrained.changed()),
            adapters=_copies(self._factors()),
            rows=_copies(self._rows()),
            details=details,
        )

    @torch.no_grad()
    def apply(self, delta: Delta) -> None:
        """Put a stored delta onto the pretrained model, bit for bit.

        Raises BackboneError if it was made for another model.
        """
        made_for = delta.details.get("backbone")
        if made_for != self.revision:
            raise BackboneError(f"this delta was made for backbone revision {made_for}, not {self.revision}")
        self.restore()
        _fill(self.pretrained.hand_out(delta.weights), delta.weights)
        if "lora" in delta.details:
            _fill(self.adapters(**delta.details["lora"], seed=0), delta.adapters)
        if "tokens" in delta.details:
            tokens = delta.details["tokens"]
            words = delta.details.get("stand_ins", ["a"] * len(tokens))
            _fill(self.token_rows(tokens, init=words), delta.rows)

    def restore(self) -> None:
        """Go back to the pretrained weights, bit for bit; copies only what was handed out."""
        self.pretrained.restore()
        if self._lora is not None:
            adapters.remove(self.networks.denoiser)
            self._lora = None
        for encoder in self.networks.text_encoders:
            encoder.stand_ins = {}
            if encoder.rows is not None:
                encoder.rows.remove()
                encoder.rows = None


def _copies(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in parameters.items()}


def _fill(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
