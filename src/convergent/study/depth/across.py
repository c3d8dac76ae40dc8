"""How alike the layers of nets of different families are, depth against depth."""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from ...measures import match_one_to_one
from ...progress import bar
from ...statistics import Blocked, BlockedPair, MinibatchHsic, Moments
from ...threads import map_in_threads
from ...units import LayerRef
from .along import held_out_mean
from .spec import DepthStudy


def layer_matrix_table(study: DepthStudy, places: pd.DataFrame, hsic: MinibatchHsic) -> pd.DataFrame:
    """One row two trained nets, and a layer of each: debiased CKA of flattened features, by batches.

    Columns: family_a, net_a, layer_a, depth_a, family_b, net_b, layer_b, depth_b, cka. Families in the order of
    the study, nets of one family with each other too; each two nets once.

    Args:
        study: names the nets.
        places: what `places_table` gives.
        hsic: of all layers of all nets.
    """
    cka, index = hsic.cka(), {layer.ref: i for i, layer in enumerate(hsic.layers)}
    nets = list(study.members)
    rows = [
        (family_a, a, layer_a, depth_a, family_b, b, layer_b, depth_b, float(cka[index[i], index[j]]))
        for k, a in enumerate(nets)
        for b in nets[k + 1 :]
        for (family_a, layer_a, depth_a), (family_b, layer_b, depth_b) in _layers_of(study, places, a, b)
        for i, j in [(LayerRef(a, layer_a), LayerRef(b, layer_b))]
    ]
    columns = [f"{name}_{side}" for side in "ab" for name in ("family", "net", "layer", "depth")]
    return pd.DataFrame(rows, columns=[*columns, "cka"])


def across_table(study: DepthStudy, places: pd.DataFrame, blocked: Blocked[Moments]) -> pd.DataFrame:
    """One row a layer of a family and one of another: do units have partners there? First net of each family.

    Columns: family_a, layer_a, depth_a, family_b, layer_b, depth_b, r (mean one-to-one correlation over units of
    the narrower layer, held out, of each unit's mean over locations), chance (inputs of b rolled).

    Args:
        study: names the families.
        places: what `places_table` gives.
        blocked: moments of the first nets, every layer with every layer, in blocks.
    """
    firsts = {family: study.nets_of(family)[0] for family in study.families}
    families = list(firsts)
    pairs = [
        (one, other)
        for k, a in enumerate(families)
        for b in families[k + 1 :]
        for one, other in _layers_of(study, places, firsts[a], firsts[b])
    ]
    with bar("Matching layers across families", total=len(pairs)) as progress:

        def measured(sides: tuple[_Layer, _Layer]) -> tuple[float, float]:
            a, b = (LayerRef(firsts[family], layer) for family, layer, _ in sides)
            pair = BlockedPair.of(blocked, a, b)
            progress.advance()
            return held_out_mean(pair, match_one_to_one), held_out_mean(pair.rolled[0], match_one_to_one)

        found = map_in_threads(measured, pairs)
    rows = [(*one, *other, *scores) for (one, other), scores in zip(pairs, found, strict=True)]
    columns = [f"{name}_{side}" for side in "ab" for name in ("family", "layer", "depth")]
    return pd.DataFrame(rows, columns=[*columns, "r", "chance"])


_Layer = tuple[str, str, float]


def _layers_of(study: DepthStudy, places: pd.DataFrame, *nets: str) -> Sequence[tuple[_Layer, ...]]:
    """Every layer of one net with every layer of the other: family, layer, depth."""
    of_nets = [places[places["family"] == study.family_of[net]] for net in nets]
    named = (one[["family", "layer", "depth"]].itertuples(index=False, name=None) for one in of_nets)
    return list(product(*named))
