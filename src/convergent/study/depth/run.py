"""A study of convergence against depth and family."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path

from ...batch import Inputs
from ...extraction import Lockstep, View
from ...statistics import Blocked, BlockedPlan, MinibatchHsicPlan, Moments, MomentsPlan
from ...statistics.base import Plan
from ...statistics.pairing import Pair
from ...units import LayerRef, LayerUnits
from ..claims import claims_table
from ..kept import kept
from ..source import source_of
from ..subjects import Subject
from ..written import written
from .across import across_table, layer_matrix_table
from .along import along_table, convergence_table, means_table
from .claims import claims
from .places import families_table, places_table
from .spec import DepthStudy


def check(study: DepthStudy, layers: Sequence[LayerUnits]) -> None:
    """Nothing to refuse: the nets of a family have the same layers, since one factory builds them."""


def carry_out(
    study: DepthStudy, source: Lockstep, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
) -> None:
    """Statistics and tables, each left in the run folder and not made twice.

    Args:
        study: what to do.
        source: all nets on all inputs.
        subjects: the nets.
        inputs: the inputs.
        folder: the run folder.
    """
    pairs = _pairs(study, source.layers)
    plans: dict[str, Plan] = {
        "moments": BlockedPlan(MomentsPlan(pairs, n_rolls=1), study.blocks),
        "layers": MinibatchHsicPlan(),
    }
    found = kept(plans, source, folder / "statistics", name="first")
    hsic, tables = found["layers"], folder / "tables"
    places = written(tables / "places.parquet", lambda: places_table(study, source.layers))
    along = written(tables / "along.parquet", lambda: along_table(study, places, found["moments"], hsic))
    written(tables / "convergence.parquet", lambda: convergence_table(along))
    written(tables / "means.parquet", lambda: means_table(along))
    families = written(tables / "families.parquet", lambda: families_table(study, places, subjects))
    matrix = written(tables / "layer_matrix.parquet", lambda: layer_matrix_table(study, places, hsic))
    if len(study.families) > 1:
        moments = _moments_across(study, subjects, inputs, folder / "statistics")
        written(tables / "across.parquet", lambda: across_table(study, places, moments))
    written(tables / "claims.parquet", lambda: claims_table(claims(families, along, matrix)))


def _pairs(study: DepthStudy, layers: Sequence[LayerUnits]) -> list[Pair]:
    """Nets of one family, trained ones and untrained ones apart, in layers of equal name."""
    refs: dict[tuple[str, bool, str], list[LayerRef]] = {}
    for layer in layers:
        net, name = layer.ref.net, layer.ref.layer
        refs.setdefault((study.family_of[net], net in study.members, name), []).append(layer.ref)
    return [pair for same in refs.values() for pair in combinations(same, 2)]


def _moments_across(
    study: DepthStudy, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
) -> Blocked[Moments]:
    """Of the first net of each family with those of the others, every layer with every layer.

    Layers of different nets have different locations: each unit's mean over them is what they share.
    """
    firsts = {family: study.nets_of(family)[0] for family in study.families}
    chosen = {net: subjects[net] for net in firsts.values()}
    source = source_of(study, chosen, inputs, view=View(units=study.view.units, locations="mean"))
    pairs = [(a.ref, b.ref) for a, b in product(source.layers, repeat=2) if _before(a.ref, b.ref, list(chosen))]
    plans = {"across": BlockedPlan(MomentsPlan(pairs, n_rolls=1), study.blocks)}
    found: Blocked[Moments] = kept(plans, source, folder, name="second")["across"]
    return found


def _before(a: LayerRef, b: LayerRef, nets: Sequence[str]) -> bool:
    return nets.index(a.net) < nets.index(b.net)
