"""From results of measures to what the figures take."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from .._typing import Array
from ..measures.agglomeration import Agglomeration
from ..measures.clustering import UnitClusters
from ..measures.sparse_map import SparseMap
from ..statistics.pair_histograms import PairHistograms
from .group_figures import ClusterBox, Subtree
from .information_figures import JointDensity
from .sparse_figures import Target
from .split_tree import Split


def targets_at(found: SparseMap, units: Sequence[int], *, penalty: float) -> list[Target]:
    """Units of b with their contributors, as `contributor_sheet` draws them.

    Args:
        found: the map.
        units: which units of b.
        penalty: the nearest of the map's penalties is taken.
    """
    at = int(np.abs(found.penalties - penalty).argmin())
    weights = found.weights[at]
    return [
        Target(
            int(unit),
            float(found.r2[at, unit]),
            [(int(source), float(weights[unit, source])) for source in np.flatnonzero(weights[unit])],
        )
        for unit in units
    ]


def early_subtrees(
    found: Agglomeration, *, n: int = 2, least: int = 4, most: int = 8, height: float = 0.05
) -> list[Subtree]:
    """Small subtrees for `subspace_zoom`, each as large as it may be; the largest ones first.

    Args:
        found: the tree of merges.
        n: at most how many.
        least: units that one has at least.
        most: units that one has at most.
        height: mean similarity of the two parts of each at least.
    """
    sizes = found.n_units.sum(axis=1)
    fits = (sizes >= least) & (sizes <= most) & (found.heights >= height)
    part_of_one = {int(part) - len(found.sides) for parts in found.joined[fits] for part in parts}
    whole = [merge for merge in np.flatnonzero(fits).tolist() if merge not in part_of_one]
    members = [found.members(merge) for merge in sorted(whole, key=lambda merge: -sizes[merge])[:n]]
    return [
        Subtree(found.matrix[np.ix_(some, some)], found.sides[some].tolist(), found.units[some].tolist())
        for some in members
    ]


def cluster_boxes(found: UnitClusters) -> list[ClusterBox]:
    """Clusters for `cluster_sheet`: most similar between nets first, in each the most typical units first.

    A unit is the more typical the larger its mean correlation with the members of its cluster.

    Args:
        found: the clusters.
    """
    r = found.joint.correlation()
    boxes = [
        _box(f"cluster {label}", np.flatnonzero(found.labels == label), found, r)
        for label in range(found.n_clusters)
    ]
    return sorted(boxes, key=lambda box: -box.between)


def cluster_splits(found: UnitClusters) -> list[Split]:
    """The hierarchy of splits for `split_tree`.

    Args:
        found: the clusters.
    """
    r = found.joint.correlation()
    children: list[list[int]] = [[] for _ in found.tree]
    for place, node in enumerate(found.tree):
        if node.parent is not None:
            children[node.parent].append(place)
    return [
        Split(_box("units" if node.label is None else f"cluster {node.label}", node.units, found, r), parts)
        for node, parts in zip(found.tree, children, strict=True)
    ]


def _box(name: str, units: Array, found: UnitClusters, r: Array) -> ClusterBox:
    joint = found.joint
    typical = np.nan_to_num(r[np.ix_(units, units)]).mean(axis=1)
    ranked = units[np.argsort(-typical, kind="stable")]
    nets = [layer.partition("/")[0] for layer in joint.names]
    names = nets if len(set(nets)) == len(nets) else joint.names
    starts = np.cumsum([0, *joint.sizes])
    of_net = [ranked[joint.layer_of[ranked] == i] for i in range(len(names))]
    means = [
        float(r[np.ix_(one, other)].mean()) if len(one) and len(other) else 0.0
        for one, other in combinations(of_net, 2)
    ]
    members = {name: (mine - start).tolist() for name, mine, start in zip(names, of_net, starts[:-1], strict=True)}
    return ClusterBox(name, members, float(np.mean(means)) if means else float("nan"))


def joint_density(pair: PairHistograms, i: int, j: int, *, r: float, mi: float) -> JointDensity:
    """The joint histogram of two units, as `joint_densities` draws it.

    Args:
        pair: histograms of two layers.
        i: row of the unit of a in the histograms.
        j: column of the unit of b.
        r: correlation of the two.
        mi: their mutual information in nats.
    """
    edges_a, edges_b = (np.array([-np.inf, *edges, np.inf]) for edges in (pair.edges_a[i], pair.edges_b[j]))
    counts = pair.counts[i, j, : len(edges_a) - 1, : len(edges_b) - 1]
    names = (f"{pair.a}[{pair.units_a[i]}]", f"{pair.b}[{pair.units_b[j]}]")
    return JointDensity(counts, edges_a, edges_b, *names, r, mi)
