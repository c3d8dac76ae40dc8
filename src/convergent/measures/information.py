"""Mutual information of every unit of one layer with every unit of another, from their joint histograms."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import entr
from scipy.stats import spearmanr

from .._typing import Array, Bool, Float64, Int64
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from ..statistics.pair_histograms import PairHistograms
from .correlation import Correlation
from .matching import match_best

Estimator = Literal["corrected", "plugin"]
Normalisation = Literal["min", "geometric", "mean", "joint"]
_ESTIMATORS = ("corrected", "plugin")
_NORMALISATIONS = ("min", "geometric", "mean", "joint")
_VALUES_AT_ONCE = 2**19  # so that they stay in the cache


@dataclass(frozen=True, eq=False)
class MutualInformation:
    """Mutual information of the units of layers a and b, in nats; NaN where either unit is dead.

    Attributes:
        a: name of the first layer (rows).
        b: name of the second layer (columns).
        units_a: which units of a.
        units_b: which units of b.
        between: units_a x units_b, in nats, or a share of entropy where `normalised` says which.
        entropy_a: entropy of each unit of a over its bins, in nats: no unit of b can say more about it.
        entropy_b: likewise of b.
        alive_a: False where a unit of a has a single occupied bin, so that there is nothing to tell.
        alive_b: likewise of b.
        n_inputs: inputs behind the numbers.
        n_samples: samples (inputs x locations).
        estimator: "corrected" or "plugin".
        normalised: None, or by which entropy `between` is divided.
    """

    a: str
    b: str
    units_a: Int64[Array, " units_a"]
    units_b: Int64[Array, " units_b"]
    between: Float64[Array, "units_a units_b"]
    entropy_a: Float64[Array, " units_a"]
    entropy_b: Float64[Array, " units_b"]
    alive_a: Bool[Array, " units_a"]
    alive_b: Bool[Array, " units_b"]
    n_inputs: int
    n_samples: int
    estimator: str
    normalised: str | None

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> Array:
        return np.array(self.between, dtype=dtype, copy=copy)

    def table(self) -> pd.DataFrame:
        """One row a pair of units: net/layer of both sides, their indices, mi."""
        n_a, n_b = self.between.shape
        return pd.DataFrame(
            {
                "a": self.a,
                "unit_a": np.repeat(self.units_a, n_b),
                "b": self.b,
                "unit_b": np.tile(self.units_b, n_a),
                "mi": self.between.ravel(),
            }
        )


def mutual_information(
    pair: PairHistograms, *, estimator: Estimator = "corrected", normalised: Normalisation | None = None
) -> MutualInformation:
    """How much each unit of a tells about each unit of b, linear or not.

    I_ij = sum over bins p(k, l) log(p(k, l) / (p(k) p(l))), natural logarithm. "plugin" takes the frequencies for
    p, which is too large by (K_i - 1)(K_j - 1) / 2N on average where the units are independent, K the occupied
    bins and N the samples; "corrected" subtracts that, and so can be a little below 0.

    Args:
        pair: joint histograms of the two layers.
        estimator: "corrected" or "plugin".
        normalised: None for nats; or divided by the smaller entropy ("min": 1 where one unit determines the
            other), their geometric ("geometric") or arithmetic ("mean") mean, or the joint entropy ("joint"). The
            entropies are plugin ones.

    Returns:
        units_a x units_b, from 0 (less the correction) to the smaller entropy; NaN for dead units.

    Raises:
        InvalidArgumentError: if the estimator or the normalisation is unknown.

    Invariant to: scaling and shifting of single units, by a positive factor (yes, with bins of equal mass); any
        increasing map of single units (yes, likewise); permutation of units (yes); rotation of units (no).

    Cost: one logarithm per pair of units and bins: 15 million at 384 x 384 units and 10 x 10 bins.

    Reference: Li et al. 2016, section 3.2. Correction: Miller 1955; Panzeri and Treves 1996.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(1000, 2))
        >>> mutual_information(PairHistograms.from_samples(x, x), estimator="plugin").between[0, 0].round(3)
        np.float64(2.303)
    """
    _check(estimator, _ESTIMATORS, "estimator")
    if normalised is not None:
        _check(normalised, _NORMALISATIONS, "normalised")
    marginals = pair.marginal_a, pair.marginal_b
    n_occupied_a, n_occupied_b = ((counts > 0).sum(axis=1) for counts in marginals)
    entropy_a, entropy_b = (entr(counts / pair.n_samples).sum(axis=1) for counts in marginals)
    alive_a, alive_b = n_occupied_a > 1, n_occupied_b > 1
    plugin = _plugin(pair, *marginals)
    found = plugin
    if estimator == "corrected":
        found = plugin - np.outer(n_occupied_a - 1, n_occupied_b - 1) / (2 * pair.n_samples)
    between = np.where(np.outer(alive_a, alive_b), found, np.nan)
    if normalised is not None:
        between = between / _scale(entropy_a[:, None], entropy_b, plugin, normalised)
    return MutualInformation(
        a=pair.a,
        b=pair.b,
        units_a=pair.units_a,
        units_b=pair.units_b,
        between=frozen(between),
        entropy_a=frozen(entropy_a),
        entropy_b=frozen(entropy_b),
        alive_a=frozen(alive_a),
        alive_b=frozen(alive_b),
        n_inputs=pair.n_inputs,
        n_samples=pair.n_samples,
        estimator=estimator,
        normalised=normalised,
    )


def _check(found: str, known: tuple[str, ...], name: str) -> None:
    if found not in known:
        raise InvalidArgumentError(
            f"Asked for mutual information with {name}={found!r}. Known are {', '.join(known)}. "
            "Choose one of these."
        )


def _plugin(pair: PairHistograms, marginal_a: Array, marginal_b: Array) -> Array:
    """Plugin information: log N + (sum c log c - sum a log a - sum b log b) / N, a few rows at a time."""
    n_a, n_b, bins_a, bins_b = pair.counts.shape
    step = max(1, _VALUES_AT_ONCE // max(1, n_b * bins_a * bins_b))
    joint = np.empty((n_a, n_b))
    for first in range(0, n_a, step):
        joint[first : first + step] = _sum_log(pair.counts[first : first + step].reshape(-1, n_b, bins_a * bins_b))
    alone = np.add.outer(_sum_log(marginal_a), _sum_log(marginal_b))
    return np.maximum(np.log(pair.n_samples) + (joint - alone) / pair.n_samples, 0)


def _sum_log(counts: Array) -> Array:
    """Sum of c log c over the last axis; 0 log 0 is 0."""
    values = counts.astype(np.float64)
    logarithms = np.log(np.maximum(values, 1))
    return np.einsum("...k,...k->...", values, logarithms)


def _scale(entropy_a: Array, entropy_b: Array, information: Array, kind: str) -> Array:
    """The entropy that information is a share of; NaN where it is 0."""
    by_kind = {
        "min": np.minimum(entropy_a, entropy_b),
        "geometric": np.sqrt(entropy_a * entropy_b),
        "mean": (entropy_a + entropy_b) / 2,
        "joint": entropy_a + entropy_b - information,
    }
    return np.where(by_kind[kind] > 0, by_kind[kind], np.nan)


def excess_over_gaussian(information: MutualInformation, correlation: Correlation) -> Array:
    """Information beyond what two Gaussian units of the same correlation would share: I + 0.5 log(1 - r^2).

    Far above 0 where units depend on each other in a way that correlation does not see. Binning loses information
    (of a Gaussian pair, 10 bins of equal mass lose 8 % at r = 0.3, 12 % at 0.9 and 24 % at 0.99; 20 bins 3 %, 5 %
    and 11 %), so values below 0 are usual where r is large.

    Args:
        information: in nats, not normalised.
        correlation: of the same layers.

    Returns:
        units_a x units_b, in nats; -inf where |r| is 1, NaN for dead units.

    Raises:
        MismatchError: if they are of different layers or units.
        InvalidArgumentError: if the information is normalised.
    """
    _check_same_layers(information, correlation)
    if information.normalised is not None:
        raise InvalidArgumentError(
            f"The excess over a Gaussian is in nats. Found information normalised by {information.normalised!r}. "
            "Call mutual_information without normalised."
        )
    with np.errstate(divide="ignore"):
        return np.asarray(information.between + 0.5 * np.log1p(-(correlation.between**2)))


@dataclass(frozen=True)
class Agreement:
    """How far two ways of scoring choose the same partners.

    Attributes:
        same_partner: share of the units of a whose best partner is the same, in [0, 1]; NaN without any unit.
        rank_correlation: Spearman correlation of the units' best scores, in [-1, 1]; NaN below three units.
        n_units: units of a that have a partner under both.
    """

    same_partner: float
    rank_correlation: float
    n_units: int


def agreement(information: MutualInformation, correlation: Correlation) -> Agreement:
    """Do the best partners by mutual information and by correlation coincide?

    Args:
        information: of two layers.
        correlation: of the same layers.

    Raises:
        MismatchError: if they are of different layers or units.
    """
    _check_same_layers(information, correlation)
    by_information, by_correlation = match_best(information), match_best(correlation)
    both = (by_information.partner >= 0) & (by_correlation.partner >= 0)
    n_units = int(both.sum())
    same = by_information.partner[both] == by_correlation.partner[both]
    scores = by_information.score[both], by_correlation.score[both]
    varied = n_units > 2 and all(np.ptp(score) > 0 for score in scores)
    return Agreement(
        same_partner=float(same.mean()) if n_units else float("nan"),
        rank_correlation=float(spearmanr(*scores).statistic) if varied else float("nan"),
        n_units=n_units,
    )


def _check_same_layers(information: MutualInformation, correlation: Correlation) -> None:
    mine, theirs = ((one.a, one.b, one.between.shape) for one in (information, correlation))
    if mine != theirs:
        raise MismatchError(
            f"Cannot compare information and correlation of different layers or units. Found '{mine[0]}' with "
            f"'{mine[1]}', {mine[2]}, against '{theirs[0]}' with '{theirs[1]}', {theirs[2]}. "
            "Compute both from the same two layers, all units."
        )
