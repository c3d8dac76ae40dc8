"""Few-to-one: each unit of b predicted from as few units of a as a penalty allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from .._typing import Array, Bool, Float64, Int64
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from ..solvers.descent import paper_descent
from ..solvers.duality import relative_gaps
from ..solvers.lasso import lasso_path
from ..solvers.ridge import least_squares_gaps, ridge_path
from ..statistics.pairs import PairMoments
from .correlation import Correlation, correlation

Penalties = Sequence[float | int] | Array

DEFAULT_PENALTIES = tuple(10 ** (-step / 10) for step in range(31))
DEFAULT_RIDGE_PENALTIES = tuple(10.0**-step for step in range(7))
PAPER_PENALTY = 96 * 10**-2.6  # in units of correlation: the lambda that Li et al. went on with, in conv1
NOISE_OF_DESCENT = 3e-5  # weights below it are the to and fro of the subgradient, rate x lambda / (1 - momentum)


@dataclass(frozen=True, eq=False)
class SparseMap:
    """Linear predictions of the units of b from the units of a, one for each penalty.

    Attributes:
        a: name of the layer that predicts.
        b: name of the layer that is predicted.
        solver: "exact", "paper" or "ridge".
        penalties: (penalties,), in units of correlation; the paper's lambda is penalty / living units_b.
        weights: (penalties, units_b, units_a), on units of mean 0 and variance 1; 0 for dead units.
        r2: (penalties, units_b), share of variance explained in the data given; NaN for dead units.
        gap: (penalties, units_b), relative duality gap of each fit: how far its objective is above the minimum at
            most; NaN for dead units, and for ridge, which is solved in closed form.
        alive_a: False where a unit of a is dead.
        alive_b: likewise for b.
        fitted_on: the moments that the weights were fitted on.
    """

    a: str
    b: str
    solver: str
    penalties: Float64[Array, " penalties"]
    weights: Float64[Array, "penalties units_b units_a"]
    r2: Float64[Array, "penalties units_b"]
    gap: Float64[Array, "penalties units_b"]
    alive_a: Bool[Array, " units_a"]
    alive_b: Bool[Array, " units_b"]
    fitted_on: PairMoments

    @property
    def loss(self) -> Float64[Array, " penalties"]:
        """The paper's loss, 1/2 (1 - mean R2 over living units of b), penalty left out: 0.5 predicts nothing."""
        if not self.alive_b.any():
            return np.full(len(self.penalties), np.nan)
        return 0.5 * (1 - self.r2[:, self.alive_b].mean(axis=1))

    @property
    def paper_lambda(self) -> Float64[Array, " penalties"]:
        """Penalties as the paper states them: divided by the number of living units of b."""
        return self.penalties / max(int(self.alive_b.sum()), 1)

    def n_contributors(self, threshold: float | None = None) -> Int64[Array, "penalties units_b"]:
        """How many units of a take part in the prediction of each unit of b; 0 for dead ones.

        Args:
            threshold: weights count whose size is above it. Left out, it is 0 for the exact solver, whose zeros
                are exact, and 3e-5 for the paper's, which never reaches 0 (the threshold that gives the published
                4.7).
        """
        if threshold is None:
            threshold = NOISE_OF_DESCENT if self.solver == "paper" else 0
        return (np.abs(self.weights) > threshold).sum(axis=2)

    def scored_on(self, pair: PairMoments) -> Float64[Array, "penalties units_b"]:
        """R2 of the same predictions in another pair's data: fit on one, score on another.

        The predictions keep the means and scales they were fitted with, so that a shift of the data costs.

        Args:
            pair: moments of the same two layers on other inputs.

        Returns:
            1 - E(y - prediction)^2 / var(y), at most 1, and negative where the mean of the other data would have
            predicted better; NaN for units of b that are dead in either.

        Raises:
            MismatchError: if the pair is of other layers or numbers of units.
        """
        fitted = self.fitted_on
        if (pair.a, pair.b, pair.cov_ab.shape) != (self.a, self.b, fitted.cov_ab.shape):
            raise MismatchError(
                f"Cannot score a map from '{self.a}' to '{self.b}' ({fitted.cov_ab.shape[0]} to "
                f"{fitted.cov_ab.shape[1]} units) on '{pair.a}' with '{pair.b}' ({pair.cov_ab.shape[0]} and "
                f"{pair.cov_ab.shape[1]}). Give moments of the same layers on other inputs."
            )
        raw = self.weights * fitted.std_b[:, None] / np.where(self.alive_a, fitted.std_a, 1)
        explained, variance = explained_on(pair, raw, fitted_on=fitted)
        return frozen(explained / variance)

    def path_table(self) -> pd.DataFrame:
        """One row a penalty: the paper's lambda and loss; mean contributors and largest gap of living b."""
        counts, gaps = self.n_contributors()[:, self.alive_b], self.gap[:, self.alive_b]
        some = self.alive_b.any()
        return pd.DataFrame(
            {
                "a": self.a,
                "b": self.b,
                "solver": self.solver,
                "penalty": self.penalties,
                "paper_lambda": self.paper_lambda,
                "loss": self.loss,
                "n_contributors": counts.mean(axis=1) if some else np.nan,
                "gap": gaps.max(axis=1) if some else np.nan,
            }
        )

    def table(self) -> pd.DataFrame:
        """One row a penalty and unit of b: r2, n_contributors, top_contributor (-1 where none), gap, dead."""
        n_penalties, n_b = self.r2.shape
        counts = self.n_contributors()
        top = np.where(counts > 0, np.abs(self.weights).argmax(axis=2) if self.weights.shape[2] else -1, -1)
        return pd.DataFrame(
            {
                "penalty": np.repeat(self.penalties, n_b),
                "a": self.a,
                "b": self.b,
                "unit_b": np.tile(np.arange(n_b), n_penalties),
                "r2": self.r2.ravel(),
                "n_contributors": counts.ravel(),
                "top_contributor": top.ravel(),
                "gap": self.gap.ravel(),
                "dead": np.tile(~self.alive_b, n_penalties),
                "solver": self.solver,
            }
        )


def sparse_map(
    pair: PairMoments,
    *,
    penalties: Penalties | None = None,
    solver: str = "exact",
    tolerance: float = 1e-6,
    seed: int = 0,
) -> SparseMap:
    """Predict each unit of b from the units of a with an L1 penalty on the weights (the lasso).

    Per unit y of b: minimise 1/2 E(y - w'x)^2 + penalty |w|_1 over units of mean 0 and variance 1. A unit can be
    predicted at all only where its largest |r| exceeds the penalty. Only the correlations are needed.

    Args:
        pair: joint moments of the two layers. `sparse_map(pair.swapped)` predicts a from b.
        penalties: in units of correlation (scikit-learn's alpha), in any order; 0 gives the least-squares weights
            of smallest norm. Left out: 31 from 1 to 0.001, ten a decade.
        solver: "exact", or "paper" for the optimiser of the paper, which stops far from the minimum.
        tolerance: relative duality gap up to which "exact" goes on; "paper" only reports its gap.
        seed: of the random start of "paper".

    Returns:
        Weights, R2 (at most 1) and gaps for all penalties and units of b; dead units have weight 0 and R2 NaN.

    Raises:
        InvalidArgumentError: if the solver is unknown, there are no penalties or negative ones, the gap cannot be
            reached, or the correlations within a are not positive semi-definite.

    Invariant to: scaling and shifting of single units (yes); permutation of units, up to the order of
        weights (yes); rotation of units (no).

    Cost: for 31 penalties 0.02 s at 96 units a side, 0.14 s at 256, 0.4 s at 384;
        "paper" 2 s for 3 penalties at 96.

    Reference: Li et al. 2016, section 4 (Table 1, Figures 5 and 6).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 4))
        >>> found = sparse_map(PairMoments.from_samples(x, x[:, :2] + x[:, 2:]), penalties=[0.1])
        >>> found.n_contributors().tolist(), found.weights[0, 1].nonzero()[0].tolist()
        ([[2, 2]], [1, 3])
    """
    if solver not in ("exact", "paper"):
        raise InvalidArgumentError(
            f"Asked for solver {solver!r}. There are 'exact' and 'paper'. Choose one of these."
        )
    steps = checked_penalties(DEFAULT_PENALTIES if penalties is None else penalties)
    if not tolerance > 0:
        raise InvalidArgumentError(
            f"A map is solved up to a relative duality gap. Found tolerance={tolerance}. "
            "Give a small number above 0."
        )
    found = correlation(pair)
    q, wanted = living(found)
    if solver == "exact":
        path = lasso_path(q, wanted, steps, tolerance=tolerance)
        if not path.converged.all():
            raise InvalidArgumentError(
                f"Asked for maps from '{pair.a}' to '{pair.b}' with duality gaps of at most {tolerance:.3g}. "
                f"Found {path.gaps.max():.3g} in {int((~path.converged).sum())} of {path.gaps.size} fits. "
                "Raise `tolerance`: it is beyond what rounding allows."
            )
        weights, gaps = path.weights, path.gaps
    else:
        weights = paper_descent(q, wanted, steps, seed=seed)
        gaps = _gaps(q, wanted, weights, steps)
    return _sparse_map(pair, found, solver, steps, weights, gaps)


def ridge_map(pair: PairMoments, *, penalties: Penalties | None = None) -> SparseMap:
    """Predict each unit of b from all units of a: the dense end of a sparse map.

    Per unit y of b: minimise 1/2 E(y - w'x)^2 + penalty/2 |w|^2 over units of mean 0 and variance 1.

    Args:
        pair: joint moments of the two layers.
        penalties: at least 0; 0 gives the least-squares weights of smallest norm. Left out: 7 from 1 to 1e-6.

    Returns:
        Weights and R2 like those of `sparse_map`; the gap is NaN, for the solution is closed.

    Raises:
        InvalidArgumentError: if there are no penalties, or negative ones.

    Invariant to: scaling and shifting of single units (yes); permutation of units, up to the order of
        weights (yes); rotation of units (no: they are brought to variance 1 again; without that, yes).

    Cost: one eigendecomposition and 2 products a penalty.
    """
    steps = checked_penalties(DEFAULT_RIDGE_PENALTIES if penalties is None else penalties)
    found = correlation(pair)
    weights = ridge_path(*living(found), steps)
    return _sparse_map(pair, found, "ridge", steps, weights, np.full(weights.shape[:2], np.nan))


def checked_penalties(penalties: Penalties) -> Array:
    """Penalties as an array.

    Args:
        penalties: as given to a map.

    Raises:
        InvalidArgumentError: if there are none, or one is no number from 0 up.
    """
    try:
        steps = np.array(penalties, dtype=np.float64)
    except (TypeError, ValueError):
        steps = np.array(np.nan)
    if steps.ndim != 1 or len(steps) == 0 or not (np.isfinite(steps) & (steps >= 0)).all():
        raise InvalidArgumentError(
            "The penalties of a map are a list of numbers from 0 up, in units of correlation. "
            f"Found {penalties!r}. Give at least one, and none below 0."
        )
    return steps


def living(found: Correlation) -> tuple[Array, Array]:
    """Correlations of the living units of a with each other, and with the living units of b."""
    return (
        found.within_a[np.ix_(found.alive_a, found.alive_a)],
        found.between[np.ix_(found.alive_a, found.alive_b)],
    )


def _gaps(q: Array, wanted: Array, weights: Array, penalties: Array) -> Array:
    gaps = np.empty(weights.shape[:2])
    as_tensors = torch.from_numpy(q.copy()), torch.from_numpy(wanted.copy())
    for i, penalty in enumerate(penalties):
        if penalty == 0:
            gaps[i] = least_squares_gaps(q, wanted, weights[i])
        else:
            per_target = torch.full((len(weights[i]),), float(penalty), dtype=torch.float64)
            gaps[i] = relative_gaps(*as_tensors, torch.from_numpy(weights[i].T.copy()), per_target).numpy()
    return gaps


def explained_on(
    pair: PairMoments, weights: Float64[Array, "... units_b units_a"], *, fitted_on: PairMoments
) -> tuple[Float64[Array, "... units_b"], Float64[Array, " units_b"]]:
    """Variance that linear predictions of b explain in a pair's data, with the means they were fitted with.

    Args:
        pair: moments of the same two layers.
        weights: on the units as they are.
        fitted_on: the moments the weights were fitted on.

    Returns:
        Explained variance, negative where the mean would have predicted better; and the variance there is, NaN for
        units of b that are dead in either.
    """
    bias = (pair.mean_b - fitted_on.mean_b) - weights @ (pair.mean_a - fitted_on.mean_a)
    variance = np.where(fitted_on.alive_b & pair.alive_b, np.diagonal(pair.cov_bb), np.nan)
    return _explained(weights, np.nan_to_num(pair.cov_aa), np.nan_to_num(pair.cov_ab)) - bias**2, variance


def _explained(weights: Array, within: Array, between: Array) -> Array:
    """2 w'q - w'Qw for each penalty and unit of b."""
    return np.asarray((weights * (2 * between.T - weights @ within)).sum(axis=-1))


def _sparse_map(
    pair: PairMoments, found: Correlation, solver: str, penalties: Array, weights: Array, gaps: Array
) -> SparseMap:
    """Put dead units back in their places."""
    shape = len(penalties), *found.between.T.shape
    full, r2, gap = np.zeros(shape), np.full(shape[:2], np.nan), np.full(shape[:2], np.nan)
    full[np.ix_(np.arange(len(penalties)), found.alive_b, found.alive_a)] = weights
    r2[:, found.alive_b] = _explained(weights, *living(found))
    gap[:, found.alive_b] = gaps
    return SparseMap(
        a=pair.a,
        b=pair.b,
        solver=solver,
        penalties=frozen(penalties),
        weights=frozen(full),
        r2=frozen(r2),
        gap=frozen(gap),
        alive_a=found.alive_a,
        alive_b=found.alive_b,
        fitted_on=pair,
    )
