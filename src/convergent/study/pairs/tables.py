"""Statistics to tables: one row a unit, and one row a unit and net it was matched with."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeVar

import numpy as np
import pandas as pd

from ...measures import (
    Matching,
    Scores,
    design_effect,
    held_out_matching,
    match_best,
    match_one_to_one,
    matched_interval,
    partner_chance,
)
from ...statistics import Blocked, BlockedPair, Moments, PairMoments
from ...threads import map_in_threads
from ...units import LayerRef

T = TypeVar("T")

LayerPair = tuple[LayerRef, LayerRef]
Match = Callable[[PairMoments | Scores], Matching]
METHODS: Mapping[str, Match] = {"match_best": match_best, "match_one_to_one": match_one_to_one}
_N_REMIXES = 5  # of the chance scores of a layer's units together
_COLUMNS = (
    *("partner", "r", "r_low", "r_high", "r_held_out", "r_held_out_low", "r_held_out_high"),
    *("chance", "p", "q"),
)


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
    """One row a unit and other net: its partner there by every method, and how far its r can be trusted.

    Both directions of every pair of nets; untrained nets are matched with one another only, layers of equal name.
    Columns: layer, net_a, unit_a, net_b, trained; for `best` and `one_to_one` partner, r with its interval (r_low,
    r_high), r_held_out with its own (r_held_out_low, r_held_out_high), and chance (r of the partner that the same
    search finds in rolled inputs), p and q (false discovery rate); n_inputs, n_samples, design_effect.
    Methods that were not asked for have partner -1 and NaN; chance, p and q are NaN without rolls, intervals in a
    single block.
    """
    pairs = [BlockedPair.of(blocked, a, b) for a, b in layer_pairs(blocked.blocks[0])]
    table = pd.concat(map_widest_first(lambda pair: _both_ways(pair, methods), pairs), ignore_index=True)
    return table.assign(trained=~table["net_a"].isin(untrained))


def map_widest_first(function: Callable[[BlockedPair], T], pairs: Sequence[BlockedPair]) -> list[T]:
    """Results in the order of the pairs, several at once; a wide layer at the end would keep one core busy."""
    order = sorted(range(len(pairs)), key=lambda i: -prod(pairs[i].shape))
    found = dict(zip(order, map_in_threads(lambda i: function(pairs[i]), order), strict=True))
    return [found[i] for i in range(len(pairs))]


def with_names(table: pd.DataFrame, a: LayerRef | str, b: LayerRef | str) -> pd.DataFrame:
    """A table with the names of layer and nets in front, in place of any columns a and b of `net/layer`."""
    left, right = LayerRef.of(a), LayerRef.of(b)
    front = pd.DataFrame({"layer": left.layer, "net_a": left.net, "net_b": right.net}, index=table.index)
    return front.join(table.drop(columns=["a", "b"], errors="ignore"))


def layer_pairs(moments: Moments) -> list[tuple[LayerRef, LayerRef]]:
    """The pairs of different nets that were accumulated."""
    return [(a, b) for a, b in moments.products if a.net != b.net]


def _both_ways(pair: BlockedPair, methods: Sequence[str]) -> pd.DataFrame:
    pair = pair.with_folds()
    return pd.concat([_pair_table(pair, methods), _pair_table(pair.swapped, methods)], ignore_index=True)


def _pair_table(pair: BlockedPair, methods: Sequence[str]) -> pd.DataFrame:
    a, b = LayerRef.parse(pair.a), LayerRef.parse(pair.b)
    total = pair.total
    columns: dict[str, object] = {
        "layer": a.layer,
        "net_a": a.net,
        "unit_a": np.arange(len(total.mean_a)),
        "net_b": b.net,
    }
    for name, match in METHODS.items():
        label = name.removeprefix("match_")
        found = _matching_columns(pair, match) if name in methods else {}
        columns |= {f"{label}_{what}": found.get(what, -1 if what == "partner" else np.nan) for what in _COLUMNS}
    effect = design_effect(pair).per_unit_a if pair.n_blocks > 1 else np.nan
    counts = {"n_inputs": total.n_inputs, "n_samples": total.n_samples}
    return pd.DataFrame(columns | counts | {"design_effect": effect})


def _matching_columns(pair: BlockedPair, match: Match) -> dict[str, object]:
    """What is known of each unit's partner by one method."""
    matching = match(pair.total)
    columns: dict[str, object] = {"partner": matching.partner, "r": matching.score}
    if pair.n_blocks > 1:
        interval, held_out = matched_interval(pair, match=match), held_out_matching(pair, match=match).units
        columns |= {"r_low": interval.low, "r_high": interval.high, "r_held_out": held_out.value}
        columns |= {"r_held_out_low": held_out.low, "r_held_out_high": held_out.high}
    if len(pair.rolled) > 1:
        by_chance = partner_chance(pair, match=match, n_remixes=_N_REMIXES)
        columns |= {"chance": by_chance.chance, "p": by_chance.p, "q": by_chance.q}
    return columns
