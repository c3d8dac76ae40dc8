"""Edges of bins: where a unit's values are cut, and what is checked about the cuts.

A unit's edges are the inner ones, strictly increasing: m edges make m + 1 bins, of which the outermost are open.
Bins are closed on the right: with edges e_1 < ... < e_m, bin k holds e_k < x <= e_(k+1). No edge, one bin.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._typing import Array, Float64
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen

ZERO = 0.0  # the paper's bin ends at 1e-6, which would swallow small units; zeros of a ReLU are exact
_MOST_BINS = 1000  # a pair of units has the square of it in counts
UnitEdges = tuple[Float64[Array, " _"], ...]


def equal_mass_edges(values: Float64[Array, " samples"], n_bins: int, *, zero_bin: bool = True) -> Array:
    """Edges of one unit from all its values: bins of equal mass, and one more for zero.

    A unit that has zeros and no negative values gets one bin x <= 0, and n_bins - 1 of equal mass over the
    rest; every other unit gets n_bins of equal mass. Edges that coincide, or leave an outer bin empty, are
    dropped.

    Args:
        values: all samples of the unit.
        n_bins: how many bins in all, at least 2.
        zero_bin: False for equal mass over everything.
    """
    own_bin = zero_bin and has_zero_bin(values.min(), np.abs(values).min())
    rest = values[values > ZERO] if own_bin else values
    n_rest = n_bins - 1 if own_bin else n_bins
    cuts = np.quantile(rest, np.arange(1, n_rest) / n_rest) if len(rest) else np.empty(0)
    return tidy_edges(cuts, values.min(), values.max(), own_bin=own_bin)


def has_zero_bin(smallest: float, nearest_to_zero: float) -> bool:
    """Whether zero is a bin of its own: the unit is never negative, and zero at times."""
    return bool(smallest >= -ZERO and nearest_to_zero <= ZERO)


def tidy_edges(cuts: Array, smallest: float, largest: float, *, own_bin: bool) -> Float64[Array, " edges"]:
    """Edges in order, once each, none that leaves an outer bin empty, zero's bin first where it has one."""
    wanted = np.append(cuts[cuts > ZERO], ZERO) if own_bin else cuts
    edges = np.unique(wanted)
    return frozen(edges[(edges >= smallest) & (edges < largest)])


def check_n_bins(n_bins: int | np.integer) -> None:
    """Refuse what is no number of bins.

    Raises:
        InvalidArgumentError: if it is not a whole number from 2 to 1000.
    """
    if not isinstance(n_bins, int | np.integer) or not 2 <= n_bins <= _MOST_BINS:
        raise InvalidArgumentError(
            f"A unit's values are cut into bins. Found {n_bins!r} of them. "
            f"Give a whole number from 2 to {_MOST_BINS}."
        )


def unit_edges(edges: Array | Sequence[Any], n_units: int, name: str) -> UnitEdges:
    """Edges of each unit, from one set for all or one set per unit.

    Args:
        edges: increasing inner edges for all units, or a sequence of such, one per unit.
        n_units: how many units there are.
        name: whose they are, for the message.

    Raises:
        InvalidArgumentError: if edges are not finite and strictly increasing.
        MismatchError: if there are edges for another number of units.
    """
    shared = len(edges) > 0 and all(np.ndim(one) == 0 for one in edges)
    each = [edges] * n_units if shared else list(edges)
    if len(each) != n_units:
        raise MismatchError(
            f"Edges are needed for each of the {n_units} units of '{name}'. Found them for {len(each)}. "
            "Give one list of edges for all, or one per unit."
        )
    found = tuple(frozen(np.array(one, dtype=np.float64)) for one in each)
    for unit, one in enumerate(found):
        if one.ndim != 1 or not np.isfinite(one).all() or (np.diff(one) <= 0).any():
            raise InvalidArgumentError(
                f"Edges are inner edges, finite and increasing; the outermost bins are open. "
                f"Found {np.array2string(one, threshold=8)} for unit {unit} of '{name}'. "
                "Leave out -inf, inf and repetitions."
            )
    return found


def padded(edges: UnitEdges, *, multiple: int = 1) -> Float64[Array, "units cuts"]:
    """Edges as one matrix; where a unit has fewer, inf, above which nothing lies."""
    width = max(1, max((len(one) for one in edges), default=0))
    matrix = np.full((len(edges), -(-width // multiple) * multiple), np.inf)
    for row, one in zip(matrix, edges, strict=True):
        row[: len(one)] = one
    return matrix


def unpadded(matrix: Float64[Array, "units cuts"]) -> UnitEdges:
    """The inverse of `padded`."""
    return tuple(frozen(row[row < np.inf]) for row in matrix)
