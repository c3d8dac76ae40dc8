"""Is one layer a rotation of the other? The best rotation, and how much it explains of other data."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from .._typing import Array, Float64
from ..errors import MismatchError
from ..results import frozen
from ..statistics.pairs import PairMoments
from .living import of_living
from .sparse_map import explained_on


class RotationScore(NamedTuple):
    """How much a fitted rotation explains of some data.

    Attributes:
        r2: (units_b,), at most 1, negative where the mean would have predicted better; NaN for dead units.
        overall: the same for all units together, each by its variance; NaN where all are dead.
    """

    r2: Float64[Array, " units_b"]
    overall: float


@dataclass(frozen=True, eq=False)
class Procrustes:
    """The rotation of layer a that comes nearest to layer b.

    Attributes:
        a: name of the layer that is rotated.
        b: name of the layer that it comes near to.
        rotation: (units_a, units_b); samples of a times it are near those of b. Orthogonal where both have equally
            many living units, else a partial isometry, its shorter side orthonormal; 0 for dead units.
        scale: the one factor that, after the rotation, predicts b best; NaN where a layer is dead.
        similarity: |C_ab|_* / sqrt(tr C_aa tr C_bb), in [0, 1]; NaN where a layer is dead.
        fitted_on: the moments that it was fitted on.
    """

    a: str
    b: str
    rotation: Float64[Array, "units_a units_b"]
    scale: float
    similarity: float
    fitted_on: PairMoments

    @property
    def distance(self) -> float:
        """Euclidean distance of the layers after rotation, each brought to total variance 1; in [0, sqrt 2]."""
        return float(np.sqrt(2 - 2 * self.similarity))

    @property
    def angular_distance(self) -> float:
        """Arccos of the similarity, in radians, 0 to pi / 2."""
        return float(np.arccos(self.similarity))

    def scored_on(self, pair: PairMoments) -> RotationScore:
        """R2 of the rotated and scaled prediction in another pair's data, with means kept as fitted.

        Args:
            pair: moments of the same two layers, on other inputs for a held-out score.

        Raises:
            MismatchError: if the pair is of other layers or numbers of units.
        """
        fitted = self.fitted_on
        if (pair.a, pair.b, pair.cov_ab.shape) != (self.a, self.b, fitted.cov_ab.shape):
            raise MismatchError(
                f"Cannot score a rotation from '{self.a}' to '{self.b}' ({fitted.cov_ab.shape[0]} to "
                f"{fitted.cov_ab.shape[1]} units) on '{pair.a}' with '{pair.b}' ({pair.cov_ab.shape[0]} and "
                f"{pair.cov_ab.shape[1]}). Give moments of the same layers on other inputs."
            )
        explained, variance = explained_on(pair, (self.scale * self.rotation).T, fitted_on=fitted)
        total = np.nansum(variance)
        overall = float(explained[~np.isnan(variance)].sum() / total) if total > 0 else float("nan")
        return RotationScore(frozen(explained / variance), overall)

    def table(self) -> pd.DataFrame:
        """One row: both layers, similarity, distances, scale, and R2 in the data it was fitted on."""
        return pd.DataFrame(
            {
                "a": [self.a],
                "b": [self.b],
                "similarity": [self.similarity],
                "distance": [self.distance],
                "angular_distance": [self.angular_distance],
                "scale": [self.scale],
                "r2": [self.scored_on(self.fitted_on).overall],
            }
        )


def procrustes(pair: PairMoments) -> Procrustes:
    """Find the orthogonal map of the units of a under which it comes nearest to b.

    With C_ab = U S V' (singular values), the rotation is U V' and the similarity sum S / sqrt(tr C_aa tr C_bb).
    A smaller layer counts as filled up with zeros.

    Args:
        pair: joint moments of the two layers. Units keep their variances: a strong one counts more. Give
            correlations (`PairMoments.from_correlation`) where all should count alike.

    Returns:
        Rotation, scale and similarity in [0, 1], with distances; `scored_on` other data gives R2.

    Invariant to: isotropic scaling (yes); shift (yes); permutation of units (yes); rotation of units (yes);
        scaling of single units (no); invertible linear maps (no).

    Cost: one singular value decomposition, O(units^3); `shape_distance` needs the values alone.

    Reference: Schonemann 1966; Williams et al. 2021; Ding et al. 2021.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> found = procrustes(PairMoments.from_samples(x, 3 * x @ np.array([[0.0, 1], [-1, 0]])))
        >>> round(found.similarity, 9), round(found.scale, 9), (found.rotation.round(9) + 0).tolist()
        (1.0, 3.0, [[0.0, 1.0], [-1.0, 0.0]])
    """
    living = of_living(pair)
    rotation = np.zeros(pair.cov_ab.shape)
    if not living.cov_ab.size:
        return Procrustes(pair.a, pair.b, frozen(rotation), float("nan"), float("nan"), pair)
    left, values, right = np.linalg.svd(living.cov_ab, full_matrices=False)
    turn = left @ right
    rotation[np.ix_(pair.alive_a, pair.alive_b)] = turn
    total_a, total_b = np.trace(living.cov_aa), np.trace(living.cov_bb)
    return Procrustes(
        a=pair.a,
        b=pair.b,
        rotation=frozen(rotation),
        scale=float(values.sum() / (turn * (living.cov_aa @ turn)).sum()),
        similarity=float(min(values.sum() / np.sqrt(total_a) / np.sqrt(total_b), 1)),
        fitted_on=pair,
    )
