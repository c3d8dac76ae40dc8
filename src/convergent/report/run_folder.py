"""Reading a run folder: tables, moments, pictures of units, provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .._typing import Array, UInt8
from ..errors import StudyError
from ..statistics import Blocked, Histograms, Moments, PairMoments, load
from ..units import LayerRef
from .crops import Crops
from .run_files import MAKE, check_run, file_of, read_json, read_table, said

_UNIT_COLUMNS = ("net", "layer", "index", "mean", "dead", "trained")
_MATCH_COLUMNS = (
    *("layer", "net_a", "unit_a", "net_b", "trained"),
    *("best_partner", "best_r", "best_r_held_out"),
    *("one_to_one_partner", "one_to_one_r", "one_to_one_r_held_out"),
)
_PAIR = ("layer", "net_a", "net_b")
_OPTIONAL: Mapping[str, Sequence[str]] = {
    "information": (*_PAIR, "unit_a", "information_partner", "information", "information_r", "best_r"),
    "targets": (*_PAIR, "unit_b", "verdict", "r2_held_out", "ridge_r2_held_out", "n_for_90"),
    "paths": (*_PAIR, "solver", "penalty", "loss", "n_contributors"),
    "clusters": (*_PAIR, "cluster", "between", "within", "between_random"),
    "groups": (*_PAIR, "n_clusters", "angle", "angle_random", "shared", "shared_random"),
    "ladder": (*_PAIR, "rung", "r2", "r2_held_out", "r2_low", "r2_high", "chance_r2", "share_of_linear"),
    "similarity": (*_PAIR, "trained", "measure", "value", "chance"),
    "layer_matrix": ("net_a", "layer_a", "net_b", "layer_b", "cka"),
    "universality": ("layer", "n_nets", "n_units", "rotated", "n_dead"),
}


@dataclass(frozen=True, eq=False)
class Run:
    """What a study left in its folder.

    Attributes:
        path: the folder.
        name: name of the study, or of the folder where it has none.
        study: the resolved study file, verbatim.
        provenance: versions, hashes, seeds, accuracies.
        units: one row a unit of a net.
        matches: one row a unit of a net and another net, with its partners there.
        moments: second moments, block by block.
        crops: pictures of units, or None where the inputs are not pictures.
        information: one row a unit of the first net, with its best partner by mutual information; None, here and
            below, where the study did not ask for it.
        densities: joint histograms of a few pairs of units.
        targets: one row a unit that others predict, and a direction.
        paths: one row a penalty of a few-to-one map.
        clusters: one row a cluster of units.
        groups: one row a layer: what its clusters and merges come to.
        ladder: one row a layer and rung, from the same index to any linear map.
        similarity: one row a layer, pair of nets and measure of whole layers.
        layer_matrix: one row a layer of a net and a layer of a net: their similarity.
        universality: one row a layer and number of nets: how many units so many nets have.
    """

    path: Path
    name: str
    study: str
    provenance: Mapping[str, Any]
    units: pd.DataFrame
    matches: pd.DataFrame
    moments: Blocked[Moments]
    crops: Crops | None
    information: pd.DataFrame | None = None
    densities: Histograms | None = None
    targets: pd.DataFrame | None = None
    paths: pd.DataFrame | None = None
    clusters: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    ladder: pd.DataFrame | None = None
    similarity: pd.DataFrame | None = None
    layer_matrix: pd.DataFrame | None = None
    universality: pd.DataFrame | None = None

    @property
    def projection(self) -> str:
        """How what comes back from a unit was computed."""
        return said(self.study, "projection") or "deconvnet"

    @property
    def layers(self) -> list[str]:
        """Layers that were matched, in the order of the units table."""
        matched = set(self.matches["layer"])
        return [layer for layer in self.units["layer"].unique() if layer in matched]

    @property
    def nets(self) -> list[str]:
        """The nets under comparison: those that are trained, or all where none is."""
        trained = self.units[self.units["trained"]]
        return list((trained if len(trained) else self.units)["net"].unique())

    @property
    def untrained(self) -> list[str]:
        """Nets with random weights beside the nets under comparison."""
        return [net for net in self.units["net"].unique() if net not in self.nets]

    @property
    def compared(self) -> pd.DataFrame:
        """The matches among these nets."""
        return self.matches[self.matches["net_a"].isin(self.nets) & self.matches["net_b"].isin(self.nets)]

    @property
    def first_pair(self) -> tuple[str, str]:
        """The pair of nets that single-pair figures show."""
        first = self.compared.iloc[0]
        return str(first["net_a"]), str(first["net_b"])

    @property
    def pair_layers(self) -> list[str]:
        """The layers that both nets of the first pair have."""
        shared = set(self.pair_matches()["layer"])
        return [layer for layer in self.layers if layer in shared]

    def of_first_pair(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of the first pair of nets, in this direction."""
        a, b = self.first_pair
        return table[(table["net_a"] == a) & (table["net_b"] == b)]

    def pair_matches(self) -> pd.DataFrame:
        """The matches of the first pair of nets, in this direction."""
        return self.of_first_pair(self.matches)

    def pair_moments(self, layer: str) -> PairMoments:
        """The moments of a layer of the first pair of nets."""
        a, b = (LayerRef(net, layer) for net in self.first_pair)
        return Blocked(tuple(block.only(a, b) for block in self.moments.blocks)).total.pair(a, b)

    @property
    def has_best(self) -> bool:
        """Whether the study made the semi-matching, which several figures are about."""
        return bool((self.matches["best_partner"] >= 0).any())

    def tiles(self, net: str, layer: str) -> UInt8[Array, "units k height width 3"] | None:
        """Pictures of every unit of a layer, or None where there are none."""
        return self.crops.tiles(net, layer, n_units=self._n_units(net, layer)) if self.crops else None

    def all_tiles(self, layer: str) -> dict[str, UInt8[Array, "units k height width 3"]]:
        """Pictures of every unit of a layer, for each net under comparison that has some."""
        nets = self.units.loc[(self.units["layer"] == layer) & self.units["net"].isin(self.nets), "net"].unique()
        return {net: found for net in nets if (found := self.tiles(net, layer)) is not None}

    def projections(self, net: str, layer: str) -> UInt8[Array, "units k height width 3"] | None:
        """What of its strongest inputs excites every unit of a layer, or None where there is none."""
        return self.crops.projections(net, layer, n_units=self._n_units(net, layer)) if self.crops else None

    def _n_units(self, net: str, layer: str) -> int:
        return int(((self.units["net"] == net) & (self.units["layer"] == layer)).sum())


def load_run(path: str | Path) -> Run:
    """Read a run folder.

    Args:
        path: the folder that `convergent run` wrote.

    Raises:
        StudyError: if the folder or a file of it is missing or damaged, or fewer than two nets were matched.
    """
    path = Path(path)
    check_run(path)
    study = file_of(path, "study.yaml").read_text(encoding="utf-8")
    units = read_table(path, "tables/units.parquet", _UNIT_COLUMNS)
    matches = read_table(path, "tables/matches.parquet", _MATCH_COLUMNS)
    _check_pair(path, units, matches)
    return Run(
        path=path,
        name=said(study, "name") or path.resolve().name,
        study=study,
        provenance=read_json(path, "provenance.json"),
        units=units,
        matches=matches,
        moments=_moments(path),
        crops=_crops(path),
        densities=_densities(path),
        **{name: _optional(path, name, columns) for name, columns in _OPTIONAL.items()},
    )


def _moments(run: Path) -> Blocked[Moments]:
    found = load(file_of(run, name := "statistics/moments.safetensors"))
    if not isinstance(found, Blocked) or not isinstance(found.blocks[0], Moments):
        raise _other_kind(run, name, "moments in blocks")
    return found


def _densities(run: Path) -> Histograms | None:
    if not (run / (name := "statistics/densities.safetensors")).is_file():
        return None
    found = load(run / name)
    if not isinstance(found, Histograms):
        raise _other_kind(run, name, "histograms")
    return found


def _other_kind(run: Path, name: str, wanted: str) -> StudyError:
    return StudyError(
        f"Asked for a report on '{run}'. Its '{name}' does not hold {wanted} but another statistic. "
        f"Remove that file. {MAKE}"
    )


def _optional(run: Path, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
    file = f"tables/{name}.parquet"
    return read_table(run, file, columns) if (run / file).is_file() else None


def _check_pair(run: Path, units: pd.DataFrame, matches: pd.DataFrame) -> None:
    if units["net"].nunique() < 2 or matches.empty:
        raise StudyError(
            f"Asked for a report on '{run}'. Its tables hold {units['net'].nunique()} nets and {len(matches)} "
            "matched units. Name at least two nets and a layer they share in the study, and run it again."
        )


def _crops(run: Path) -> Crops | None:
    if not (run / "crops/index.json").is_file():
        return None
    k = read_json(run, "crops/index.json").get("k")
    if not isinstance(k, int) or k < 1:
        raise StudyError(
            f"Asked for a report on '{run}'. Its 'crops/index.json' does not say how many pictures a unit has "
            f"(k is {k!r}). Remove the folder 'crops'. {MAKE}"
        )
    return Crops(run / "crops", k)
