"""Texts as tokens: ids, masks, padding, and what is refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from convergent.batch import Inputs
from convergent.data import TokenInputs, tokenised
from convergent.errors import DataError


class Letters:
    """A tokenizer of letters, called as those of `transformers` are."""

    name_or_path = "letters"

    def __init__(self, pad_token_id: int | None = None) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, texts: Sequence[str], *, truncation: bool = False, max_length: int = 99) -> dict[str, Any]:
        cut = max_length if truncation else None
        return {"input_ids": [[ord(letter) for letter in text][:cut] for text in texts]}


def test_texts_are_inputs_of_one_length() -> None:
    inputs = tokenised(["abc", "d"], Letters(), labels=[1, -1])
    assert isinstance(inputs, Inputs)
    assert len(inputs) == 2
    assert inputs.ids.tolist() == [0, 1]
    assert inputs.tokens.tolist() == [[97, 98, 99], [100, 0, 0]]
    assert inputs.mask.tolist() == [[True] * 3, [True, False, False]]
    assert [(inputs[i].id, inputs[i].label) for i in range(2)] == [(0, 1), (1, None)]
    batch = inputs.batch(np.array([1, 0]))
    assert batch.ids.tolist() == [1, 0]
    assert batch.mask is not None
    assert batch.labels is not None
    assert batch.mask.tolist() == [[True, False, False], [True] * 3]
    assert batch.labels.tolist() == [-1, 1]


def test_ids_length_and_the_token_for_padding() -> None:
    inputs = tokenised(["abc", "d"], Letters(pad_token_id=7), length=2, ids=np.array([11, 12]))
    assert inputs.tokens.tolist() == [[97, 98], [100, 7]]
    assert inputs[1].id == 12
    assert inputs[1].label is None
    assert inputs.batch(np.array([0])).labels is None


def test_fingerprints_tell_how_texts_were_prepared_and_not_which_they_are() -> None:
    one, two = tokenised(["ab"], Letters()), tokenised(["abcd", "e"], Letters())
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != tokenised(["ab"], Letters(), length=1).fingerprint


@pytest.mark.parametrize("texts", [["ab", ""], ["", "x", ""]])
def test_a_text_without_tokens_is_refused(texts: list[str]) -> None:
    empty = texts.index("")
    with pytest.raises(DataError, match=rf"input {empty}.*no real token, only padding.*Leave empty texts out"):
        tokenised(texts, Letters())


def test_no_texts_are_refused() -> None:
    with pytest.raises(DataError, match=r"Found none"):
        tokenised([], Letters())


def test_parts_that_do_not_fit_are_refused() -> None:
    tokens = torch.ones(2, 3, dtype=torch.int64)
    for ids, mask, labels in (
        (np.arange(3), tokens > 0, None),
        (np.arange(2), tokens[:, :2] > 0, None),
        (np.arange(2), tokens > 0, torch.tensor([1])),
    ):
        with pytest.raises(DataError, match=r"Cannot use these tokens.*Give each input one row"):
            TokenInputs(ids, tokens, mask, labels)
