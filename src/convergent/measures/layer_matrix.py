"""How alike every layer of one net is to every layer of another, by any measure of a pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsFloat, TypeVar

import numpy as np
import pandas as pd

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..statistics.pair_sample import PairSample
from ..statistics.pairs import PairMoments

Pair = TypeVar("Pair", PairMoments, PairSample)


@dataclass(frozen=True, eq=False)
class LayerSimilarities:
    """A measure of every layer of a with every layer of b.

    Attributes:
        layers_a: names of the layers of the first net (rows), from the input up.
        layers_b: of the second net (columns), or of the same.
        values: layers_a x layers_b; NaN where there was no pair, or the measure is undefined.
        measure: its name, the column of the values in the table.
    """

    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]
    values: Float64[Array, "layers_a layers_b"]
    measure: str

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype, copy=copy)

    def table(self) -> pd.DataFrame:
        """One row a pair of layers: a, b, and the value under the name of the measure."""
        return pd.DataFrame(
            {
                "a": np.repeat(np.array(self.layers_a, dtype=object), len(self.layers_b)),
                "b": np.tile(np.array(self.layers_b, dtype=object), len(self.layers_a)),
                self.measure: self.values.ravel(),
            }
        )


def layer_matrix(
    pairs: Mapping[tuple[str, str], Pair] | Callable[[str, str], Pair],
    measure: Callable[[Pair], SupportsFloat],
    *,
    layers_a: Sequence[str] | None = None,
    layers_b: Sequence[str] | None = None,
    name: str | None = None,
) -> LayerSimilarities:
    """Apply a measure to every layer of one net with every layer of another, or of the same net.

    Args:
        pairs: by names (a, b), the pair of these two layers; or a function of the two names that gives it, so that
            one pair at a time is in memory (`moments.pair`, `joint.pair`). A pair that is there as (b, a) only
            is taken from the other side; one that is not there at all gives NaN.
        measure: of a pair; a number, or what `float` makes one. `linear_cka`, or
            `lambda pair: match_one_to_one(pair).mean`.
        layers_a: names of the rows, in order of depth; needed with a function. By default the first names of the
            pairs, in the order in which they appear.
        layers_b: of the columns, likewise.
        name: of the measure; by default that of the function.

    Returns:
        The values, with the range of the measure.

    Raises:
        InvalidArgumentError: if `pairs` is a function and the layers are not named, or there are none.

    Invariant to: what the measure is invariant to.

    Cost: one call of the measure for each pair.

    Example:
        >>> x, y = np.random.default_rng(0).normal(size=(2, 50, 3))
        >>> layers = {"p/conv": x, "p/fc": y, "q/conv": x + y, "q/fc": y}
        >>> pair_of = lambda a, b: PairMoments.from_samples(layers[a], layers[b], a=a, b=b)
        >>> names = {"layers_a": ["p/conv", "p/fc"], "layers_b": ["q/conv", "q/fc"]}
        >>> layer_matrix(pair_of, lambda pair: abs(pair.cov_ab).max(), **names).values.argmax(axis=1).tolist()
        [0, 1]
    """
    known = pairs if isinstance(pairs, Mapping) else {}
    rows = tuple(dict.fromkeys(a for a, _ in known)) if layers_a is None else tuple(layers_a)
    columns = tuple(dict.fromkeys(b for _, b in known)) if layers_b is None else tuple(layers_b)
    if not (rows and columns):
        raise InvalidArgumentError(
            f"A layer matrix needs layers on both sides. Found {len(rows)} rows and {len(columns)} columns. "
            "Give pairs, or with a function layers_a and layers_b."
        )
    values = [[_value(pairs, measure, a, b) for b in columns] for a in rows]
    called = getattr(measure, "__name__", "value") if name is None else name
    return LayerSimilarities(rows, columns, frozen(np.array(values, dtype=np.float64)), called)


def _value(
    pairs: Mapping[tuple[str, str], Pair] | Callable[[str, str], Pair],
    measure: Callable[[Pair], SupportsFloat],
    a: str,
    b: str,
) -> float:
    if not isinstance(pairs, Mapping):
        return float(measure(pairs(a, b)))
    if (a, b) in pairs:
        return float(measure(pairs[a, b]))
    return float(measure(pairs[b, a].swapped)) if (b, a) in pairs else float("nan")
