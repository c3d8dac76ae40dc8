"""Layers of different widths compared at one: more candidates make a better best partner, whatever the layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments

Pair = TypeVar("Pair", PairMoments, BlockedPair)


@dataclass(frozen=True, eq=False)
class EqualWidth:
    """A score of layers of which only so many units are looked at.

    Attributes:
        n_units: how many units of each side.
        draws: the score of each random choice of units.
    """

    n_units: int
    draws: Float64[Array, " draws"]

    @property
    def value(self) -> float:
        """Mean over the choices."""
        return float(self.draws.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over the choices: how much it matters which units are looked at."""
        return float(self.draws.std(ddof=1)) if len(self.draws) > 1 else float("nan")


def equal_width(
    pair: Pair, measure: Callable[[Pair], float], *, n_units: int, n_draws: int = 20, seed: int = 0
) -> EqualWidth:
    """A measure of random living units, as many of each side: the same number for every layer that is compared.

    A best partner among 256 units is better than one among 64 even where all is noise; what layers of different
    width have in common can only be compared at one width.

    Args:
        pair: the two layers, with or without blocks.
        measure: of such a pair.
        n_units: how many units of each side.
        n_draws: how many choices of units.
        seed: of the choices.

    Returns:
        The score of every choice.

    Raises:
        InvalidArgumentError: if a side has fewer living units, or there is nothing to draw.

    Invariant to: permutation of units, up to the draws (yes); others as the measure.

    Cost: n_draws calls of the measure on narrower layers.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 8))
        >>> pair = PairMoments.from_samples(x, x)
        >>> equal_width(pair, lambda few: float(few.cov_ab.size), n_units=3).draws[:2].tolist()
        [9.0, 9.0]
    """
    total = pair.total if isinstance(pair, BlockedPair) else pair
    living_a, living_b = np.flatnonzero(total.alive_a), np.flatnonzero(total.alive_b)
    if not 1 <= n_units <= min(len(living_a), len(living_b)) or n_draws < 1:
        raise InvalidArgumentError(
            f"Asked for {n_draws} choices of {n_units} units of '{pair.a}' and of '{pair.b}'. They have "
            f"{len(living_a)} and {len(living_b)} living units. Give at least one choice of at most so many."
        )
    rng = np.random.default_rng(seed)
    draws = [
        measure(pair.of_units(_some(living_a, n_units, rng), _some(living_b, n_units, rng)))
        for _ in range(n_draws)
    ]
    return EqualWidth(n_units, frozen(np.array(draws, dtype=np.float64)))


def _some(units: Array, n: int, rng: np.random.Generator) -> Array:
    return np.sort(rng.choice(units, n, replace=False))
