"""Two nets of a family combined: what each way buys, at which cost, and whose units are worth most."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ...data import PhotoDigitsTraining
from ...experiments import (
    Combination,
    Grafts,
    answer,
    combination_table,
    costs,
    distil,
    ensemble,
    grafted,
    matched_sets,
    unit_features,
)
from ...measures import match_best
from .parts import Part
from .spec import CauseStudy
from .subject import Family


def combining_parts(study: CauseStudy, family: Family) -> Iterator[Part]:
    """A part an ordered pair of nets: the first is given units of the second."""
    for a, b in study.pairs_of(family.name):
        yield Part("combining", (family.name, a, b), ["combining"], partial(_combining, study, family, a, b))


def distilling_parts(study: CauseStudy, family: Family, nets_folder: Path) -> Iterator[Part]:
    """One part: the first two nets of a family taught to one of their size."""
    a, b = study.nets_of(family.name)[:2]
    yield Part(
        "distilling", (family.name, a, b), ["combining"], lambda: _distilling(study, family, a, b, nets_folder)
    )


def _combining(study: CauseStudy, family: Family, a: str, b: str) -> dict[str, pd.DataFrame]:
    layer = family.layers[-1]
    grafts = grafted(
        family.nets[a],
        family.nets[b],
        family.fit,
        family.data,
        layer=layer,
        units=_sets(study, family, a, b, layer),
        n_draws=study.draws,
        seed=study.seed,
        unit_axis=study.view.units,
    )
    both = Combination((ensemble([family.answers[a], family.answers[b]]),), family.costs[a] + family.costs[b])
    ways = {"ensemble": both, "readout of one": grafts.alone}
    ways |= {f"with {name}": one for name, one in grafts.by_set.items()}
    table = _table(family, a, b, ways).assign(layer=layer)
    return {"combining": table.merge(_against_random(grafts), on="way", how="left")}


def _against_random(grafts: Grafts) -> pd.DataFrame:
    """By way: how many units were added, and what they gain over as many random ones of the other net."""
    found = grafts.table()
    named = found["added"].map(lambda name: "readout of one" if name == "nothing" else f"with {name}")
    columns = [
        name for name in map(str, found) if name.startswith("over_random") or name in ("n_units", "sd_over_draws")
    ]
    return found[[*columns, "random_draws_beaten"]].assign(way=named)


def _sets(study: CauseStudy, family: Family, a: str, b: str, layer: str) -> Mapping[str, list[int]]:
    """Units of b that a has least and most of, and units like the first but for that."""
    best = match_best(family.pair(b, a, layer))
    living = np.flatnonzero(family.of(b, layer)["verdict"].to_numpy() != "dead")
    by_r = living[np.argsort(np.nan_to_num(best.score[living]), kind="stable")]
    k = max(1, round(study.share * len(living)))
    features = unit_features(family.nets[b], family.fit, layer, view=study.view.view())
    like = matched_sets(features, by_r[:k], n_sets=1, seed=study.seed).sets[0]
    sets = {"unique": by_r[:k], "shared": by_r[-k:], "matched": like}
    return {name: np.sort(units).tolist() for name, units in sets.items()}


def _distilling(study: CauseStudy, family: Family, a: str, b: str, folder: Path) -> dict[str, pd.DataFrame]:
    """The recipe of the first net, taught by both: the same net from the same start but for what it is told."""
    recipe = study.members[a][0].recipe()
    teachers = [family.nets[a], family.nets[b]]
    taught = distil(recipe, teachers, folder / f"{a}+{b}.safetensors", data=PhotoDigitsTraining.load())
    way = Combination((answer(taught.net, family.data),), costs(taught.net, family.data[0]))
    return {"combining": _table(family, a, b, {"distilled": way}).query("way == 'distilled'")}


def _table(family: Family, a: str, b: str, ways: Mapping[str, Combination]) -> pd.DataFrame:
    singles = {net: Combination((family.answers[net],), family.costs[net]) for net in (a, b)}
    table = combination_table(singles, ways)
    front = pd.DataFrame({"family": family.name, "net_a": a, "net_b": b}, index=table.index)
    return pd.concat([front, table], axis=1)
