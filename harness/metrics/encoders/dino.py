"""DINO and other image encoders through timm: the class token, no head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.errors import one_of
from harness.metrics.encoders.base import EncoderError
from harness.metrics.encoders.open_clip_names import known_names
from harness.metrics.encoders.pixels import Images, Preprocessing, in_batches
from harness.metrics.encoders.weights import from_hub, load_into, read_tensors
from harness.specs import EncoderSpec


class TimmEncoder:
    """A timm model without its head, with its own preprocessing; see :class:`~.base.Encoder`."""

    def __init__(
        self,
        network: Any,
        transform: Any,
        *,
        name: str,
        revision: str,
        device: torch.device | str = "cpu",
        batch: int = 64,
    ) -> None:
        self.name, self.revision, self.batch = name, revision, batch
        self.preprocess = Preprocessing(transform)
        self.preprocessing = str(self.preprocess)
        self.network = network.eval().requires_grad_(False)
        self.to(device)

    def to(self, device: torch.device | str) -> TimmEncoder:
        """Move the network, in place."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self

    def embed_images(self, images: Images) -> Tensor:
        """Embed images: float32 [n, d] on the CPU, unit rows."""
        return in_batches(self.preprocess(images), self.network, device=self.device, batch=self.batch)


def load_dino(
    spec: EncoderSpec, *, device: torch.device | str, revision: str, embedded: int | None = None
) -> TimmEncoder:
    """Load the image encoder of a spec: a version of the ``embedded`` one, or a timm name.

    A timm name's tag picks the hub's weights.

    With ``checkpoint`` the weights come from that safetensors file and nothing is downloaded.
    """
    if embedded is not None:
        from harness.toybox.loading import load_dino as load_toybox

        network, transform = load_toybox(version=embedded)
    else:
        network = _network(spec)
        transform = _transform(network)
    return TimmEncoder(network, transform, name=spec.model, revision=revision, device=device)


def _network(spec: EncoderSpec) -> Any:
    import timm

    if spec.model.partition(".")[0] not in timm.list_models():
        known = {*known_names(), *timm.list_models(pretrained=True)}
        near = one_of(spec.model, known, noun="encoder").partition(" known:")[0]
        raise EncoderError(f"{near} see: harness list encoders")
    if spec.checkpoint is None:
        return from_hub(spec, lambda: timm.create_model(spec.model, pretrained=True, num_classes=0))
    network = timm.create_model(spec.model, pretrained=False, num_classes=0)
    headless = {name: value for name, value in read_tensors(spec).items() if not name.startswith("head.")}
    load_into(network, headless, spec)
    return network


def _transform(network: Any) -> Any:
    from timm.data import create_transform, resolve_data_config

    return create_transform(**resolve_data_config({}, model=network), is_training=False)
