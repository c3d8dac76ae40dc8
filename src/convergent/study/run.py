"""Running a study: named steps, each of which leaves its result in the run folder and is not done twice."""

import json
import logging
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from ..batch import Inputs, Pictures
from ..data import HubImages, ImageFolder, PhotoDigits, PhotoDigitsTraining
from ..errors import StudyError
from ..extraction import Lockstep
from ..files import replacing
from ..nets import hash_weights, load_net, train_many, untrained
from ..passes import collect
from ..statistics import (
    Blocked,
    BlockedPlan,
    Moments,
    MomentsPlan,
    TopInputs,
    TopInputsPlan,
    ZerosPlan,
    load,
    save,
)
from ..statistics.base import Plan
from ..units import LayerUnits
from .crops import write_crops
from .spec import FolderSpec, HubSpec, PhotoDigitsSpec, Study
from .tables import matches_table, units_table

_log = logging.getLogger("convergent")


@dataclass(frozen=True)
class _Subject:
    """One net of the study."""

    net: nn.Module
    weights: str
    factory: str
    trained: bool
    seed: int | None
    accuracy: float | None


def run_study(study: Study, folder: str | Path, *, resume: bool = False) -> Path:
    """Carry a study out: nets, statistics, tables and crops; everything but the pictures for people.

    Stopped at any moment, by Ctrl-C or by a power cut, it goes on with `resume=True` where it was and ends with
    the same tables, bit for bit.

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
    _open(folder, study, resume=resume)
    subjects = _nets(study, folder)
    inputs = _inputs(study)
    source = Lockstep(
        {name: subject.net for name, subject in subjects.items()},
        inputs,
        layers=study.layers,
        view=study.view.view(),
        batch_size=study.batch_size,
        weights={name: subject.weights for name, subject in subjects.items()},
    )
    statistics = _statistics(study, source, folder)
    blocked, zeros, top_inputs = statistics["moments"], statistics["zeros"], statistics["top_inputs"]
    _tables(study, blocked, zeros, folder)
    _crops(study, top_inputs, subjects, inputs, folder)
    _provenance(study, source, subjects, inputs, folder)
    return folder


def _open(folder: Path, study: Study, *, resume: bool) -> None:
    """Claim a folder for a study, or make sure that it is this study's."""
    said = folder / "study.yaml"
    if said.exists():
        before, now = yaml.safe_load(said.read_text(encoding="utf-8")), yaml.safe_load(study.resolved())
        if before != now:
            keys = [key for key in now if not isinstance(before, Mapping) or before.get(key) != now[key]]
            raise StudyError(
                f"Cannot run '{study.name}' in '{folder}'. The folder holds the run of another study "
                f"(these keys differ: {', '.join(keys)}). Choose another folder with --out, or remove this one."
            )
        if not resume:
            raise StudyError(
                f"Cannot run '{study.name}' in '{folder}'. The folder holds a run of this study already. "
                "Add --resume to go on with it, or choose another folder with --out."
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise StudyError(
            f"Cannot run '{study.name}' in '{folder}'. The folder is not empty and not a run folder. "
            "Choose another one with --out."
        )
    else:
        with replacing(said) as temporary:
            temporary.write_text(study.resolved(), encoding="utf-8")


def _nets(study: Study, folder: Path) -> dict[str, _Subject]:
    """All nets in the order of the study, the untrained ones last."""
    recipes = {name: spec.recipe() for name, spec in study.nets.items() if spec.train is not None}
    trained = train_many(recipes, folder / "nets", data=PhotoDigitsTraining.load()) if recipes else {}
    subjects = {}
    for name, spec in study.nets.items():
        if name in trained:
            net, seed, accuracy = trained[name].net, trained[name].recipe.seed, trained[name].accuracy
        else:
            torch.manual_seed(study.seed)
            net, seed, accuracy = (
                load_net(spec.factory, kwargs=spec.kwargs, checkpoint=spec.checkpoint),
                None,
                None,
            )
        subjects[name] = _Subject(net, hash_weights(net), spec.factory, True, seed, accuracy)
    first = next(iter(study.nets.values()))
    for name, seed in study.untrained_seeds.items():
        net = untrained(first.recipe(seed=seed))
        subjects[name] = _Subject(net, hash_weights(net), first.factory, False, seed, None)
    return subjects


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


def _statistics(study: Study, source: Lockstep, folder: Path) -> dict[str, Any]:
    """Run the nets over all inputs, or read what that left."""
    plans: dict[str, Plan] = {
        "moments": BlockedPlan(MomentsPlan(_pairs(study, source.layers)), study.blocks),
        "zeros": ZerosPlan(),
        "top_inputs": TopInputsPlan(study.top_inputs),
    }
    files = {name: folder / "statistics" / f"{name}.safetensors" for name in plans}
    if all(file.exists() for file in files.values()):
        found = {name: load(file) for name, file in files.items()}
        _check_same_nets(found["top_inputs"], source, folder)
        return found
    statistics = collect(source, plans, checkpoint=folder / "statistics" / "pass.safetensors")
    for name, statistic in statistics.items():
        save(statistic, files[name])
    return statistics


def _pairs(study: Study, layers: Sequence[LayerUnits]) -> list[tuple[str, str]]:
    """Layers of equal name: trained nets with trained ones, untrained ones with untrained ones."""
    groups = (set(study.nets), set(study.untrained_seeds))
    return [
        (str(a.ref), str(b.ref))
        for a, b in combinations(layers, 2)
        if a.ref.layer == b.ref.layer and any({a.ref.net, b.ref.net} <= group for group in groups)
    ]


def _check_same_nets(found: TopInputs, source: Lockstep, folder: Path) -> None:
    if found.fingerprint != source.fingerprint:
        raise StudyError(
            f"Cannot go on in '{folder}'. Its statistics come from other weights or inputs than there are now. "
            "Remove the folder 'statistics' in it to compute them again."
        )


def _tables(study: Study, blocked: Blocked[Moments], zeros: Moments, folder: Path) -> None:
    untrained_names = list(study.untrained_seeds)
    tables = {
        "units": units_table(blocked.total, zeros, untrained=untrained_names),
        "matches": matches_table(blocked, methods=study.measures, untrained=untrained_names),
    }
    for name, table in tables.items():
        with replacing(folder / "tables" / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)


def _crops(
    study: Study, top_inputs: TopInputs, subjects: Mapping[str, _Subject], inputs: Inputs, folder: Path
) -> None:
    shape = tuple(inputs[0].tensor.shape)
    if not isinstance(inputs, Pictures) or len(shape) != 3:
        _log.info("These inputs cannot be shown as pictures; the report shows numbers only.")
        return
    nets = {name: subjects[name].net for name in study.nets}
    ids = np.asarray(inputs.ids).tolist()
    write_crops(folder / "crops", top_inputs, nets, inputs, ids, input_shape=shape, view=study.view.view())


def _provenance(
    study: Study, source: Lockstep, subjects: Mapping[str, _Subject], inputs: Inputs, folder: Path
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
