"""The rungs of the ladder: maps from the units of a to those of b, from the narrowest kind to any linear map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._typing import Array, Float64
from ..statistics.pairs import PairMoments
from .matching import match_one_to_one
from .procrustes import procrustes
from .soft_matching import partial_soft_matching, soft_matching
from .sparse_map import SparseMap, ridge_map, sparse_map
from .standardised import standardised

RUNGS = (
    "identity",
    "permutation",
    "soft_matching",
    "partial_soft_matching",
    "sparse",
    "orthogonal",
    "ridge",
)
PENALISED: Mapping[str, Callable[..., SparseMap]] = {"sparse": sparse_map, "ridge": ridge_map}
Steps = Mapping[str, tuple[float, ...]]
_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Rung:
    """A prediction of each unit of b: a direction among the units of a, and how far to go along it.

    Attributes:
        direction: (units_b, units_a), on units of mean 0 and variance 1; 0 for dead units and without partner.
        length: (units_b,), at least 0.
        fitted_on: the moments both were fitted on; means and scales are theirs.
    """

    direction: Float64[Array, "units_b units_a"]
    length: Float64[Array, " units_b"]
    fitted_on: PairMoments

    def scored_on(self, pair: PairMoments) -> "RungScore":
        """How the predictions do in a pair's data; they keep the means and scales they were fitted with.

        Args:
            pair: moments of the same two layers, on other inputs for a held-out score.
        """
        fitted = self.fitted_on
        raw = self.direction * fitted.std_b[:, None] / np.where(fitted.alive_a, fitted.std_a, 1)
        covariance = (raw * np.nan_to_num(pair.cov_ab).T).sum(axis=1)
        spread = np.maximum(((raw @ np.nan_to_num(pair.cov_aa)) * raw).sum(axis=1), 0)
        bias = pair.mean_b - fitted.mean_b - self.length * (raw @ (pair.mean_a - fitted.mean_a))
        variance = np.where(fitted.alive_b & pair.alive_b, pair.std_b**2, np.nan)
        error = variance + self.length**2 * spread - 2 * self.length * covariance + bias**2
        some = spread > _NOTHING * np.nan_to_num(variance)
        return RungScore(covariance, np.where(some, spread, np.nan), variance, error)


class RungScore(NamedTuple):
    """Predictions beside the units of b, each (units_b,), or rungs x units_b; NaN for dead units.

    Attributes:
        covariance: of unit and prediction, before its length.
        spread: variance of the prediction, before its length; NaN where it is constant.
        variance: of the unit.
        error: mean squared error of the prediction.
    """

    covariance: Float64[Array, "... units_b"]
    spread: Float64[Array, "... units_b"]
    variance: Float64[Array, "... units_b"]
    error: Float64[Array, "... units_b"]

    @property
    def r(self) -> Float64[Array, "... units_b"]:
        """Correlation of unit and prediction, in [-1, 1]; NaN where the prediction is constant."""
        return np.clip(self.covariance / np.sqrt(self.spread * self.variance), -1, 1)

    @property
    def r2(self) -> Float64[Array, "... units_b"]:
        """1 - error / variance, at most 1, negative where the mean would have predicted better."""
        return 1 - self.error / self.variance


def has_identity(pair: PairMoments) -> bool:
    """Whether unit i of a can stand for unit i of b: both layers are equally wide.

    Args:
        pair: joint moments of the two layers.
    """
    return pair.cov_ab.shape[0] == pair.cov_ab.shape[1]


def fit_rungs(pair: PairMoments, penalties: Mapping[str, float]) -> dict[str, Rung]:
    """Fit every rung to a pair: the group decides the direction, least squares the length, which is at least 0.

    Args:
        pair: joint moments of the two layers.
        penalties: of "sparse" and "ridge", whose weights keep the length they have.
    """
    standard = standardised(pair)
    return {name: fit_rung(name, pair, standard, penalties) for name in RUNGS[not has_identity(pair) :]}


def fit_rung(name: str, pair: PairMoments, standard: PairMoments, penalties: Mapping[str, float]) -> Rung:
    """Fit one rung.

    Args:
        name: one of `RUNGS`.
        pair: joint moments of the two layers.
        standard: the same pair, standardised.
        penalties: of "sparse" and "ridge".
    """
    if name in PENALISED:
        weights = PENALISED[name](pair, penalties=[penalties[name]]).weights[0]
        return Rung(weights, np.ones(len(weights)), pair)
    direction = _DIRECTIONS[name](standard)
    along = (direction * standard.cov_ab.T).sum(axis=1)
    spread = ((direction @ standard.cov_aa) * direction).sum(axis=1)
    length = np.divide(np.maximum(along, 0), spread, out=np.zeros(len(spread)), where=spread > _NOTHING)
    return Rung(direction, length, pair)


def choose_penalty_of_layer(name: str, fold: tuple[PairMoments, PairMoments], penalties: Sequence[float]) -> float:
    """The penalty whose map, fitted on the first moments, errs least in the second; all units together.

    Args:
        name: "sparse" or "ridge".
        fold: moments to fit on, and moments to score on.
        penalties: to choose from.
    """
    if len(penalties) == 1:
        return penalties[0]
    fit_on, score_on = fold
    scores = PENALISED[name](fit_on, penalties=penalties).scored_on(score_on)
    living = fit_on.alive_b & score_on.alive_b
    weight = score_on.std_b[living] ** 2 / fit_on.std_b[living] ** 2
    return penalties[int((scores[:, living] @ weight).argmax())]


def _permutation(pair: PairMoments) -> Array:
    partner = match_one_to_one(pair).partner
    matched = np.flatnonzero(partner >= 0)
    direction = np.zeros(pair.cov_ab.T.shape)
    direction[partner[matched], matched] = 1
    return direction


_DIRECTIONS: Mapping[str, Callable[[PairMoments], Array]] = {
    "identity": lambda pair: np.diag((pair.alive_a & pair.alive_b).astype(np.float64)),
    "permutation": _permutation,
    "soft_matching": lambda pair: _scaled(soft_matching(pair).plan.T),
    "partial_soft_matching": lambda pair: _scaled(partial_soft_matching(pair).plan.T),
    "orthogonal": lambda pair: procrustes(pair).rotation.T,
}


def _scaled(plan: Array) -> Array:
    """Rows that sum to 1: the mean of the partners, each by what it gives; 0 for units that get nothing."""
    given = plan.sum(axis=1, keepdims=True)
    return np.divide(plan, given, out=np.zeros(plan.shape), where=given > _NOTHING)
