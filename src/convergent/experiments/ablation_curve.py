"""Units taken out one after the other, in a given order: how the answers go."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from .._typing import Array, Int64
from ..batch import Inputs
from ..errors import InvalidArgumentError
from ..extraction.feeds import Loader
from ..extraction.lockstep import Call, call_on_tensor
from ..extraction.views import View
from .ablation import Ablations, Means, ablation_effect
from .replacement import Units, unit_indices

_DEFAULT_STEPS = 10


@dataclass(frozen=True, eq=False)
class AblationCurve:
    """Answers with the first units of an order taken out, for several numbers of them.

    Attributes:
        order: units, the first taken out first.
        sizes: how many were taken out, ascending.
        ablations: what that did, one set a size.
    """

    order: Int64[Array, " k"]
    sizes: tuple[int, ...]
    ablations: Ablations

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row a size: layer, n_units, loss, accuracy, and changes with intervals over inputs.

        Args:
            level: of the intervals, between 0 and 1.
        """
        return self.ablations.table(level=level).drop(columns="set")

    def by_class(self) -> pd.DataFrame:
        """One row a size and class: n_units, label, n_inputs, loss, accuracy and their changes."""
        return self.ablations.by_class().drop(columns="set")


def ablation_curve(
    net: nn.Module,
    inputs: Inputs | Loader,
    layer: str,
    order: Units,
    *,
    sizes: Sequence[int] | None = None,
    replace_by: str = "mean",
    means: Means | None = None,
    view: View | None = None,
    seed: int = 0,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> AblationCurve:
    """Take units out in an order, most unique or most shared first for instance, and ask the net again.

    Args:
        net: gives one score per input and class; it is left as it was.
        inputs: with labels.
        layer: name, as `tapping` understands it.
        order: indices of units, the first taken out first; it need not hold all units.
        sizes: how many to take out; left out, ten steps from none to all of the order.
        replace_by: see `ablate`.
        means: see `ablate`; left out, they are computed from the same inputs.
        view: which axis holds the units.
        seed: of "resample".
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Returns:
        Answers for each size.

    Raises:
        InvalidArgumentError: if a unit comes twice, or a size is not among 0 .. the length of the order.

    Cost: that of `ablation_effect`, one set a size.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> inputs = [(torch.randn(8, 3), torch.arange(8) % 2)]
        >>> ablation_curve(net, inputs, "1", [2, 0, 3, 1]).table()["n_units"].tolist()
        [0, 1, 2, 3, 4]
    """
    units = np.array(list(order), dtype=np.int64)
    steps = np.linspace(0, len(units), min(_DEFAULT_STEPS, len(units)) + 1).round() if sizes is None else sizes
    numbers = tuple(sorted({int(step) for step in steps}))
    within = numbers and 0 <= numbers[0] <= numbers[-1] <= len(units)
    if len(unit_indices(layer, units)) != len(units) or not within:
        raise InvalidArgumentError(
            f"Cannot take units out of layer {layer!r} in this order. Found {len(units)} units, "
            f"{len(np.unique(units))} of them different, and sizes {list(numbers)}. "
            "Give each unit once, and sizes from 0 to their number."
        )
    sets = {str(number): units[:number] for number in numbers}
    found = ablation_effect(
        net,
        inputs,
        layer,
        sets,
        replace_by=replace_by,
        means=means,
        view=view,
        seed=seed,
        batch_size=batch_size,
        call=call,
    )
    return AblationCurve(units, numbers, found)
