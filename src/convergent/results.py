"""What every result shares: arrays that do not change under one's feet, and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Fingerprint:
    """What some statistics were computed from; only those of equal weights, data and view may merge.

    Attributes:
        weights: hash of the weights of each net.
        data: where inputs come from, and how they were prepared; not which of them were read.
        view: how layer outputs became samples x units.
        inputs: which inputs were taken in: a digest for each pass, or each block of one, in alphabetical order.
            What two statistics have in common would be counted twice. Parts of different passes are not seen.
    """

    weights: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    view: str = ""
    inputs: tuple[str, ...] = ()

    @property
    def passes(self) -> frozenset[str]:
        """Which passes were taken in, whole or block by block."""
        return frozenset(one.partition(" ")[0] for one in self.inputs)

    def joined(self, other: "Fingerprint") -> "Fingerprint":
        """Of the inputs of both."""
        return replace(self, inputs=tuple(sorted({*self.inputs, *other.inputs})))

    def of_block(self, block: int, *, n_blocks: int) -> "Fingerprint":
        """Of the inputs of one block."""
        return replace(self, inputs=tuple(f"{one} block {block} of {n_blocks}" for one in self.inputs))

    def of_nothing(self) -> "Fingerprint":
        """Of no inputs."""
        return replace(self, inputs=())


def frozen(array: np.ndarray[tuple[int, ...], np.dtype[T]]) -> np.ndarray[tuple[int, ...], np.dtype[T]]:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view
