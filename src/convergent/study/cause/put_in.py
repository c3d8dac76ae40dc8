"""Units of one net in the place of another's: what a match carries, and where nets disagree."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd

from ..._typing import Array, Int64
from ...experiments import AffineMap, disagreement, transplant
from ...measures import match_best, match_one_to_one, ridge_map, sparse_map
from ...statistics import PairMoments
from .parts import Part
from .spec import CauseStudy
from .subject import Family

TABLES = ("transplant", "disagreement")
_SPARSE, _RIDGE = 0.05, 0.001  # penalties, in units of correlation


def transplant_parts(study: CauseStudy, family: Family) -> Iterator[Part]:
    """A part a pair of nets."""
    for a, b in study.pairs_of(family.name):
        yield Part("transplant", (family.name, a, b), TABLES, partial(_tables, study, family, a, b))


def _tables(study: CauseStudy, family: Family, a: str, b: str) -> dict[str, pd.DataFrame]:
    rows: dict[str, list[pd.DataFrame]] = {table: [] for table in TABLES}
    for layer in family.layers:
        maps = _maps(family.pair(a, b, layer))
        nets, view = (family.nets[a], family.nets[b]), study.view.view()
        found = transplant(*nets, family.data, layer, layer, maps, view=view).table()
        rows["transplant"].append(_named(family, layer, a, b, found))
        apart = disagreement(
            *nets,
            family.data,
            layer,
            layer,
            maps["ridge"],
            answers_b=family.answers[b],
            groups=_groups(study, family, a, layer),
            view=view,
        )
        rows["disagreement"].append(_named(family, layer, a, b, apart))
    return {table: pd.concat(some, ignore_index=True) for table, some in rows.items()}


def _maps(pair: PairMoments) -> Mapping[str, AffineMap]:
    """From the units of b to those of a, from the narrowest kind to the widest."""
    back = pair.swapped
    return {
        "one-to-one": AffineMap.from_matching(match_one_to_one(pair), pair),
        "best partner": AffineMap.from_matching(match_best(pair), pair),
        "sparse": AffineMap.from_map(sparse_map(back, penalties=[_SPARSE])),
        "ridge": AffineMap.from_map(ridge_map(back, penalties=[_RIDGE])),
    }


def _groups(study: CauseStudy, family: Family, net: str, layer: str) -> Mapping[str, Int64[Array, " k"]]:
    """The most unique and the most shared units, as many random ones, and all."""
    living = family.most_unique_first(net, layer)
    unique, shared = (family.chosen(net, layer, kind) for kind in ("unique", "shared"))
    rng = np.random.default_rng([study.seed, *net.encode(), *layer.encode()])
    return {
        "unique": unique,
        "shared": shared,
        "random": np.sort(rng.choice(living, len(unique), replace=False)),
        "all": living,
    }


def _named(family: Family, layer: str, a: str, b: str, rows: pd.DataFrame) -> pd.DataFrame:
    front = {"family": family.name, "layer": layer, "net_a": a, "net_b": b}
    return pd.concat(
        [pd.DataFrame(front, index=rows.index), rows.drop(columns=["layer_a", "layer_b"], errors="ignore")], axis=1
    )
