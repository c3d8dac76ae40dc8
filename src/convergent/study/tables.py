"""Statistics to tables: one row a unit, and one row a unit and net it was matched with."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..measures import Matching, held_out_scores, match_best, match_one_to_one
from ..statistics import Blocked, BlockedPair, Moments, PairMoments
from ..units import LayerRef

METHODS: Mapping[str, Callable[[PairMoments], Matching]] = {
    "match_best": match_best,
    "match_one_to_one": match_one_to_one,
}


def units_table(moments: Moments, zeros: Moments, *, untrained: Sequence[str] = ()) -> pd.DataFrame:
    """One row a unit: net, layer, index, mean, std, zeros (share of samples), dead, trained."""
    parts = []
    for layer in moments.layers:
        own = moments.pair(layer.ref, layer.ref)
        parts.append(
            pd.DataFrame(
                {
                    "net": layer.ref.net,
                    "layer": layer.ref.layer,
                    "index": np.arange(layer.n_units),
                    "mean": own.mean_a,
                    "std": own.std_a,
                    "zeros": zeros.mean(layer.ref),
                    "dead": ~own.alive_a,
                    "trained": layer.ref.net not in untrained,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def matches_table(
    blocked: Blocked[Moments], *, methods: Sequence[str] = tuple(METHODS), untrained: Sequence[str] = ()
) -> pd.DataFrame:
    """One row a unit and other net: its partner there and their r, by every method, and r on held-out blocks.

    Both directions of every pair of nets; untrained nets are matched with one another only, layers of equal name.
    Columns: layer, net_a, unit_a, net_b, then for `best` and `one_to_one` partner, r and r_held_out, and trained.
    Methods that were not asked for have partner -1 and r NaN.
    """
    parts = [
        _pair_table(seen, methods).assign(trained=a.net not in untrained)
        for a, b in layer_pairs(blocked.blocks[0])
        for one in [BlockedPair.of(blocked, a, b)]
        for seen in (one, one.swapped)
    ]
    return pd.concat(parts, ignore_index=True)


def layer_pairs(moments: Moments) -> list[tuple[LayerRef, LayerRef]]:
    """The pairs of different nets that were accumulated."""
    return [(a, b) for a, b in moments.products if a.net != b.net]


def _pair_table(pair: BlockedPair, methods: Sequence[str]) -> pd.DataFrame:
    a, b = LayerRef.parse(pair.a), LayerRef.parse(pair.b)
    n_units = len(pair.total.mean_a)
    columns: dict[str, object] = {
        "layer": a.layer,
        "net_a": a.net,
        "unit_a": np.arange(n_units),
        "net_b": b.net,
    }
    folds = list(pair.folds())
    for name, match in METHODS.items():
        label = name.removeprefix("match_")
        columns |= _matching_columns(label, pair, folds, match if name in methods else None)
    return pd.DataFrame(columns)


def _matching_columns(
    label: str,
    pair: BlockedPair,
    folds: Sequence[tuple[PairMoments, PairMoments]],
    match: Callable[[PairMoments], Matching] | None,
) -> dict[str, object]:
    n_units = len(pair.total.mean_a)
    partner, r, held_out = np.full(n_units, -1), np.full(n_units, np.nan), np.full(n_units, np.nan)
    if match is not None:
        matching = match(pair.total)
        partner, r = matching.partner, matching.score
        held_out = held_out_scores(folds, match) if folds else held_out
    return {f"{label}_partner": partner, f"{label}_r": r, f"{label}_r_held_out": held_out}
