"""Some inputs of a data set: shards and splits whose statistics merge into those of the whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from .._typing import Array, Int64, UInt8
from ..batch import Batch, Input, Inputs, Pictures
from ..errors import InvalidArgumentError


@runtime_checkable
class DataSet(Inputs, Pictures, Protocol):
    """Inputs that are pictures and can be read several at once: `PhotoDigits`, `ImageFolder`, `HubImages`."""

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        """Several inputs, stacked."""


@dataclass(frozen=True)
class Subset:
    """Some inputs of a data set, with the ids and the fingerprint they have there.

    So statistics of disjoint subsets merge into those of their union, as if it had been read in one pass.

    Attributes:
        whole: the data set.
        chosen: which of its inputs: a slice, numbers, or a mask.

    Raises:
        InvalidArgumentError: if an input is chosen that does not exist.

    Example:
        >>> from convergent.data import PhotoDigits
        >>> first, second = (Subset(PhotoDigits.probe(n=100), part) for part in (slice(60), slice(60, None)))
        >>> len(first), len(second), first.fingerprint == second.fingerprint
        (60, 40, True)
    """

    whole: DataSet
    chosen: slice | Sequence[int] | Sequence[bool] | Array
    _indices: Int64[Array, " inputs"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        chosen = self.chosen
        if not isinstance(chosen, slice):
            chosen = np.asarray(chosen, dtype=None if len(chosen) else int)  # NumPy takes no numbers for floats
        try:
            indices = np.arange(len(self.whole))[chosen]
        except IndexError as error:
            raise InvalidArgumentError(
                f"Cannot choose inputs of a data set of {len(self.whole)}. NumPy says: {error}. "
                "Give a slice, numbers of inputs, or a mask as long as the data set."
            ) from error
        object.__setattr__(self, "_indices", indices)

    @property
    def ids(self) -> Int64[Array, " inputs"]:
        """Ids in the whole data set."""
        return self.whole.ids[self._indices]

    @property
    def fingerprint(self) -> str:
        """That of the whole data set: where inputs come from, and how they are prepared."""
        return self.whole.fingerprint

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int, /) -> Input:
        return self.whole[int(self._indices[index])]

    def batch(self, indices: Int64[Array, " inputs"]) -> Batch:
        """Several inputs, stacked."""
        return self.whole.batch(self._indices[indices])

    def picture(self, index: int, /) -> UInt8[Array, "height width 3"]:
        """The input as the net sees it, before normalisation, in RGB."""
        return self.whole.picture(int(self._indices[index]))
