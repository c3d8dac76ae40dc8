"""The k inputs that excite each unit most, and where in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .._typing import Array, Float64, Int64, Shaped, Tensor
from ..batch import ActivationBatch, Activations
from ..errors import InvalidArgumentError, MismatchError
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .base import Header, check_mergeable, stored


@dataclass(frozen=True, eq=False)
class Strongest:
    """Units x k, strongest first; ties by id. Where there were fewer inputs, value -inf, id and location -1."""

    values: Float64[Array, "units k"]
    ids: Int64[Array, "units k"]
    locations: Int64[Array, "units k"]  # flat index into the layer's grid, 0 where it has none

    def merge(self, other: "Strongest", k: int) -> "Strongest":
        """The k strongest of both."""
        return strongest(
            *(
                np.concatenate([mine, theirs], axis=1)
                for mine, theirs in zip(self.columns(), other.columns(), strict=True)
            ),
            k=k,
        )

    def columns(self) -> tuple[Array, Array, Array]:
        """Values, ids and locations."""
        return self.values, self.ids, self.locations


@dataclass(frozen=True, eq=False)
class TopInputs:
    """Per layer, the strongest inputs of each unit; at most one location of an input.

    Attributes:
        layers: the layers, in a fixed order.
        k: how many inputs are kept per unit.
        n_inputs: how many were looked at.
        strongest: per layer.
        fingerprint: what they were computed from.
    """

    layers: tuple[LayerUnits, ...]
    k: int
    n_inputs: int
    strongest: Mapping[LayerRef, Strongest]
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def merge(self, other: "TopInputs") -> "TopInputs":
        """The strongest of both sets of inputs.

        Raises:
            MismatchError: if they are of other nets, layers, data or views, or share inputs, or keep another
                number.
        """
        fingerprint = check_mergeable(self, other)
        if self.k != other.k:
            raise MismatchError(
                f"Cannot merge TopInputs that keep different numbers. Found k={self.k} against k={other.k}. "
                "Accumulate both with one k."
            )
        merged = {ref: mine.merge(other.strongest[ref], self.k) for ref, mine in self.strongest.items()}
        return TopInputs(self.layers, self.k, self.n_inputs + other.n_inputs, merged, fingerprint)

    __add__ = merge

    def identity(self) -> "TopInputs":
        """The strongest of no inputs."""
        nothing = {layer.ref: _nothing(layer.n_units, self.k) for layer in self.layers}
        return TopInputs(self.layers, self.k, 0, nothing, self.fingerprint.of_nothing())

    def header(self) -> Header:
        """Everything but the arrays."""
        return {"k": self.k, "n_inputs": self.n_inputs}

    def arrays(self) -> dict[str, Array]:
        """`values/NET/LAYER`, `ids/NET/LAYER` and `locations/NET/LAYER`."""
        return {
            f"{name}/{ref}": column
            for ref, found in self.strongest.items()
            for name, column in zip(("values", "ids", "locations"), found.columns(), strict=True)
        }

    @classmethod
    def rebuild(
        cls,
        header: Header,
        arrays: Mapping[str, Array],
        layers: tuple[LayerUnits, ...],
        fingerprint: Fingerprint,
        /,
    ) -> "TopInputs":
        """From a file's parts."""
        found = {
            layer.ref: Strongest(
                *(
                    stored(arrays, f"{name}/{layer.ref}", layer.n_units, header["k"])
                    for name in ("values", "ids", "locations")
                )
            )
            for layer in layers
        }
        return cls(layers, header["k"], header["n_inputs"], found, fingerprint)


def strongest(values: Array, ids: Array, locations: Array, *, k: int) -> Strongest:
    """The k strongest entries of each row, strongest first, ties by the smaller id."""
    order = np.lexsort((ids, -values), axis=1)[:, :k]
    return Strongest(*(np.take_along_axis(column, order, axis=1) for column in (values, ids, locations)))


def _nothing(n_units: int, k: int) -> Strongest:
    # Ids and locations are two arrays: checkpoints refuse arrays that share memory.
    ids, locations = (np.full((n_units, k), -1, dtype=np.int64) for _ in range(2))
    return Strongest(np.full((n_units, k), -np.inf), ids, locations)


@dataclass(frozen=True)
class TopInputsPlan:
    """The k strongest inputs of every unit.

    Args:
        k: how many.

    Raises:
        InvalidArgumentError: if k is not positive.
    """

    k: int = 9

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InvalidArgumentError(
                f"TopInputs keeps the k strongest inputs of a unit. Found k={self.k}. Give at least 1."
            )

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Three numbers per unit and kept input."""
        return sum(24 * layer.n_units * self.k for layer in layers)

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "TopInputsAccumulator":
        """An empty accumulator."""
        return TopInputsAccumulator(tuple(layers), self.k)


class TopInputsAccumulator:
    """The strongest so far; made by `TopInputsPlan.start`."""

    def __init__(self, layers: tuple[LayerUnits, ...], k: int) -> None:
        self._layers = layers
        self._k = k
        self._n_inputs = 0
        self._found = {layer.ref: _nothing(layer.n_units, k) for layer in layers}

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Look at a batch, or at the inputs at these positions of it."""
        chosen = np.arange(len(batch.ids)) if inputs is None else np.asarray(inputs, dtype=np.int64)
        self._n_inputs += len(chosen)
        if len(chosen) == 0:
            return
        for ref, found in self._found.items():
            self._found[ref] = self._updated(found, batch.layers[ref], batch.ids, chosen)

    def _updated(
        self, found: Strongest, activations: Activations, ids: Int64[Array, " inputs"], chosen: Array
    ) -> Strongest:
        values = _real(activations)
        peaks = values.amax(2)[torch.from_numpy(chosen).to(values.device)].T.double().cpu().numpy()
        somewhere = peaks > -np.inf
        positions = np.where(somewhere, chosen, -1)
        new = strongest(peaks, np.where(somewhere, ids[chosen], -1), positions, k=self._k)
        merged = found.merge(Strongest(new.values, new.ids, -2 - new.locations), self._k)
        # Only entries of this batch that made it into the list are worth the search for their location.
        units, ranks = np.nonzero(merged.locations < -1)
        here = -2 - merged.locations[units, ranks]
        merged.locations[units, ranks] = _peak_locations(values, activations, here, units)
        return merged

    def state(self) -> dict[str, Tensor]:
        """What was found so far."""
        state = {"n_inputs": torch.tensor([self._n_inputs])}
        for i, found in enumerate(self._found.values()):
            for name, column in zip(("values", "ids", "locations"), found.columns(), strict=True):
                state[f"{name}/{i}"] = torch.from_numpy(np.ascontiguousarray(column))
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self._n_inputs = int(state["n_inputs"])
        for i, ref in enumerate(self._found):
            columns = (state[f"{name}/{i}"].numpy().copy() for name in ("values", "ids", "locations"))
            self._found[ref] = Strongest(*columns)

    def finish(self, fingerprint: Fingerprint) -> TopInputs:
        """The strongest of all that was looked at."""
        return TopInputs(self._layers, self._k, self._n_inputs, self._found, fingerprint)


def _real(activations: Activations) -> Shaped[Tensor, "inputs units locations"]:
    """Activations with padding out of the way."""
    if activations.mask is None:
        return activations.values
    return activations.values.masked_fill(~activations.mask[:, None], -torch.inf)


def _peak_locations(values: Tensor, activations: Activations, inputs: Array, units: Array) -> Array:
    """Where in its grid each of these (input, unit) has its maximum; the first place where there are several."""
    rows = torch.from_numpy(inputs).to(values.device)
    place = values[rows, torch.from_numpy(units).to(values.device)].argmax(1)
    if activations.locations is not None:
        place = activations.locations[rows, place]
    return np.asarray(place.cpu().numpy())
