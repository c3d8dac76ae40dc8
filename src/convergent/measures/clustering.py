"""Groups of units that several nets share: spectral clusters of the graph of correlations above a threshold."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from .._typing import Array, Bool, Float64, Int64
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from ..solvers.spectral import normalised_cut
from ..statistics.joint_moments import JointMoments
from ..statistics.pairs import PairMoments
from .cluster_similarities import Similarities, similarities

Edges = Literal["positive", "absolute"]

ISOLATED = -1
PAPER_LEAF = 5  # units per net of the largest cluster that is not split: the paper's alpha is not known
DEAD = -2


@dataclass(frozen=True, eq=False)
class ClusterNode:
    """A set of units in the hierarchy of splits: all that are clustered, a part of them, or one cluster.

    Attributes:
        parent: position in the tree of the set it was split from; None for the first, which holds all.
        units: its members, positions among all units of the joint moments, ascending.
        label: the cluster it is, or None where it was split further.
    """

    parent: int | None
    units: Int64[Array, " members"]
    label: int | None


@dataclass(frozen=True, eq=False)
class UnitClusters:
    """Clusters of the units of several layers, and how they were split.

    Attributes:
        joint: the moments they were found in.
        labels: per unit its cluster, 0, 1, ... in the order of the tree; -1 (`ISOLATED`) where no correlation of
            the unit exceeds the threshold; -2 (`DEAD`) where it is constant.
        tree: the hierarchy of splits, parents before children, depth first; empty where all are isolated.
        eigenvalues: the smallest ones of the normalised Laplacian of the whole graph, in [0, 2].
        threshold: correlations above it are the edges.
        edges: whether negative correlations count.
        max_leaf: units per net that a cluster may have on average, or None.
    """

    joint: JointMoments
    labels: Int64[Array, " units"]
    tree: tuple[ClusterNode, ...]
    eigenvalues: Float64[Array, " eigenvalues"]
    threshold: float
    edges: Edges
    max_leaf: int | None

    @property
    def n_clusters(self) -> int:
        """How many clusters there are; isolated and dead units are in none."""
        return sum(node.label is not None for node in self.tree)

    @property
    def isolated(self) -> Bool[Array, " units"]:
        """True for units that correlate with no other above the threshold."""
        return self.labels == ISOLATED

    @property
    def dead(self) -> Bool[Array, " units"]:
        """True for units that are constant."""
        return self.labels == DEAD

    @property
    def n_several(self) -> int:
        """How many clusters have members in two nets or more."""
        return self.similarities().n_several

    def similarities(self) -> Similarities:
        """The between-net and within-net similarity of each cluster."""
        return similarities(self.joint, self.joint.correlation(), self.labels, self.n_clusters)

    def scored_on(self, joint: JointMoments | PairMoments) -> "UnitClusters":
        """The same clusters in other data: found on one half of the inputs, similarities and angles on the other.

        Units that are dead there leave their cluster.

        Args:
            joint: moments of the same layers on other inputs.

        Raises:
            MismatchError: if it is of other layers or numbers of units.
        """
        joint = _joint(joint)
        _check_same_layers(self.joint, joint)
        return replace(self, joint=joint, labels=frozen(np.where(joint.alive, self.labels, DEAD)))

    def baseline(self, seed: int, *, n: int = 20, keep_nets: bool = False) -> tuple[Similarities, ...]:
        """What clusters of the same sizes with members drawn at random give, once per draw.

        Args:
            seed: of the draws.
            n: how many.
            keep_nets: also keep how many members each cluster has in each net.
        """
        r, shuffles = self.joint.correlation(), self.shuffles(seed, n=n, keep_nets=keep_nets)
        return tuple(similarities(self.joint, r, labels, self.n_clusters) for labels in shuffles)

    def shuffles(self, seed: int, *, n: int, keep_nets: bool) -> Iterator[Int64[Array, " units"]]:
        """Labels handed out anew among the units that are in a cluster.

        Args:
            seed: of the draws.
            n: how many.
            keep_nets: hand them out within each net.
        """
        rng = np.random.default_rng(seed)
        net = self.joint.layer_of if keep_nets else np.zeros_like(self.labels)
        groups = [np.flatnonzero((net == i) & (self.labels >= 0)) for i in range(net.max() + 1)]
        for _ in range(n):
            labels = self.labels.copy()
            for group in groups:
                labels[group] = rng.permutation(labels[group])
            yield labels

    def table(self) -> pd.DataFrame:
        """One row a cluster: members in all and in each net, share of each net, nets, similarities.

        The share of a net is that of the members which are its units.
        """
        found = self.similarities()
        total = found.n_units.sum(axis=1)
        columns: dict[str, Array] = {"cluster": np.arange(self.n_clusters), "n_units": total}
        columns |= {f"n_units {name}": found.n_units[:, i] for i, name in enumerate(self.joint.names)}
        share = found.n_units / np.where(total > 0, total, np.nan)[:, None]
        columns |= {f"share {name}": share[:, i] for i, name in enumerate(self.joint.names)}
        columns |= {"n_nets": (found.n_units > 0).sum(axis=1)}
        columns |= {"between": found.between, "within": found.within, "within_others": found.within_others}
        return pd.DataFrame(columns)

    def unit_table(self) -> pd.DataFrame:
        """One row a unit: its layer, its number there, its cluster (-1 isolated, -2 dead)."""
        return pd.DataFrame(
            {
                "layer": np.repeat(self.joint.names, self.joint.sizes),
                "unit": np.concatenate([np.arange(size) for size in self.joint.sizes]),
                "cluster": self.labels,
            }
        )


def cluster_units(
    joint: JointMoments | PairMoments,
    *,
    threshold: float = 0.2,
    edges: Edges = "positive",
    k: int | None = None,
    max_leaf: int | None = None,
    branching: int = 2,
    seed: int = 0,
) -> UnitClusters:
    """Cluster the units of several nets by the graph of their correlations, so that a cluster may span nets.

    Edges are correlations within and between nets above the threshold, with the correlation as weight. The graph
    is cut into k parts (normalised cut), and parts that are too large are cut again, and again. A unit that loses
    all its neighbours in a cut becomes a cluster of its own.

    Args:
        joint: joint moments of any number of layers, or of a pair.
        threshold: the paper uses 0.2.
        edges: "positive" as in the paper, where negative correlations are no edges; or "absolute", where their
            size counts: bases of one subspace may differ in sign.
        k: parts of the first cut, at most as many as units have an edge; None takes the largest eigengap.
        max_leaf: the paper's alpha: a cluster of more than alpha units times the number of layers is split.
        branching: parts of the later cuts.
        seed: of k-means.

    Returns:
        A label per unit, the tree of splits, eigenvalues; similarities and baselines by its methods.

    Raises:
        InvalidArgumentError: if an option is out of its range.

    Invariant to: scaling by positive numbers and shifting of single units (yes); permutation of units, up to the
        numbers of clusters and ties (yes); negation of single units (no; yes with edges="absolute"); rotation of
        units (no).

    Cost: O(units^3) and k-means: about 1 s for two layers of 384 units, k=100 and max_leaf=5, on one core.

    Reference: Li et al. 2016, supplement S.3.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(500, 2))
        >>> joint = JointMoments.from_samples({"a": z[:, [0, 1, 0]], "b": z[:, [1, 0]]})
        >>> cluster_units(joint).labels.tolist()
        [0, 1, 0, 1, 0]
    """
    joint = _joint(joint)
    _check(threshold, edges, max_leaf, branching)
    graph = _graph(joint.correlation(), threshold, edges)
    units = np.flatnonzero(graph.any(axis=1))
    labels = np.where(joint.alive, ISOLATED, DEAD)
    tree: list[ClusterNode] = []
    eigenvalues = np.zeros(0)
    if len(units):
        _check_k(k, len(units), threshold)
        first = normalised_cut(graph[np.ix_(units, units)], k=k, seed=seed)
        eigenvalues = first.eigenvalues
        limit = len(units) if max_leaf is None else max_leaf * len(joint.names)
        tree = _grow(graph, _parts(units, first.labels), limit, branching, seed)
    for node in tree:
        if node.label is not None:
            labels[node.units] = node.label
    return UnitClusters(joint, frozen(labels), tuple(tree), frozen(eigenvalues), threshold, edges, max_leaf)


def stability(
    half_a: JointMoments | PairMoments,
    half_b: JointMoments | PairMoments,
    *,
    threshold: float = 0.2,
    edges: Edges = "positive",
    k: int | None = None,
    max_leaf: int | None = None,
    branching: int = 2,
    seed: int = 0,
) -> float:
    """Do two halves of the inputs give the same clusters? Adjusted Rand index, 1 for the same, about 0 by chance.

    Units that are alive in both halves count; an isolated unit is a cluster of its own.

    Args:
        half_a: joint moments of one half of the inputs.
        half_b: of the same layers on the other half.
        threshold: as in `cluster_units`.
        edges: likewise.
        k: likewise.
        max_leaf: likewise.
        branching: likewise.
        seed: likewise.

    Returns:
        A number in [-0.5, 1]; NaN where no unit is in a cluster in either half.

    Raises:
        MismatchError: if the halves are of different layers.
        InvalidArgumentError: if an option is out of its range.
    """
    half_a, half_b = _joint(half_a), _joint(half_b)
    _check_same_layers(half_a, half_b)
    halves = [
        cluster_units(
            half, threshold=threshold, edges=edges, k=k, max_leaf=max_leaf, branching=branching, seed=seed
        )
        for half in (half_a, half_b)
    ]
    alive = ~(halves[0].dead | halves[1].dead)
    if all((half.labels < 0).all() for half in halves):
        return float("nan")
    apart = [np.where(half.isolated, half.n_clusters + np.arange(len(alive)), half.labels) for half in halves]
    return float(adjusted_rand_score(apart[0][alive], apart[1][alive]))


def _joint(moments: JointMoments | PairMoments) -> JointMoments:
    return JointMoments.from_pair(moments) if isinstance(moments, PairMoments) else moments


def _graph(correlation: Array, threshold: float, edges: Edges) -> Array:
    """Weights of the edges; dead units (NaN) have none."""
    weight = np.abs(correlation) if edges == "absolute" else correlation
    graph = np.where(weight > threshold, weight, 0)
    np.fill_diagonal(graph, 0)
    return graph


def _parts(units: Array, labels: Array) -> list[Array]:
    return [units[labels == label] for label in range(labels.max() + 1)]


def _grow(graph: Array, parts: list[Array], limit: int, branching: int, seed: int) -> list[ClusterNode]:
    """The tree of splits, from the parts of the first cut down to clusters of at most `limit` units."""
    everything = np.sort(np.concatenate(parts))
    tree = [ClusterNode(None, frozen(everything), None)] if len(parts) > 1 else []
    waiting: list[tuple[int | None, Array]] = [(0 if tree else None, part) for part in reversed(parts)]
    n_clusters = 0
    while waiting:
        parent, units = waiting.pop()
        smaller = _split(graph, units, branching, seed) if len(units) > limit else []
        tree.append(ClusterNode(parent, frozen(units), None if smaller else n_clusters))
        n_clusters += not smaller
        waiting += [(len(tree) - 1, part) for part in reversed(smaller)]
    return tree


def _split(graph: Array, units: Array, branching: int, seed: int) -> list[Array]:
    """Parts of a cluster, ordered by their first unit; units without a neighbour in it are parts of their own."""
    inside = graph[np.ix_(units, units)]
    tied = inside.any(axis=1)
    parts = [units[i : i + 1] for i in np.flatnonzero(~tied)]
    if tied.any():
        n_parts = min(branching, int(tied.sum()))
        parts += _parts(units[tied], normalised_cut(inside[np.ix_(tied, tied)], k=n_parts, seed=seed).labels)
    return sorted(parts, key=lambda part: int(part[0]))


def _check(threshold: float, edges: str, max_leaf: int | None, branching: int) -> None:
    if not 0 <= threshold < 1:
        raise InvalidArgumentError(
            f"Edges are correlations above a threshold in [0, 1). Found {threshold}. The paper uses 0.2."
        )
    if edges not in get_args(Edges):
        raise InvalidArgumentError(f"Edges are 'positive' or 'absolute'. Found {edges!r}. Choose one of these.")
    if max_leaf is not None and max_leaf < 1:
        raise InvalidArgumentError(
            f"Clusters are split down to max_leaf units per net. Found {max_leaf}. Give 1 or more, or None."
        )
    if branching < 2:
        raise InvalidArgumentError(
            f"A split makes two parts or more. Found branching={branching}. Give 2 or more."
        )


def _check_same_layers(a: JointMoments, b: JointMoments) -> None:
    if (a.names, a.sizes) != (b.names, b.sizes):
        raise MismatchError(
            f"Clusters are compared in the same layers. Found {list(a.names)} of {list(a.sizes)} units against "
            f"{list(b.names)} of {list(b.sizes)}. Give moments of the same layers on other inputs."
        )


def _check_k(k: int | None, n_units: int, threshold: float) -> None:
    if k is not None and not (isinstance(k, int | np.integer) and 1 <= k <= n_units):
        raise InvalidArgumentError(
            f"Asked for {k!r} clusters. {n_units} units have a correlation above {threshold}. "
            "Give a whole number k between 1 and that, or lower the threshold."
        )
