"""How sure the score of a partner is that was found in all inputs."""

from collections.abc import Callable

from ..statistics.blocked_pair import BlockedPair
from ..statistics.pairs import PairMoments
from .intervals import Estimate, jackknife
from .matching import Matching, match_best


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
        InvalidArgumentError: if there are fewer than two blocks with inputs, or the level is not between 0 and 1.

    Cost: n_blocks + 1 tables of correlations.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> matched_interval(BlockedPair.from_samples(x, x[:, ::-1])).low.round(6).tolist()
        [1.0, 1.0]
    """
    partners = match(blocked.total)
    return jackknife(blocked, lambda pair: partners.scored_on(pair).score, level=level, transform="fisher")
