"""What the figures of information, of maps and of groups show, in words."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from .._typing import Array, Float, Shaped
from .group_figures import ClusterBox, Subtree
from .information_figures import JointDensity
from .sparse_figures import VERDICTS, Target
from .split_tree import Split
from .wording import percent, plural, score


def penalties(paths: pd.DataFrame) -> str:
    """Table 1 as a chart: loss and contributors at both ends of the exact path of each layer."""
    exact = paths[paths["solver"] == "exact"] if (paths["solver"] == "exact").any() else paths
    ends = exact.sort_values("penalty", kind="stable").groupby("layer", sort=False).agg(["first", "last"])
    described = (
        f"{layer} {score(row['loss', 'first'])} with {row['n_contributors', 'first']:.3g} at penalty "
        f"{row['penalty', 'first']:.3g}, {score(row['loss', 'last'])} with {row['n_contributors', 'last']:.3g} at "
        f"{row['penalty', 'last']:.3g}"
        for layer, row in ends[["penalty", "loss", "n_contributors"]].iterrows()
    )
    return f"Loss and mean number of contributors per target against the penalty: {'; '.join(described)}."


def sparse_map(weights: Float[Array, "units_b units_a"], *, a: str, b: str) -> str:
    """Figure 6, left: how many weights of the map are not 0, and how many of these are negative."""
    finite = weights[np.isfinite(weights)]
    used = finite[finite != 0]
    share = len(used) / len(finite) if len(finite) else float("nan")
    negative = float((used < 0).mean()) if len(used) else float("nan")
    return (
        f"The weights that predict {b} from {a}, in natural and in aligned order: {percent(share)} of them are "
        f"not 0, and of these {percent(negative)} are negative."
    )


def contributors(targets: Sequence[Target], *, a: str, b: str) -> str:
    """Figure 6, right: which units predict which, and how well."""
    described = (
        f"unit {target.unit} (R² {score(target.r2)}) by "
        + (", ".join(f"{unit} ({score(weight)})" for unit, weight in target.sources) or "none")
        for target in targets
    )
    return f"Units of {b} predicted by units of {a}, with their weights: {'; '.join(described) or 'none'}."


def contributor_counts(targets: pd.DataFrame) -> str:
    """Contributor histogram: the share of each verdict per layer."""
    described = (
        f"{layer} " + ", ".join(f"{percent((verdicts == verdict).mean())} {verdict}" for verdict in VERDICTS)
        for layer, verdicts in targets.groupby("layer", sort=False)["verdict"]
    )
    return f"How many units it takes to predict a unit: {'; '.join(described)}."


def merges(linkage: Shaped[Array, "merges columns"], n_units: int, *, a: str, b: str) -> str:
    """Figure 7, left: how many merges there are, and how many of two single units."""
    pairs = int((linkage[:, :2] < n_units).all(axis=1).sum())
    return (
        f"The map between {a} and {b}, its units in the order of a tree of {plural(len(linkage), 'merge')}, "
        f"{pairs} of them of two single units."
    )


def subspaces(blocks: Sequence[Subtree], *, a: str, b: str) -> str:
    """Figure 7, right: the units of each subtree."""
    described = (
        "; ".join(
            f"units {', '.join(units)} of {net}"
            for side, net in enumerate((a, b))
            if (units := [str(u) for u, s in zip(block.units, block.sides, strict=True) if s == side])
        )
        for block in blocks[:2]
    )
    return f"Groups of units that were merged early: {' and '.join(f'({text})' for text in described)}."


def clusters(boxes: Sequence[ClusterBox]) -> str:
    """Figures S5 and S6: size and similarity of each cluster."""
    described = (
        f"{box.name}: {' + '.join(str(len(units)) for units in box.members.values())} units, {score(box.between)}"
        for box in boxes
    )
    return f"Clusters with the units of each net and their similarity between nets. {'; '.join(described)}."


def splits(tree: Sequence[Split]) -> str:
    """Figure S5: how many clusters a tree of splits ends in."""
    leaves = [split for split in tree if not split.children]
    sizes = [sum(map(len, leaf.cluster.members.values())) for leaf in leaves]
    total = f"{plural(sum(sizes), 'unit')} split into {plural(len(leaves), 'cluster')}"
    return f"A tree of clusters from the top: {total}, the largest of {plural(max(sizes, default=0), 'unit')}."


def similarities(table: pd.DataFrame) -> str:
    """Figure S7: mean similarities per layer, and how many clusters hold one net only."""
    described = (
        f"{layer} {score(rows['between'].mean())}, {score(rows['within'].mean())}, "
        f"{score(rows['between_random'].mean())} ({int((rows['between'] == 0).sum())} of {len(rows)} at 0)"
        for layer, rows in table.groupby("layer", sort=False)
    )
    kinds = "between nets, within nets, and between nets in random clusters"
    return f"Mean similarity {kinds}: {'; '.join(described)}."


def densities(pairs: Sequence[JointDensity]) -> str:
    """Figure S1: correlation and information of each pair."""
    described = (f"{p.name_a} and {p.name_b} r {score(p.r)}, MI {score(p.mi)}" for p in pairs)
    return f"Joint densities of activations: {'; '.join(described)}."


def information(table: pd.DataFrame) -> str:
    """Information against correlation: mean of both, and the share above the Gaussian value."""
    living = table.dropna(subset=["r", "mi"])
    with np.errstate(divide="ignore"):
        living = living.assign(above=living["mi"] > -0.5 * np.log1p(-(living["r"] ** 2)))
    described = (
        f"{layer} {score(rows['mi'].mean())} at r {score(rows['r'].mean())}, {percent(rows['above'].mean())}"
        for layer, rows in living.groupby("layer", sort=False)
    )
    share = "share of units above the Gaussian value"
    return f"Mean mutual information in nats, and the {share}: {'; '.join(described)}."


def information_ends(layer: str, pairs: pd.DataFrame) -> str:
    """Figure S4: information of the best and the worst pair."""
    return (
        f"Best and worst pairs of units of {layer} by mutual information: the best share "
        f"{score(pairs['information'].max())} nats, the worst {score(pairs['information'].min())}."
    )


def filters(pictures: Mapping[str, Array]) -> str:
    """Filters of the first convolution: how many each net has."""
    described = ", ".join(f"{len(found)} of {net}" for net, found in pictures.items())
    return f"Filters of the first convolution: {described}."


def active(layer: str, units: pd.DataFrame) -> str:
    """Figures S9 and S10: highest and lowest mean of each net."""
    living = units[~units["dead"].astype(bool)]
    ends = living.groupby("net", sort=False)["mean"].agg(["max", "min"])
    described = "; ".join(f"{net} {high:.3g} to {low:.3g}" for net, high, low in ends.itertuples())
    return f"The units of {layer} with the highest and the lowest mean activation: {described}."


def projections(net: str, layer: str, units: Sequence[int]) -> str:
    """What units see: which are shown."""
    return (
        f"Units {', '.join(map(str, units))} of {net}/{layer}: the parts of their strongest inputs that they see, "
        "and beneath what of these excites them."
    )
