"""Which layer of one net corresponds to which of another: mass moved between layers where they are most alike."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .._typing import Array, Float64, Int64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.monotone import monotone_plan
from ..solvers.transport import transport_plan
from .layer_matrix import LayerSimilarities

ORDERS = ("free", "kept")


@dataclass(frozen=True, eq=False)
class LayerCoupling:
    """How the layers of two nets correspond.

    Attributes:
        layers_a: names of the layers of the first net (rows), from the input up.
        layers_b: of the second net (columns).
        similarity: layers_a x layers_b, as it was given.
        plan: layers_a x layers_b, how much mass goes from one to the other; the sum is 1.
        order: "free" or "kept".
    """

    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]
    similarity: Float64[Array, "layers_a layers_b"]
    plan: Float64[Array, "layers_a layers_b"]
    order: str

    @property
    def mean(self) -> float:
        """Mean similarity that the mass meets: sum of plan x similarity."""
        return float((self.plan * self.similarity).sum())

    @property
    def baseline(self) -> float:
        """What mass spread evenly meets: the mean of all similarities, the level of no correspondence."""
        return float(self.similarity.mean())

    @property
    def depth_correlation(self) -> float:
        """Correlation of the depths that the mass connects, in [-1, 1]: 1 where layers correspond in order.

        Depth is the position among the layers of a net. NaN where a net has one layer.
        """
        depth_a, depth_b = (np.arange(n, dtype=np.float64) for n in self.plan.shape)
        depth_a -= self.plan.sum(axis=1) @ depth_a
        depth_b -= self.plan.sum(axis=0) @ depth_b
        spread = (self.plan.sum(axis=1) @ depth_a**2) * (self.plan.sum(axis=0) @ depth_b**2)
        return float(depth_a @ self.plan @ depth_b / np.sqrt(spread)) if spread > 0 else float("nan")

    @property
    def partner_a(self) -> Int64[Array, " layers_a"]:
        """For each layer of a, the layer of b that gets most of its mass; the more alike one of equal shares."""
        return _partners(self.plan, self.similarity)

    @property
    def partner_b(self) -> Int64[Array, " layers_b"]:
        """For each layer of b, the layer of a that most of its mass comes from."""
        return _partners(self.plan.T, self.similarity.T)

    def table(self) -> pd.DataFrame:
        """One row a layer of either net: side, layer, partner, similarity, share (of its mass), most_similar."""
        return pd.concat(
            [
                _side("a", self.layers_a, self.layers_b, self.plan, self.similarity),
                _side("b", self.layers_b, self.layers_a, self.plan.T, self.similarity.T),
            ],
            ignore_index=True,
        )


def layer_coupling(similarity: LayerSimilarities | ArrayLike, *, order: str = "free") -> LayerCoupling:
    """Couple the layers of two nets so that what corresponds is as alike as can be, over all layers together.

    "free": optimal transport. Each layer of a net has the same mass; the plan maximises sum plan_ij s_ij with all
    mass of both nets moved. "kept": layers correspond in order of depth. A path through the matrix from the first
    layers to the last (dynamic time warping), along which sum plan_ij s_ij is largest; here a layer's mass may
    exceed its share, where several layers correspond to it.

    Args:
        similarity: layers x layers, larger is more alike, in any unit; `LayerSimilarities` bring their names.
        order: "free" or "kept".

    Returns:
        The plan, with the mean similarity it meets beside that of mass spread evenly, in units of the similarity.

    Raises:
        InvalidArgumentError: if the similarity is no finite matrix, or the order is unknown.

    Invariant to: a number added to all similarities, and a positive factor (yes, for the plan); order of layers
        ("free" yes, "kept" no).

    Cost: milliseconds for a hundred layers a side; the first "free" coupling of unequal depths imports POT.

    Reference: Villani 2009 (transport); Sakoe & Chiba 1978 (in order).

    Example:
        >>> found = layer_coupling(np.array([[0.9, 0.6, 0.1], [0.5, 0.4, 0.8]]), order="kept")
        >>> found.partner_b.tolist(), round(found.mean, 2), round(found.baseline, 2)
        ([0, 0, 1], 0.8, 0.55)
    """
    if order not in ORDERS:
        raise InvalidArgumentError(
            f"Layers are coupled in an order that is 'free' or 'kept'. Found {order!r}. Choose one of the two."
        )
    values = np.array(similarity, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise InvalidArgumentError(
            f"Layers are coupled by a matrix of finite similarities. Found shape {values.shape} with "
            f"{int((~np.isfinite(values)).sum())} values that are not finite. Leave dead layers out."
        )
    plan = transport_plan(values) if order == "free" else monotone_plan(values)
    layers_a, layers_b = (
        (similarity.layers_a, similarity.layers_b)
        if isinstance(similarity, LayerSimilarities)
        else [tuple(str(layer) for layer in range(n)) for n in values.shape]
    )
    return LayerCoupling(layers_a, layers_b, frozen(values), frozen(plan), order)


def _partners(plan: Array, similarity: Array) -> Array:
    most = plan >= plan.max(axis=1, keepdims=True) * (1 - 1e-9)
    return np.where(most, similarity, -np.inf).argmax(axis=1)


def _side(side: str, own: tuple[str, ...], other: tuple[str, ...], plan: Array, similarity: Array) -> pd.DataFrame:
    partner, rows, names = _partners(plan, similarity), np.arange(len(plan)), np.array(other, dtype=object)
    return pd.DataFrame(
        {
            "side": side,
            "layer": own,
            "partner": names[partner],
            "similarity": similarity[rows, partner],
            "share": plan[rows, partner] / plan.sum(axis=1),
            "most_similar": names[similarity.argmax(axis=1)],
        }
    )
