"""What a study of depth claims: who agrees more, does agreement fall with depth, do depths correspond?"""

from collections.abc import Callable, Iterator
from itertools import combinations, product

import numpy as np
import pandas as pd

from ...measures import Estimate, contrast
from ..claims import Claim, claim
from .along import AT_WIDTH, mean_over_layers, over_nets

_UNITS, _AT_WIDTH, _LAYERS = "one_to_one", f"one_to_one{AT_WIDTH}", "cka"
_HOW = {_UNITS: "unit by unit", _AT_WIDTH: "unit by unit at equal width", _LAYERS: "as whole layers"}
_SAID = {
    _UNITS: "mean r of one-to-one partners above chance, held out",
    _AT_WIDTH: "the same of as many units of each layer",
    _LAYERS: "mean debiased CKA",
}


def claims(families: pd.DataFrame, along: pd.DataFrame, matrix: pd.DataFrame) -> list[Claim]:
    """Every claim that the tables can decide.

    Args:
        families: what `families_table` gives.
        along: what `along_table` gives.
        matrix: what `layer_matrix_table` gives.
    """
    return [
        *_deeper_families(families, along),
        *_deeper_layers(families, along),
        *_learned(families, along),
        *_depths_correspond(families, matrix),
    ]


def _deeper_families(families: pd.DataFrame, along: pd.DataFrame) -> Iterator[Claim]:
    """Every two families: all units favour wide layers, equal width favours narrow ones, and CKA is of layers."""
    order = families.sort_values("n_weight_layers", kind="stable")["family"]
    for measure, how in _HOW.items():
        means = {family: _mean_over_layers(along, family, measure) for family in order}
        for shallow, deep in combinations(order, 2):
            depths = families.set_index("family")["n_weight_layers"]
            yield claim(
                f"Two {deep} nets ({depths[deep]} layers) are less alike than two {shallow} nets "
                f"({depths[shallow]}), {how}.",
                f"{_SAID[measure]}, {shallow} minus {deep}",
                contrast([means[shallow], means[deep]], [1, -1]),
            )


def _deeper_layers(families: pd.DataFrame, along: pd.DataFrame) -> Iterator[Claim]:
    for family, measure in product(families["family"], (_UNITS, _AT_WIDTH)):
        rows = _of(along, family, measure)
        slopes = _per_pair(rows, lambda own: -_slope(own["depth"], own["calibrated"]))
        yield claim(
            f"{family} nets agree less the deeper a layer lies, {_HOW[measure]}.",
            f"fall from the first layer to the last, by a straight line: {_SAID[measure]}",
            over_nets(slopes, "value") if len(slopes) else None,
        )


def _learned(families: pd.DataFrame, along: pd.DataFrame) -> Iterator[Claim]:
    for family in families["family"] if not along["trained"].all() else ():
        for measure in (_UNITS, _LAYERS):
            trained, untrained = (
                _mean_over_layers(along, family, measure, trained=trained) for trained in (True, False)
            )
            yield claim(
                f"Training makes {family} nets more alike than they start, {_HOW[measure]}.",
                f"{_SAID[measure]}, trained minus untrained",
                contrast([trained, untrained], [1, -1]),
            )


def _depths_correspond(families: pd.DataFrame, matrix: pd.DataFrame) -> Iterator[Claim]:
    for a, b in combinations(families["family"], 2):
        rows = matrix[(matrix["family_a"] == a) & (matrix["family_b"] == b)]
        found = _per_pair(rows, _correspondence)
        yield claim(
            f"Layers of {a} and {b} correspond by relative depth.",
            "correlation of a layer's depth with that of the most similar layer (CKA) of the other net",
            over_nets(found, "value"),
        )


def _mean_over_layers(along: pd.DataFrame, family: str, measure: str, *, trained: bool = True) -> Estimate:
    return mean_over_layers(_of(along, family, measure, trained=trained))


def _of(along: pd.DataFrame, family: str, measure: str, *, trained: bool = True) -> pd.DataFrame:
    chosen = (along["family"] == family) & (along["measure"] == measure) & (along["trained"] == trained)
    return along[chosen].dropna(subset=["calibrated"])


def _per_pair(rows: pd.DataFrame, number: Callable[[pd.DataFrame], float]) -> pd.DataFrame:
    """One row a pair of nets: net_a, net_b, value."""
    found = [(*nets, number(own)) for nets, own in rows.groupby(["net_a", "net_b"], sort=False)]
    return pd.DataFrame(found, columns=["net_a", "net_b", "value"])


def _slope(x: pd.Series, y: pd.Series) -> float:
    return float(np.polyfit(x, y, 1)[0]) if x.nunique() > 1 else float("nan")


def _correspondence(rows: pd.DataFrame) -> float:
    """Both directions together: the depth of each layer of either net, and that of its most similar layer."""
    nearest = [
        rows.loc[rows.groupby(layer)["cka"].idxmax(), [own, other]].set_axis(["own", "other"], axis=1)
        for layer, own, other in (("layer_a", "depth_a", "depth_b"), ("layer_b", "depth_b", "depth_a"))
    ]
    both = pd.concat(nearest)
    varied = both.nunique().min() > 1
    return float(np.corrcoef(both["own"], both["other"])[0, 1]) if varied else float("nan")
