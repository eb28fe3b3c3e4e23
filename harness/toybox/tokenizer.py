"""The real CLIP tokenizer as Hugging Face files, built from the vocabulary that open_clip carries.

Nothing is copied into the repository: the files are made at run time.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 49_152 - 256 - 2
CONFIGURATION = {
    "tokenizer_class": "CLIPTokenizer",
    "model_max_length": LENGTH,
    "bos_token": START,
    "eos_token": END,
    "unk_token": END,
    "pad_token": END,
    "do_lower_case": True,
    "add_prefix_space": False,
    "errors": "replace",
}


def write_tokenizer(folder: Path) -> None:
    """Write the files of Stable Diffusion 1.5's tokenizer into ``folder``."""
    from open_clip.tokenizer import SimpleTokenizer, default_bpe

    vocabulary = dict(SimpleTokenizer().encoder)
    words = {"<start_of_text>": START, "<end_of_text>": END}
    vocabulary = {words.get(token, token): number for token, number in vocabulary.items()}
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : MERGES + 1]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIGURATION, indent=2))


@cache
def tokenizer() -> CLIPTokenizer:
    """Return the tokenizer, from files in a temporary folder."""
    from transformers import CLIPTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        return CLIPTokenizer.from_pretrained(folder)
