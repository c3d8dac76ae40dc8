"""What floors hand to each other: inputs with stable ids, and batches of viewed activations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from ._typing import Array, Bool, Int64, Shaped, Tensor, UInt8, UInt64
from .errors import DataError
from .units import LayerRef


class Input(NamedTuple):
    """One input: its stable id, the tensor a net eats, and its label (None where there is none)."""

    id: int
    tensor: Tensor
    label: int | None


@runtime_checkable
class Inputs(Protocol):
    """A finite, ordered set of inputs that can be read by index, always with the same answer."""

    @property
    def ids(self) -> Int64[Array, " inputs"]:
        """The stable id of every input, in order, without reading the inputs."""

    @property
    def fingerprint(self) -> str:
        """Where inputs come from and how they are prepared, not which of them these are: that is what ids say.

        Statistics of other data must not merge; those of two parts of one data set must.
        """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Input: ...


@runtime_checkable
class Pictures(Protocol):
    """Inputs that can be shown to a person."""

    def picture(self, index: int, /) -> UInt8[Array, "height width 3"]:
        """The input as the net sees it, before normalisation, in RGB."""


@dataclass(frozen=True)
class Batch:
    """Inputs stacked along the first axis, with their ids.

    Attributes:
        ids: stable id of each input.
        tensor: what the nets eat, inputs first.
        labels: class of each input, -1 where unknown, or None; more axes hold several labels an input.
        mask: inputs x locations, True where real and False at padding, or None where nothing is padded.

    Ids may be given as a tensor or a list too; they become an array.

    Raises:
        DataError: if ids are not whole numbers in one row.
    """

    ids: Int64[Array, " inputs"]
    tensor: Tensor
    labels: Int64[Tensor, "inputs ..."] | None = None
    mask: Bool[Tensor, "inputs locations"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", _whole_numbers(self.ids))


@dataclass(frozen=True)
class Activations:
    """A layer's viewed output on one batch, in the one form every statistic reads.

    Attributes:
        values: inputs x units x locations; strided freely, so that channels-first and channels-last maps both
            arrive without a copy.
        locations: flat index into the layer's grid of each kept location, or None where all are kept in order
            (or averaged away).
        mask: True where a location is real, or None where all are.
    """

    values: Shaped[Tensor, "inputs units locations"]
    locations: Int64[Tensor, "inputs locations"] | None = None
    mask: Bool[Tensor, "inputs locations"] | None = None


Reduction: TypeAlias = Callable[[LayerRef, Activations], Activations]


@dataclass(frozen=True)
class ActivationBatch:
    """The viewed activations of every layer of every net on the same inputs.

    Attributes:
        ids: stable id of each input.
        layers: by layer.
        labels: class of each input, -1 where unknown, or None; more axes hold several labels an input.
        reduction: what was made of each layer's activations while the net ran, and stands in their place.
    """

    ids: Int64[Array, " inputs"]
    layers: Mapping[LayerRef, Activations]
    labels: Int64[Tensor, "inputs ..."] | None = None
    reduction: Reduction | None = None


def _whole_numbers(ids: object) -> Int64[Array, " inputs"]:
    found = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size) or found.dtype == np.uint64:
        raise DataError(
            f"Cannot use these ids of a batch. Found {found.dtype} of shape {found.shape}, where each input needs "
            "a whole number below 2**63. Number the inputs, or hash their names to integers."
        )
    return found.astype(np.int64, copy=False)


def hash_ids(ids: Int64[Array, "*shape"], *, salt: int = 0) -> UInt64[Array, "*shape"]:
    """Well-mixed 64-bit hash of integer ids (splitmix64): the same on every machine, process and run.

    Args:
        ids: any integers.
        salt: another salt gives an independent hash.

    Example:
        >>> hash_ids(np.array([0, 1])).tolist() == hash_ids(np.array([0, 1])).tolist()
        True
    """
    with np.errstate(over="ignore"):
        z = ids.astype(np.int64).astype(np.uint64) + np.uint64((salt * 0xD1342543DE82EF95 + 1) % 2**64)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def block_of(ids: Int64[Array, " inputs"], n_blocks: int) -> Int64[Array, " inputs"]:
    """The block (fold) each input belongs to, from its id alone: 0 .. n_blocks - 1."""
    return (hash_ids(ids, salt=1) % np.uint64(n_blocks)).astype(np.int64)


def roll_shifts(n_inputs: int, n_rolls: int) -> list[int]:
    """By how many places a stream of inputs is rolled, cyclically: 1, 2, ... n_rolls, and never a whole turn.

    Fewer than n_rolls + 1 inputs repeat their shifts; a single input can only be paired with itself.

    Example:
        >>> roll_shifts(100, 4), roll_shifts(3, 4), roll_shifts(1, 2)
        ([1, 2, 3, 4], [1, 2, 1, 2], [0, 0])
    """
    return [1 + k % (n_inputs - 1) if n_inputs > 1 else 0 for k in range(n_rolls)]
