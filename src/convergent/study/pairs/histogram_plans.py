"""What a study counts about one pair of nets: how their units are distributed together."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...measures import match_best
from ...statistics import HistogramsPlan, Moments, Quantiles
from ...statistics.base import Plan
from ...statistics.edges import UnitEdges
from ...units import LayerRef
from .tables import LayerPair

MOST_UNITS = 256
_log = logging.getLogger("convergent")
_DENSITY_BINS = 64


def histogram_plans(
    quantiles: Quantiles, moments: Moments, pairs: Sequence[LayerPair], *, n_bins: int
) -> dict[str, Plan]:
    """`histograms` of all pairs of units, and `densities` of the best and the worst match of each layer.

    Layers of more than 256 units are left out: histograms keep n_bins^2 numbers for each pair of units.

    Args:
        quantiles: of these layers.
        moments: likewise.
        pairs: layers of the first net with those of the second.
        n_bins: bins of a unit.
    """
    n_units = {layer.ref: layer.n_units for layer in quantiles.layers}
    counted = [pair for pair in pairs if max(n_units[ref] for ref in pair) <= MOST_UNITS]
    if wide := [a.layer for a, _ in (pair for pair in pairs if pair not in counted)]:
        _log.warning("No mutual information in layers of more than %d units: %s.", MOST_UNITS, ", ".join(wide))
    shown = {pair: best_and_worst_units(moments, *pair) for pair in counted}
    shown = {pair: units for pair, units in shown.items() if units}
    chosen: dict[str | LayerRef, list[int]] = {
        ref: sorted({both[side] for both in units})
        for pair, units in shown.items()
        for side, ref in enumerate(pair)
    }
    plans: dict[str, Plan] = {}
    if counted:
        plans["histograms"] = HistogramsPlan(_of(quantiles.edges(n_bins), counted), _named(counted))
    if shown:
        plans["densities"] = HistogramsPlan(
            _of(quantiles.uniform_edges(_DENSITY_BINS), shown), _named(shown), units=chosen
        )
    return plans


def best_and_worst_units(moments: Moments, a: LayerRef, b: LayerRef) -> list[tuple[int, int]]:
    """The best and the worst semi-match of two layers; empty where no unit has a partner."""
    best = match_best(moments.pair(a, b))
    matched = np.flatnonzero(best.partner >= 0)
    if not len(matched):
        return []
    ranked = matched[np.argsort(-best.score[matched], kind="stable")]
    return [(int(unit), int(best.partner[unit])) for unit in dict.fromkeys((ranked[0], ranked[-1]))]


def _of(edges: Mapping[LayerRef, UnitEdges], pairs: Iterable[LayerPair]) -> dict[LayerRef, UnitEdges]:
    wanted = {ref for pair in pairs for ref in pair}
    return {ref: one for ref, one in edges.items() if ref in wanted}


def _named(pairs: Iterable[LayerPair]) -> list[tuple[str, str]]:
    return [(str(a), str(b)) for a, b in pairs]
