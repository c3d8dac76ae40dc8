"""How alike the members of a cluster of units are, between the nets and within each."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .._typing import Array, Float64, Int64
from ..results import frozen
from ..statistics.joint_moments import JointMoments


@dataclass(frozen=True, eq=False)
class Similarities:
    """How alike the members of each cluster are.

    Attributes:
        n_units: (clusters, layers), how many members each layer has.
        between: the paper's: mean correlation over all pairs of a unit of one net and a unit of another, averaged
            over the pairs of nets; a pair of nets of which one has no member counts 0.
        within: the paper's: mean correlation over all pairs of units of one net, each with itself included,
            averaged over the nets that have members.
        within_others: likewise without each unit's correlation with itself, over the nets that have two members
            or more; NaN where none has.
    """

    n_units: Int64[Array, "clusters layers"]
    between: Float64[Array, " clusters"]
    within: Float64[Array, " clusters"]
    within_others: Float64[Array, " clusters"]

    @property
    def n_several(self) -> int:
        """How many clusters have members in two nets or more."""
        return int(((self.n_units > 0).sum(axis=1) > 1).sum())


def similarities(
    joint: JointMoments,
    correlation: Float64[Array, "units units"],
    labels: Int64[Array, " units"],
    n_clusters: int,
) -> Similarities:
    """Sum the blocks of each cluster, (clusters, layers, layers), and average them.

    Args:
        joint: what the units are.
        correlation: of all units with all.
        labels: per unit its cluster, negative where it is in none.
        n_clusters: how many clusters there are; some may have no member.
    """
    n_layers = len(joint.names)
    is_of = np.eye(n_layers)[joint.layer_of]
    n_units = np.zeros((n_clusters, n_layers), dtype=np.int64)
    sums = np.zeros((n_clusters, n_layers, n_layers))
    for label in range(n_clusters):
        units = np.flatnonzero(labels == label)
        sums[label] = is_of[units].T @ correlation[np.ix_(units, units)] @ is_of[units]
        n_units[label] = is_of[units].sum(axis=0)
    present = n_units > 0
    means = sums / np.maximum(n_units[:, :, None] * n_units[:, None, :], 1)
    pairs = [means[:, i, j] for i, j in combinations(range(n_layers), 2)]
    within = np.diagonal(means, axis1=1, axis2=2)
    n_pairs = n_units * (n_units - 1)
    others = (np.diagonal(sums, axis1=1, axis2=2) - n_units) / np.maximum(n_pairs, 1)
    return Similarities(
        n_units=frozen(n_units),
        between=frozen(np.mean(pairs, axis=0) if pairs else np.zeros(n_clusters)),
        within=frozen(_mean_where(within, present)),
        within_others=frozen(_mean_where(others, n_pairs > 0)),
    )


def _mean_where(values: Array, counted: Array) -> Array:
    """Row means over the entries that count; NaN in rows where none does."""
    n = counted.sum(axis=1)
    return np.divide((values * counted).sum(axis=1), n, out=np.full(len(values), np.nan), where=n > 0)
