"""Do the members of two nets in a cluster span the same subspace? Principal angles, beside random groups."""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from .._typing import Array, Float64, Int64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.canonical import canonical_correlations
from .clustering import UnitClusters
from .living import FLOOR, check_floor


@dataclass(frozen=True, eq=False)
class SubspaceAngles:
    """How far the members of two nets in each cluster span the same subspace.

    One row is one cluster and two nets that both have members in it. The angle counts every direction alike, noise
    that is one unit's own among them; the shared variance counts each by how much of the members lies in it.

    Attributes:
        names: the layers.
        cluster: number of the cluster.
        nets: (rows, 2), positions of the two layers in `names`.
        n_units: (rows, 2), how many members each has.
        ranks: (rows, 2), how many directions of each are above the noise floor; the smaller is the number of
            angles.
        mean_angle: mean of the principal angles in degrees, 0 (same span) to 90.
        shared: share of the members' variance that the members of the other net explain linearly, in [0, 1]; over
            both directions, each member alike.
        random: (draws, rows), the mean angle of as many random units of the same nets.
        random_shared: (draws, rows), the shared variance of these.
    """

    names: tuple[str, ...]
    cluster: Int64[Array, " rows"]
    nets: Int64[Array, "rows 2"]
    n_units: Int64[Array, "rows 2"]
    ranks: Int64[Array, "rows 2"]
    mean_angle: Float64[Array, " rows"]
    shared: Float64[Array, " rows"]
    random: Float64[Array, "draws rows"]
    random_shared: Float64[Array, "draws rows"]

    @property
    def mean(self) -> float:
        """Mean over the rows, in degrees; NaN where there are none."""
        return float(self.mean_angle.mean()) if len(self.mean_angle) else float("nan")

    @property
    def random_mean(self) -> float:
        """Mean over the rows and draws of the random groups, in degrees; NaN where there are none."""
        return float(self.random.mean()) if self.random.size else float("nan")

    def table(self) -> pd.DataFrame:
        """One row a cluster and two nets: members, ranks, angle and shared variance, both beside random groups."""
        names = np.array(self.names, dtype=object)[self.nets]
        return pd.DataFrame(
            {
                "cluster": self.cluster,
                "a": names[:, 0],
                "b": names[:, 1],
                "n_units_a": self.n_units[:, 0],
                "n_units_b": self.n_units[:, 1],
                "rank_a": self.ranks[:, 0],
                "rank_b": self.ranks[:, 1],
                "mean_angle": self.mean_angle,
                "random_mean": self.random.mean(axis=0),
                "random_lowest": self.random.min(axis=0),
                "shared": self.shared,
                "random_shared": self.random_shared.mean(axis=0),
            }
        )


def subspace_angles(
    clusters: UnitClusters, *, n_random: int = 20, seed: int = 0, floor: float = FLOOR
) -> SubspaceAngles:
    """Angles between the spans of the members of two nets within each cluster: the subspace claim, tested.

    The cosines are the canonical correlations of the two sets of units, from their covariances alone. Units that
    share a subspace and have noise of their own, in more directions than they share, are at a large angle: the
    shared variance, from the same covariances, is what tells then.

    Args:
        clusters: of `cluster_units`. Matrices that were rounded, such as digitised ones, are not covariances of
            anything exactly; raise `floor` for them.
        n_random: draws of random groups: the same numbers of units of the same nets, among the clustered ones.
        seed: of the draws.
        floor: directions with at most this share of the variance of the largest are noise and left out (units
            standardised). Sums of float32 products carry errors of about a tenth of the default.

    Returns:
        Mean angles in degrees, [0, 90], with the ranks they rest on, and shared variance in [0, 1].

    Raises:
        InvalidArgumentError: if two sets of members have more units than there are samples, or an option is out of
            its range.

    Invariant to: invertible linear mixing of the members that one net has in a cluster (angles yes, shared
        variance no); scaling and shifting
        of single units (yes); permutation of units (yes); mixing across clusters (no).

    Cost: O(members^3) for each cluster, two nets, and draw.

    Reference: Bjorck & Golub 1973; the claim is Li et al. 2016, sections 4 and 6.
    """
    _check(n_random, floor)
    r = clusters.joint.correlation()
    rows = _rows(clusters)
    members = [_members(clusters, clusters.labels, *row) for row in rows]
    for x, y in members:
        _check_samples(len(x) + len(y), clusters.joint.n_samples)
    found = [_related(r, x, y, floor) for x, y in members]
    random = [
        [_related(r, *_members(clusters, labels, *row), floor) for row in rows]
        for labels in clusters.shuffles(seed, n=n_random, keep_nets=True)
    ]
    return SubspaceAngles(
        names=clusters.joint.names,
        cluster=frozen(np.array([label for label, _, _ in rows], dtype=np.int64)),
        nets=frozen(np.array([nets for _, *nets in rows], dtype=np.int64).reshape(-1, 2)),
        n_units=frozen(np.array([(len(x), len(y)) for x, y in members], dtype=np.int64).reshape(-1, 2)),
        ranks=frozen(np.array([one.ranks for one in found], dtype=np.int64).reshape(-1, 2)),
        mean_angle=frozen(np.array([one.angle for one in found], dtype=np.float64)),
        shared=frozen(np.array([one.shared for one in found], dtype=np.float64)),
        random=_drawn([[one.angle for one in draw] for draw in random], n_random, len(rows)),
        random_shared=_drawn([[one.shared for one in draw] for draw in random], n_random, len(rows)),
    )


class _Related(NamedTuple):
    angle: float
    shared: float
    ranks: tuple[int, int]


def _drawn(values: list[list[float]], n_random: int, n_rows: int) -> Array:
    return frozen(np.array(values, dtype=np.float64).reshape(n_random, n_rows))


def _rows(clusters: UnitClusters) -> list[tuple[int, int, int]]:
    """Cluster and two layers, wherever both have members."""
    n_units = clusters.similarities().n_units
    pairs = list(combinations(range(len(clusters.joint.names)), 2))
    return [(label, i, j) for label, n in enumerate(n_units) for i, j in pairs if n[i] and n[j]]


def _members(clusters: UnitClusters, labels: Array, label: int, i: int, j: int) -> tuple[Array, Array]:
    layer = np.where(labels == label, clusters.joint.layer_of, -1)
    return np.flatnonzero(layer == i), np.flatnonzero(layer == j)


def _related(r: Array, x: Array, y: Array, floor: float) -> _Related:
    found = canonical_correlations(r[np.ix_(x, x)], r[np.ix_(y, y)], r[np.ix_(x, y)], floor=floor)
    angle = float(np.degrees(np.arccos(found.correlations)).mean())
    shared = (len(x) * found.explained_x + len(y) * found.explained_y) / (len(x) + len(y))
    return _Related(angle, shared, (found.rank_x, found.rank_y))


def _check(n_random: int, floor: float) -> None:
    if n_random < 1:
        raise InvalidArgumentError(
            f"Angles stand beside those of random groups. Found n_random={n_random}. Draw at least one."
        )
    check_floor(floor)


def _check_samples(n_units: int, n_samples: int | None) -> None:
    if n_samples is not None and n_units >= n_samples:
        raise InvalidArgumentError(
            f"Asked for angles between units of two nets in one cluster. Found {n_units} units and {n_samples} "
            "samples: any such spans meet. Take in more inputs, or split the clusters with max_leaf."
        )
