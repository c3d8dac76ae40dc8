"""Units taken out of the nets of a family: the most unique, the most shared, and random ones like them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from ..._typing import Array, Int64
from ...experiments import (
    Ablations,
    ChosenEffect,
    MatchedSets,
    ablation_effect,
    carried_difference,
    matched_sets,
    unit_features,
)
from .parts import Part
from .spec import CauseStudy
from .subject import Family

SETS = ("unique", "shared")
TABLES = ("ablation", "curves", "by_class", "carried", "replaced")
_OTHER_WAYS = ("zero", "resample")
Effects = Mapping[tuple[str, str], ChosenEffect]


def ablation_parts(study: CauseStudy, family: Family) -> Iterator[Part]:
    """A part a layer, for what the nets of a family have in common is asked of all of them at once."""
    for layer in family.layers:
        yield Part("ablation", (family.name, layer), TABLES, partial(_tables, study, family, layer))


def _tables(study: CauseStudy, family: Family, layer: str) -> dict[str, pd.DataFrame]:
    found = {net: _TakenOut.of(study, family, net, layer) for net in family.nets}
    effects = {(net, kind): one.effect(kind) for net, one in found.items() for kind in SETS}
    rows = {
        "ablation": [_ablation_row(family, layer, *key, one) for key, one in effects.items()],
        "curves": [rows for net, one in found.items() for rows in one.curves(net)],
        "by_class": [_by_class(*key, one) for key, one in effects.items()],
        "carried": list(_carried(family, effects)),
        "replaced": [_replaced(study, family, net, layer, one) for net, one in found.items()],
    }
    return {table: _named(family, layer, some) for table, some in rows.items()}


def _named(family: Family, layer: str, rows: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows, with family and layer in front."""
    table = pd.concat(rows, ignore_index=True).drop(columns=["layer", "layer_a", "layer_b"], errors="ignore")
    table.insert(0, "layer", layer)
    table.insert(0, "family", family.name)
    return table


@dataclass(frozen=True, eq=False)
class _TakenOut:
    """All sets of units of a net's layer, taken out in one run.

    Attributes:
        matched: random sets like those of each kind; None where too few other units live.
        orders: of the living units, by name.
        ablations: of the sets `KIND` and `KIND NUMBER`, and of the first units of each order, `ORDER:SHARE`.
    """

    matched: Mapping[str, MatchedSets | None]
    orders: Mapping[str, Int64[Array, " living"]]
    ablations: Ablations

    @classmethod
    def of(cls, study: CauseStudy, family: Family, net: str, layer: str) -> "_TakenOut":
        """Run the net once, and what lies above the layer once for every set."""
        view = study.view.view()
        features = unit_features(family.nets[net], family.fit, layer, view=view)
        chosen = {kind: family.chosen(net, layer, kind) for kind in SETS}
        enough = {kind: 2 * len(units) <= (~features["dead"]).sum() for kind, units in chosen.items()}
        matched = {
            kind: matched_sets(features, units, n_sets=study.n_sets, seed=study.seed) if enough[kind] else None
            for kind, units in chosen.items()
        }
        orders = _orders(study, family, net, layer)
        sets: dict[str, Int64[Array, " k"]] = dict(chosen)
        for kind, like in matched.items():
            sets |= {f"{kind} {i}": one for i, one in enumerate([] if like is None else like.sets)}
        for order, units in orders.items():
            sets |= {f"{order}:{share}": units[: round(share * len(units))] for share in study.fractions}
        means = {layer: family.moments.total.mean(f"{net}/{layer}")}
        found = ablation_effect(family.nets[net], family.data, layer, sets, means=means, view=view)
        return cls(matched, orders, found)

    def effect(self, kind: str) -> ChosenEffect:
        """Of the units of one kind, beside those like them."""
        names = {kind: "chosen"} | {f"{kind} {i}": f"matched {i}" for i in range(len(self.ablations.sets))}
        return ChosenEffect(self.matched[kind], self.some(names), 0)

    def some(self, names: Mapping[str, str]) -> Ablations:
        """Those of the sets that are there, under other names."""
        all_sets = [str(name) for name in self.ablations.sets]
        there = [i for i, name in enumerate(all_sets) if name in names]
        return replace(
            self.ablations,
            sets={names[all_sets[i]]: self.ablations.sets[all_sets[i]] for i in there},
            losses=self.ablations.losses[there],
            correct=self.ablations.correct[there],
        )

    def curves(self, net: str) -> Iterator[pd.DataFrame]:
        """Accuracy and loss with more and more units taken out, in each order; nothing is taken out first."""
        intact = self.ablations.intact
        for order in self.orders:
            names = {name: name for name in map(str, self.ablations.sets) if name.startswith(f"{order}:")}
            found = self.some(names).table().drop(columns=["layer", "set"])
            before = dict.fromkeys(found, 0.0) | {"loss": intact.loss, "accuracy": intact.accuracy}
            table = pd.concat([pd.DataFrame([before]), found], ignore_index=True)
            table.insert(0, "order", order)
            table.insert(0, "net", net)
            yield table.assign(share=[0.0, *(float(name.partition(":")[2]) for name in names)])


def _orders(study: CauseStudy, family: Family, net: str, layer: str) -> Mapping[str, Int64[Array, " living"]]:
    first = family.most_unique_first(net, layer)
    rng = np.random.default_rng([study.seed, *net.encode(), *layer.encode()])
    return {"unique": first, "shared": first[::-1], "random": rng.permutation(first)}


def _ablation_row(family: Family, layer: str, net: str, kind: str, effect: ChosenEffect) -> pd.DataFrame:
    """What `ChosenEffect.table` says, and how many units are unique by their verdict."""
    row, units = effect.table(), family.of(net, layer)
    row.insert(0, "set", kind)
    row.insert(0, "net", net)
    return row.assign(
        n_living=int((units["verdict"] != "dead").sum()),
        n_unique=int((units["verdict"] == "unique").sum()),
        mean_r=float(units.loc[units["set"] == kind, "mean_r"].mean()),
    )


def _by_class(net: str, kind: str, effect: ChosenEffect) -> pd.DataFrame:
    """Each class without the chosen units, and on average without those like them."""
    rows = effect.ablations.by_class()
    changes = ["loss_change", "accuracy_change"]
    chosen = rows[rows["set"] == "chosen"].drop(columns=["set", "loss", "accuracy"])
    matched = rows[rows["set"] != "chosen"].groupby("label")[changes].mean().add_prefix("matched_")
    found = chosen.join(matched, on="label")
    found.insert(0, "set", kind)
    found.insert(0, "net", net)
    return found


def _carried(family: Family, effects: Effects) -> Iterator[pd.DataFrame]:
    """Of the difference between two nets, what goes away with units of each set; first the net with more loss."""
    by_loss = sorted(family.nets, key=lambda net: -family.answers[net].loss)
    for a, b in combinations(by_loss, 2):
        for kind in SETS:
            found = carried_difference(effects[a, kind], effects[b, kind])
            yield pd.concat(
                [pd.DataFrame({"net_a": a, "net_b": b, "set": kind}, index=found.index), found], axis=1
            )


def _replaced(study: CauseStudy, family: Family, net: str, layer: str, found: _TakenOut) -> pd.DataFrame:
    """The same units replaced by zero and by values of other inputs, beside their means; in the last layer."""
    if layer != family.layers[-1]:
        return pd.DataFrame()
    sets = {kind: family.chosen(net, layer, kind) for kind in SETS}
    rows = [found.some({kind: kind for kind in SETS}).table().assign(replace_by="mean")]
    for way in _OTHER_WAYS:
        view, seed = study.view.view(), study.seed
        other = ablation_effect(family.nets[net], family.data, layer, sets, replace_by=way, view=view, seed=seed)
        rows.append(other.table().assign(replace_by=way))
    table = pd.concat(rows, ignore_index=True)
    table.insert(0, "net", net)
    return table
