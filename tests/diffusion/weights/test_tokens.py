"""New words on a tokenizer of thirty-odd pieces and a table of as many rows: ids and rows by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import CLIPTokenizer

from harness.diffusion.weights.tokens import ExtendedEmbedding, TokenRows, extend_tokenizer, initial_rows

LETTERS = "acdgknort<>v"
PIECES = [
    *LETTERS,
    *(f"{letter}</w>" for letter in LETTERS),
    "do",
    "dog</w>",
    "dog",
    "kt",
    "ktn",
    "ca",
    "cat</w>",
]
MERGES = [("d", "o"), ("do", "g</w>"), ("do", "g"), ("k", "t"), ("kt", "n"), ("c", "a"), ("ca", "t</w>")]
WORDS = ["<|startoftext|>", *PIECES, "<|endoftext|>"]
WIDTH = 3


class Encoder(nn.Module):
    """A text encoder that is its table; row i is i, i/10 and −i."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        rows = torch.arange(float(len(WORDS)))[:, None] * torch.tensor([1.0, 0.1, -1.0])
        self.table = nn.Embedding.from_pretrained(rows.to(dtype))

    def get_input_embeddings(self):
        return self.table

    def set_input_embeddings(self, table):
        self.table = table


@pytest.fixture(scope="module")
def tokenizer():
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, merges=MERGES)


def row(word):
    """The table's row of a piece."""
    return torch.tensor([1.0, 0.1, -1.0]) * WORDS.index(word)


def test_rows_start_from_whole_words_then_pieces_then_the_mean_of_pieces(tokenizer):
    found = initial_rows(tokenizer, Encoder(), ["dog", "ktn", "Dog", "KTN", "cat dog", "ton"])
    pieces = [row(piece) for piece in ("t", "o", "n</w>")]
    expected = [
        row("dog</w>"), row("ktn"), row("dog</w>"), row("ktn"),
        (row("cat</w>") + row("dog</w>")) / 2, sum(pieces) / 3,
    ]  # fmt: skip
    torch.testing.assert_close(found, torch.stack(expected))
    assert not found.requires_grad


def test_rows_are_float32_beside_a_table_of_half_precision(tokenizer):
    found = initial_rows(tokenizer, Encoder(torch.bfloat16), ["dog", "d g"])
    assert found.dtype == torch.float32
    wanted = torch.stack([row(piece).bfloat16().float() for piece in ("d</w>", "g</w>")]).mean(0)
    torch.testing.assert_close(found[1], wanted)  # the mean is taken in float32


def test_a_word_without_pieces_starts_no_row(tokenizer):
    with pytest.raises(ValueError, match="no word pieces"):
        initial_rows(tokenizer, Encoder(), ["dog", ""])


def test_a_new_word_is_read_as_one_id_and_the_rest_as_before(tokenizer):
    before = dict(tokenizer.get_vocab())
    extended = extend_tokenizer(tokenizer, ["<v>", "<Vd>"], first=len(WORDS))
    plain = [WORDS.index("cat</w>"), WORDS.index("dog</w>")]

    def read(text):
        return extended(text, add_special_tokens=False).input_ids

    assert read("cat <v> dog <Vd>") == [plain[0], len(WORDS), plain[1], len(WORDS) + 1]
    assert len(WORDS) + 1 not in read("<vd>"), "letters keep their case"
    assert tokenizer.get_vocab() == before and len(tokenizer("<v>").input_ids) > 3
    assert extended.decode([len(WORDS)], skip_special_tokens=True).strip() == "<v>"
    assert extended.all_special_tokens == tokenizer.all_special_tokens


@pytest.mark.parametrize("token", ["dog", "ktn", "cat", "do", "a"])
def test_a_word_or_a_piece_is_no_new_word(tokenizer, token):
    with pytest.raises(ValueError, match="is a word of the tokenizer already"):
        extend_tokenizer(tokenizer, ["<v>", token], first=len(WORDS))


@pytest.mark.parametrize("tokens", [[""], ["<v", ""], ["<v> d"], [" <v>"], ["<v> "], ["<v>", "<t>", "<v>"]])
def test_a_new_word_is_one_word_given_once(tokenizer, tokens):
    with pytest.raises(ValueError, match="must be one word without spaces, given once"):
        extend_tokenizer(tokenizer, tokens, first=len(WORDS))


@pytest.mark.parametrize("first", [len(WORDS) - 1, len(WORDS) + 1])
def test_a_table_of_another_size_does_not_fit(tokenizer, first):
    with pytest.raises(ValueError, match=f"table of {first} rows do not fit each other"):
        extend_tokenizer(tokenizer, ["<v>"], first=first)


def test_ids_past_the_table_select_the_new_rows_in_its_precision():
    table = nn.Embedding.from_pretrained(torch.tensor([[1.0], [2.0], [3.0]]).bfloat16())
    extended = ExtendedEmbedding(table, nn.Parameter(torch.tensor([[10.0], [20.004]])))
    found = extended(torch.tensor([[0, 2, 3], [4, 1, 3]]))
    assert found.dtype == torch.bfloat16 and found.shape == (2, 3, 1)
    assert found.flatten().tolist() == [1.0, 3.0, 10.0, 20.0, 2.0, 10.0]
    assert extended.weight is table.weight


def test_the_gradient_of_a_row_is_that_of_its_own_places():
    table = nn.Embedding.from_pretrained(torch.zeros(3, 1))
    extended = ExtendedEmbedding(table, nn.Parameter(torch.zeros(2, 1)))
    factors = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    (extended(torch.tensor([[3, 0, 4, 3]]))[..., 0] * factors).sum().backward()
    assert extended.rows.grad.flatten().tolist() == [1001.0, 100.0]
    assert table.weight.grad is None


def test_rows_are_put_beside_the_table_and_taken_out_again(tokenizer):
    encoder = Encoder()
    table, initial = encoder.table, torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    added = TokenRows(tokenizer, encoder, ["<v>", "<d>"], initial)
    assert encoder.table is not table and encoder.table.rows is added.rows and encoder.table.table is table
    assert added.tokens == ("<v>", "<d>")
    assert added.table_size == (len(WORDS) + 2) * WIDTH
    assert added.tokenizer.convert_tokens_to_ids(["<v>", "<d>"]) == [len(WORDS), len(WORDS) + 1]
    assert isinstance(added.rows, nn.Parameter) and not added.rows.requires_grad
    assert not added.initial.requires_grad
    with torch.no_grad():
        added.rows += 1
    assert added.initial.tolist() == initial.tolist() and added.rows.tolist() == (initial + 1).tolist()
    with torch.no_grad():
        initial.zero_()
    assert added.initial.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    added.remove()
    assert encoder.table is table
