"""New words in a text encoder's place: the table is not touched, the rest of a prompt reads as before."""

import pytest
import torch

from harness.diffusion.training import Example, Trainer


def test_a_new_token_reads_as_one_word_and_others_as_before(backbone):
    encoder = backbone.networks.text_encoders[0]
    before = backbone.conditioning(["a photo of a dog"]).sequence.clone()
    backbone.token_rows(["<v>"], init=["dog"])
    assert encoder.reader("a photo of a <v>").input_ids[1:-1] == [
        *encoder.tokenizer("a photo of a").input_ids[1:-1],
        49408,
    ]
    assert torch.equal(backbone.encode_prompts(["a photo of a dog"]).sequence, before)
    plain = encoder.tokenizer("a <v>", add_special_tokens=False).input_ids
    assert 49408 not in plain and len(plain) > 2, "the base tokenizer does not know the word"


def test_a_row_started_from_a_word_stands_for_that_word(backbone):
    dog = backbone.conditioning(["a photo of a dog"]).sequence.clone()
    backbone.token_rows(["<v>"], init=["dog"])
    torch.testing.assert_close(backbone.conditioning(["a photo of a <v>"]).sequence, dog)


def test_a_row_started_from_several_pieces_is_their_mean(backbone):
    encoder = backbone.networks.text_encoders[0]
    ids = encoder.tokenizer("rubber duck", add_special_tokens=False).input_ids
    table = encoder.model.get_input_embeddings().weight
    (rows,) = backbone.token_rows(["<v>"], init=["rubber duck"]).values()
    assert len(ids) == 2
    torch.testing.assert_close(rows[0], table[ids].mean(0))


def test_ktn_is_the_piece_that_custom_diffusion_starts_from(backbone):
    table = backbone.networks.text_encoders[0].model.get_input_embeddings().weight
    (rows,) = backbone.token_rows(["<new1>"], init=["ktn"]).values()
    assert torch.equal(rows[0], table[42170])


def test_only_the_rows_move_and_their_gradient_is_the_table_gradients(backbone, photos):
    encoder = backbone.networks.text_encoders[0].model
    table = encoder.get_input_embeddings().weight
    before = table.clone()
    parameters = backbone.token_rows(["<v>"], init=["dog"])
    examples = [Example(photo, ("a photo of a <v>",)) for photo in photos]
    Trainer(seed=0).fit(
        backbone, parameters=parameters, examples=examples, steps=2, lr=1e-2, batch=2, weight_decay=1e-2
    )
    (rows,) = parameters.values()
    assert not torch.equal(rows[0], before[1929])
    assert torch.equal(table, before)
    backbone.restore()
    assert encoder.get_input_embeddings().weight is table


def test_row_gradient_equals_that_of_a_resized_table(backbone):
    """The independent way: write the row into the table at a spare word and differentiate the table."""
    encoder = backbone.networks.text_encoders[0]
    embedding = encoder.model.get_input_embeddings()
    spare = encoder.tokenizer("sks", add_special_tokens=False).input_ids
    assert len(spare) == 1
    embedding.weight.requires_grad_(True)
    backbone.encode_prompts(["a photo of a sks"]).sequence.square().sum().backward()
    expected = embedding.weight.grad[spare[0]].clone()
    embedding.weight.grad = None
    embedding.weight.requires_grad_(False)

    (rows,) = backbone.token_rows(["<v>"], init=["sks"]).values()
    rows.requires_grad_(True)
    backbone.conditioning(["a photo of a <v>"]).sequence.square().sum().backward()
    torch.testing.assert_close(rows.grad[0], expected)


def test_penalty_counts_a_row_with_the_whole_table(backbone):
    backbone.token_rows(["<v>"], init=["dog"])
    (term,) = backbone.terms()
    assert term.size == 49409 * 32


@pytest.mark.parametrize(
    ("tokens", "init", "message"),
    [
        (["dog"], ["cat"], "is a word of the tokenizer already"),
        (["two words"], ["cat"], "one word without spaces"),
        (["<v>", "<v>"], ["cat", "cat"], "given once"),
        (["<v>"], ["cat", "dog"], "as many words to start from"),
        (["<v>"], [""], "no word pieces"),
        (["ktn"], ["cat"], "is a word of the tokenizer already"),
        ([" <v>"], ["cat"], "one word without spaces"),
    ],
)
def test_tokens_that_make_no_sense(backbone, tokens, init, message):
    with pytest.raises(ValueError, match=message):
        backbone.token_rows(tokens, init=init)
    assert not backbone.new_tokens
