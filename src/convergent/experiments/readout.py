"""A linear readout trained anew on a layer's units: what a layer lets a linear classifier know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from torch import nn

from .._typing import Array, Bool, Float64, Int64
from ..batch import ActivationBatch, Inputs, hash_ids
from ..errors import DataError, InvalidArgumentError, MismatchError
from ..extraction.feeds import Loader
from ..extraction.lockstep import Call, Lockstep, call_on_tensor
from ..extraction.views import UnitAxis, View
from ..results import frozen
from ..statistics.pairs import alive
from .costs import Costs
from .evaluation import Answers

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
_SALT = 1 << 27  # which inputs choose the penalty must not depend on what else is hashed from their ids
_HELD_OUT = 4  # one input in so many of each class


@dataclass(frozen=True, eq=False)
class Features:
    """One number per unit and input, with the labels.

    Attributes:
        ids: of the inputs.
        labels: class of each.
        values: the units' values, means over locations.
    """

    ids: Int64[Array, " inputs"]
    labels: Int64[Array, " inputs"]
    values: Float64[Array, "inputs units"]

    @property
    def n_units(self) -> int:
        """How many numbers each input has."""
        return self.values.shape[1]

    @property
    def alive(self) -> Bool[Array, " units"]:
        """False where a unit varies no more than rounding does over these inputs."""
        return alive(self.values.std(axis=0), self.values.mean(axis=0), None, n_samples=len(self.ids))

    def of(self, units: Sequence[int] | Int64[Array, " k"]) -> "Features":
        """These units alone, in this order."""
        return Features(self.ids, self.labels, self.values[:, np.asarray(units, dtype=np.int64)])

    def beside(self, other: "Features") -> "Features":
        """These units, then those of another layer on the same inputs.

        Raises:
            MismatchError: if the inputs are others, or in another order.
        """
        if not np.array_equal(self.ids, other.ids) or not np.array_equal(self.labels, other.labels):
            raise MismatchError(
                f"Features are put side by side input by input. Found {len(self.ids)} against {len(other.ids)} "
                "inputs, of other ids, order or labels. Read both from the same inputs."
            )
        return Features(self.ids, self.labels, np.hstack([self.values, other.values]))


@dataclass(frozen=True, eq=False)
class Readout:
    """A linear classifier: score = bias + weights' (values - mean) / std.

    Attributes:
        mean: of each unit, in training.
        std: of each unit.
        alive: False where a unit was constant in training; it has weights 0.
        weights: a column a class.
        bias: one a class, -infinity where training had no such class.
        penalty: that was chosen.
    """

    mean: Float64[Array, " units"]
    std: Float64[Array, " units"]
    alive: Bool[Array, " units"]
    weights: Float64[Array, "units classes"]
    bias: Float64[Array, " classes"]
    penalty: float

    @property
    def costs(self) -> Costs:
        """Of the readout alone."""
        return Costs(self.weights.size + self.bias.size, self.weights.size)

    def answer(self, features: Features) -> Answers:
        """Scores of every class.

        Raises:
            MismatchError: if there are more or fewer units, or labels that training did not have.
        """
        if features.n_units != len(self.mean):
            raise MismatchError(
                f"This readout was trained on {len(self.mean)} units. Found {features.n_units}. "
                "Give the same units as in training."
            )
        known = np.flatnonzero(np.isfinite(self.bias))
        if foreign := sorted(set(features.labels.tolist()) - set(known.tolist())):
            raise MismatchError(
                f"This readout was trained on the classes {known.tolist()}. Found inputs of {foreign}. "
                "Train it on all classes it is asked for."
            )
        scores = _scaled(features, self.mean, self.std, self.alive) @ self.weights + self.bias
        return Answers(features.ids, features.labels, frozen(scores))


def features(
    net: nn.Module,
    inputs: Inputs | Loader,
    layer: str,
    *,
    units: UnitAxis = "auto",
    batch_size: int = 64,
    call: Call = call_on_tensor,
) -> Features:
    """Read a layer on labelled inputs: the mean of each unit over the locations of each input.

    Args:
        net: any module; it is left as it was.
        inputs: with labels.
        layer: name of the layer.
        units: which axis of its output holds the units.
        batch_size: inputs per batch, where they do not come in batches.
        call: how the net eats a batch.

    Returns:
        Inputs x units, with ids and labels.

    Raises:
        DataError: if there are no inputs, inputs without label, or nothing but padding in one.
        NetError: if the net cannot eat them.
        UnknownNameError: if it has no such layer.

    Cost: one forward of the net.

    Example:
        >>> import torch
        >>> inputs = [(torch.randn(8, 3, 5, 5), torch.zeros(8, dtype=torch.int64))]
        >>> features(nn.Conv2d(3, 4, 3), inputs, "output").values.shape
        (8, 4)
    """
    source = Lockstep(
        {"net": net},
        inputs,
        layers=[layer],
        view=View(units, "mean"),
        batch_size=batch_size,
        call=call,
    )
    ids, labels, values = zip(*(_read(batch) for batch in source.batches()), strict=True)
    return Features(*(frozen(np.concatenate(several)) for several in (ids, labels, values)))


def fit_readout(train: Features, *, penalties: Sequence[float] = PENALTIES) -> Readout:
    """Train a linear classifier on features: multinomial logistic regression on units of variance 1.

    Minimises mean cross-entropy + penalty / 2 |weights|^2, the bias is free. One input in four of each class,
    chosen by its id, tells which penalty is best; then all are fitted. Same features, same readout.

    Args:
        train: features to train on.
        penalties: to choose from, each above 0.

    Returns:
        The readout; constant units take no part.

    Raises:
        InvalidArgumentError: if a penalty is not above 0.
        DataError: if there is but one class, or no class has the four inputs that choosing a penalty takes.

    Cost: a fit a penalty, each begun where the last one ended, and one of all inputs.

    Example:
        >>> values = np.random.default_rng(0).normal(size=(80, 3))
        >>> train = Features(np.arange(80), (values[:, 1] > 0).astype(np.int64), values)
        >>> fit_readout(train).answer(train).accuracy > 0.9
        True
    """
    if not penalties or min(penalties) <= 0:
        raise InvalidArgumentError(
            f"Asked for a readout with the penalties {list(penalties)}. Found none, or one that is not above 0. "
            "Give one or more, above 0."
        )
    held_out = _chooses(train)
    n_classes = len(np.unique(train.labels))
    if n_classes < 2 or (len(penalties) > 1 and not held_out.any()):
        raise DataError(
            f"Cannot train a readout and choose its penalty on {len(train.ids)} inputs of {n_classes} classes. It "
            f"takes two classes, and {_HELD_OUT} inputs of one of them. Give more inputs."
        )
    mean, std, living = train.values.mean(axis=0), train.values.std(axis=0), train.alive
    scaled = _scaled(train, mean, std, living)
    penalty, fitted = _best(scaled, train.labels, held_out, sorted(penalties, reverse=True))
    _fit(fitted, scaled, train.labels, penalty)
    weights, bias = (frozen(part) for part in _by_class(fitted))
    return Readout(frozen(mean), frozen(std), frozen(living), weights, bias, penalty)


def _best(
    scaled: Float64[Array, "inputs units"],
    labels: Int64[Array, " inputs"],
    held_out: Bool[Array, " inputs"],
    penalties: Sequence[float],
) -> tuple[float, LogisticRegression]:
    """The penalty with the smallest loss on what was held out, and the last fit, from which others begin."""
    fitted = LogisticRegression(warm_start=True, max_iter=5000)
    if len(penalties) == 1:
        return penalties[0], fitted
    losses = []
    for penalty in penalties:
        _fit(fitted, scaled[~held_out], labels[~held_out], penalty)
        weights, bias = _by_class(fitted)
        scores = scaled[held_out] @ weights + bias
        losses.append(Answers(labels[held_out], labels[held_out], scores).loss)
    return penalties[int(np.argmin(losses))], fitted


def _fit(
    fitted: LogisticRegression,
    scaled: Float64[Array, "inputs units"],
    labels: Int64[Array, " inputs"],
    penalty: float,
) -> None:
    # For two classes scikit-learn penalises w, where two rows of half of it have half its square.
    doubled = 2 if len(np.unique(labels)) == 2 else 1
    fitted.set_params(C=doubled / (penalty * len(labels))).fit(scaled, labels)


def _by_class(fitted: LogisticRegression) -> tuple[Float64[Array, "units classes"], Float64[Array, " classes"]]:
    """Weights and biases by the number of the class; scikit-learn has one row for two classes."""
    rows, bias = fitted.coef_, fitted.intercept_
    if len(rows) == 1:
        rows, bias = np.vstack([-rows, rows]) / 2, np.concatenate([-bias, bias]) / 2
    all_rows = np.zeros((fitted.classes_.max() + 1, rows.shape[1]))
    all_bias = np.full(len(all_rows), -np.inf)
    all_rows[fitted.classes_], all_bias[fitted.classes_] = rows, bias
    return all_rows.T, all_bias


def _chooses(train: Features) -> Bool[Array, " inputs"]:
    """True for the quarter of each class, rounded down, whose ids have the smallest hashes."""
    found = np.zeros(len(train.ids), dtype=bool)
    hashes = hash_ids(train.ids, salt=_SALT)
    for label in np.unique(train.labels):
        members = np.flatnonzero(train.labels == label)
        found[members[np.argsort(hashes[members], kind="stable")[: len(members) // _HELD_OUT]]] = True
    return found


def _scaled(
    features: Features,
    mean: Float64[Array, " units"],
    std: Float64[Array, " units"],
    living: Bool[Array, " units"],
) -> Float64[Array, "inputs units"]:
    return np.where(living, (features.values - mean) / np.where(living, std, 1), 0)


def _read(batch: ActivationBatch) -> tuple[Array, Array, Array]:
    (seen,) = batch.layers.values()
    if seen.mask is not None and not seen.mask.any(1).all():
        raise DataError(
            f"Cannot average a layer over the locations of {len(batch.ids)} inputs. Found one with nothing but "
            "padding. Leave such inputs out."
        )
    labels = batch.labels
    if labels is None or labels.ndim != 1 or int(labels.min()) < 0:
        raise DataError(
            f"Cannot train or test a readout on {len(batch.ids)} inputs. Found some without a label, or with "
            "several. Give inputs with one label each."
        )
    return batch.ids, labels.cpu().numpy().astype(np.int64), seen.values[:, :, 0].double().cpu().numpy()
