"""One interface over all base models: images and prompts as tensors, noise, prediction and what is trained.

A family (one file each) adds how its networks are read and called. Nothing here knows data sets or scores,
draws images, or does the training.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn import Parameter

from harness.cache import Cache
from harness.diffusion.backbones import autoencoder
from harness.diffusion.backbones.conditioning import Conditioning, LatentDistribution
from harness.diffusion.backbones.offload import Offload
from harness.diffusion.backbones.pipeline_folder import PipelineFolder
from harness.diffusion.backbones.text_encoder import TextEncoder
from harness.diffusion.batching import Batches
from harness.diffusion.lipschitz import Term
from harness.diffusion.weights.adaptation import Adaptation
from harness.diffusion.weights.adapters import Start
from harness.diffusion.weights.delta import Delta, Distance, ShareOf
from harness.errors import BackboneError
from harness.specs import Execution, Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Networks:
    """The frozen parts of a base model.

    scheduler  configuration of its noise schedule
    index      content of its ``model_index.json``, where a family reads options of the pipeline
    """

    denoiser: Any
    autoencoder: Any
    text_encoders: tuple[TextEncoder, ...]
    scheduler: Mapping[str, Any]
    index: Mapping[str, Any] = field(default_factory=dict)


class Backbone(ABC):
    """A base text-to-image model that methods change in place and the harness restores.

    name, revision  what it is called, and the hash of its weights (or the Hub's commit)
    resolution      side of its images in pixels
    adaptation      what is trained, how far it moved, the way back
    batches         how many images go through at once, after what memory allowed
    device, dtype   where and in what precision the denoiser runs; what is trained is always float32
    """

    family: ClassVar[str]
    groups: ClassVar[Mapping[str, str]]
    """Group of parameters → regular expression over the denoiser's parameter names."""

    cross_attention: ClassVar[str | None] = None  # regular expression: its layers of keys and values

    prior_sampling: ClassVar[tuple[str, int, float]] = ("dpmsolver++", 25, 7.5)
    """Sampler, steps and guidance of the class images for prior preservation."""

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
        self.offload = Offload(device, execution)
        self.offload.prepare(networks.denoiser, networks.autoencoder, resolution=self.resolution)
        self.adaptation = Adaptation(
            networks.denoiser,
            networks.text_encoders,
            name=name,
            groups=self.groups,
            family=self.family,
            revision=revision,
        )
        self._encoded: dict[str, Conditioning] = {}

    # What a family says of itself.

    @classmethod
    @abstractmethod
    def read_networks(cls, folder: PipelineFolder) -> Networks:
        """Load the family's networks from a pipeline's folder. Raises BackboneError if it is not whole."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """Run the text encoders; gradients flow to new token rows where enabled."""

    @abstractmethod
    def draw_timesteps(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw n training timesteps [n] from a CPU generator, in the family's distribution."""

    @abstractmethod
    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """z_t [n, c, h, w] from z_0 and ε, both [n, c, h, w], and t [n]."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser learns to predict at z_t, [n, c, h, w]: ε, v or a flow's velocity."""

    def clean_latents(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """ẑ_0 [n, c, h, w]: what a prediction at z_t says of z_0, all [n, c, h, w], t [n]."""
        raise NotImplementedError(f"alignment: family {self.family!r} does not say what ẑ_0 is")

    def clean_latent_weight(self, timesteps: Tensor) -> Tensor:
        """[n, 1, 1, 1] that turns the squared error of a velocity at t [n] into that of the clean latent.

        Raises BackboneError where the denoiser predicts no flow.
        """
        raise BackboneError(f"precondition: {self.name} predicts no flow (family {self.family!r})")

    @abstractmethod
    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Call the denoiser on z_t [n, c, h, w], t [n] or a scalar, and n conditionings.

        Returns float32 [n, c, h, w].
        """

    @abstractmethod
    def scheduler(self, sampler: str, steps: int) -> Any:
        """A fresh diffusers scheduler with its timesteps set. Raises BackboneError for an unknown sampler."""

    # What every family has.

    @property
    def identity(self) -> dict[str, str]:
        """What decides the unchanged model's numbers, for the contents of a cache."""
        decisive = {"backbone": self.revision, "precision": self.precision, "device": self.device.type}
        tiled = self.offload.execution.autoencoder == "tiled"
        return {**decisive, "autoencoder": "tiled"} if tiled else decisive

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.latent_shape[1] * autoencoder.reduction(self.networks.autoencoder)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        config = self.networks.denoiser.config
        return config.in_channels, config.sample_size, config.sample_size

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision for the denoiser; nothing in float32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def make_room(self, *, taught: bool) -> None:
        """Offload what training does not need: the autoencoder, and text encoders unless words are taught."""
        texts = [] if taught else [encoder.model for encoder in self.networks.text_encoders]
        self.offload.to_cpu(self.networks.autoencoder, *texts)

    # Images.

    def encode(self, images: Tensor) -> LatentDistribution:
        """Encode images [n, 3, H, W] in [-1, 1] to the scaled posterior [n, c, h, w]."""
        return autoencoder.encode(self.offload.ready(self.networks.autoencoder), images)

    def images(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [n, c, h, w] to images [n, 3, H, W] in [0, 1], float32."""
        return autoencoder.decode(self.offload.ready(self.networks.autoencoder), latents)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [n, c, h, w] to uint8 images [n, 3, H, W] on the CPU."""
        return (self.images(latents) * 255).round().to(torch.uint8).cpu()

    def latents(self, images: Sequence[Image.Image]) -> LatentDistribution:
        """Encode n images of any size, resized straight to the resolution, to the posterior [n, c, h, w].

        Cached on disk by content.
        """
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

        digest = hashlib.sha256(image.tobytes()).hexdigest()
        content = {"picture": digest, "resolution": self.resolution, **self.identity}
        return self.cache.tensors("latents", content, compute)

    # Prompts.

    def conditioning(self, prompts: Sequence[str]) -> Conditioning:
        """Encode prompts, in their order. Those without a new token are encoded once and remembered.

        Each such prompt is encoded by itself, so that its numbers do not depend on its company. Gradients
        flow to new token rows that require them.
        """
        taught = [p for p in dict.fromkeys(prompts) if any(token in p for token in self.new_tokens)]
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._encoded and prompt not in taught:
                with torch.no_grad():
                    self._encoded[prompt] = self._encode([prompt])
        if not taught:
            return Conditioning.cat([self._encoded[prompt] for prompt in prompts])
        encoded = self._encode(taught)
        fresh = {prompt: encoded[i : i + 1] for i, prompt in enumerate(taught)}
        return Conditioning.cat(
            [fresh[prompt] if prompt in fresh else self._encoded[prompt] for prompt in prompts]
        )

    def _encode(self, prompts: Sequence[str]) -> Conditioning:
        for encoder in self.networks.text_encoders:
            self.offload.ready(encoder.model)
        return self.encode_prompts(prompts)

    def unconditional(self) -> Conditioning:
        """The conditioning [1, …] that classifier-free guidance sets against the prompt's."""
        return self.conditioning([""])

    # What is trained, and what came of it: the adaptation's.

    def parameters(self, group: str) -> dict[str, Parameter]:
        """Hand out a group of the denoiser's parameters for training; BackboneError for an unknown one."""
        return self.adaptation.parameters(group)

    def token_rows(self, tokens: Sequence[str], init: Sequence[str]) -> dict[str, Parameter]:
        """Teach the text encoders new tokens that start from ``init``; see :meth:`Adaptation.token_rows`."""
        return self.adaptation.token_rows(tokens, init)

    def adapters(
        self, *, rank: int, alpha: float, targets: Sequence[str], seed: int, start: Start = "kaiming"
    ) -> dict[str, Parameter]:
        """Add low-rank adapters alpha/rank·B·A to the denoiser; see :meth:`Adaptation.adapters`."""
        return self.adaptation.adapters(rank=rank, alpha=alpha, targets=targets, seed=seed, start=start)

    @property
    def new_tokens(self) -> tuple[str, ...]:
        """The tokens added since the last restore."""
        return self.adaptation.new_tokens

    @property
    def changed(self) -> bool:
        """Whether anything was handed out or added since the last restore."""
        return self.adaptation.changed

    @property
    def trained_bytes(self) -> int:
        """Bytes of everything handed out or added: at most what :meth:`delta` would hold."""
        return self.adaptation.trained_bytes

    def terms(self, names: Sequence[str] | None = None) -> list[Term]:
        """The changes θ − θ0 of the named trainable parameters (None: of all that are handed out)."""
        return self.adaptation.terms(names)

    def distance(self, *, on: Literal["effective", "entries"] = "effective") -> Distance:
        """Measure how far everything handed out is from θ0; ``on`` as in :class:`harness.api.Lipschitz`."""
        return self.adaptation.distance(on=on)

    def delta(self) -> Delta:
        """Copy out what differs from the base model, to be stored."""
        return self.adaptation.delta()

    def apply(self, delta: Delta) -> None:
        """Put a stored delta onto the base model, bit for bit. Raises BackboneError for another model's."""
        self.adaptation.apply(delta)

    def interpolate(self, tuned: Delta, share: float | ShareOf) -> None:
        """Set everything handed out between θ0 (0) and a delta of this fit (1); see Adaptation."""
        self.adaptation.interpolate(tuned, share)

    def restore(self) -> None:
        """Go back to the base model, bit for bit."""
        self.adaptation.restore()
