"""A study of pairs of nets: which units are the same?"""

import glob
import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ...batch import Inputs, Pictures
from ...errors import StudyError
from ...extraction import Lockstep
from ...files import replacing
from ...statistics import (
    Blocked,
    BlockedPlan,
    MinibatchHsicPlan,
    Moments,
    MomentsPlan,
    QuantilesPlan,
    TopInputs,
    TopInputsPlan,
    ZerosPlan,
)
from ...statistics.base import Plan
from ...units import LayerRef, LayerUnits
from ..kept import kept
from ..source import source_of
from ..subjects import Subject
from .crops import write_crops, write_filters
from .histogram_plans import histogram_plans
from .layer_tables import ladder_table, layer_matrix_tables, similarity_table
from .pair_tables import group_tables, information_table, map_tables
from .spec import PairsStudy
from .tables import METHODS, LayerPair, matches_table, units_table
from .unit_tables import universality_tables, verdicts_table

# Blocks to fit on and to score on; the ladder chooses its penalties on yet another one.
_BLOCKS_NEEDED = {"sparse_map": 2, "cluster_units": 2, "ladder": 3}
_log = logging.getLogger("convergent")


def carry_out(
    study: PairsStudy, source: Lockstep, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
) -> None:
    """Statistics, tables and crops, each left in the run folder and not made twice.

    Args:
        study: what to do.
        source: all nets on all inputs.
        subjects: the nets.
        inputs: the inputs.
        folder: the run folder.
    """
    statistics = kept(_first_plans(study, source.layers), source, folder / "statistics", name="first")
    pairs = _first_pair(study, source.layers)
    if "mutual_information" in study.measures and pairs:
        statistics |= _together(study, subjects, inputs, pairs, statistics["moments"].total, folder / "statistics")
    _tables(study, statistics, pairs, folder)
    _crops(study, statistics["top_inputs"], subjects, inputs, folder)


def check(study: PairsStudy, layers: Sequence[LayerUnits]) -> None:
    """Make sure that there is something to compare.

    Raises:
        StudyError: if no two nets have a layer of the same name.
    """
    if not _pairs(study, layers):
        found = ", ".join(sorted({layer.ref.layer for layer in layers}))
        raise StudyError(
            f"Cannot compare the nets of '{study.name}'. No two have a layer of the same name among {found}. "
            "Choose layers that they share, or wrap the nets so that their layers are named alike."
        )


def _together(
    study: PairsStudy,
    subjects: Mapping[str, Subject],
    inputs: Inputs,
    pairs: Sequence[LayerPair],
    moments: Moments,
    folder: Path,
) -> dict[str, Any]:
    """How the units of the first two nets are distributed together: one pass for bin edges, one that counts."""
    pair = {name: subjects[name] for name in list(study.nets)[:2]}
    layers = [glob.escape(a.layer) for a, _ in pairs]
    source = source_of(study, pair, inputs, layers=dict.fromkeys(pair, layers))
    quantiles = kept({"quantiles": QuantilesPlan()}, source, folder, name="second")["quantiles"]
    plans = histogram_plans(quantiles, moments, pairs, n_bins=study.bins)
    return kept(plans, source, folder, name="third") if plans else {}


def _first_plans(study: PairsStudy, layers: Sequence[LayerUnits]) -> dict[str, Plan]:
    plans: dict[str, Plan] = {
        "moments": BlockedPlan(
            MomentsPlan(_pairs(study, layers), norms="similarity" in study.measures, n_rolls=study.rolls),
            study.blocks,
        ),
        "zeros": ZerosPlan(),
        "top_inputs": TopInputsPlan(study.top_inputs),
    }
    return plans | ({"layers": MinibatchHsicPlan()} if "similarity" in study.measures else {})


def _pairs(study: PairsStudy, layers: Sequence[LayerUnits]) -> list[tuple[str, str]]:
    """Layers of equal name: trained nets with trained ones, untrained ones with untrained ones."""
    groups = (set(study.nets), set(study.controls))
    return [
        (str(a.ref), str(b.ref))
        for a, b in combinations(layers, 2)
        if a.ref.layer == b.ref.layer and any({a.ref.net, b.ref.net} <= group for group in groups)
    ]


def _first_pair(study: PairsStudy, layers: Sequence[LayerUnits]) -> list[LayerPair]:
    """The layers of equal name of the first two nets: those that are looked at closely."""
    a, b = list(study.nets)[:2]
    pairs = [(LayerRef.of(x), LayerRef.of(y)) for x, y in _pairs(study, layers)]
    return [(x, y) for x, y in pairs if (x.net, y.net) == (a, b)]


def _tables(study: PairsStudy, statistics: Mapping[str, Any], pairs: Sequence[LayerPair], folder: Path) -> None:
    blocked: Blocked[Moments] = statistics["moments"]
    untrained_names = list(study.controls)
    matchings = [name for name in METHODS if name in study.measures]
    tables = {
        "units": units_table(blocked.total, statistics["zeros"], untrained=untrained_names),
        "matches": matches_table(blocked, methods=matchings, untrained=untrained_names),
    }
    if "histograms" in statistics:
        tables["information"] = information_table(statistics["histograms"], blocked.total)
    asked = _held_out_measures(study, blocked) if pairs else set()
    if "sparse_map" in asked:
        tables |= map_tables(blocked, pairs)
    if "cluster_units" in asked:
        tables |= group_tables(blocked, pairs)
    if "ladder" in asked:
        tables["ladder"] = ladder_table(blocked, pairs)
    if "similarity" in study.measures:
        tables["similarity"] = similarity_table(blocked, closely=pairs, untrained=untrained_names)
        tables |= layer_matrix_tables(statistics["layers"])
    if "universality" in study.measures:
        tables |= universality_tables(blocked.total, list(study.nets))
    tables["verdicts"] = verdicts_table(tables, blocked.total, list(study.nets), method=matchings[0])
    for name, table in tables.items():
        with replacing(folder / "tables" / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)


def _held_out_measures(study: PairsStudy, blocked: Blocked[Moments]) -> set[str]:
    """Those asked for that hold out blocks, as far as there are blocks enough."""
    n_blocks = sum(block.n_inputs > 0 for block in blocked.blocks)
    asked = [name for name in _BLOCKS_NEEDED if name in study.measures]
    for name in asked:
        if n_blocks < (needed := _BLOCKS_NEEDED[name]):
            _log.warning(
                "%s is left out: it holds out blocks in turn, needs %d of them, and %d have inputs.",
                name,
                needed,
                n_blocks,
            )
    return {name for name in asked if n_blocks >= _BLOCKS_NEEDED[name]}


def _crops(
    study: PairsStudy, top_inputs: TopInputs, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
) -> None:
    shape = tuple(inputs[0].tensor.shape)
    if not isinstance(inputs, Pictures) or len(shape) != 3:
        _log.info("These inputs cannot be shown as pictures; the report shows numbers only.")
        return
    nets = {name: subjects[name].net for name in study.nets}
    ids = np.asarray(inputs.ids).tolist()
    pair = list(nets)[:2]  # the nets whose units are shown with what comes back from them
    for names, projected in ((pair, inputs), ([name for name in nets if name not in pair], None)):
        write_crops(
            folder / "crops",
            top_inputs,
            {name: nets[name] for name in names},
            inputs,
            ids,
            input_shape=shape,
            view=study.view.view(),
            inputs=projected,
            method=study.projection,
        )
    write_filters(folder / "filters", nets)
