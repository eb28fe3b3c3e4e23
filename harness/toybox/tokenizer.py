"""The real CLIP tokenizer as Hugging Face files, built from the vocabulary that open_clip carries.

Nothing is copied into the repository: the files are made at run time.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
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
    """Write the files of Stable Diffusion 1.5's tokenizer into ``folder``. Does not import open_clip."""
    package = find_spec("open_clip")
    if package is None or package.origin is None:
        raise HarnessError("open_clip is not installed: pip install open_clip_torch")
    with gzip.open(Path(package.origin).with_name(VOCABULARY), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : MERGES + 1]
    letters = byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["".join(merge.split()) for merge in merges]
    vocabulary = {token: number for number, token in enumerate([*tokens, START, END])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIGURATION, indent=2))


def byte_letters() -> list[str]:
    """The letter that stands for each byte in the vocabulary, in the vocabulary's order: 256 of them.

    A byte that prints stands for itself; the others take letters from 256 on (GPT-2's byte-level encoding).
    """
    printing = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    hidden = 256 - len(printing)
    return [chr(code) for code in (*printing, *range(256, 256 + hidden))]


@cache
def tokenizer() -> CLIPTokenizer:
    """Return the tokenizer, from files in a temporary folder."""
    from transformers import CLIPTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        return CLIPTokenizer.from_pretrained(folder)
