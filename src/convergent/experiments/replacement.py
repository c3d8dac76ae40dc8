"""What is put in the place of units that are taken out: their mean, zero, or their values on other inputs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike

from .._typing import Array, Float64, Int64, Shaped, Tensor
from ..batch import hash_ids
from ..errors import DataError, InvalidArgumentError, MismatchError, UnknownNameError
from ..extraction.rewriting import copy_to_write
from ..extraction.views import View

Units: TypeAlias = Iterable[int | np.integer[Any]] | Array

_SALT = 3  # blocks, samples and locations hash with 0, 1 and 2


@dataclass(frozen=True, eq=False)
class Replacement:
    """A change of a layer's output: some units take other values, at all locations.

    Attributes:
        layer: name, for errors.
        units: which, sorted.
        by: "mean", "zero" or "resample".
        means: of all units of the layer, where they are put in.
        view: which axis holds the units.
        seed: which other input each input takes values from.
    """

    layer: str
    units: Int64[Array, " k"]
    by: str
    means: Float64[Array, " units"] | None
    view: View
    seed: int = 0

    def __call__(self, output: Shaped[Tensor, "inputs ..."]) -> Shaped[Tensor, "inputs ..."]:
        """The changed output; the one given stays as it is."""
        if not len(self.units):
            return output
        changed, seen = copy_to_write(output, self.view)
        self._check(seen.shape[1])
        there = torch.from_numpy(self.units).to(output.device)
        if self.by == "resample":
            others = torch.from_numpy(_others(len(output), self.seed)).to(output.device)
            seen[:, there] = seen[:, there][others]
        elif self.means is None:
            seen[:, there] = 0
        else:
            seen[:, there] = torch.from_numpy(self.means[self.units]).to(output)[:, None]
        return changed

    def _check(self, n_units: int) -> None:
        if self.units[-1] >= n_units:
            raise UnknownNameError(
                f"Cannot replace unit {self.units[-1]} of layer {self.layer!r}. It has {n_units} units. "
                f"Choose from 0 to {n_units - 1}, or another view."
            )
        if self.means is not None and len(self.means) != n_units:
            raise MismatchError(
                f"Cannot put means into layer {self.layer!r}. There are {len(self.means)} of them, and "
                f"{n_units} units. Give the means of this layer, seen by the same view."
            )


def replacement(
    layer: str, units: Units, *, by: str, means: ArrayLike | None, view: View | None, seed: int = 0
) -> Replacement:
    """Check and sort what is to be replaced.

    Args:
        layer: name.
        units: indices, or one truth a unit.
        by: "mean", "zero" or "resample".
        means: of all units, for "mean".
        view: which axis holds the units.
        seed: for "resample".

    Raises:
        InvalidArgumentError: if `by` is none of these, the means are missing or not finite, or an index is none.
    """
    if by not in ("mean", "zero", "resample"):
        raise InvalidArgumentError(
            f"Cannot replace units by {by!r}. There are 'mean', 'zero' and 'resample'. Choose one of these."
        )
    known = None if means is None or by != "mean" else np.asarray(means, dtype=np.float64)
    chosen = unit_indices(layer, units)
    if by == "mean" and (
        known is None or known.ndim != 1 or not np.isfinite(known[chosen[chosen < len(known)]]).all()
    ):
        found = "none" if known is None else f"shape {known.shape}, or a number that is not finite"
        raise InvalidArgumentError(
            f"Cannot replace units of layer {layer!r} by their means. Found {found}. Give means= one a unit, or "
            "inputs= to compute them from."
        )
    return Replacement(layer, chosen, by, known, View() if view is None else view, seed)


def unit_indices(layer: str, units: Units) -> Int64[Array, " k"]:
    """Indices from 0 up, sorted, each once.

    Args:
        layer: name, for errors.
        units: indices, or one truth a unit.

    Raises:
        InvalidArgumentError: if one is no index.
    """
    given = units if isinstance(units, np.ndarray) else np.asarray(list(units))
    if given.dtype == bool and given.ndim == 1:
        return np.flatnonzero(given)
    if given.size and (given.ndim != 1 or given.dtype.kind not in "iu" or given.min() < 0):
        raise InvalidArgumentError(
            f"Units of layer {layer!r} are named by their indices. Found {given!r}. "
            "Give whole numbers from 0 up, or one truth a unit."
        )
    return np.unique(given.astype(np.int64).ravel())


def _others(n: int, seed: int) -> Int64[Array, " inputs"]:
    """For each input of a batch another one: all in one ring, whose order depends on seed and size alone."""
    if n < 2:
        raise DataError(
            f"Cannot take values from other inputs. Found a batch of {n}. Choose a batch_size that leaves no "
            "input alone, or replace by the mean."
        )
    ring = np.argsort(hash_ids(np.arange(n) + (seed << 32), salt=_SALT), kind="stable")
    others = np.empty(n, dtype=np.int64)
    others[ring] = np.roll(ring, 1)
    return others
