"""What every result shares: arrays that do not change under one's feet, and where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Fingerprint:
    """What some statistics were computed from; only statistics with equal fingerprints may merge.

    Attributes:
        weights: hash of the weights of each net.
        data: which inputs, and how they were prepared.
        view: how layer outputs became samples x units.
    """

    weights: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    view: str = ""


def frozen(array: np.ndarray[tuple[int, ...], np.dtype[T]]) -> np.ndarray[tuple[int, ...], np.dtype[T]]:
    """Return a read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view
