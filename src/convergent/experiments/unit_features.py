"""What is known of each unit of one layer before it is taken out: mean, variance, class selectivity, weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from .._typing import Array, Bool, Float64, Int64, Shaped, Tensor
from ..batch import Batch, Inputs
from ..errors import DataError
from ..extraction.feeds import Loader, feed_nets
from ..extraction.lockstep import Call, call_on_tensor, fit_to
from ..extraction.taps import explaining, tapping
from ..extraction.views import View
from ..results import frozen
from ..statistics.pairs import alive
from .outgoing_weights import outgoing_norms


@dataclass(frozen=True, eq=False)
class UnitSums:
    """Sums over inputs of one layer's units, overall and by class.

    Attributes:
        n_samples: inputs times real locations.
        total: of values.
        squares: of their squares.
        n_inputs: by class.
        of_class: of the means over an input's locations, (classes, units).
        squared_means: of the squares of these, over all classes.
    """

    n_samples: int
    total: Float64[Array, " units"]
    squares: Float64[Array, " units"]
    n_inputs: Int64[Array, " classes"]
    of_class: Float64[Array, "classes units"]
    squared_means: Float64[Array, " units"]

    @property
    def mean(self) -> Float64[Array, " units"]:
        """Of each unit, over inputs and real locations; NaN where there are none."""
        return self.total / self.n_samples if self.n_samples else np.full(len(self.total), np.nan)

    @property
    def variance(self) -> Float64[Array, " units"]:
        """Likewise."""
        return np.maximum(self.squares / max(self.n_samples, 1) - self.mean**2, 0)

    @property
    def alive(self) -> Bool[Array, " units"]:
        """False where a unit varies no more than rounding does."""
        return alive(np.sqrt(self.variance), self.mean, None, n_samples=self.n_samples)

    @property
    def selectivity(self) -> Float64[Array, " units"]:
        """Share of the variance over inputs that the class explains, in [0, 1]; NaN where there is none."""
        n, there = self.n_inputs.sum(), self.n_inputs > 0
        about = self.of_class.sum(axis=0) ** 2 / n
        between = (self.of_class[there] ** 2 / self.n_inputs[there, None]).sum(axis=0) - about
        within_and_between = self.squared_means - about
        varies = self.alive & (within_and_between > 1e-12 * self.squared_means)
        share = between / np.where(varies, within_and_between, 1)
        return np.where(varies, np.clip(share, 0, 1), np.nan)


def unit_sums(
    net: nn.Module,
    inputs: Inputs | Loader,
    layers: Sequence[str],
    *,
    view: View | None = None,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> Mapping[str, UnitSums]:
    """Run a net once and add up its units; inputs without a label count as one class.

    Args:
        net: any module; it is left as it was.
        inputs: with or without labels.
        layers: names, as `tapping` understands them.
        view: which axis holds the units.
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Raises:
        DataError: if there are no inputs.

    Cost: one forward of the net.
    """
    seen = View() if view is None else view
    sums: dict[str, UnitSums] = {}
    for several in feed_nets(("net",), inputs, batch_size=batch_size).batches(0):
        batch = fit_to(net, several["net"])

        def keep(_: str, output: Tensor, batch: Batch = batch) -> UnitSums:
            return _sums(seen, output, batch)

        with explaining(batch.tensor), tapping(net, layers, keep=keep) as kept:
            call(net, batch)
        sums = {name: _added(sums[name], one) if name in sums else one for name, one in kept.items()}
    if layers and not sums:
        raise DataError("Asked for the means of units. Found no inputs. Give at least one.")
    return sums


def unit_features(
    net: nn.Module,
    inputs: Inputs | Loader,
    layer: str,
    *,
    view: View | None = None,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> pd.DataFrame:
    """What random units must share with chosen ones, for their ablation to be a fair comparison.

    Selectivity is the share of the variance over inputs (means over their locations) that the class explains.
    The outgoing norm is that of the weights with which the first linear or convolutional module that reads the
    layer reads the unit. Which that is, and which of its columns, is found by moving one unit at a time.

    Args:
        net: any module; it is left as it was.
        inputs: with one label each.
        layer: name, as `tapping` understands it.
        view: which axis holds the units.
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Returns:
        One row a unit: unit, mean, variance, outgoing_norm (NaN where nothing linear reads the layer), selectivity
        (0 to 1; NaN where dead), dead.

    Raises:
        DataError: if there are no inputs, or they have no labels.

    Cost: one forward of the net, and one on twice as many inputs as there are units.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> inputs = [(torch.randn(8, 3), torch.arange(8) % 2)]
        >>> found = unit_features(net, inputs, "1")
        >>> bool(np.allclose(found["outgoing_norm"], net[2].weight.detach().norm(dim=0)))
        True
    """
    several = next(feed_nets(("net",), inputs, batch_size=batch_size).batches(0), None)
    first = None if several is None else several["net"]
    if first is not None and (first.labels is None or first.labels.ndim != 1 or int(first.labels.min()) < 0):
        raise DataError(
            f"Cannot say how selective the units of {layer!r} are for classes. Found inputs without label. "
            "Give inputs with one label each."
        )
    sums = unit_sums(net, inputs, [layer], view=view, batch_size=batch_size, call=call)[layer]
    assert first is not None
    return pd.DataFrame(
        {
            "unit": np.arange(len(sums.total)),
            "mean": sums.mean,
            "variance": sums.variance,
            "outgoing_norm": outgoing_norms(net, first, layer, view=view, call=call),
            "selectivity": sums.selectivity,
            "dead": ~sums.alive,
        }
    )


def _sums(view: View, output: Shaped[Tensor, "inputs ..."], batch: Batch) -> UnitSums:
    seen = View(view.units).apply(output, mask=batch.mask)
    values = seen.values.double()
    real = values.shape[2] if seen.mask is None else seen.mask.sum(dim=1).clamp(min=1)[:, None]
    n = values.shape[0] * values.shape[2] if seen.mask is None else int(seen.mask.sum())
    means = values.sum(dim=2) / real
    known = batch.labels is not None and batch.labels.ndim == 1
    labels = batch.labels.clamp(min=0) if known and batch.labels is not None else torch.zeros(len(values))
    classes = labels.to(values.device, torch.int64)
    counts = torch.bincount(classes)
    by_class = torch.zeros(len(counts), values.shape[1], dtype=values.dtype, device=values.device)
    by_class.index_add_(0, classes, means)
    parts = values.sum(dim=(0, 2)), (values**2).sum(dim=(0, 2)), counts, by_class, (means**2).sum(dim=0)
    total, squares, n_inputs, of_class, squared = (frozen(part.cpu().numpy()) for part in parts)
    return UnitSums(n, total, squares, n_inputs, of_class, squared)


def _added(a: UnitSums, b: UnitSums) -> UnitSums:
    n = max(len(a.n_inputs), len(b.n_inputs))

    def grown(part: Array) -> Array:
        return np.pad(part, [(0, n - len(part)), *[(0, 0)] * (part.ndim - 1)])

    return UnitSums(
        a.n_samples + b.n_samples,
        a.total + b.total,
        a.squares + b.squares,
        grown(a.n_inputs) + grown(b.n_inputs),
        grown(a.of_class) + grown(b.of_class),
        a.squared_means + b.squared_means,
    )
