"""Units of all nets at once: in how many nets each is found, and all that is known of it in one table."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from ...measures import Universality, Universe, match_universe, partial_soft_matching, unit_verdicts, universality
from ...statistics import JointMoments, Moments
from ...threads import map_in_threads
from ...units import LayerRef
from .tables import layer_pairs, with_names

Tables = Mapping[str, pd.DataFrame]
_KEYS = ["layer", "net_a", "unit_a", "net_b"]


def universality_tables(moments: Moments, nets: Sequence[str], *, seed: int = 0) -> dict[str, pd.DataFrame]:
    """`universality`, one row a layer and number of nets that have a unit; `universals`, one row a unit.

    A unit is in another net where its best partner there has r >= .5. Columns of `universality`: layer, n_nets,
    verdict, n_units, share, rotated (as many in rotated bases), excess, p, n_dead. Of `universals`: layer, net,
    unit, n_partners, n_mutual, in_clique, mean_r, weakest_r, verdict; element of the shared universe, and the
    share of walks over two other nets by plain matchings that return to the unit.

    Args:
        moments: of all inputs.
        nets: the nets under comparison.
        seed: of the rotations.
    """
    found = map_in_threads(
        lambda one: (one[0], universality(one[1], seed=seed), match_universe(one[1])), _joint(moments, nets)
    )
    counts = [shared.counts().assign(layer=layer) for layer, shared, _ in found]
    units = [_of_units(shared, universe) for _, shared, universe in found]
    first = ["layer", "n_nets"]
    table = pd.concat(counts, ignore_index=True)
    return {
        "universality": table[[*first, *(column for column in table if column not in first)]],
        "universals": pd.concat(units, ignore_index=True),
    }


def _joint(moments: Moments, nets: Sequence[str]) -> Iterator[tuple[str, JointMoments]]:
    """Each layer that two nets or more have, with its units in all of them."""
    members: dict[str, list[LayerRef]] = {}
    for layer in moments.layers:
        if layer.ref.net in nets:
            members.setdefault(layer.ref.layer, []).append(layer.ref)
    for name, refs in members.items():
        if len(refs) > 1:
            yield name, moments.joint(refs)


def _of_units(found: Universality, universe: Universe) -> pd.DataFrame:
    table = found.table().join(universe.table()[["element", "returns"]])
    refs = [LayerRef.parse(name) for name in table["layer"]]
    named = table.assign(layer=[ref.layer for ref in refs])
    named.insert(1, "net", [ref.net for ref in refs])
    return named


def transport_table(moments: Moments, nets: Sequence[str]) -> pd.DataFrame:
    """One row a unit and other net: partner in the partial soft matching, and the share of its mass carried."""
    parts = [
        with_names(side, a, b)
        for a, b in layer_pairs(moments)
        if {a.net, b.net} <= {*nets}
        for a, b, side in _both_sides(moments, a, b)
    ]
    return pd.concat(parts, ignore_index=True)


def _both_sides(moments: Moments, a: LayerRef, b: LayerRef) -> Iterator[tuple[LayerRef, LayerRef, pd.DataFrame]]:
    table = partial_soft_matching(moments.pair(a, b)).table()
    names = {"unit": "unit_a", "top_partner": "partner", "carried": "mass"}
    for own, other in ((a, b), (b, a)):
        yield own, other, table[table["layer"] == str(own)].rename(columns=names)[list(names.values())]


def verdicts_table(tables: Tables, moments: Moments, nets: Sequence[str], *, method: str) -> pd.DataFrame:
    """One row a unit and other net: all that the study knows of it, and whether it is shared, partly or unique.

    Args:
        tables: of the study, by name; those that are there are joined.
        moments: of all inputs.
        nets: the nets under comparison.
        method: whose partner decides, `match_best` or `match_one_to_one`.
    """
    method = method.removeprefix("match_")
    matches = tables["matches"]
    matches = matches[matches["net_a"].isin(nets) & matches["net_b"].isin(nets)].reset_index(drop=True)
    known = matches[f"{method}_q"].notna().any()
    return unit_verdicts(
        matches,
        chance=_of_method(matches, method, "chance", "p", "q") if known else None,
        intervals=_of_method(matches, method, "r_held_out_low", "r_held_out_high").rename(
            columns={"r_held_out_low": "low", "r_held_out_high": "high"}
        ),
        information=tables.get("information"),
        transport=transport_table(moments, nets),
        maps=tables.get("targets"),
        units=tables["units"],
        clusters=tables.get("members"),
        universality=tables.get("universals"),
        universe=tables.get("universals"),
        method=method,
    )


def _of_method(matches: pd.DataFrame, method: str, *columns: str) -> pd.DataFrame:
    named = {f"{method}_{column}": column for column in columns}
    return matches[[*_KEYS, *named]].rename(columns=named)
