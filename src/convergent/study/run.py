"""Running a study: named steps, each of which leaves its result in the run folder and is not done twice."""

import glob
import json
import logging
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..batch import Inputs, Pictures
from ..data import HubImages, ImageFolder, PhotoDigits
from ..errors import StudyError
from ..extraction import Lockstep
from ..files import replacing
from ..statistics import (
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
from ..statistics.base import Plan
from ..units import LayerRef, LayerUnits
from .crops import write_crops, write_filters
from .histogram_plans import histogram_plans
from .kept import kept
from .layer_tables import ladder_table, layer_matrix_tables, similarity_table
from .ownership import check_folder, claim
from .pair_tables import group_tables, information_table, map_tables
from .spec import FolderSpec, HubSpec, PhotoDigitsSpec, Study
from .subjects import Subject, build, train
from .tables import METHODS, LayerPair, matches_table, units_table
from .unit_tables import universality_tables, verdicts_table

# Blocks to fit on and to score on; the ladder chooses its penalties on yet another one.
_BLOCKS_NEEDED = {"sparse_map": 2, "cluster_units": 2, "ladder": 3}
_log = logging.getLogger("convergent")


def run_study(study: Study, folder: str | Path, *, resume: bool = False) -> Path:
    """Carry a study out: nets, statistics, tables and crops; everything but the pictures for people.

    Stopped at any moment, by Ctrl-C or by a power cut, it goes on with `resume=True` where it was and ends with
    the same tables, bit for bit where it has as many threads.

    Args:
        study: what to do.
        folder: the run folder.
        resume: go on with a run that is already in the folder.

    Returns:
        The run folder.

    Raises:
        StudyError: if the folder holds a run and `resume` is not given, or the run of another study.
        ConvergentError: whatever its steps raise.

    Example:
        >>> from convergent import demo_study
        >>> run_study(demo_study(), "runs/demo", resume=True)  # doctest: +SKIP
        PosixPath('runs/demo')
    """
    folder = Path(folder)
    check_folder(folder, study, resume=resume)
    subjects, inputs = build(study), _inputs(study)
    # Layers and inputs that do not fit are refused before anything is trained.
    _require_pairs(study, _source(study, subjects, inputs).layers)
    claim(folder, study)
    subjects = train(study, subjects, folder / "nets")
    source = _source(study, subjects, inputs)
    statistics = kept(_first_plans(study, source.layers), source, folder / "statistics", name="first")
    pairs = _first_pair(study, source.layers)
    if "mutual_information" in study.measures and pairs:
        statistics |= _together(study, subjects, inputs, pairs, statistics["moments"].total, folder / "statistics")
    _tables(study, statistics, pairs, folder)
    _crops(study, statistics["top_inputs"], subjects, inputs, folder)
    _provenance(study, source, subjects, inputs, folder)
    return folder


def _source(
    study: Study, subjects: Mapping[str, Subject], inputs: Inputs, *, layers: Sequence[str] | None = None
) -> Lockstep:
    return Lockstep(
        {name: subject.net for name, subject in subjects.items()},
        inputs,
        layers=study.layers if layers is None else layers,
        view=study.view.view(),
        batch_size=study.batch_size,
        weights={name: subject.weights for name, subject in subjects.items()},
    )


def _inputs(study: Study) -> Inputs:
    match study.data:
        case PhotoDigitsSpec(n=n):
            return PhotoDigits.probe(n)
        case FolderSpec(root=root, size=size, mean=mean, std=std):
            return ImageFolder(root, size=size, mean=mean, std=std)
        case HubSpec() as hub:
            return _hub_images(hub)


def _hub_images(hub: HubSpec) -> HubImages:
    shared = hub.model_dump(include={"size", "image", "label", "mean", "std"})
    if hub.path is not None:
        return HubImages.read(hub.path, split=hub.split, **shared)
    return HubImages.load(str(hub.name), split=str(hub.split), config=hub.config, revision=hub.revision, **shared)


def _together(
    study: Study,
    subjects: Mapping[str, Subject],
    inputs: Inputs,
    pairs: Sequence[LayerPair],
    moments: Moments,
    folder: Path,
) -> dict[str, Any]:
    """How the units of the first two nets are distributed together: one pass for bin edges, one that counts."""
    pair = {name: subjects[name] for name in list(study.nets)[:2]}
    source = _source(study, pair, inputs, layers=[glob.escape(a.layer) for a, _ in pairs])
    quantiles = kept({"quantiles": QuantilesPlan()}, source, folder, name="second")["quantiles"]
    plans = histogram_plans(quantiles, moments, pairs, n_bins=study.bins)
    return kept(plans, source, folder, name="third") if plans else {}


def _first_plans(study: Study, layers: Sequence[LayerUnits]) -> dict[str, Plan]:
    plans: dict[str, Plan] = {
        "moments": BlockedPlan(
            MomentsPlan(_pairs(study, layers), norms="similarity" in study.measures, n_rolls=study.rolls),
            study.blocks,
        ),
        "zeros": ZerosPlan(),
        "top_inputs": TopInputsPlan(study.top_inputs),
    }
    return plans | ({"layers": MinibatchHsicPlan()} if "similarity" in study.measures else {})


def _pairs(study: Study, layers: Sequence[LayerUnits]) -> list[tuple[str, str]]:
    """Layers of equal name: trained nets with trained ones, untrained ones with untrained ones."""
    groups = (set(study.nets), set(study.untrained_seeds))
    return [
        (str(a.ref), str(b.ref))
        for a, b in combinations(layers, 2)
        if a.ref.layer == b.ref.layer and any({a.ref.net, b.ref.net} <= group for group in groups)
    ]


def _require_pairs(study: Study, layers: Sequence[LayerUnits]) -> None:
    if not _pairs(study, layers):
        found = ", ".join(sorted({layer.ref.layer for layer in layers}))
        raise StudyError(
            f"Cannot compare the nets of '{study.name}'. No two have a layer of the same name among {found}. "
            "Choose layers that they share, or wrap the nets so that their layers are named alike."
        )


def _first_pair(study: Study, layers: Sequence[LayerUnits]) -> list[LayerPair]:
    """The layers of equal name of the first two nets: those that are looked at closely."""
    a, b = list(study.nets)[:2]
    pairs = [(LayerRef.of(x), LayerRef.of(y)) for x, y in _pairs(study, layers)]
    return [(x, y) for x, y in pairs if (x.net, y.net) == (a, b)]


def _tables(study: Study, statistics: Mapping[str, Any], pairs: Sequence[LayerPair], folder: Path) -> None:
    blocked: Blocked[Moments] = statistics["moments"]
    untrained_names = list(study.untrained_seeds)
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


def _held_out_measures(study: Study, blocked: Blocked[Moments]) -> set[str]:
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
    study: Study, top_inputs: TopInputs, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
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


def _provenance(
    study: Study, source: Lockstep, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
) -> None:
    nets = {
        name: {
            "weights": subject.weights,
            "factory": subject.factory,
            "trained": subject.trained,
            "seed": subject.seed,
            "accuracy": subject.accuracy,
            "n_parameters": sum(parameter.numel() for parameter in subject.net.parameters()),
        }
        for name, subject in subjects.items()
    }
    said = {package: version(package) for package in ("convergent", "torch", "numpy", "scipy", "scikit-learn")} | {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["convergent", *sys.argv[1:]]),
        "data": inputs.fingerprint,
        "view": source.fingerprint.view,
        "n_inputs": len(inputs),
        "blocks": study.blocks,
        "nets": nets,
    }
    with replacing(folder / "provenance.json") as temporary:
        temporary.write_text(json.dumps(said, indent=2), encoding="utf-8")
