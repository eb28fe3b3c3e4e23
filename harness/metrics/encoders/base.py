"""What an encoder is and what its module says of it; where local weights are. Must know no encoder by name.

Importing this loads neither torch nor a model, so that names and revisions can be checked before anything is
slow. Weights come from the Hub or from a local safetensors file; pickles are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import HarnessError
from harness.specs import EncoderSpec

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.encoders.pixels import Images


class Encoder(Protocol):
    """Images in, features out.

    name           as in the experiment file
    revision       content hash of local weights, or the Hub's tag
    preprocessing  what happens to an image first, in words
    """

    name: str
    revision: str
    preprocessing: str

    def embed_images(self, images: Images) -> Tensor:
        """Embed uint8 or float (0..1) images [n, 3, H, W], or PIL images: float32 unit rows [n, d]."""
        ...

    def to(self, device: Any) -> Encoder:
        """Move the network, in place."""
        ...


class ImageTextEncoder(Encoder, Protocol):
    """An encoder that places texts in the same space as images (CLIP)."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: float32 unit rows [n, d]. Texts beyond the context are cut."""
        ...

    def cut_texts(self, texts: Sequence[str]) -> list[str]:
        """Say of each text that is longer than the context how much of it is seen."""
        ...


class EncoderError(HarnessError):
    """An encoder that is unknown, lacks its weights, or comes in a form that is refused."""


def local_folder(spec: EncoderSpec) -> Path | None:
    """Return the folder that ``local-dir:FOLDER`` names, None for another kind of name."""
    prefix, _, folder = spec.model.partition("local-dir:")
    return Path(folder) if folder and not prefix else None


def embedded_version(embedded: str | None, model: str) -> int | None:
    """Return which version of an embedded encoder a name means; None for another encoder's name.

    ``embedded`` says the newest, "toybox-dino:2": that is what a name without a version means.
    """
    (known, _, newest), (name, colon, version) = (each.partition(":") for each in (embedded or "", model))
    if name != known or (colon and not version.isdecimal()):
        return None
    return int(version) if colon else int(newest or 1)


def checkpoint_file(spec: EncoderSpec) -> Path:
    """Return the local weights of a spec; EncoderError where they are missing or no safetensors file."""
    folder = local_folder(spec)
    path = folder / "open_clip_model.safetensors" if folder else Path(str(spec.checkpoint))
    if not path.is_file():
        raise EncoderError(f"encoder {spec.model!r}: {path}: no such file")
    if path.suffix != ".safetensors":
        raise EncoderError(
            f"encoder {spec.model!r}: {path} is refused: only .safetensors is read (a pickle can run code)"
        )
    return path


def _as_it_is(model: str) -> str:
    return model


def _nothing(model: str) -> str:
    return ""


def _none(model: str) -> bool:
    return False


@dataclass(frozen=True)
class EncoderEntry:
    """What an encoder's module says of it, as ``ENCODER``. Reading it loads no torch.

    kind            ``clip``, ``dino``, ``probe`` or ``lpips``: what scores ask for
    load            (spec, device, revision) → the encoder; imports torch only when called
    answers         whether a model's name is one of its own; a plug-in leaves it out (see the registry)
    takes_the_rest  it is given the names to which no encoder answers; one has this
    models          names worth listing → what they are
    photos, toybox  the model that goes with photos, with the embedded benchmark; None: there is none
    hub_name        model → name of its pretrained weights, for the revision
    hub_id          model → the Hub's repository of its weights, empty where there is none; may load torch
    """

    kind: str
    load: Callable[[EncoderSpec, Any, str], Any]
    answers: Callable[[str], bool] = _none
    takes_the_rest: bool = False
    models: Mapping[str, str] = field(default_factory=dict)
    photos: str | None = None
    toybox: str | None = None
    hub_name: Callable[[str], str] = _as_it_is
    hub_id: Callable[[str], str] = _nothing
