"""Scores on data that had no say in the choice: fitted on the other blocks, scored on the block left out."""

from collections.abc import Callable, Iterable

import numpy as np

from .._typing import Array, Float64
from ..errors import InvalidArgumentError
from ..statistics.pairs import PairMoments
from .matching import Matching


def held_out_scores(
    folds: Iterable[tuple[PairMoments, PairMoments]], match: Callable[[PairMoments], Matching]
) -> Float64[Array, " units_a"]:
    """Cross-fitted score of each unit's partner: chosen on the other blocks, scored on the one held out.

    Args:
        folds: (moments of the other blocks, moments of the block held out), as `Blocked.folds` gives them.
        match: `match_best` or `match_one_to_one`.

    Returns:
        Per unit of a, the mean of its scores over the blocks, weighted by their samples, in [-1, 1]; NaN where it
        had a partner alive in no block.

    Raises:
        InvalidArgumentError: if there are no folds.
    """
    scores: list[Array] = []
    weights: list[float] = []
    for fitted_on, held_out in folds:
        scores.append(match(fitted_on).scored_on(held_out).score)
        weights.append(held_out.n_samples or 1)
    if not scores:
        raise InvalidArgumentError("Asked for scores on held-out folds. Found no folds. Give at least one.")
    score = np.array(scores)
    weight = np.where(np.isnan(score), 0, np.array(weights, dtype=np.float64)[:, None])
    total = weight.sum(axis=0)
    summed = (np.nan_to_num(score) * weight).sum(axis=0)
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
