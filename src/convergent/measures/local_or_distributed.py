"""Is a unit of b found in one unit of a, in a few, or spread over many? Chosen and scored on different inputs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._typing import Array, Bool, Float64, Int64, Shaped
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from ..solvers.forward_selection import units_needed
from ..statistics.pairs import PairMoments
from .correlation import correlation
from .sparse_map import Penalties, SparseMap, living, ridge_map, sparse_map

Folds = Iterable[tuple[PairMoments, PairMoments]]
DEFAULT_PENALTIES = tuple(10 ** (-step / 8) for step in range(17))  # below 0.01 ridge is the better map
VERDICTS = ("local", "few", "distributed", "unpredictable", "dead")
_FEW = 4
_SHARE_OF_RIDGE = 0.9


@dataclass(frozen=True, eq=False)
class PenaltyChoice:
    """How well each penalty does on inputs that had no say in the weights.

    Attributes:
        penalties: (penalties,), as the fits have them.
        r2_held_out: (penalties, units_b), over all folds together; NaN for units dead in all of them.
        standard_error: (penalties, units_b), of `r2_held_out`, from the scatter of the folds.
        best: (units_b,), index of the penalty with the largest R2; -1 for dead units.
        chosen: (units_b,), index of the largest penalty whose R2 is within one standard error of the best.
    """

    penalties: Float64[Array, " penalties"]
    r2_held_out: Float64[Array, "penalties units_b"]
    standard_error: Float64[Array, "penalties units_b"]
    best: Int64[Array, " units_b"]
    chosen: Int64[Array, " units_b"]


@dataclass(frozen=True, eq=False)
class Locality:
    """Per unit of b: how few units of a predict it, how well, and what to call that.

    Attributes:
        a: name of the layer that predicts.
        b: name of the layer that is predicted.
        penalty: (units_b,), of the sparse map, by the one-standard-error rule; NaN for dead units, here and below.
        r2: of the sparse map at that penalty, in the data given.
        r2_held_out: likewise, on the folds held out.
        n_contributors: units of a with a weight at that penalty; 0 for dead units.
        top_contributor: the unit of a with the largest weight in size, or -1.
        ridge_penalty: of the dense map, the best on the folds held out.
        ridge_r2: of the dense map, in the data given.
        ridge_r2_held_out: likewise, on the folds held out.
        n_for_90: units of a that greedy least squares needs for 90 % of `ridge_r2`; -1 where it cannot, or dead.
        verdict: "local" (n_for_90 is 1), "few" (2 to 4), "distributed" (more), "unpredictable" (neither map
            reaches `predictable_from` on inputs held out) or "dead".
        predictable_from: the threshold on held-out R2.
        sparse: the sparse map of all penalties, in the data given.
    """

    a: str
    b: str
    penalty: Float64[Array, " units_b"]
    r2: Float64[Array, " units_b"]
    r2_held_out: Float64[Array, " units_b"]
    n_contributors: Int64[Array, " units_b"]
    top_contributor: Int64[Array, " units_b"]
    ridge_penalty: Float64[Array, " units_b"]
    ridge_r2: Float64[Array, " units_b"]
    ridge_r2_held_out: Float64[Array, " units_b"]
    n_for_90: Int64[Array, " units_b"]
    verdict: Shaped[Array, " units_b"]
    predictable_from: float
    sparse: SparseMap

    @property
    def alive_b(self) -> Bool[Array, " units_b"]:
        """False where a unit of b is dead."""
        return self.sparse.alive_b

    def shares(self) -> dict[str, float]:
        """Share of the living units of b with each verdict, in [0, 1]; NaN where none lives."""
        living_units = self.verdict[self.alive_b]
        return {
            verdict: float((living_units == verdict).mean()) if len(living_units) else float("nan")
            for verdict in VERDICTS
            if verdict != "dead"
        }

    def table(self) -> pd.DataFrame:
        """One row a unit of b."""
        return pd.DataFrame(
            {
                "a": self.a,
                "b": self.b,
                "unit_b": np.arange(len(self.verdict)),
                "verdict": self.verdict,
                "r2": self.r2,
                "r2_held_out": self.r2_held_out,
                "ridge_r2": self.ridge_r2,
                "ridge_r2_held_out": self.ridge_r2_held_out,
                "n_contributors": self.n_contributors,
                "n_for_90": self.n_for_90,
                "top_contributor": self.top_contributor,
                "penalty": self.penalty,
                "ridge_penalty": self.ridge_penalty,
            }
        )


def choose_penalty(folds: Folds, fit: Callable[[PairMoments], SparseMap] = sparse_map) -> PenaltyChoice:
    """Cross-validate the penalty of each unit of b: fit on the other blocks, score on the one held out.

    R2 of all folds together is 1 - (sum of squared errors) / (sum of variances): the mean of the folds' R2,
    weighted by their samples and the unit's variance there.

    Args:
        folds: (moments of the other blocks, moments of the block held out), as `Blocked.folds` gives them.
        fit: the map, with all its penalties; `ridge_map` for the dense one.

    Returns:
        The best penalty per unit, and the largest within one standard error of it, beside all scores (at most 1).

    Raises:
        InvalidArgumentError: if there are fewer than two folds.

    Cost: one fit a fold.

    Reference: Hastie, Tibshirani and Friedman 2009, section 7.10 (one-standard-error rule).
    """
    scores, weights, penalties = [], [], np.zeros(0)
    for rest, held_out in folds:
        fitted = fit(rest)
        penalties = fitted.penalties
        scores.append(fitted.scored_on(held_out))
        weights.append((held_out.n_samples or 1) * held_out.std_b**2)
    if len(scores) < 2:
        raise InvalidArgumentError(
            f"Asked to choose penalties on held-out folds. Found {len(scores)} folds. Give at least two."
        )
    r2, error = _pooled(np.array(scores), np.array(weights)[:, None, :])
    known = ~np.isnan(r2).any(axis=0)
    best = np.where(known, np.nan_to_num(r2, nan=-np.inf).argmax(axis=0), -1)
    units = np.arange(len(best))
    enough = r2 >= (r2 - error)[best, units]
    chosen = np.where(known, np.where(enough, penalties[:, None], -np.inf).argmax(axis=0), -1)
    return PenaltyChoice(penalties, frozen(r2), frozen(error), frozen(best), frozen(chosen))


def local_or_distributed(
    pair: PairMoments,
    folds: Folds,
    *,
    penalties: Penalties | None = None,
    ridge_penalties: Penalties | None = None,
    predictable_from: float = 0.25,
) -> Locality:
    """Tell for each unit of b whether one unit of a, a few, or only many together predict it.

    Sparse map: penalty by cross-validation with the one-standard-error rule. Dense map: ridge, the best penalty
    by the same folds. Then greedy forward selection counts the units whose least-squares fit has 90 % of the R2
    of ridge, both in the data given: the count of the verdict. (The lasso's own count is larger: it keeps units
    that add little, and makes up for its shrinkage.)

    Args:
        pair: joint moments of the two layers, of all inputs.
        folds: (moments of the other blocks, moments of the block held out), as `Blocked.folds` gives them.
        penalties: of the sparse map. Left out: 17 from 1 to 0.01, eight a decade.
        ridge_penalties: of the dense map; see `ridge_map`.
        predictable_from: R2 on held-out inputs from which a unit counts as predictable. 0.25 is a correlation of
            0.5, below which the paper says that a unit has no counterpart.

    Returns:
        R2 (at most 1), counts and a verdict for each unit of b.

    Raises:
        InvalidArgumentError: if there are fewer than two folds, or penalties are missing or negative.
        MismatchError: if folds are of other layers or numbers of units.

    Invariant to: scaling and shifting of single units (yes); permutation of units, up to the order of rows (yes);
        rotation of units (no).

    Cost: one sparse and one dense map a fold; 0.1 s a fold at 96 units a side, 0.5 s at 256.

    Reference: Li et al. 2016, section 4, who had no held-out score and no dense end that converged.
    """
    folds = list(folds)
    check_folds(pair, folds)
    penalties = DEFAULT_PENALTIES if penalties is None else penalties
    sparse, dense = sparse_map(pair, penalties=penalties), ridge_map(pair, penalties=ridge_penalties)
    sparse_choice = choose_penalty(folds, lambda rest: sparse_map(rest, penalties=penalties))
    dense_choice = choose_penalty(folds, lambda rest: ridge_map(rest, penalties=ridge_penalties))
    chosen, units = sparse_choice.chosen, np.arange(len(sparse.alive_b))
    usable = sparse.alive_b & (chosen >= 0)
    n_contributors = np.where(usable, sparse.n_contributors()[chosen, units], 0)
    ridge_r2 = _picked(dense.r2, dense_choice.best, usable)
    r2_held_out = _picked(sparse_choice.r2_held_out, chosen, usable)
    ridge_r2_held_out = _picked(dense_choice.r2_held_out, dense_choice.best, usable)
    n_for_90 = _n_for(_SHARE_OF_RIDGE * ridge_r2, pair)
    return Locality(
        a=pair.a,
        b=pair.b,
        penalty=_picked(np.broadcast_to(sparse.penalties[:, None], sparse.r2.shape), chosen, usable),
        r2=_picked(sparse.r2, chosen, usable),
        r2_held_out=r2_held_out,
        n_contributors=frozen(n_contributors),
        top_contributor=frozen(_top(sparse.weights[chosen, units], n_contributors)),
        ridge_penalty=_picked(
            np.broadcast_to(dense.penalties[:, None], dense.r2.shape), dense_choice.best, usable
        ),
        ridge_r2=ridge_r2,
        ridge_r2_held_out=ridge_r2_held_out,
        n_for_90=frozen(n_for_90),
        verdict=frozen(_verdicts(n_for_90, np.fmax(r2_held_out, ridge_r2_held_out) >= predictable_from, usable)),
        predictable_from=predictable_from,
        sparse=sparse,
    )


def check_folds(pair: PairMoments, folds: Sequence[tuple[PairMoments, PairMoments]]) -> None:
    """Refuse folds of other layers than the pair's.

    Args:
        pair: joint moments of two layers.
        folds: moments of the other blocks, and of the block held out.

    Raises:
        MismatchError: if a fold is of other layers or numbers of units.
    """
    wanted = (pair.a, pair.b, pair.cov_ab.shape)
    for found in ((one.a, one.b, one.cov_ab.shape) for fold in folds for one in fold):
        if found != wanted:
            raise MismatchError(
                f"Folds are of the pair that is judged, '{pair.a}' ({wanted[2][0]} units) with '{pair.b}' "
                f"({wanted[2][1]}). Found '{found[0]}' ({found[2][0]}) with '{found[1]}' ({found[2][1]}). "
                "Take both from the same blocks; swap both or neither."
            )


def _pooled(scores: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted mean over the folds and its standard error per penalty and unit; NaN where no fold has a score."""
    weight = np.where(np.isnan(scores), 0, weights)
    total = weight.sum(axis=0)
    n_folds = (weight > 0).sum(axis=0)
    total = np.where(total > 0, total, np.nan)
    mean = (np.nan_to_num(scores) * weight).sum(axis=0) / total
    squares = (weight * (np.nan_to_num(scores) - mean)) ** 2
    error = np.sqrt(squares.sum(axis=0) * n_folds / np.maximum(n_folds - 1, 1)) / total
    return mean, error


def _picked(values: Array, index: Array, usable: Array) -> Array:
    return frozen(np.where(usable, values[index, np.arange(len(index))], np.nan))


def _top(weights: Array, n_contributors: Array) -> Array:
    if not weights.shape[1]:
        return np.full(len(weights), -1, dtype=np.int64)
    return np.where(n_contributors > 0, np.abs(weights).argmax(axis=1), -1)


def _n_for(goals: Array, pair: PairMoments) -> Array:
    """How many units reach the goal of each unit of b; -1 where the goal is NaN."""
    found = correlation(pair)
    within, between = living(found)
    needed = np.full(len(goals), -1, dtype=np.int64)
    needed[found.alive_b] = units_needed(within, between, np.nan_to_num(goals[found.alive_b], nan=np.inf))
    return needed


def _verdicts(n_for_90: Array, predictable: Array, usable: Array) -> Array:
    several = np.where((n_for_90 > 1) & (n_for_90 <= _FEW), "few", "distributed")
    by_count = np.where(n_for_90 == 1, "local", several)
    return np.where(~usable, "dead", np.where(predictable, by_count, "unpredictable"))
