"""Whole layers as tables: the ladder of invariances, layer-level similarities, every layer with every layer."""

import logging
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from ..._typing import Array
from ...errors import InvalidArgumentError
from ...measures import (
    cca,
    chance,
    effective_dimension,
    jackknife,
    ladder,
    linear_cka,
    permutation_distance,
    procrustes,
    pwcca,
    shape_distance,
    soft_matching,
    svcca,
)
from ...statistics import Blocked, BlockedPair, MinibatchHsic, Moments, PairMoments
from ...threads import map_in_threads
from .tables import LayerPair, layer_pairs, map_widest_first, with_names

_log = logging.getLogger("convergent")

# Of locations x units: the samples are those that units are matched on.
SIMILARITIES: Mapping[str, Callable[[PairMoments], float]] = {
    "cka_debiased": lambda pair: linear_cka(pair, estimator="debiased"),
    "cka_biased": lambda pair: linear_cka(pair, estimator="biased"),
    "cca": lambda pair: cca(pair).mean,
    "svcca": lambda pair: svcca(pair).mean,
    "pwcca": lambda pair: pwcca(pair).mean,
    "procrustes": lambda pair: procrustes(pair).similarity,
    "procrustes_angular_distance": lambda pair: procrustes(pair).angular_distance,
    "cca_angular_distance": lambda pair: shape_distance(pair, alpha=0.0),
    "permutation_angular_distance": lambda pair: permutation_distance(pair),
    "soft_matching": lambda pair: soft_matching(pair).score,
    "effective_dimension": lambda pair: effective_dimension(pair).a,
}


def ladder_table(blocked: Blocked[Moments], pairs: Sequence[LayerPair]) -> pd.DataFrame:
    """One row a layer and rung, units of the second net predicted from the first; see `Ladder.table`."""
    several = [BlockedPair.of(blocked, a, b) for a, b in pairs]
    tables = map_widest_first(lambda one: with_names(ladder(one).table(), one.a, one.b), several)
    return pd.concat(tables, ignore_index=True)


def similarity_table(
    blocked: Blocked[Moments], *, closely: Sequence[LayerPair] = (), untrained: Sequence[str] = ()
) -> pd.DataFrame:
    """One row two nets' layers of equal name and measure: value, interval, chance (rolled inputs).

    Columns: layer, net_a, net_b, trained, measure, value, low, high, chance, n_inputs, n_samples. A measure that
    cannot be taken of a layer, for too few samples, is left out there.

    Args:
        blocked: moments in blocks.
        closely: pairs that get intervals and chance levels, which take 15 times as long; others have NaN.
        untrained: names of untrained nets.
    """
    pairs = layer_pairs(blocked.blocks[0])
    tables = map_in_threads(
        lambda pair: _similarities(BlockedPair.of(blocked, *pair), closely=pair in closely), pairs
    )
    return pd.concat(
        [table.assign(trained=a.net not in untrained) for (a, _), table in zip(pairs, tables, strict=True)],
        ignore_index=True,
    )


def _similarities(pair: BlockedPair, *, closely: bool) -> pd.DataFrame:
    rows = []
    pair = pair.with_folds() if closely else pair
    for name, measure in SIMILARITIES.items():
        try:
            rows.append({"measure": name} | _measured(pair, measure, closely=closely))
        except InvalidArgumentError as error:
            _log.warning("No %s of '%s' with '%s': %s", name, pair.a, pair.b, error)
    counts = {"n_inputs": pair.total.n_inputs, "n_samples": pair.total.n_samples}
    table = pd.DataFrame(rows, columns=["measure", "value", "low", "high", "chance"])
    return with_names(table.assign(**counts), pair.a, pair.b)


def _measured(
    pair: BlockedPair, measure: Callable[[PairMoments], float], *, closely: bool
) -> dict[str, float | Array]:
    if not closely or pair.n_blocks < 2:
        return {"value": measure(pair.total)}
    found = jackknife(pair, measure)
    between = measure is not SIMILARITIES["effective_dimension"]  # which is of the first layer alone
    by_chance = chance(pair, measure).mean if pair.rolled and between else float("nan")
    return {"value": found.value, "low": found.low, "high": found.high, "chance": by_chance}


def layer_matrix_tables(hsic: MinibatchHsic) -> dict[str, pd.DataFrame]:
    """`layer_matrix`, one row two layers, of any nets: debiased CKA of flattened features, by batches.

    Columns: net_a, layer_a, net_b, layer_b, cka. Nothing where no batch had the four inputs that takes.
    """
    if not hsic.n_batches:
        _log.warning("No layer_matrix: debiased CKA needs batches of 4 inputs. Raise batch_size, or give more.")
        return {}
    refs, values = [layer.ref for layer in hsic.layers], hsic.cka()
    rows = [(a.net, a.layer, b.net, b.layer, values[i, j]) for i, a in enumerate(refs) for j, b in enumerate(refs)]
    return {"layer_matrix": pd.DataFrame(rows, columns=["net_a", "layer_a", "net_b", "layer_b", "cka"])}
