"""CLIP through open_clip: images and texts in one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.errors import one_of
from harness.metrics.encoders.base import EncoderError, local_folder
from harness.metrics.encoders.open_clip_names import DEFAULT_TAG
from harness.metrics.encoders.pixels import Images, Preprocessing, in_batches, unit_rows
from harness.metrics.encoders.weights import from_hub, load_into, read_tensors
from harness.specs import EncoderSpec


class ClipEncoder:
    """An open_clip model with its preprocessing and tokenizer; see :class:`~.base.ImageTextEncoder`."""

    def __init__(
        self,
        network: Any,
        transform: Any,
        tokenizer: Any,
        *,
        name: str,
        revision: str,
        device: torch.device | str = "cpu",
        batch: int = 64,
    ) -> None:
        self.name, self.revision, self.batch = name, revision, batch
        self.preprocess, self.tokenizer = Preprocessing(transform), tokenizer
        self.preprocessing = str(self.preprocess)
        self.network = network.eval().requires_grad_(False)
        self.to(device)

    def to(self, device: torch.device | str) -> ClipEncoder:
        """Move the network, in place."""
        self.device = torch.device(device)
        self.network.to(self.device)
        return self

    def embed_images(self, images: Images) -> Tensor:
        """Embed images: float32 [n, d] on the CPU, unit rows."""
        return in_batches(
            self.preprocess(images), self.network.encode_image, device=self.device, batch=self.batch
        )

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: float32 [n, d] on the CPU, unit rows. See ``cut_texts``."""
        with torch.inference_mode():
            tokens = self.tokenizer(list(texts)).split(self.batch)
            parts = [self.network.encode_text(part.to(self.device)).float().cpu() for part in tokens]
        return unit_rows(torch.cat(parts))

    def cut_texts(self, texts: Sequence[str]) -> list[str]:
        """Say of each text that is longer than the context how much of it is seen."""
        context = self.tokenizer.context_length
        return [
            f"text of {length} tokens cut to {context} for {self.name}: {text!r}"
            for text in dict.fromkeys(texts)
            if (length := self.token_count(text)) > context
        ]

    def token_count(self, text: str) -> int:
        """Count a text's tokens, the first and last mark included."""
        from open_clip.tokenizer import SimpleTokenizer

        if isinstance(self.tokenizer, SimpleTokenizer):
            return len(self.tokenizer.encode(text)) + 2
        return len(self.tokenizer.tokenizer(text)["input_ids"])  # a Hugging Face tokenizer, wrapped


def load_clip(spec: EncoderSpec, *, device: torch.device | str, revision: str) -> ClipEncoder:
    """Load the CLIP of a spec.

    ``model`` is ``toybox-clip``, an open_clip name (OpenAI's weights), ``NAME:TAG``, ``hf-hub:ORG/REPO`` or
    ``local-dir:FOLDER`` (open_clip's own layout). With ``checkpoint`` the weights of a named model come from
    that safetensors file and nothing is downloaded.
    """
    parts = _toybox() if spec.model == "toybox-clip" else _open_clip(spec)
    return ClipEncoder(*parts, name=spec.model, revision=revision, device=device)


def _toybox() -> tuple[Any, Any, Any]:
    from harness.toybox.loading import load_clip as load_toybox

    return load_toybox()


def _open_clip(spec: EncoderSpec) -> tuple[Any, Any, Any]:
    import open_clip

    if folder := local_folder(spec):
        name = f"local-dir:{folder}"
        network, transform = _created(name, load_weights=False)
        load_into(network, read_tensors(spec), spec)
    elif spec.checkpoint is not None:
        name, _, tag = spec.model.partition(":")
        network, transform = _created(
            name, force_preprocess_cfg=_preprocessing(name, tag), force_quick_gelu=_quick_gelu(name, tag)
        )
        load_into(network, _as_open_clip(network, read_tensors(spec)), spec)
    elif spec.model.startswith("hf-hub:"):
        name = spec.model
        network, transform = from_hub(spec, lambda: _created(name, require_pretrained=True))
    else:
        name, _, tag = spec.model.partition(":")
        tag = tag or DEFAULT_TAG
        known = open_clip.list_pretrained_tags_by_model(name)
        if tag not in known:
            raise EncoderError(f"encoder {spec.model!r}: {one_of(tag, known, noun='pretrained tag')}")
        network, transform = from_hub(
            spec, lambda: _created(name, pretrained=tag, force_quick_gelu=_quick_gelu(name, tag))
        )
    return network, transform, open_clip.get_tokenizer(name)


def _created(name: str, **how: Any) -> tuple[Any, Any]:
    """Make an open_clip model and the preprocessing that goes with it."""
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    network: Any = open_clip.create_model(name, **how)
    return network, image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)


def _preprocessing(name: str, tag: str) -> dict[str, Any]:
    """The preprocessing that the weights of a tag were trained with; CLIP's own where no tag is given."""
    import open_clip

    settings = open_clip.get_pretrained_cfg(name, tag) if tag else {}
    return {key: settings[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in settings}


def _quick_gelu(name: str, tag: str) -> bool:
    """Whether the weights of a tag need QuickGELU, whatever the model's name says (OpenAI's do)."""
    import open_clip

    return bool(tag) and bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu"))


def _as_open_clip(network: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    from open_clip.convert import convert_state_dict

    convert: Callable[..., dict[str, Tensor]] = convert_state_dict
    return convert(network, tensors)
