"""How often each unit is exactly zero: the moments of the thresholded view [x == 0], sums only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from .._typing import Tensor
from ..batch import ActivationBatch
from ..results import Fingerprint
from ..units import LayerUnits
from .moments import Moments


@dataclass(frozen=True)
class ZerosPlan:
    """`Moments` whose `mean` is the share of samples at which a unit is zero, in [0, 1]; exact counts."""

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Eight bytes a unit."""
        return sum(8 * layer.n_units for layer in layers)

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "ZerosAccumulator":
        """An empty accumulator."""
        return ZerosAccumulator(tuple(layers), calibration)


class ZerosAccumulator:
    """Running counts; made by `ZerosPlan.start`."""

    def __init__(self, layers: tuple[LayerUnits, ...], calibration: ActivationBatch) -> None:
        self._layers = layers
        self._n_inputs = 0
        self._n_samples = {layer.ref: 0 for layer in layers}
        self._zeros = {
            layer.ref: calibration.layers[layer.ref].values.new_zeros(layer.n_units, dtype=torch.int64)
            for layer in layers
        }

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Count the zeros of a batch, or of the inputs at these positions of it."""
        chosen = slice(None) if inputs is None else list(inputs)
        self._n_inputs += len(batch.ids[chosen])
        for ref, zeros in self._zeros.items():
            activations = batch.layers[ref]
            is_zero = activations.values[chosen] == 0
            if activations.mask is None:
                self._n_samples[ref] += is_zero.shape[0] * is_zero.shape[2]
            else:
                mask = activations.mask[chosen]
                is_zero &= mask[:, None]
                self._n_samples[ref] += int(mask.sum())
            zeros += is_zero.sum((0, 2))

    def state(self) -> dict[str, Tensor]:
        """Counts."""
        counts = {"counts": torch.tensor([self._n_inputs, *self._n_samples.values()])}
        return counts | {f"zeros/{i}": zeros for i, zeros in enumerate(self._zeros.values())}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self._n_inputs, *n_samples = state["counts"].tolist()
        self._n_samples = dict(zip(self._n_samples, n_samples, strict=True))
        for i, zeros in enumerate(self._zeros.values()):
            zeros.copy_(state[f"zeros/{i}"])

    def finish(self, fingerprint: Fingerprint) -> Moments:
        """The share of zeros, as moments without products."""
        return Moments(
            layers=self._layers,
            n_inputs=self._n_inputs,
            n_samples=self._n_samples,
            origin={layer.ref: np.zeros(layer.n_units) for layer in self._layers},
            sums={ref: zeros.double().cpu().numpy() for ref, zeros in self._zeros.items()},
            products={},
            fingerprint=replace(fingerprint, view=f"{fingerprint.view} == 0"),
        )
