"""Combining nets: what each way buys, and at which cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import log_softmax, logsumexp

from .._typing import Array, Float64
from ..errors import InvalidArgumentError, MismatchError
from ..results import frozen
from .costs import Costs
from .evaluation import Answers, over_inputs


@dataclass(frozen=True, eq=False)
class Combination:
    """One way of answering, and what it costs; a net alone is one too.

    Attributes:
        draws: its answers; several where something in it was drawn at random, which are averaged.
        costs: of one answer.

    Raises:
        InvalidArgumentError: if there are no answers.
        MismatchError: if they are not to the same inputs.
    """

    draws: tuple[Answers, ...]
    costs: Costs

    def __post_init__(self) -> None:
        _require_same_questions(self.draws)

    @property
    def correct(self) -> Float64[Array, " inputs"]:
        """How often each input was answered correctly, over draws."""
        return np.asarray(np.mean([one.correct for one in self.draws], axis=0))

    @property
    def losses(self) -> Float64[Array, " inputs"]:
        """Mean cross-entropy of each input over draws, in nats."""
        return np.asarray(np.mean([one.losses for one in self.draws], axis=0))

    def against(self, other: "Combination", *, level: float = 0.95) -> dict[str, float]:
        """What it gains over another, input by input, with intervals over inputs.

        Args:
            other: on the same inputs.
            level: how often an interval should hold the truth, between 0 and 1.

        Returns:
            accuracy_gain and loss_saved, positive where this one is better, each with _low and _high.

        Raises:
            MismatchError: if the inputs are others.
        """
        self.draws[0].same_inputs(other.draws[0])
        found = {
            "accuracy_gain": over_inputs(self.correct - other.correct, level=level),
            "loss_saved": over_inputs(other.losses - self.losses, level=level),
        }
        ends = {"": "value", "_low": "low", "_high": "high"}
        return {
            f"{name}{end}": float(getattr(one, part)) for name, one in found.items() for end, part in ends.items()
        }

    def summary(self) -> dict[str, float | int]:
        """Accuracy, loss, n_parameters, n_multiply_adds."""
        return {
            "accuracy": float(self.correct.mean()),
            "loss": float(self.losses.mean()),
            "n_parameters": self.costs.n_parameters,
            "n_multiply_adds": self.costs.n_multiply_adds,
        }


def ensemble(answers: Sequence[Answers], *, estimator: str = "scores") -> Answers:
    """Let several nets answer together.

    "scores" takes the mean of the nets' scores: the geometric mean of their probabilities, up to a factor. The
    mean of log-probabilities is the same, and not offered twice. "probabilities" takes the arithmetic mean of
    probabilities; scores are its logarithm.

    Args:
        answers: one a net, to the same inputs in the same order, with the same classes.
        estimator: what is averaged, "scores" or "probabilities".

    Returns:
        The ensemble's answers.

    Raises:
        InvalidArgumentError: if there are no answers, or the estimator is unknown.
        MismatchError: if inputs or numbers of classes differ.

    Cost: every net's forward; the mean is nothing beside it.

    Reference: Hansen & Salamon 1990; Lakshminarayanan et al. 2017.

    Example:
        >>> one = Answers(np.arange(2), np.array([0, 1]), np.array([[2.0, 0.0], [0.0, 1.0]]))
        >>> ensemble([one, one]).loss == one.loss
        True
    """
    _require_same_questions(answers)
    n_classes = [one.scores.shape[1] for one in answers]
    if len(set(n_classes)) > 1:
        raise MismatchError(
            f"An ensemble averages scores class by class. Found nets with {n_classes} classes. "
            "Combine nets that tell the same classes apart."
        )
    scores = np.array([one.scores for one in answers])
    if estimator == "scores":
        mean = scores.mean(axis=0)
    elif estimator == "probabilities":
        mean = logsumexp(log_softmax(scores, axis=2), axis=0) - np.log(len(scores))
    else:
        raise InvalidArgumentError(
            f"An ensemble averages 'scores' or 'probabilities'. Found estimator={estimator!r}. "
            "Choose one of the two."
        )
    return Answers(answers[0].ids, answers[0].labels, frozen(mean))


def combination_table(
    nets: Mapping[str, Combination], ways: Mapping[str, Combination], *, level: float = 0.95
) -> pd.DataFrame:
    """Which way of combining nets buys accuracy, at which cost: each against the better single net.

    The better net is the one that answers more of these inputs correctly (of equal ones that with the smaller
    loss). It is chosen on the inputs it is compared on, so its own accuracy is a little flattered, and gains are
    a little small.

    Args:
        nets: the single nets by name.
        ways: the ways of combining them by name, on the same inputs.
        level: how often an interval should hold the truth, between 0 and 1.

    Returns:
        A row a net and way: way, n_draws; accuracy (0..1), loss (nats), n_parameters, n_multiply_adds; gains over
        the better net, with intervals over inputs: accuracy_gain, loss_saved, each with _low and _high (positive
        is better); times_parameters, times_multiply_adds: costs in units of the better net's.

    Raises:
        InvalidArgumentError: if there is no single net, or a name is used twice.
        MismatchError: if inputs differ.

    Example:
        >>> one = Answers(np.arange(2), np.array([0, 1]), np.array([[2.0, 0.0], [0.0, 1.0]]))
        >>> net, both = Combination((one,), Costs(10, 100)), Combination((ensemble([one, one]),), Costs(20, 200))
        >>> table = combination_table({"a": net}, {"ensemble": both})
        >>> table[["way", "accuracy_gain", "times_multiply_adds"]].values.tolist()
        [['a', 0.0, 1.0], ['ensemble', 0.0, 2.0]]
    """
    if not nets or set(nets) & set(ways):
        raise InvalidArgumentError(
            f"Ways of combining are compared with single nets. Found the nets {list(nets)} and the ways "
            f"{list(ways)}. Give at least one net, and names of their own to all."
        )
    better = max(nets.values(), key=lambda net: (net.correct.mean(), -net.losses.mean()))
    rows = [
        {"way": name, "n_draws": len(one.draws)} | one.summary() | one.against(better, level=level)
        for name, one in {**nets, **ways}.items()
    ]
    table = pd.DataFrame(rows)
    return table.assign(
        times_parameters=table["n_parameters"] / better.costs.n_parameters,
        times_multiply_adds=table["n_multiply_adds"] / better.costs.n_multiply_adds,
    )


def _require_same_questions(answers: Sequence[Answers]) -> None:
    if not answers:
        raise InvalidArgumentError(
            "Asked to combine answers. Found none. Give those of one net or more, to the same inputs."
        )
    for other in answers[1:]:
        answers[0].same_inputs(other)
