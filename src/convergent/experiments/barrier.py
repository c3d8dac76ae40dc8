"""The loss on the straight way from one net to another: whether there is a barrier between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from .._typing import Array, Bool, Float64, Shaped, Tensor
from ..batch import Inputs
from ..errors import InvalidArgumentError
from ..extraction.feeds import Loader
from ..extraction.lockstep import Call, call_on_tensor
from ..measures.intervals import Estimate
from ..results import frozen
from .evaluation import Answers, answer, over_inputs
from .merging import Partners, align_net, interpolated
from .permutation_groups import PermutationGroups
from .repairing import repair

_ELEVEN = tuple(np.linspace(0, 1, 11).tolist())


@dataclass(frozen=True, eq=False)
class LossBarrier:
    """Answers of the nets between a and b to the same inputs.

    Attributes:
        weights: of b, ascending, 0 and 1 among them.
        losses: cross-entropy in nats, one row a weight.
        correct: whether an input is answered correctly, one row a weight.
        repaired: whether the nets between were repaired.
    """

    weights: Float64[Array, " weights"]
    losses: Float64[Array, "weights inputs"]
    correct: Bool[Array, "weights inputs"]
    repaired: bool

    @property
    def excess(self) -> Float64[Array, "weights inputs"]:
        """Loss of each input above the straight line between its losses in a and in b."""
        line = np.outer(1 - self.weights, self.losses[0]) + np.outer(self.weights, self.losses[-1])
        return self.losses - line

    @property
    def barrier(self) -> float:
        """The largest mean excess on the way, in nats: 0 where the way is nowhere above the straight line."""
        return float(self.excess.mean(axis=1).max())

    def barrier_interval(self, *, level: float = 0.95) -> Estimate:
        """The mean excess where it is largest, with its interval over inputs for that place alone.

        Args:
            level: how often the interval should hold the truth, between 0 and 1.
        """
        return over_inputs(self.excess[self.excess.mean(axis=1).argmax()], level=level)

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row a weight: loss, accuracy and excess over the straight line, each with its interval over inputs.

        Args:
            level: of the intervals.
        """
        table = pd.DataFrame({"weight": self.weights, "repaired": self.repaired})
        for name, values in (("loss", self.losses), ("accuracy", self.correct), ("excess", self.excess)):
            found = [over_inputs(row, level=level) for row in values]
            for column, key in ((name, "value"), (f"{name}_low", "low"), (f"{name}_high", "high")):
                table[column] = np.array([getattr(one, key) for one in found])
        return table


def loss_barrier(
    a: nn.Module,
    b: nn.Module,
    matchings: Mapping[str, Partners],
    inputs: Inputs | Loader,
    *,
    weights: Sequence[float | int] = _ELEVEN,
    repair_on: Inputs | Loader | None = None,
    groups: PermutationGroups | None = None,
    example: Shaped[Tensor, "inputs ..."] | None = None,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> LossBarrier:
    """Losses of nets merged with more and more of b.

    The barrier is the maximum over weights w of  loss(merged at w) - (1 - w) loss(a) - w loss(b).

    Args:
        a: the net whose order of units is kept.
        b: a net of the same architecture.
        matchings: see `align_net`; empty leaves b's units as they are.
        inputs: labelled, on which nets are tested.
        weights: of b, ascending from 0 to 1.
        repair_on: inputs on which the nets between are repaired (see `repair`), rather not those tested on; None
            leaves them as they are.
        groups: see `align_net`.
        example: see `align_net`.
        batch_size: where the inputs do not come in batches.
        call: how the nets eat a batch.

    Returns:
        Losses and hits, input by input.

    Raises:
        InvalidArgumentError: if the weights do not ascend from 0 to 1; see also `align_net`.
        MismatchError: if a and b are not of one architecture.
        UnknownNameError: see `align_net`.
        NetError: see `align_net` and `repair`.
        DataError: if there are no inputs, or inputs without label.

    Cost: one forward of the inputs for each weight, and with repair a pass for each weight and layer.

    Reference: Frankle et al. 2020, "Linear mode connectivity"; Entezari et al. 2022 for permuted nets.

    Example:
        >>> import torch
        >>> a, b = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
        >>> x, labels = torch.randn(20, 3), torch.randint(2, (20,))
        >>> found = loss_barrier(a, b, {}, [(x, labels)], weights=(0, 0.5, 1), example=x)
        >>> found.barrier >= 0, len(found.table())
        (True, 3)
    """
    at = np.asarray(weights, dtype=np.float64)
    if len(at) < 2 or at[0] != 0 or at[-1] != 1 or not (np.diff(at) > 0).all():
        raise InvalidArgumentError(
            f"The way from a to b is walked by weights of b. Found {', '.join(f'{w:g}' for w in at) or 'none'}. "
            "Give weights that ascend from 0 to 1, both included."
        )
    moved = align_net(b, matchings, groups=groups, example=example, call=call)

    def asked(weight: float) -> Answers:
        net = interpolated(a, moved, weight=weight)
        if repair_on is not None and 0 < weight < 1:
            net = repair(net, a, moved, repair_on, weight=weight, batch_size=batch_size, call=call)
        return answer(net, inputs, batch_size=batch_size, call=call)

    found = [asked(float(weight)) for weight in at]
    losses, correct = (np.stack([getattr(one, name) for one in found]) for name in ("losses", "correct"))
    return LossBarrier(frozen(at), frozen(losses), frozen(correct), repair_on is not None)
