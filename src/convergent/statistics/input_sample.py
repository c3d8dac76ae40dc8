"""The full unit vectors of a sample of inputs, the same in every net, process and run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .._typing import Array, Int64, Shaped, Tensor
from ..batch import ActivationBatch, hash_ids
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .base import Header, check_mergeable, stored
from .minibatch_hsic import MinibatchHsic, centred_gram, debiased_hsic, flattened, refuse_padding
from .pair_sample import PairSample
from .pairing import check_pairable


@dataclass(frozen=True, eq=False)
class InputSample:
    """Every unit at every location, of the k inputs whose ids have the smallest hashes.

    Attributes:
        layers: the layers, in a fixed order.
        k: how many inputs are kept, where there are so many.
        n_inputs: how many were looked at.
        ids: of the inputs that are kept, in the order of their hashes.
        values: per layer, inputs x units x locations, in the precision of the activations, at least float32.
        fingerprint: what they were computed from.
    """

    layers: tuple[LayerUnits, ...]
    k: int
    n_inputs: int
    ids: Int64[Array, " inputs"]
    values: Mapping[LayerRef, Shaped[Array, "inputs units locations"]]
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def pair(self, a: LayerRef | str, b: LayerRef | str, *, samples: str = "inputs") -> PairSample:
        """The values of two layers, or of a layer with itself: what kernel and neighbourhood measures take.

        Args:
            a: the first layer, as `net/layer` or `LayerRef`.
            b: the second.
            samples: "inputs", whose features are all units at all locations; or "locations", whose features are
                units, where both layers are sampled at the same places.

        Raises:
            UnknownNameError: if a layer was not kept.
            InvalidArgumentError: if `samples` is neither, or there are fewer than two.
            MismatchError: if locations are asked for and the layers do not share them.
        """
        a, b = LayerRef.of(a), LayerRef.of(b)
        left, right = self._layer(a), self._layer(b)
        if samples not in ("inputs", "locations"):
            raise InvalidArgumentError(
                f"Samples are 'inputs' or 'locations'. Found {samples!r}. Choose one of these."
            )
        x, y = self.values[a], self.values[b]
        if samples == "inputs":
            return PairSample.from_samples(*(v.reshape(len(v), -1) for v in (x, y)), a=str(a), b=str(b))
        check_pairable(left, right)
        owner = np.repeat(np.arange(len(x)), x.shape[2])
        rows = (v.swapaxes(1, 2).reshape(len(owner), -1) for v in (x, y))
        return PairSample.from_samples(*rows, input_of=owner, a=str(a), b=str(b))

    def hsic(self) -> MinibatchHsic:
        """HSIC of every two layers with all kept inputs as one batch: exact debiased CKA of flattened features.

        Raises:
            InvalidArgumentError: (by `cka`) if there are fewer than 4 inputs.

        Cost: 2 k^2 features multiplications a layer; a k x k matrix for each layer and a copy of the largest.
        """
        n = len(self.ids)
        if n < 4:
            return MinibatchHsic(self.layers, 0, 0, n, np.zeros((len(self.layers),) * 2), self.fingerprint)
        features = (flattened(torch.from_numpy(self.values[layer.ref])) for layer in self.layers)
        hsic = debiased_hsic(torch.stack([centred_gram(x) for x in features])).numpy()
        return MinibatchHsic(self.layers, n, 1, 0, hsic, self.fingerprint)

    def merge(self, other: "InputSample") -> "InputSample":
        """The sample of both sets of inputs.

        Raises:
            MismatchError: if they are of other nets, layers, data or views, or share inputs, or keep another
                number.
        """
        fingerprint = check_mergeable(self, other)
        if self.k != other.k:
            raise MismatchError(
                f"Cannot merge InputSamples that keep different numbers. Found k={self.k} against k={other.k}. "
                "Accumulate both with one k."
            )
        ids = np.concatenate([self.ids, other.ids])
        chosen = _smallest(ids, self.k)
        values = {ref: np.concatenate([v, other.values[ref]])[chosen] for ref, v in self.values.items()}
        return InputSample(self.layers, self.k, self.n_inputs + other.n_inputs, ids[chosen], values, fingerprint)

    __add__ = merge

    def identity(self) -> "InputSample":
        """The sample of no inputs."""
        nothing = {ref: v[:0] for ref, v in self.values.items()}
        return InputSample(self.layers, self.k, 0, self.ids[:0], nothing, self.fingerprint.of_nothing())

    def _layer(self, ref: LayerRef) -> LayerUnits:
        return _find(ref, {layer.ref: layer for layer in self.layers})

    def header(self) -> Header:
        """Everything but the arrays."""
        return {"k": self.k, "n_inputs": self.n_inputs, "n_kept": len(self.ids)}

    def arrays(self) -> dict[str, Array]:
        """`ids`, and `values/NET/LAYER`."""
        return {"ids": self.ids} | {f"values/{ref}": v for ref, v in self.values.items()}

    @classmethod
    def rebuild(
        cls,
        header: Header,
        arrays: Mapping[str, Array],
        layers: tuple[LayerUnits, ...],
        fingerprint: Fingerprint,
        /,
    ) -> "InputSample":
        """From a file's parts."""
        n = header["n_kept"]
        values = {
            layer.ref: stored(arrays, f"values/{layer.ref}", n, layer.n_units, layer.n_samples_per_input)
            for layer in layers
        }
        return cls(layers, header["k"], header["n_inputs"], stored(arrays, "ids", n), values, fingerprint)


def _smallest(ids: Int64[Array, " inputs"], k: int) -> Int64[Array, " kept"]:
    """Where the k ids with the smallest hashes stand, in that order; ties by id."""
    return np.lexsort((ids, hash_ids(ids)))[:k]


def _find(ref: LayerRef, layers: Mapping[LayerRef, LayerUnits]) -> LayerUnits:
    if ref not in layers:
        known = [str(known) for known in layers]
        raise UnknownNameError(f"Asked for layer '{ref}'. There are {len(known)}. {nearest(str(ref), known)}")
    return layers[ref]


@dataclass(frozen=True)
class InputSamplePlan:
    """All values of k inputs, drawn by a hash of their ids.

    Args:
        k: how many inputs.
        layers: of which layers, as `net/layer` or `LayerRef`; of all where not given.

    Raises:
        InvalidArgumentError: if k is not positive.
    """

    k: int = 1000
    layers: Sequence[str | LayerRef] | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InvalidArgumentError(f"An InputSample keeps k inputs. Found k={self.k}. Give at least 1.")

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Peak memory of the accumulator on float32 activations: all values, and the largest layer twice."""
        sizes = [4 * self.k * layer.n_units * layer.n_samples_per_input for layer in self._chosen(layers)]
        return sum(sizes) + max(sizes, default=0) + 8 * self.k

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "InputSampleAccumulator":
        """An empty accumulator."""
        return InputSampleAccumulator(self._chosen(layers), self.k, calibration)

    def _chosen(self, layers: Sequence[LayerUnits]) -> tuple[LayerUnits, ...]:
        if self.layers is None:
            return tuple(layers)
        there = {layer.ref: layer for layer in layers}
        wanted = {_find(LayerRef.of(name), there).ref for name in self.layers}
        return tuple(layer for layer in layers if layer.ref in wanted)


class InputSampleAccumulator:
    """The sample so far, in any order; made by `InputSamplePlan.start`."""

    def __init__(self, layers: tuple[LayerUnits, ...], k: int, calibration: ActivationBatch) -> None:
        self._layers, self._k, self._n_inputs = layers, k, 0
        self._ids = np.zeros(0, dtype=np.int64)
        self._values = {
            layer.ref: torch.empty(
                (k, layer.n_units, layer.n_samples_per_input),
                dtype=torch.promote_types(calibration.layers[layer.ref].values.dtype, torch.float32),
            )
            for layer in layers
        }

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Look at a batch, or at the inputs at these positions of it.

        Raises:
            MismatchError: if inputs are padded.
        """
        chosen = np.arange(len(batch.ids)) if inputs is None else np.asarray(inputs, dtype=np.int64)
        self._n_inputs += len(chosen)
        n, ids = len(self._ids), np.concatenate([self._ids, batch.ids[chosen]])
        kept = np.sort(_smallest(ids, self._k))
        old, new = kept[kept < n], kept[kept >= n]
        # Newcomers take the places of those that leave, and then the places that are still free.
        places = np.concatenate([np.setdiff1d(np.arange(n), old), np.arange(n, self._k)])[: len(new)]
        self._ids = np.concatenate([self._ids, np.zeros(max(0, len(kept) - n), dtype=np.int64)])
        self._ids[places] = ids[new]
        for ref, held in self._values.items():
            activations = batch.layers[ref]
            refuse_padding(activations, str(ref))
            rows = torch.from_numpy(chosen[new - n]).to(activations.values.device)
            held[torch.from_numpy(places)] = activations.values[rows].to(held)

    def state(self) -> dict[str, Tensor]:
        """Ids and values that are kept so far."""
        n = len(self._ids)
        return {"n_inputs": torch.tensor([self._n_inputs]), "ids": torch.from_numpy(self._ids.copy())} | {
            f"values/{i}": held[:n] for i, held in enumerate(self._values.values())
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self._n_inputs, self._ids = int(state["n_inputs"]), state["ids"].numpy().copy()
        for i, held in enumerate(self._values.values()):
            held[: len(self._ids)] = state[f"values/{i}"]

    def finish(self, fingerprint: Fingerprint) -> InputSample:
        """The sample of all that was looked at. The accumulator cannot be used afterwards."""
        order = _smallest(self._ids, self._k)
        values = {layer.ref: self._values.pop(layer.ref).numpy()[order] for layer in self._layers}
        return InputSample(self._layers, self._k, self._n_inputs, self._ids[order], values, fingerprint)
