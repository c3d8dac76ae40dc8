"""Training a net from a seed: same recipe, same bits.

Whatever a step needs (its batch, its dropout masks) is a function of the recipe and the step's number, so a run
that was killed goes on from its last checkpoint as if nothing had happened.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from .._typing import Tensor
from ..batch import Batch
from ..errors import FileFormatError, InvalidArgumentError, MismatchError, NetError
from ..progress import bar
from .loading import load_net, load_weights
from .net_files import NetFile, check_same, read_net, write_net
from .quick_layers import quick_layers
from .recipe import Recipe


@runtime_checkable
class TrainingData(Protocol):
    """What training asks of data; `convergent.data.PhotoDigitsTraining` is one."""

    @property
    def name(self) -> str:
        """What recipes call this data."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content, so that another version of the data is known to be another."""

    def training_batch(self, step: int, *, size: int, seed: int) -> Batch:
        """The labelled batch of one step, always the same for the same arguments."""

    def held_out_batch(self) -> Batch:
        """Labelled inputs that share nothing with any training batch."""


@runtime_checkable
class Advance(Protocol):
    """What is told of progress."""

    def __call__(self, n: int = 1, *, note: str = "") -> None:
        """Hear that n more steps are done."""


@runtime_checkable
class Objective(Protocol):
    """What training makes small, where that is not the cross-entropy of the labels alone."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides it, so that a file trained for another one is known."""

    def __call__(self, scores: Tensor, batch: Batch, labelled: Tensor) -> Tensor:
        """The loss of a batch, from the net's scores and its cross-entropy with the labels."""


@dataclass(frozen=True)
class TrainedNet:
    """A net that was trained by a recipe.

    Attributes:
        net: in evaluation mode.
        recipe: how it was trained.
        accuracy: share of held-out inputs it classifies correctly, 0..1.
        path: its file.
    """

    net: nn.Module
    recipe: Recipe
    accuracy: float
    path: Path


def train(
    recipe: Recipe,
    path: str | Path,
    *,
    data: TrainingData,
    objective: Objective | None = None,
    checkpoint_every: int = 50,
    advance: Advance | None = None,
) -> TrainedNet:
    """Train a net, or take it from `path` where this recipe was trained before.

    A run that was stopped at any moment goes on where its last checkpoint was (`NAME.training.safetensors` beside
    `path`) and ends with the same bits.

    Args:
        recipe: what to train and how.
        path: the net's file, `.safetensors`, with recipe and accuracy in its metadata.
        data: where batches come from.
        objective: what is made small; the cross-entropy of the labels, where not given.
        checkpoint_every: steps between checkpoints.
        advance: told of every step, in place of a progress bar.

    Raises:
        InvalidArgumentError: if the path does not end in `.safetensors`.
        MismatchError: if the data is not the recipe's, or the file is of another recipe, of other data or for
            another objective.
        FileFormatError: if the file or the checkpoint is damaged or foreign.
        NetError: if the net cannot eat the data or does not answer with a score per class, or the loss is no
            longer a number.

    Cost:
        About 30 s on one core for the default recipe.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InvalidArgumentError(
            f"Cannot write a net to '{path}'. Its name ends in '{path.suffix}', and files are read by that. "
            f"Call it '{path.stem}.safetensors'."
        )
    if data.name != recipe.data:
        raise MismatchError(
            f"Cannot train '{path.stem}' on the data '{data.name}'. Its recipe names '{recipe.data}'. "
            "Give that data, or change the recipe."
        )
    if path.exists():
        check_same(path, read_net(path), recipe, data=data.fingerprint, objective=_named(objective))
        return load_trained(path)
    if advance is not None:
        return _train(recipe, path, data, objective, checkpoint_every, advance)
    with bar(f"Training {path.stem}", total=recipe.n_steps) as progress:
        return _train(recipe, path, data, objective, checkpoint_every, progress.advance)


def untrained(recipe: Recipe) -> nn.Module:
    """The recipe's net before its first step, in evaluation mode: what training is compared with."""
    with _deterministic(recipe):
        torch.manual_seed(recipe.seed)
        return load_net(recipe.net, kwargs=recipe.kwargs)


def load_trained(path: str | Path) -> TrainedNet:
    """Read a net that `train` wrote.

    Raises:
        FileFormatError: if the file is missing, damaged, foreign, or of a training that has not ended.
    """
    path = Path(path)
    saved = read_net(path)
    if saved.accuracy is None:
        raise FileFormatError(
            f"Cannot take a trained net from '{path}'. It is a checkpoint after {saved.n_steps_done} of "
            f"{saved.recipe.n_steps} steps. Train again with the same recipe and path: it goes on from there."
        )
    net = load_net(saved.recipe.net, kwargs=saved.recipe.kwargs)
    load_weights(net, saved.tensors, source=str(path))
    return TrainedNet(net, saved.recipe, saved.accuracy, path)


def _train(
    recipe: Recipe,
    path: Path,
    data: TrainingData,
    objective: Objective | None,
    checkpoint_every: int,
    advance: Advance,
) -> TrainedNet:
    checkpoint = path.with_name(f"{path.stem}.training.safetensors")
    fingerprint, aim = data.fingerprint, _named(objective)
    net = untrained(recipe)
    optimiser = _optimiser(recipe, net)
    n_done = 0
    if checkpoint.exists():
        saved = read_net(checkpoint)
        check_same(checkpoint, saved, recipe, data=fingerprint, objective=aim)
        n_done = _resume(saved, net, optimiser, source=checkpoint)
        advance(n_done, note="resumed")
    with _deterministic(recipe), quick_layers(net):
        for step in range(n_done, recipe.n_steps):
            advance(note=_update(net, optimiser, recipe, data, objective, step))
            if (step + 1) % checkpoint_every == 0:
                state = _state(net, optimiser)
                write_net(checkpoint, NetFile(state, recipe, fingerprint, step + 1, objective=aim))
        accuracy = _accuracy(net.eval(), data.held_out_batch(), recipe.net)
    write_net(path, NetFile(net.state_dict(), recipe, fingerprint, recipe.n_steps, accuracy, aim))
    checkpoint.unlink(missing_ok=True)
    return TrainedNet(net, recipe, accuracy, path)


def _update(
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    data: TrainingData,
    objective: Objective | None,
    step: int,
) -> str:
    """One step; says how it went."""
    batch = data.training_batch(step, size=recipe.batch_size, seed=recipe.seed)
    for group in optimiser.param_groups:
        group["lr"] = recipe.rate(step)
    torch.manual_seed(recipe.seed + (step + 1) * 2**31)  # the dropout masks of this step, resumed or not
    answers = _scores(net.train(), batch.tensor, recipe.net)
    loss = nn.functional.cross_entropy(answers, _known_labels(batch, answers, recipe.net))
    if objective is not None:
        loss = objective(answers, batch, loss)
    if not math.isfinite(loss.item()):
        raise NetError(
            f"Cannot go on training '{recipe.net}' from seed {recipe.seed}. Its loss is {loss.item()} at step "
            f"{step + 1} of {recipe.n_steps}. Lower the learning rate, which is {recipe.learning_rate}."
        )
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
    optimiser.step()
    return f"loss {loss.item():.3f}, accuracy {_share_correct(answers, batch):.0%}"


def _named(objective: Objective | None) -> str:
    return "" if objective is None else objective.fingerprint


def _optimiser(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2))


def _state(net: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything that training changes, as tensors by name."""
    moments = optimiser.state_dict()["state"]
    return {f"net.{name}": tensor for name, tensor in net.state_dict().items()} | {
        f"optimiser.{index}.{name}": tensor
        for index, tensors in moments.items()
        for name, tensor in tensors.items()
    }


def _resume(saved: NetFile, net: nn.Module, optimiser: torch.optim.Optimizer, *, source: Path) -> int:
    """Put a state back; gives the number of steps it has behind it."""
    load_weights(net, saved.under("net."), source=str(source))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in saved.under("optimiser.").items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return saved.n_steps_done


def _scores(net: nn.Module, inputs: Tensor, name: str) -> Tensor:
    """The net's score of each class, inputs x classes."""
    shape = " x ".join(map(str, inputs.shape[1:]))
    try:
        answers = net(inputs)
    except Exception as error:  # a user's net may raise anything
        raise NetError(
            f"Cannot train '{name}' on inputs of shape {shape}. It raised {type(error).__name__}: {error}. "
            "Give data of the shape this net takes, or a net for this shape."
        ) from error
    if not isinstance(answers, Tensor) or answers.ndim != 2 or len(answers) != len(inputs):
        found = f"shape {tuple(answers.shape)}" if isinstance(answers, Tensor) else type(answers).__name__
        raise NetError(
            f"Cannot train '{name}' on {len(inputs)} inputs of shape {shape}. It answers with {found}, not with "
            "one score per input and class. Train a net that classifies."
        )
    return answers


def _known_labels(batch: Batch, answers: Tensor, name: str) -> Tensor:
    """The labels, each of which is a class the net has a score for."""
    labels, n_classes = _labels(batch), answers.shape[1]
    if not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise NetError(
            f"Cannot train '{name}' on labels from {int(labels.min())} to {int(labels.max())}. On inputs of shape "
            f"{' x '.join(map(str, batch.tensor.shape[1:]))} it tells {n_classes} classes apart, numbered from 0. "
            "Build it with as many classes as the data has."
        )
    return labels


def _accuracy(net: nn.Module, batch: Batch, name: str) -> float:
    with torch.no_grad():
        parts = [_scores(net, part, name) for part in torch.split(batch.tensor, 500)]
    return _share_correct(torch.cat(parts), batch)


def _share_correct(answers: Tensor, batch: Batch) -> float:
    return torch.eq(answers.argmax(1), _labels(batch)).double().mean().item()


def _labels(batch: Batch) -> Tensor:
    if batch.labels is None:
        raise MismatchError(
            f"Cannot train on a batch of {len(batch.ids)} inputs. It has no labels. "
            "Give data whose batches say the class of each input."
        )
    return batch.labels


@contextmanager
def _deterministic(recipe: Recipe) -> Iterator[None]:
    """Inside, computing is repeatable; the caller's threads and random state come back afterwards."""
    n_threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(recipe.n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)
