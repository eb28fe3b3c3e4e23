"""New words for a text encoder, trained by row: no optimizer ever sees the embedding table."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from torch.nn import functional as F


class ExtendedEmbedding(nn.Module):
    """An embedding table with trainable rows appended; the table itself stays as it is."""

    def __init__(self, table: nn.Embedding, rows: nn.Parameter) -> None:
        super().__init__()
        self.table = table
        self.rows = rows

    @property
    def weight(self) -> Tensor:
        """The base table [words, width]: transformers looks its dtype and device up here."""
        return self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids [n, tokens] to [n, tokens, width]; ids past the table select the new rows."""
        words = self.table.num_embeddings
        known = F.embedding(ids.clamp(max=words - 1), self.table.weight)
        new = F.embedding((ids - words).clamp(min=0), self.rows)
        return torch.where((ids >= words).unsqueeze(-1), new.to(known.dtype), known)


class TokenRows:
    """The rows of new tokens in one text encoder, put in place on creation and taken out by :meth:`remove`.

    rows        nn.Parameter [tokens, width], float32
    initial     what ``rows`` started from
    table_size  entries of the whole table with the new rows: n_l of the released code's tensor mean
    """

    def __init__(self, tokenizer: Any, encoder: Any, tokens: Sequence[str], initial: Tensor) -> None:
        table = encoder.get_input_embeddings()
        self.tokens = tuple(tokens)
        self.initial = initial.detach().clone()
        self.rows = nn.Parameter(self.initial.clone(), requires_grad=False)
        self.table_size = (table.num_embeddings + len(self.tokens)) * table.embedding_dim
        self.tokenizer = extend_tokenizer(tokenizer, self.tokens, first=table.num_embeddings)
        self._encoder, self._table = encoder, table
        encoder.set_input_embeddings(ExtendedEmbedding(table, self.rows))

    def remove(self) -> None:
        """Put the base table back."""
        self._encoder.set_input_embeddings(self._table)


def extend_tokenizer(tokenizer: Any, tokens: Sequence[str], *, first: int) -> Any:
    """Return a copy of ``tokenizer`` that reads each of ``tokens`` as one new word with ids from ``first``
    on.

    Raises ValueError for a token that is a word already, or that would not be one word.
    """
    vocabulary = tokenizer.get_vocab()
    for token in tokens:
        if token in vocabulary or f"{token}</w>" in vocabulary:
            raise ValueError(
                f"token {token!r} is a word of the tokenizer already; choose another, such as '<v>'"
            )
        if not token or token.split() != [token] or list(tokens).count(token) > 1:
            raise ValueError(f"token {token!r} must be one word without spaces, given once")
    extended = copy.deepcopy(tokenizer)
    extended.add_tokens([AddedToken(token, normalized=False, special=False) for token in tokens])
    ids = extended.convert_tokens_to_ids(list(tokens))
    if ids != list(range(first, first + len(tokens))):
        raise ValueError(f"the tokenizer and the text encoder's table of {first} rows do not fit each other")
    return extended


def initial_rows(tokenizer: Any, encoder: Any, words: Sequence[str]) -> Tensor:
    """Embed one row per entry of ``words``. Returns [len(words), width] float32.

    An entry of the vocabulary gives its own row, as a whole word if it is one ("dog"), else as a piece
    ("ktn", as Custom Diffusion's code reads it); anything else the mean over its word pieces. Raises
    ValueError for an entry without any word piece.
    """
    table = encoder.get_input_embeddings().weight.detach()
    vocabulary = tokenizer.get_vocab()

    def row(word: str) -> Tensor:
        whole = vocabulary.get(f"{word.lower()}</w>", vocabulary.get(word.lower()))
        ids = tokenizer(word, add_special_tokens=False).input_ids if whole is None else [whole]
        if not ids:
            raise ValueError(f"a token row cannot start from {word!r}: it has no word pieces")
        return table[ids].float().mean(0)

    return torch.stack([row(word) for word in words])
