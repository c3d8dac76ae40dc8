"""How much of each layer a linear map from the other explains, in the data given and on inputs held out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._typing import Array, Float64
from ..results import frozen
from ..solvers.pooling import mean_of_known
from ..statistics.pairs import PairMoments
from .local_or_distributed import Folds, check_folds, choose_penalty
from .sparse_map import Penalties, ridge_map


@dataclass(frozen=True, eq=False)
class Prediction:
    """Ridge prediction of every unit of one layer from all units of another.

    Attributes:
        predictor: name of the layer that predicts.
        predicted: name of the layer that is predicted.
        penalty: (units,), on units of variance 1; NaN for dead units, here and below.
        r2: (units,), share of variance explained in the data given, at most 1.
        r2_held_out: (units,), on the folds held out, at most 1; NaN where no folds were given.
    """

    predictor: str
    predicted: str
    penalty: Float64[Array, " units"]
    r2: Float64[Array, " units"]
    r2_held_out: Float64[Array, " units"]

    @property
    def mean(self) -> float:
        """Mean R2 of the living units in the data given; NaN where there are none."""
        return float(mean_of_known(self.r2, axis=0))

    @property
    def mean_held_out(self) -> float:
        """Mean R2 of the living units on inputs held out; NaN where there are none, or no folds."""
        return float(mean_of_known(self.r2_held_out, axis=0))


@dataclass(frozen=True, eq=False)
class Predictivity:
    """How well two layers predict each other.

    Attributes:
        a: name of the first layer.
        b: name of the second layer.
        a_to_b: prediction of the units of b from those of a.
        b_to_a: likewise of a from b.
    """

    a: str
    b: str
    a_to_b: Prediction
    b_to_a: Prediction

    def table(self) -> pd.DataFrame:
        """One row a predicted unit: both layers, unit, penalty, r2, r2_held_out."""
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "predictor": way.predictor,
                        "predicted": way.predicted,
                        "unit": np.arange(len(way.r2)),
                        "penalty": way.penalty,
                        "r2": way.r2,
                        "r2_held_out": way.r2_held_out,
                    }
                )
                for way in (self.a_to_b, self.b_to_a)
            ],
            ignore_index=True,
        )


def linear_predictivity(
    pair: PairMoments, folds: Folds | None = None, *, penalties: Penalties | None = None
) -> Predictivity:
    """Predict each layer from the other by ridge regression on units of variance 1, and report R2 both ways.

    With folds each unit has the penalty that does best on the folds held out; without, the smallest penalty.

    Args:
        pair: joint moments of the two layers, of all inputs.
        folds: (moments of the other blocks, moments of the block held out), as `Blocked.folds` gives them. Without
            them nothing is held out, and R2 says little where there are many units and few samples.
        penalties: as in `ridge_map`.

    Returns:
        R2 (at most 1) of every unit, both ways. Held-out R2 is that of the best of the penalties, hence a little
        too large; keep the list short.

    Raises:
        InvalidArgumentError: if there are fewer than two folds, or no penalties, or negative ones.
        MismatchError: if folds are of other layers or numbers of units.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (no: they
        are brought to variance 1, and each predicted unit counts alike); scaling of single units (yes);
        invertible linear maps (no).

    Cost: a ridge map a fold and way: one eigendecomposition and 2 products a penalty.

    Reference: Hoerl & Kennard 1970; Kornblith et al. 2019, section 3 (linear regression).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 4))
        >>> found = linear_predictivity(PairMoments.from_samples(x, x[:, :2]))
        >>> round(found.a_to_b.mean, 3), round(found.b_to_a.mean, 1)
        (1.0, 0.5)
    """
    kept = None if folds is None else list(folds)
    back = None if kept is None else [(rest.swapped, held_out.swapped) for rest, held_out in kept]
    return Predictivity(
        pair.a, pair.b, _prediction(pair, kept, penalties), _prediction(pair.swapped, back, penalties)
    )


def _prediction(
    pair: PairMoments, folds: list[tuple[PairMoments, PairMoments]] | None, penalties: Penalties | None
) -> Prediction:
    fitted = ridge_map(pair, penalties=penalties)
    units = np.arange(len(fitted.alive_b))
    if folds is None:
        best = np.full(len(units), fitted.penalties.argmin())
        held_out = np.full(len(units), np.nan)
    else:
        check_folds(pair, folds)
        choice = choose_penalty(folds, lambda rest: ridge_map(rest, penalties=penalties))
        best, held_out = choice.best, choice.r2_held_out[choice.best, units]
    usable = fitted.alive_b & (best >= 0)
    penalty, r2, r2_held_out = (
        frozen(np.where(usable, values, np.nan))
        for values in (fitted.penalties[best], fitted.r2[best, units], held_out)
    )
    return Prediction(pair.a, pair.b, penalty, r2, r2_held_out)
