"""How well a net answers: scores, losses and hits on labelled inputs, one by one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from .._typing import Array, Bool, Float64, Int64, Tensor
from ..batch import Batch, Inputs
from ..errors import DataError, MismatchError, NetError
from ..extraction.feeds import Loader, feed_nets
from ..extraction.lockstep import Call, call_on_tensor, fit_to
from ..extraction.taps import evaluating, explaining
from ..measures.intervals import Estimate
from ..results import frozen
from ..solvers.pooling import student_reach


@dataclass(frozen=True, eq=False)
class Answers:
    """A net's answers on labelled inputs.

    Attributes:
        ids: of the inputs.
        labels: class of each.
        scores: (inputs, classes), before any softmax.
    """

    ids: Int64[Array, " inputs"]
    labels: Int64[Array, " inputs"]
    scores: Float64[Array, "inputs classes"]

    @property
    def choice(self) -> Int64[Array, " inputs"]:
        """The class with the largest score."""
        return self.scores.argmax(axis=1)

    @property
    def correct(self) -> Bool[Array, " inputs"]:
        """Whether that is the label."""
        return np.equal(self.choice, self.labels)

    @property
    def losses(self) -> Float64[Array, " inputs"]:
        """Cross-entropy in nats."""
        largest = self.scores.max(axis=1)
        total = np.log(np.exp(self.scores - largest[:, None]).sum(axis=1)) + largest
        return np.asarray(total - self.scores[np.arange(len(self.labels)), self.labels])

    @property
    def accuracy(self) -> float:
        """Share of inputs answered correctly, in [0, 1]."""
        return float(self.correct.mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(self.losses.mean())

    def by_class(self) -> pd.DataFrame:
        """One row a class that occurs: label, n_inputs, accuracy, loss."""
        rows = pd.DataFrame({"label": self.labels, "correct": self.correct, "loss": self.losses})
        found = rows.groupby("label").agg(
            n_inputs=("correct", "size"), accuracy=("correct", "mean"), loss=("loss", "mean")
        )
        return found.reset_index()

    def same_inputs(self, other: "Answers") -> None:
        """Make sure that both answer the same inputs in the same order.

        Raises:
            MismatchError: if they do not.
        """
        if not np.array_equal(self.ids, other.ids) or not np.array_equal(self.labels, other.labels):
            raise MismatchError(
                f"Answers are compared input by input. Found {len(self.ids)} against {len(other.ids)} inputs, of "
                "other ids, order or labels. Ask both nets the same inputs."
            )


def answer(
    net: nn.Module, inputs: Inputs | Loader, *, batch_size: int = 256, call: Call = call_on_tensor
) -> Answers:
    """Ask a net all inputs, in evaluation mode and without gradients; it is left as it was.

    Args:
        net: gives one score per input and class.
        inputs: with labels.
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Returns:
        Scores in float64.

    Raises:
        DataError: if there are no inputs, or inputs without label.
        NetError: if the net cannot eat them, or does not answer with a score per class that has a label.

    Cost: one forward of the net.

    Example:
        >>> net = nn.Linear(3, 2)
        >>> answer(net, [(torch.randn(8, 3), torch.zeros(8, dtype=torch.int64))]).scores.shape
        (8, 2)
    """
    parts = [
        (batch, _scores(net, batch, call))
        for several in feed_nets(("net",), inputs, batch_size=batch_size).batches(0)
        for batch in several.values()
    ]
    if not parts:
        raise DataError("Asked for a net's answers. Found no inputs. Give at least one.")
    ids, labels = (np.concatenate(several) for several in zip(*(_named(b) for b, _ in parts), strict=True))
    scores = torch.cat([scores for _, scores in parts]).double().numpy()
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise NetError(
            f"Cannot tell which of {scores.shape[1]} scores is right. Found labels from {labels.min()} to "
            f"{labels.max()}. Give labels from 0 on, and a net with a score for each."
        )
    return Answers(frozen(ids), frozen(labels), frozen(scores))


def over_inputs(values: Float64[Array, " inputs"] | Bool[Array, " inputs"], *, level: float = 0.95) -> Estimate:
    """The mean over inputs, with the interval that their scatter gives: what other inputs would have told.

    For two nets give the difference input by input, which is narrower than two intervals side by side.

    Args:
        values: one a whole input.
        level: how often the interval should hold the truth, between 0 and 1.

    Raises:
        DataError: if there are fewer than two inputs.

    Example:
        >>> round(over_inputs(np.array([True, True, False, True])).value, 2)
        0.75
    """
    n = len(values)
    if n < 2:
        raise DataError(f"An interval comes from the scatter over inputs. Found {n}. Give at least two.")
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(n))
    reach = student_reach(level, n) * error
    return Estimate(mean, error, mean - reach, mean + reach, level, n, n, n)


def _scores(net: nn.Module, batch: Batch, call: Call) -> Tensor:
    fit = fit_to(net, batch)
    with explaining(fit.tensor), evaluating(net), torch.no_grad():
        found = call(net, fit)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(batch.ids):
        told = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise NetError(
            f"Cannot read the answers to {len(batch.ids)} inputs. The net gives {told}, not one score per input "
            "and class. Take its scores out in call=, or give a net that classifies."
        )
    return found.cpu()


def _named(batch: Batch) -> tuple[Array, Array]:
    if batch.labels is None or batch.labels.ndim != 1:
        raise DataError(
            f"Cannot say which answers are right for {len(batch.ids)} inputs. Found no label, or several, of "
            "each. Give inputs with one label each."
        )
    return batch.ids, batch.labels.cpu().numpy().astype(np.int64)
