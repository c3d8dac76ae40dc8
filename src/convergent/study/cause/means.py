"""Numbers of nets, or of pairs of nets, and their mean with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...measures import Estimate, leave_one_net_out

LEVEL = 0.95
_FEWEST_NETS = 3
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Numbers:
    """Numbers of nets, or of pairs of nets: several rows of one may stand for its layers.

    Attributes:
        values: columns net_a, net_b (equal for numbers of single nets), value, and reach: half the width of its
            interval over inputs.
    """

    values: pd.DataFrame

    def estimate(self) -> tuple[Estimate | None, str]:
        """The mean, its interval, and over what it is: other nets, or, of fewer than three, other inputs.

        Over inputs the half-widths are averaged, as if all numbers rose and fell together: the widest it can be.
        """
        known = self.values.dropna(subset=["value"])
        if known.empty:
            return None, ""
        by_pair = known.groupby(["net_a", "net_b"], sort=False)["value"].mean()
        if len({net for pair in by_pair.index for net in pair}) >= _FEWEST_NETS:
            return leave_one_net_out(by_pair.to_numpy(), list(by_pair.index), level=LEVEL), "over nets"
        value, reach = float(by_pair.mean()), float(known["reach"].mean())
        return Estimate(value, np.nan, value - reach, value + reach, LEVEL, 1, None, None), "over inputs"


def numbers(rows: pd.DataFrame, value: pd.Series, reach: pd.Series) -> Numbers:
    """Numbers with the nets that the rows of a table are of.

    Args:
        rows: with the columns net, or net_a and net_b.
        value: one a row.
        reach: half-widths of their intervals over inputs.
    """
    a, b = ("net_a", "net_b") if "net_a" in rows else ("net", "net")
    return Numbers(pd.DataFrame({"net_a": rows[a], "net_b": rows[b], "value": value, "reach": reach}))


def half(rows: pd.DataFrame, name: str) -> pd.Series:
    """Half-widths of the intervals of a column."""
    return (rows[f"{name}_high"] - rows[f"{name}_low"]) / 2


def means_tables(tables: Tables) -> dict[str, pd.DataFrame]:
    """What figures show: means over the nets of a family, `NAME_means` of the tables that are there.

    Columns: those that tell rows apart; NAME, NAME_low, NAME_high of each number; over, what intervals are over;
    and plain means of what needs no interval.
    """
    found = {}
    for name, table in tables.items():
        if name in _MEANS and len(table):
            found[f"{name}_means"] = _means(_of_ways(table) if name == "combining" else table, *_MEANS[name])
    return found


def _means(
    table: pd.DataFrame, keys: Sequence[str], values: Mapping[str, str], plain: Sequence[str] = ()
) -> pd.DataFrame:
    read = [*values, *(f"{column}{end}" for column in values.values() for end in ("_low", "_high")), *plain]
    missing = [column for column in read if column not in table]  # of experiments that were not made
    groups = table.assign(**dict.fromkeys(missing, np.nan)).groupby(list(keys), sort=False)
    rows = [
        dict(zip(keys, key, strict=True)) | _row(some, values) | some[list(plain)].mean().to_dict()
        for key, some in groups
    ]
    return pd.DataFrame(rows)


def _of_ways(combining: pd.DataFrame) -> pd.DataFrame:
    """Without the single nets, which are told elsewhere."""
    single = (combining["way"] == combining["net_a"]) | (combining["way"] == combining["net_b"])
    return combining[~single]


def _row(rows: pd.DataFrame, values: Mapping[str, str]) -> dict[str, float | str]:
    row: dict[str, float | str] = {"over": ""}
    for name, column in values.items():
        estimate, over = numbers(rows, rows[name], half(rows, column)).estimate()
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), _three(estimate), strict=True))
        row["over"] = over or row["over"]
    return row


def _three(found: Estimate | None) -> Iterator[float]:
    yield from (np.nan,) * 3 if found is None else (float(x) for x in (found.value, found.low, found.high))


def _own(*names: str) -> Mapping[str, str]:
    """Numbers whose intervals stand beside them."""
    return {name: name for name in names}


_EFFECTS = ("loss_change", "loss_difference", "accuracy_change", "accuracy_difference")
_GAINS = ("accuracy_gain", "loss_saved", "over_random_loss_saved", "over_random_accuracy_gain")
_COSTS = ("accuracy", "loss", "n_parameters", "n_multiply_adds")
# By table: the columns that tell rows apart, numbers with the columns whose intervals are theirs, plain numbers.
_MEANS: Mapping[str, tuple[Sequence[str], Mapping[str, str], Sequence[str]]] = {
    "ablation": (("family", "layer", "set"), _own(*_EFFECTS), ("n_units", "n_unique", "mean_r", "imbalance")),
    "curves": (("family", "layer", "order", "share"), {"loss": "loss_change", "accuracy": "accuracy_change"}, ()),
    "by_class": (
        ("family", "layer", "set", "label"),
        {},
        ("loss_change", "accuracy_change", "matched_loss_change", "matched_accuracy_change"),
    ),
    "replaced": (("family", "layer", "set", "replace_by"), _own("loss_change", "accuracy_change"), ()),
    "carried": (("family", "layer", "set", "of"), _own("difference", "carried", "carried_by_matched"), ()),
    "transplant": (("family", "layer", "units_are"), _own("loss_recovered", "accuracy_change"), ("same_choice",)),
    "disagreement": (
        ("family", "layer", "group"),
        _own("margin_change"),
        ("n_units", "n_disagree", "to_b", "lost"),
    ),
    "merging": (("family", "matched", "mended", "weight"), _own("loss", "accuracy", "excess", "barrier"), ()),
    "zipped": (("family", "width"), _own("accuracy_gain"), _COSTS),
    "combining": (("family", "way"), _own(*_GAINS), (*_COSTS, "n_units")),
}
