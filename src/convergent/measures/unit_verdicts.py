"""All that is known of each unit in one table, and what to call it: shared, partly, unique or dead."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..errors import InvalidArgumentError
from ..units import LayerRef

_UNIT = ["layer", "net_a", "unit_a"]
_PAIR = [*_UNIT, "net_b"]
_METHODS = ("best", "one_to_one")
_OF_MATCHING = ("partner", "r", "r_held_out")
# By table: its columns, under the names they get here.
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "matches": {f"{method}_{what}": f"{method}_{what}" for method in _METHODS for what in _OF_MATCHING}
    | {"trained": "trained"},
    "chance": {"chance": "r_chance", "p": "p", "q": "q"},
    "intervals": {"low": "r_low", "high": "r_high"},
    "information": {
        "information_partner": "information_partner",
        "information": "information",
        "information_r": "information_r",
        "excess": "information_excess",
    },
    "transport": {"partner": "transport_partner", "mass": "transported_mass"},
    "maps": {
        "n_contributors": "map_support",
        "n_for_90": "map_n_for_90",
        "top_contributor": "map_top_contributor",
        "r2_held_out": "map_r2_held_out",
        "verdict": "map_verdict",
    },
    "units": {"dead": "dead"},
    "clusters": {"cluster": "cluster"},
    "universality": {"n_mutual": "n_mutual", "in_clique": "in_clique"},
    "universe": {"element": "element", "returns": "returns"},
}


def unit_verdicts(
    matches: pd.DataFrame,
    *,
    chance: pd.DataFrame | None = None,
    intervals: pd.DataFrame | None = None,
    information: pd.DataFrame | None = None,
    transport: pd.DataFrame | None = None,
    maps: pd.DataFrame | None = None,
    units: pd.DataFrame | None = None,
    clusters: pd.DataFrame | None = None,
    universality: pd.DataFrame | None = None,
    universe: pd.DataFrame | None = None,
    method: str = "best",
    threshold: float | int = 0.5,
    level: float = 0.05,
) -> pd.DataFrame:
    """Join what is known of each unit, one row a unit and other net, and say whether it is shared.

    A unit is *found* in another net where its partner's r, held out if the matches have that, is at least
    `threshold`, and q at most `level` if there is a q. Found in every other net it is "shared", in some "partly",
    in none "unique". It is "dead" where `units` says so, or, without that table, where it has an r in no net.
    An r or q that is missing finds nothing.

    Tables of units and other nets have the columns layer, net_a, unit_a, net_b; `maps`, whose units are predicted,
    has net_a (that predicts), net_b and unit_b in their place. Tables of units have layer, net and unit (or
    index), or layer as `net/layer`, and unit. Each is one row a unit (and other net); what it does not have is
    missing in the result, which has the rows of `matches`. A column may already have the name it gets here.

    Args:
        matches: best_partner, best_r, best_r_held_out, and the same of one_to_one; trained.
        chance: chance (becomes r_chance), p, q.
        intervals: of r held out: low, high (r_low, r_high).
        information: information_partner, information (nats), information_r, excess (information_excess, nats).
        transport: of soft matching: partner, mass (transport_partner, transported_mass).
        maps: n_contributors (map_support), n_for_90, top_contributor, r2_held_out, verdict (map_...).
        units: dead.
        clusters: cluster (-1 isolated, -2 dead).
        universality: of `Universality.table()`: n_mutual, in_clique.
        universe: of `Universe.table()`: element, returns.
        method: whose partner decides, "best" or "one_to_one".
        threshold: the held-out r from which a partner counts.
        level: the q up to which a partner counts.

    Returns:
        The rows of `matches`: layer, net_a, unit_a, net_b; partner, r, r_held_out of the method; the columns of
        the tables given; found; and of the unit, in each of its rows, n_nets (others it was looked for in),
        n_found, mean_r and weakest_r (over these, of what was compared with the threshold) and verdict.

    Raises:
        InvalidArgumentError: if a table lacks its keys, repeats a unit or has no column it could add, or an option
            is out of its range.

    Cost: one join a table.

    Example:
        >>> matches = pd.DataFrame({"layer": "conv", "net_a": "a", "unit_a": [0, 1], "net_b": "b"})
        >>> unit_verdicts(matches.assign(best_partner=[3, 5], best_r=[0.9, 0.2]))["verdict"].tolist()
        ['shared', 'unique']
    """
    _check(method, threshold, level)
    rows = _picked("matches", matches)
    rows = _decided_by(method, rows)
    joined = {
        "chance": chance,
        "intervals": intervals,
        "information": information,
        "transport": transport,
        "maps": maps,
        "units": units,
        "clusters": clusters,
        "universality": universality,
        "universe": universe,
    }
    for name, table in joined.items():
        if table is not None:
            rows = _joined(rows, _picked(name, table))
    return _judged(rows, threshold, level)


def _decided_by(method: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Partner, r and r_held_out of the method that decides go in front, under these names."""
    named = rows.rename(columns={f"{method}_{what}": what for what in _OF_MATCHING})
    if "r" not in named:
        raise InvalidArgumentError(
            f"Verdicts by {method!r} need the column '{method}_r' of the matches. Found {sorted(rows.columns)}. "
            "Give the table of matches, or choose the other method."
        )
    front = [*_PAIR, *(what for what in _OF_MATCHING if what in named)]
    return named[[*front, *(column for column in named if column not in front)]]


def _picked(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Keys and known columns of a table, under the names they get."""
    seen = _seen_from_the_unit(table).rename(columns=_COLUMNS[name])
    keys = _PAIR if "net_b" in seen else _UNIT
    added = [column for column in _COLUMNS[name].values() if column in seen]
    if not set(keys) <= set(seen) or not added or (name == "matches" and keys != _PAIR):
        raise InvalidArgumentError(
            f"Asked to join the table '{name}' by unit. Found the columns {sorted(table.columns)}. Give layer, "
            f"net and unit (layer, net_a, unit_a, net_b where of two nets) and any of {sorted(_COLUMNS[name])}."
        )
    if seen.duplicated(keys).any():
        repeated = dict(seen.loc[seen.duplicated(keys), keys].iloc[0])
        raise InvalidArgumentError(
            f"The table '{name}' has one row for each {', '.join(keys)}. Found more than one for "
            f"{', '.join(map(str, repeated.values()))}. Give the rows of one analysis."
        )
    return seen[[*keys, *added]]


def _seen_from_the_unit(table: pd.DataFrame) -> pd.DataFrame:
    """With the unit and its net as unit_a and net_a, however the table calls them."""
    if "unit_b" in table and "unit_a" not in table:
        return table.rename(columns={"net_a": "net_b", "net_b": "net_a", "unit_b": "unit_a"})
    if "net_a" in table:
        return table
    if "net" not in table and "layer" in table:
        refs = [LayerRef.parse(name) for name in table["layer"]]
        table = table.assign(net=[ref.net for ref in refs], layer=[ref.layer for ref in refs])
    return table.rename(columns={"net": "net_a", "unit": "unit_a", "index": "unit_a"})


def _joined(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers and truths stay what they are; where some are missing they become pandas' nullable kinds."""
    keys = [column for column in table if column in _PAIR]
    nullable = {"i": "Int64", "b": "boolean"}
    kinds = {name: kind for name in table if name not in keys and (kind := nullable.get(table[name].dtype.kind))}
    merged = rows.merge(table.astype(kinds), on=keys, how="left")
    whole = {name: table[name].dtype for name in kinds if not merged[name].isna().any()}
    return merged.astype(whole)


def _judged(rows: pd.DataFrame, threshold: float, level: float) -> pd.DataFrame:
    held_out = "r_held_out" in rows and rows["r_held_out"].notna().any()
    scored = rows["r_held_out" if held_out else "r"]
    found = scored >= threshold
    if "q" in rows:
        found &= rows["q"] <= level
    unit = [rows[key] for key in _UNIT]
    n_nets, n_found = (found.groupby(unit).transform(count) for count in ("size", "sum"))
    dead = rows["dead"].fillna(value=False) if "dead" in rows else rows["r"].isna().groupby(unit).transform("all")
    verdict = np.select(
        [dead.astype(bool), n_found == n_nets, n_found > 0], ["dead", "shared", "partly"], "unique"
    )
    return rows.assign(
        found=found,
        n_nets=n_nets,
        n_found=n_found,
        mean_r=scored.groupby(unit).transform("mean"),
        weakest_r=scored.groupby(unit).transform("min"),
        verdict=verdict.astype(object),
    )


def _check(method: str, threshold: float, level: float) -> None:
    if method not in _METHODS:
        raise InvalidArgumentError(
            f"Verdicts go by the 'best' partner or the 'one_to_one' one. Found {method!r}. Choose one of the two."
        )
    if not (-1 <= threshold <= 1 and 0 < level <= 1):
        raise InvalidArgumentError(
            f"A partner counts from a correlation, up to a q. Found threshold={threshold} and level={level}. "
            "Give a threshold between -1 and 1 and a level above 0 and at most 1."
        )
