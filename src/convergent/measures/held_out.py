"""Scores on data that had no say in the choice: fitted on the other blocks, scored on the block left out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..solvers.pooling import Pooled, pooled_correlation
from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments
from .intervals import Estimate, estimate_of
from .matching import Matching, match_best


@dataclass(frozen=True, eq=False)
class HeldOutMatching:
    """Correlations with partners that were chosen on the other blocks.

    Attributes:
        units: one a unit of a, with intervals; NaN for units without partner.
        layer: the mean of units that two blocks or more know, with its interval.
    """

    units: Estimate
    layer: Estimate


def held_out_matching(
    blocked: BlockedPair,
    *,
    match: Callable[[PairMoments], Matching] = match_best,
    level: float = 0.95,
) -> HeldOutMatching:
    """Correlation with the partner that the other blocks chose, in the block held out; one number of all blocks.

    Covariances and variances of the blocks are added up before they are divided, which a mean of the blocks'
    correlations is not: that one is biased where blocks are small or units sparse. The interval comes from the
    scatter of the blocks. Where there is no signal the blocks' scores depend on each other through the search, and
    the interval is too narrow: `partner_chance` tells what is there.

    Args:
        blocked: the pair in blocks of inputs.
        match: `match_best` or `match_one_to_one`.
        level: how often the interval should hold the truth, between 0 and 1.

    Returns:
        Per unit of a and for the layer, numbers in [-1, 1] with intervals.

    Raises:
        InvalidArgumentError: if the level is not between 0 and 1.

    Cost: n_blocks searches.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> round(held_out_matching(BlockedPair.from_samples(x, x[:, ::-1])).layer.value, 6)
        1.0
    """
    found = _pooled(blocked.folds(), match)
    return HeldOutMatching(
        estimate_of(found, blocked, level=level), estimate_of(found.over_units(), blocked, level=level)
    )


def held_out_scores(
    folds: Iterable[tuple[PairMoments, PairMoments]], match: Callable[[PairMoments], Matching]
) -> Float64[Array, " units_a"]:
    """The scores alone of `held_out_matching`, from any folds.

    Args:
        folds: (moments of the other blocks, moments of the block held out), as `Blocked.folds` gives them.
        match: `match_best` or `match_one_to_one`.

    Returns:
        Per unit of a, in [-1, 1]; NaN where it had a partner alive in no block.

    Raises:
        InvalidArgumentError: if there are no folds.
    """
    return np.asarray(_pooled(folds, match).value)


def _pooled(folds: Iterable[tuple[PairMoments, PairMoments]], match: Callable[[PairMoments], Matching]) -> Pooled:
    parts, sizes = [], []
    for rest, held_out in folds:
        parts.append(_of_partners(match(rest).partner, held_out))
        sizes.append(held_out.n_samples or 1)
    if not parts:
        raise InvalidArgumentError("Asked for scores on held-out folds. Found no folds. Give at least one.")
    covariance, variance_a, variance_b = np.moveaxis(np.array(parts), 1, 0)
    return pooled_correlation(covariance, variance_a, variance_b, np.array(sizes, dtype=np.float64))


def _of_partners(partner: Array, pair: PairMoments) -> Array:
    """Covariance with the partner, and both variances; NaN where there is no partner alive."""
    units = np.flatnonzero((partner >= 0) & pair.alive_a & np.append(pair.alive_b, [False])[partner])
    found = np.full((3, len(partner)), np.nan)
    chosen = partner[units]
    found[:, units] = pair.cov_ab[units, chosen], pair.std_a[units] ** 2, pair.std_b[chosen] ** 2
    return found
