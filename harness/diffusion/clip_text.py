"""What the larger families take from CLIP's text encoders: a layer before the last, and a pooled text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.diffusion.backbone import TextEncoder


def hidden_states(
    encoder: TextEncoder, prompts: Sequence[str], length: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Encode prompts to the penultimate layer [n, tokens, width] and the projected text [n, projected].

    The latter is None for an encoder without projection. It is read at the tokenizer's end of text: a model
    with the old ``eos_token_id: 2`` would take the largest id, which a new token has.
    """
    ids = encoder.read(prompts, length).input_ids.to(encoder.model.device)
    told: Any = encoder.model(ids, output_hidden_states=True)
    project = getattr(encoder.model, "text_projection", None)
    if project is None:
        return told.hidden_states[-2], None
    end = (ids == encoder.tokenizer.eos_token_id).int().argmax(-1)
    last = told.last_hidden_state[torch.arange(len(ids), device=ids.device), end]
    return told.hidden_states[-2], project(last)
