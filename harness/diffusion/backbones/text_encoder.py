"""A base model's text encoder with its tokenizer; what the larger families take from CLIP's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from harness.diffusion.weights.tokens import TokenRows


@dataclass
class TextEncoder:
    """A text encoder, its tokenizer, and the new tokens it was taught, if any. ``name`` is its folder's.

    One that does not learn new tokens reads ``stand_ins`` in their place.
    """

    name: str
    tokenizer: Any
    model: Any
    rows: TokenRows | None = None
    learns: bool = True
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    @property
    def reader(self) -> Any:
        """The tokenizer that knows the new tokens."""
        return self.tokenizer if self.rows is None else self.rows.tokenizer

    def read(self, prompts: Sequence[str], length: int | None = None) -> Any:
        """Prompts as token ids, padded or cut to ``length`` (None: the tokenizer's own)."""
        for token, word in self.stand_ins.items():
            prompts = [prompt.replace(token, word) for prompt in prompts]
        return self.reader(
            list(prompts),
            padding="max_length",
            max_length=length or self.reader.model_max_length,
            truncation=True,
            return_tensors="pt",
        )


def hidden_states(
    encoder: TextEncoder, prompts: Sequence[str], length: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Encode prompts to the penultimate layer [n, tokens, width] and the projected text [n, projected].

    The latter is None for an encoder without projection. It is read at the tokenizer's end of text: a model
    with the old ``eos_token_id: 2`` would take the largest id, which a new token has.
    """
    ids = encoder.read(prompts, length).input_ids.to(encoder.model.device)
    result: Any = encoder.model(ids, output_hidden_states=True)
    project = getattr(encoder.model, "text_projection", None)
    if project is None:
        return result.hidden_states[-2], None
    end = (ids == encoder.tokenizer.eos_token_id).int().argmax(-1)
    last = result.last_hidden_state[torch.arange(len(ids), device=ids.device), end]
    return result.hidden_states[-2], project(last)
