"""Units taken out of a net, and what that does to its answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import nn

from .._typing import Array, Bool, Float64, Int64, Tensor
from ..batch import Batch, Inputs
from ..errors import InvalidArgumentError, UnknownNameError
from ..extraction.feeds import Loader
from ..extraction.lockstep import Call, call_on_tensor
from ..extraction.rewriting import Change, rewriting
from ..extraction.views import View
from ..results import frozen
from ..statistics.moments import Moments
from .evaluation import Answers, answer, over_inputs
from .replacement import Replacement, Units, replacement
from .unit_features import unit_sums
from .variants import Variants

Means = Mapping[str, ArrayLike] | Moments


@dataclass(frozen=True, eq=False)
class Ablations:
    """A net's answers with several sets of units of one layer taken out, one set at a time.

    Attributes:
        layer: name.
        replace_by: what was put in the units' place.
        sets: the units taken out, by name of set.
        intact: the net's answers with nothing taken out.
        losses: cross-entropy in nats, (sets, inputs).
        correct: whether the answer was the label, (sets, inputs).
        replayed: whether only what lies above the layer was computed anew for each set.
    """

    layer: str
    replace_by: str
    sets: Mapping[str | int, Int64[Array, " k"]]
    intact: Answers
    losses: Float64[Array, "sets inputs"]
    correct: Bool[Array, "sets inputs"]
    replayed: bool

    @property
    def loss_changes(self) -> Float64[Array, "sets inputs"]:
        """Loss with the set taken out minus that of the intact net, input by input."""
        return self.losses - self.intact.losses

    @property
    def accuracy_changes(self) -> Float64[Array, "sets inputs"]:
        """1 where only the net without the set is right, -1 where only the intact one is, else 0."""
        return self.correct.astype(np.float64) - self.intact.correct

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row a set: layer, set, n_units, loss, accuracy, and their changes with intervals over inputs.

        Args:
            level: of the intervals, between 0 and 1.
        """
        rows = []
        for i, (name, units) in enumerate(self.sets.items()):
            row: dict[str, object] = {"layer": self.layer, "set": name, "n_units": len(units)}
            row |= {"loss": self.losses[i].mean(), "accuracy": self.correct[i].mean()}
            for what, changes in (("loss", self.loss_changes[i]), ("accuracy", self.accuracy_changes[i])):
                row |= with_interval(f"{what}_change", changes, level=level)
            rows.append(row)
        return pd.DataFrame(rows)

    def by_class(self) -> pd.DataFrame:
        """One row a set and class: set, n_units, label, n_inputs, loss, accuracy, loss_change, accuracy_change."""
        columns = {
            "loss": self.losses,
            "accuracy": self.correct,
            "loss_change": self.loss_changes,
            "accuracy_change": self.accuracy_changes,
        }
        labels, place, counts = np.unique(self.intact.labels, return_inverse=True, return_counts=True)
        rows = []
        for i, (name, units) in enumerate(self.sets.items()):
            means = {what: np.bincount(place, weights=of[i]) / counts for what, of in columns.items()}
            rows.append(
                pd.DataFrame({"set": name, "n_units": len(units), "label": labels, "n_inputs": counts, **means})
            )
        return pd.concat(rows, ignore_index=True)


@contextmanager
def ablate(
    net: nn.Module,
    units: Mapping[str, Units],
    *,
    replace_by: str = "mean",
    means: Means | None = None,
    inputs: Inputs | Loader | None = None,
    view: View | None = None,
    seed: int = 0,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> Iterator[None]:
    """Take units out of a net inside the block, whatever it is run on; blocks inside each other add up.

    Units are replaced at all locations: by their mean (one number a unit, over inputs and locations), by zero, or
    by the values they have on another input of the same batch. That input depends on the seed and the size of the
    batch alone, is the same for all units, and never the input itself; where a batch is sorted by class it is
    mostly of the same class.

    Args:
        net: any module; it is as it was afterwards, also after an exception.
        units: indices, or one truth a unit, by name of layer as `tapping` understands it.
        replace_by: "mean", "zero" or "resample".
        means: of all units of each layer, by name of layer; or `Moments` of one net that has these layers.
        inputs: to compute the means from where they are not given.
        view: which axis of an output holds the units.
        seed: of "resample".
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch of the inputs.

    Raises:
        UnknownNameError: if the net or the moments have no such layer; by the forward, if a layer has no such
            unit.
        InvalidArgumentError: if there are no means to replace by, an index is none, or `replace_by` is unknown.
        MismatchError: by the forward, if the means are of another number of units.
        DataError: by the forward, if "resample" finds one input alone.
        NetError: by the forward, if a layer did not run, or its name is true of several outputs.

    Cost: a copy of each layer's output a forward; where means are computed, one forward.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        >>> with ablate(net, {"1": [0, 2]}, replace_by="zero"):
        ...     bool(net(torch.randn(5, 3))[:, [0, 2]].any())
        False
    """
    if replace_by == "mean":
        means = layer_means(
            net, list(units), means=means, inputs=inputs, view=view, batch_size=batch_size, call=call
        )
    changes = {
        layer: replacement(
            layer, chosen, by=replace_by, means=_of_layer(means, layer, replace_by), view=view, seed=seed
        )
        for layer, chosen in units.items()
    }
    with rewriting(net, changes):
        yield


def ablation_effect(
    net: nn.Module,
    inputs: Inputs | Loader,
    layer: str,
    sets: Mapping[str, Units] | Sequence[Units],
    *,
    replace_by: str = "mean",
    means: Means | None = None,
    view: View | None = None,
    seed: int = 0,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> Ablations:
    """What it costs to take out each of many sets of units of one layer.

    The net is run once on a batch; for the sets only what lies above the layer is run again, several sets in one
    forward. Where that does not give the net's own scores (it is tried with nothing changed), every set is a
    forward of the whole net.

    Args:
        net: gives one score per input and class; it is left as it was.
        inputs: with labels.
        layer: name, as `tapping` understands it.
        sets: of units: indices, or one truth a unit; by name, or in a list.
        replace_by: see `ablate`.
        means: see `ablate`; left out, they are computed from the same inputs.
        view: which axis holds the units.
        seed: of "resample".
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Returns:
        Losses and hits of every set on every input.

    Raises:
        InvalidArgumentError: if there are no sets, or as `ablate`.
        UnknownNameError: as `ablate`.
        MismatchError: as `ablate`.
        DataError: if there are no inputs, or inputs without label.
        NetError: if the net does not answer with a score per class, or as `ablate`.

    Cost: one forward of the net, and one of what lies above the layer a set; where means are computed, one more.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> inputs = [(torch.randn(8, 3), torch.arange(8) % 2)]
        >>> found = ablation_effect(net, inputs, "1", {"none": [], "two": [0, 3]})
        >>> found.table()["n_units"].tolist(), float(found.loss_changes[0].max())
        ([0, 2], 0.0)
    """
    named = dict(sets) if isinstance(sets, Mapping) else dict(enumerate(sets))
    if not named:
        raise InvalidArgumentError(
            f"Asked for the effect of taking units out of layer {layer!r}. Found no sets of them. "
            "Give at least one."
        )
    if replace_by == "mean":
        means = layer_means(net, [layer], means=means, inputs=inputs, view=view, batch_size=batch_size, call=call)
    of_layer = _of_layer(means, layer, replace_by)
    changes: dict[str | int, Replacement] = {
        name: replacement(layer, units, by=replace_by, means=of_layer, view=view, seed=seed)
        for name, units in named.items()
    }
    intact, (losses, correct), replayed = answers_under(
        net,
        inputs,
        layer,
        lambda _: list(changes.values()),
        read=lambda found: (found.losses, found.correct),
        batch_size=batch_size,
        call=call,
    )
    nothing = [i for i, change in enumerate(changes.values()) if not len(change.units)]
    # What is run beside other sets is rounded otherwise than alone; a net without nothing is the net.
    losses[nothing], correct[nothing] = intact.losses, intact.correct
    chosen = {name: frozen(change.units) for name, change in changes.items()}
    return Ablations(layer, replace_by, chosen, intact, frozen(losses), frozen(correct), replayed)


def answers_under(
    net: nn.Module,
    inputs: Inputs | Loader,
    layer: str,
    changes: Callable[[Batch], Sequence[Change]],
    *,
    read: Callable[[Answers], tuple[Array, ...]],
    batch_size: int,
    call: Call,
) -> tuple[Answers, list[Array], bool]:
    """Answers of a net as it is, and what is to be known of its answers under changes of a layer.

    Args:
        net: gives one score per input and class.
        inputs: with labels.
        layer: name.
        changes: of the layer's output, for a batch; as many for each.
        read: arrays with a row an input, from answers under a change.
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Returns:
        Answers; each of the arrays as changes x inputs (x more); whether only what lies above the layer was
        computed anew.
    """
    variants = Variants(net, layer, call=call)
    found: list[list[Array]] = []

    def call_all(_: nn.Module, batch: Batch) -> object:
        recording = variants.record(batch)
        if isinstance(recording.result, Tensor) and recording.result.ndim == 2:  # else `answer` says what is wrong
            several = variants.scores(batch, recording, changes(batch))
            rows = [read(_provisional(batch, scores)) for scores in several]
            found.append([np.stack(part) for part in zip(*rows, strict=True)])
        return recording.result

    intact = answer(net, inputs, batch_size=batch_size, call=call_all)
    arrays = [np.concatenate(part, axis=1) for part in zip(*found, strict=True)]
    return intact, arrays, all(variants.replayed.values())


def layer_means(
    net: nn.Module,
    layers: Sequence[str],
    *,
    means: Means | None,
    inputs: Inputs | Loader | None,
    view: View | None,
    batch_size: int,
    call: Call,
) -> Mapping[str, ArrayLike]:
    """Means of all units of layers: those given, or computed from inputs.

    Args:
        net: whose they are.
        layers: names.
        means: by name of layer; or `Moments` of one net that has these layers.
        inputs: to compute them from.
        view: which axis holds the units.
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Raises:
        UnknownNameError: if the moments have no such layer, or several.
    """
    if isinstance(means, Moments):
        return {layer: means.mean(_ref_of(means, layer)) for layer in layers}
    if means is None and inputs is not None:
        sums = unit_sums(net, inputs, layers, view=view, batch_size=batch_size, call=call)
        return {layer: one.mean for layer, one in sums.items()}
    return means or {}


def with_interval(name: str, values: Float64[Array, " inputs"], *, level: float) -> dict[str, float]:
    """Mean over inputs and its interval as columns: NAME, NAME_low, NAME_high; no interval from one input.

    Args:
        name: of the columns.
        values: one an input.
        level: of the interval.
    """
    if len(values) < 2:
        return {name: float(values.mean()), f"{name}_low": float("nan"), f"{name}_high": float("nan")}
    found = over_inputs(values, level=level)
    return {name: float(found.value), f"{name}_low": float(found.low), f"{name}_high": float(found.high)}


def _of_layer(means: Means | None, layer: str, replace_by: str) -> ArrayLike | None:
    return means.get(layer) if replace_by == "mean" and isinstance(means, Mapping) else None


def _ref_of(moments: Moments, layer: str) -> str:
    found = [str(units.ref) for units in moments.layers if units.ref.layer == layer]
    if len(found) != 1:
        raise UnknownNameError(
            f"Cannot tell the means of layer {layer!r} from these moments. They have it {len(found)} times among "
            f"{', '.join(str(units.ref) for units in moments.layers)}. "
            "Give means={layer: moments.mean('net/layer')}."
        )
    return found[0]


def _provisional(batch: Batch, scores: Tensor) -> Answers:
    """Labels that cannot be right are refused by `answer`, which sees them all."""
    n_classes = scores.shape[1]
    labels = np.zeros(len(batch.ids), dtype=np.int64) if batch.labels is None else batch.labels.cpu().numpy()
    bounded = labels if labels.ndim == 1 else labels.reshape(len(batch.ids), -1)[:, 0]
    return Answers(batch.ids, np.clip(bounded, 0, n_classes - 1), scores.double().cpu().numpy())
