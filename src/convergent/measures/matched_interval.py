"""How sure the score of a partner is: the partner of all inputs, and the partner chosen on other inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._typing import Array
from ..solvers.pooling import pooled_correlation
from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments
from .intervals import Estimate, estimate_of, jackknife
from .matching import Matching, match_best


@dataclass(frozen=True, eq=False)
class HeldOutMatching:
    """Correlations with partners that were chosen on the other blocks.

    Attributes:
        units: one a unit of a, with intervals; NaN for units without partner.
        layer: their mean, with its interval.
    """

    units: Estimate
    layer: Estimate


def matched_interval(
    blocked: BlockedPair,
    *,
    match: Callable[[PairMoments], Matching] = match_best,
    level: float = 0.95,
) -> Estimate:
    """Per unit of a, the correlation with its partner and its interval; the partner is that of all inputs.

    The interval is that of the two units' correlation. The score of a partner that was searched for is too large
    all the same: see `held_out_matching`, and `partner_chance` for what a search finds by chance.

    Args:
        blocked: the pair in blocks of inputs.
        match: `match_best` or `match_one_to_one`.
        level: how often the interval should hold the truth, between 0 and 1.

    Returns:
        One number a unit of a, in [-1, 1]; NaN where it has no partner.

    Raises:
        InvalidArgumentError: if the level is not between 0 and 1.

    Cost: n_blocks + 1 tables of correlations.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> matched_interval(BlockedPair.from_samples(x, x[:, ::-1])).low.round(6).tolist()
        [1.0, 1.0]
    """
    partners = match(blocked.total)
    return jackknife(blocked, lambda pair: partners.scored_on(pair).score, level=level, transform="fisher")


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
    folds = [(_of_partners(match(rest).partner, block), block.n_samples or 1) for rest, block in blocked.folds()]
    sizes = np.array([size for _, size in folds], dtype=np.float64)
    covariance, variance_a, variance_b = np.moveaxis(np.array([part for part, _ in folds]), 1, 0)
    found = pooled_correlation(covariance, variance_a, variance_b, sizes)
    return HeldOutMatching(
        estimate_of(found, blocked, level=level), estimate_of(found.over_units(), blocked, level=level)
    )


def _of_partners(partner: Array, pair: PairMoments) -> Array:
    """Covariance with the partner, and both variances; NaN where there is no partner alive."""
    units = np.flatnonzero((partner >= 0) & pair.alive_a & np.append(pair.alive_b, [False])[partner])
    found = np.full((3, len(partner)), np.nan)
    chosen = partner[units]
    found[:, units] = pair.cov_ab[units, chosen], pair.std_a[units] ** 2, pair.std_b[chosen] ** 2
    return found
