"""The nets of a study: built before anything is trained, then trained; never the same weights under two names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..data import PhotoDigitsTraining
from ..errors import StudyError
from ..nets import TrainedNet, hash_weights, load_net, train_many, untrained
from .spec import NetSpec, Study


@dataclass(frozen=True)
class Subject:
    """One net of the study.

    Attributes:
        net: in evaluation mode.
        weights: their hash.
        factory: what built it.
        trained: None where that is up to the factory, whose own weights these are.
        seed: what its weights were drawn from, as far as they were drawn here.
        accuracy: on held-out inputs, where it was trained here.
    """

    net: nn.Module
    weights: str
    factory: str
    trained: bool | None
    seed: int | None
    accuracy: float | None


def build(study: Study) -> dict[str, Subject]:
    """All nets before anything is trained: those of the study in its order, then the untrained ones.

    Raises:
        StudyError: if two of those that are not to be trained have the same weights.
        ConvergentError: if a net cannot be built or loaded.
    """
    subjects = {name: _built(*member) for name, member in study.members.items()}
    subjects |= {name: _untrained(*control) for name, control in study.controls.items()}
    waiting = {name for name, (spec, _) in study.members.items() if spec.train is not None}
    _require_distinct(study, {name: subject for name, subject in subjects.items() if name not in waiting})
    return subjects


def train(study: Study, subjects: Mapping[str, Subject], folder: Path) -> dict[str, Subject]:
    """The same nets, trained where the study says so; those that are in the folder already are not trained again.

    Args:
        study: what to do.
        subjects: as `build` gives them.
        folder: where trained nets are kept.

    Raises:
        StudyError: if two nets have the same weights.
        ConvergentError: whatever training raises.
    """
    recipes = {name: spec.recipe() for name, (spec, _) in study.members.items() if spec.train is not None}
    trained = train_many(recipes, folder, data=PhotoDigitsTraining.load()) if recipes else {}
    finished = {**subjects, **{name: _trained(net) for name, net in trained.items()}}
    _require_distinct(study, finished)
    return finished


def _built(spec: NetSpec, seed: int) -> Subject:
    if spec.train is not None:
        return _untrained(spec, spec.train.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = load_net(spec.factory, kwargs=spec.kwargs, checkpoint=spec.checkpoint)
    given = spec.checkpoint is not None
    return Subject(net, hash_weights(net), spec.factory, True if given else None, None if given else seed, None)


def _untrained(spec: NetSpec, seed: int) -> Subject:
    net = untrained(spec.recipe(seed=seed))
    return Subject(net, hash_weights(net), spec.factory, False, seed, None)


def _trained(found: TrainedNet) -> Subject:
    recipe = found.recipe
    return Subject(found.net, hash_weights(found.net), recipe.net, True, recipe.seed, found.accuracy)


def _require_distinct(study: Study, subjects: Mapping[str, Subject]) -> None:
    """The same weights twice would look like perfect agreement; only two checkpoints may mean it."""
    given = {name for name, (spec, _) in study.members.items() if spec.checkpoint is not None}
    first_with: dict[str, str] = {}
    for name, subject in subjects.items():
        twin = first_with.setdefault(subject.weights, name)
        if twin != name and not {twin, name} <= given:
            raise StudyError(
                f"Cannot compare '{twin}' with '{name}'. Their weights are the same to the last bit. Give each a "
                "checkpoint, or train each from a seed of its own; where the factory itself sets the weights, "
                "untrained: 0 leaves out the chance level, which it cannot show."
            )
