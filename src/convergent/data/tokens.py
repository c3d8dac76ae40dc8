"""Texts as tokens, padded to one length: inputs whose locations are tokens, and padding that counts nowhere."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .._typing import Array, Bool, Int64, Tensor
from ..batch import Batch, Input
from ..errors import DataError


@dataclass(frozen=True)
class TokenInputs:
    """Rows of tokens, padded to one length, with a mask of the real ones. Made by `tokenised`, or of tensors.

    A batch carries the mask. `View(units="tokens")` leaves padding out of every statistic, and `call_with_mask`
    tells the net what is padding. How far rows are padded changes no number.

    Attributes:
        ids: stable id of each input.
        tokens: inputs x tokens, what the nets eat.
        mask: inputs x tokens, True at real tokens, False at padding.
        labels: class of each input, -1 where unknown, or None.
        prepared: how texts became tokens; statistics of inputs prepared otherwise do not merge.

    Raises:
        DataError: if the parts are not of the same inputs, or an input has no real token.

    Example:
        >>> tokens = torch.tensor([[5, 6, 7], [8, 0, 0]])
        >>> inputs = TokenInputs(np.arange(2), tokens, tokens > 0)
        >>> inputs.batch(np.array([1])).mask.tolist()
        [[True, False, False]]
    """

    ids: Int64[Array, " inputs"]
    tokens: Int64[Tensor, "_ _"] = field(repr=False)
    mask: Bool[Tensor, "_ _"] = field(repr=False)
    labels: Int64[Tensor, " _"] | None = field(default=None, repr=False)
    prepared: str = "tokens"

    def __post_init__(self) -> None:
        shapes = [tuple(part.shape) for part in (self.tokens, self.mask)]
        n_labels = len(self.ids) if self.labels is None else len(self.labels)
        if shapes[0] != shapes[1] or not len(self.ids) == n_labels == shapes[0][0]:
            raise DataError(
                f"Cannot use these tokens as inputs. Found {len(self.ids)} ids, tokens of shape {shapes[0]}, a "
                f"mask of shape {shapes[1]} and {n_labels} labels. Give each input one row of all."
            )
        empty = np.flatnonzero(~self.mask.any(dim=1).cpu().numpy())
        if len(empty):
            raise DataError(
                f"Cannot use input {self.ids[empty[0]]}. It has no real token, only padding, as have {len(empty)} "
                f"of {len(self.ids)} inputs. Leave empty texts out."
            )

    @property
    def fingerprint(self) -> str:
        """Hash of how texts became tokens."""
        return hashlib.sha256(json.dumps(["tokens", self.prepared]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int, /) -> Input:
        label = -1 if self.labels is None else int(self.labels[index])
        return Input(int(self.ids[index]), self.tokens[index], None if label < 0 else label)

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        """Several inputs, stacked, with their mask."""
        chosen = torch.from_numpy(indices)
        labels = None if self.labels is None else self.labels[chosen]
        return Batch(self.ids[indices], self.tokens[chosen], labels, self.mask[chosen])


def tokenised(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    length: int | None = None,
    ids: Int64[Array, " inputs"] | None = None,
    labels: Sequence[int] | None = None,
) -> TokenInputs:
    """Turn texts into tokens by a tokenizer of `transformers`, padded at the end.

    Special tokens that the tokenizer adds ([CLS], [SEP]) are real: they are locations like any other. A tokenizer
    without a token for padding, as GPT-2's, pads with 0, which the mask hides.

    Args:
        texts: one an input.
        tokenizer: called with the texts, gives their "input_ids"; `transformers.AutoTokenizer` loads one.
        length: tokens from which on a text is cut off; None keeps all, up to what the longest has.
        ids: stable id of each text; its position where None.
        labels: class of each text, -1 where unknown.

    Returns:
        Inputs for `Lockstep`.

    Raises:
        DataError: if there is no text, a text has no token, or ids or labels are not one a text.

    Example:
        >>> letters = lambda texts, **_: {"input_ids": [[ord(c) for c in text] for text in texts]}
        >>> tokenised(["ab", "c"], letters).mask.tolist()
        [[True, True], [True, False]]
    """
    if not len(texts):
        raise DataError("Asked to tokenise texts. Found none. Give at least one.")
    cut = {} if length is None else {"truncation": True, "max_length": length}
    rows = [torch.tensor(row, dtype=torch.int64) for row in tokenizer(list(texts), **cut)["input_ids"]]
    blank = getattr(tokenizer, "pad_token_id", None) or 0
    lengths = torch.tensor([len(row) for row in rows])
    name = getattr(tokenizer, "name_or_path", "")
    return TokenInputs(
        ids=np.arange(len(rows), dtype=np.int64) if ids is None else ids,
        tokens=torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=blank),
        mask=torch.arange(int(lengths.max())) < lengths[:, None],
        labels=None if labels is None else torch.tensor(labels, dtype=torch.int64),
        prepared=f"{type(tokenizer).__name__} {name} cut at {length}",
    )
