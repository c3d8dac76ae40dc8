"""Scores on data that had no say in the choice: fitted on the other blocks, scored on the block left out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._typing import Array, Float64, Int64
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
    scatter of the blocks, and from how much a partner that was searched for without two blocks differs in both:
    where there is no signal, the blocks' scores depend on each other through the search. For a single unit of
    noise the interval is still a little narrow: whether a partner is there at all, `partner_chance` tells.

    Args:
        blocked: the pair in blocks of inputs.
        match: `match_best` or `match_one_to_one`.
        level: how often the interval should hold the truth, between 0 and 1.

    Returns:
        Per unit of a and for the layer, numbers in [-1, 1] with intervals.

    Raises:
        InvalidArgumentError: if the level is not between 0 and 1.

    Cost: 3 n_blocks searches; 0.2 s at 384 units a side and 10 blocks.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> round(held_out_matching(BlockedPair.from_samples(x, x[:, ::-1])).layer.value, 6)
        1.0
    """
    fits = _fits(blocked.folds(), match)
    found = _pooled(fits)._replace(moved=_moved(blocked, fits, match))
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
    return np.asarray(_pooled(_fits(folds, match)).value)


class _Fit(NamedTuple):
    partner: Int64[Array, " units_a"]
    held_out: PairMoments


def _fits(
    folds: Iterable[tuple[PairMoments, PairMoments]], match: Callable[[PairMoments], Matching]
) -> list[_Fit]:
    found = [_Fit(match(rest).partner, held_out) for rest, held_out in folds]
    if not found:
        raise InvalidArgumentError("Asked for scores on held-out folds. Found no folds. Give at least one.")
    return found


def _pooled(fits: Sequence[_Fit]) -> Pooled:
    covariance, variance_a, variance_b = np.moveaxis(np.array([_of_partners(*fit) for fit in fits]), 1, 0)
    sizes = np.array([fit.held_out.n_samples or 1 for fit in fits], dtype=np.float64)
    return pooled_correlation(covariance, variance_a, variance_b, sizes)


def _moved(
    blocked: BlockedPair, fits: Sequence[_Fit], match: Callable[[PairMoments], Matching]
) -> Float64[Array, "folds folds units_a"]:
    """How a fold's score changes where the other fold, too, had a say in the choice of partners; see `Pooled`."""
    total = blocked.total
    weights = np.array([fit.held_out.n_samples or 1 for fit in fits]) / (total.n_samples or 1)

    def pull(fold: int, partner: Array) -> Array:
        covariance = _of_partners(partner, fits[fold].held_out)[0]
        return np.nan_to_num(weights[fold] * covariance / total.std_a / np.append(total.std_b, 1)[partner])

    moved = np.full((len(fits), len(fits), len(total.mean_a)), np.nan)
    whole = [pull(fold, fit.partner) for fold, fit in enumerate(fits)]
    for i, j, rest in blocked.without_two():
        partner = match(rest).partner
        moved[i, j], moved[j, i] = whole[i] - pull(i, partner), whole[j] - pull(j, partner)
    return moved


def _of_partners(partner: Array, pair: PairMoments) -> Array:
    """Covariance with the partner, and both variances; NaN where there is no partner alive."""
    units = np.flatnonzero((partner >= 0) & pair.alive_a & np.append(pair.alive_b, [False])[partner])
    found = np.full((3, len(partner)), np.nan)
    chosen = partner[units]
    found[:, units] = pair.cov_ab[units, chosen], pair.std_a[units] ** 2, pair.std_b[chosen] ** 2
    return found
