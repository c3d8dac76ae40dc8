"""Linear HSIC of every two layers from the Gram matrices of batches, for CKA of flattened features."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from .._typing import Array, Float, Float64, Tensor
from ..batch import ActivationBatch, Activations, Reduction
from ..errors import InvalidArgumentError, MismatchError
from ..results import Fingerprint, frozen
from ..units import LayerRef, LayerUnits
from .accumulate import full_precision
from .base import Header, check_mergeable, stored
from .pairs import DEAD_RATIO, DEAD_RATIO_FLOAT64

_FEWEST = 4  # inputs that a debiased HSIC needs
_ENTRIES_AT_ONCE = 2**17
_MOST_PARTS = 4
_IN_A_ROW = 256
_LEAST_VARYING, _MOST_INPUTS = 0.2, 2500  # CKA is off by 5e-7 at most, HSIC by 1e-8 of it


@dataclass(frozen=True, eq=False)
class MinibatchHsic:
    """Sums over batches of the debiased HSIC of every two layers, within and between nets.

    A layer's features are all units at all locations of an input. HSIC of a batch of n inputs, with K and L the
    Gram matrices of two layers with zeros on the diagonal:
    (tr K L + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'K L1) / (n (n-3)).

    Attributes:
        layers: the layers, in a fixed order.
        n_inputs: how many inputs were taken in.
        n_batches: in how many batches, which all weigh the same.
        n_left_out: inputs of batches of fewer than 4, of which nothing can be known.
        hsic: (layers, layers), summed over batches.
        fingerprint: what they were computed from.
    """

    layers: tuple[LayerUnits, ...]
    n_inputs: int
    n_batches: int
    n_left_out: int
    hsic: Float64[Array, "layers layers"]
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def cka(self) -> Float64[Array, "layers layers"]:
        """Debiased linear CKA of every two of `layers`: the ratio of the sums.

        Returns:
            Rows and columns are `layers`. At most about 1 and not clamped: negative values are what chance looks
            like. NaN for a layer that is dead.

        Raises:
            InvalidArgumentError: if no batch had 4 inputs.

        Invariant to: isotropic scaling (yes); shift (yes); rotation of features (yes); batch size (no).

        Reference: Nguyen, Raghu & Kornblith 2021; Song et al. 2012, equation 5.
        """
        if self.n_batches == 0:
            raise InvalidArgumentError(
                f"Asked for CKA from batches of at least {_FEWEST} inputs. Found none, and {self.n_left_out} "
                "inputs in smaller ones. Give larger batches."
            )
        own = np.diagonal(self.hsic)
        scale = np.sqrt(np.where(own > 0, own, np.nan))
        return frozen(self.hsic / scale / scale[:, None])

    def merge(self, other: "MinibatchHsic") -> "MinibatchHsic":
        """The sums over the batches of both.

        Raises:
            MismatchError: if they are of other nets, layers, data or views, or share inputs.
        """
        fingerprint = check_mergeable(self, other)
        return MinibatchHsic(
            self.layers,
            self.n_inputs + other.n_inputs,
            self.n_batches + other.n_batches,
            self.n_left_out + other.n_left_out,
            self.hsic + other.hsic,
            fingerprint,
        )

    __add__ = merge

    def identity(self) -> "MinibatchHsic":
        """Of no inputs."""
        return MinibatchHsic(self.layers, 0, 0, 0, np.zeros_like(self.hsic), self.fingerprint.of_nothing())

    def header(self) -> Header:
        """Everything but the arrays."""
        return {"n_inputs": self.n_inputs, "n_batches": self.n_batches, "n_left_out": self.n_left_out}

    def arrays(self) -> dict[str, Array]:
        """`hsic`."""
        return {"hsic": self.hsic}

    @classmethod
    def rebuild(
        cls,
        header: Header,
        arrays: Mapping[str, Array],
        layers: tuple[LayerUnits, ...],
        fingerprint: Fingerprint,
        /,
    ) -> "MinibatchHsic":
        """From a file's parts."""
        n_inputs, n_batches, n_left_out = (header[name] for name in ("n_inputs", "n_batches", "n_left_out"))
        hsic = stored(arrays, "hsic", len(layers), len(layers))
        return cls(layers, n_inputs, n_batches, n_left_out, hsic, fingerprint)


@dataclass(frozen=True)
class MinibatchHsicPlan:
    """HSIC of all layers of all nets, batch by batch; it depends on what is a batch, and so cannot be blocked."""

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Sums; a batch's Gram matrices and a centred copy of its largest layer are not counted."""
        return 8 * len(layers) ** 2

    @property
    def reduction(self) -> Reduction:
        """A layer's Gram matrix, which is all that its HSIC with any other needs."""
        return gram_of_inputs

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "MinibatchHsicAccumulator":
        """An empty accumulator."""
        return MinibatchHsicAccumulator(tuple(layers))


class MinibatchHsicAccumulator:
    """Running sums; made by `MinibatchHsicPlan.start`."""

    def __init__(self, layers: tuple[LayerUnits, ...]) -> None:
        self._layers = layers
        self._counts = torch.zeros(3, dtype=torch.int64)
        self._hsic = torch.zeros(len(layers), len(layers), dtype=torch.float64)

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Take in a batch.

        Raises:
            InvalidArgumentError: if only some inputs of the batch are to be taken in.
            MismatchError: if inputs are padded.
        """
        n = len(batch.ids)
        if inputs is not None:
            raise InvalidArgumentError(
                f"Asked for HSIC of {len(inputs)} of the {n} inputs of a batch, for one block of several. It is "
                "defined by whole batches, and blocks tear them apart. Collect MinibatchHsicPlan() unblocked, or "
                "take the hsic() of an InputSample in blocks."
            )
        self._counts += torch.tensor([n, 1, 0] if n >= _FEWEST else [0, 0, n])
        if n >= _FEWEST:
            kept = ((layer.ref, batch.layers[layer.ref]) for layer in self._layers)
            reduced = batch.reduction is gram_of_inputs
            grams = [(one if reduced else gram_of_inputs(ref, one)).values[:, :, 0] for ref, one in kept]
            self._hsic += debiased_hsic(torch.stack(grams))

    def state(self) -> dict[str, Tensor]:
        """Sums and counts."""
        return {"counts": self._counts, "hsic": self._hsic}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self._counts.copy_(state["counts"])
        self._hsic.copy_(state["hsic"])

    def finish(self, fingerprint: Fingerprint) -> MinibatchHsic:
        """The sums over all batches."""
        n_inputs, n_batches, n_left_out = self._counts.tolist()
        return MinibatchHsic(self._layers, n_inputs, n_batches, n_left_out, self._hsic.numpy(), fingerprint)


def gram_of_inputs(ref: LayerRef, activations: Activations) -> Activations:
    """The centred Gram matrix of a layer's flattened features, inputs x inputs x 1.

    Raises:
        MismatchError: if inputs are padded.
    """
    refuse_padding(activations, str(ref))
    return Activations(centred_gram(flattened(activations.values))[:, :, None])


def flattened(values: Float[Tensor, "inputs units locations"]) -> Float[Tensor, "inputs features"]:
    """Each input's units at all its locations in one row: in the order of memory, so that nothing is copied."""
    return (values.transpose(1, 2) if values.stride(1) == 1 else values).flatten(1)


def refuse_padding(activations: Activations, name: str) -> None:
    """Whole inputs are compared feature by feature.

    Raises:
        MismatchError: if inputs are padded.
    """
    if activations.mask is not None:
        raise MismatchError(
            f"Cannot compare whole inputs in '{name}'. Found padding in this batch: one input has features where "
            'another has none. Use view(locations="mean").'
        )


def centred_gram(features: Float[Tensor, "inputs features"]) -> Float[Tensor, "inputs inputs"]:
    """Inner products of inputs about their mean; zeros where features vary no more than rounding does.

    Centring changes no debiased HSIC, and is what makes float32 products right. Where they are not (in small
    batches of many features, or where an input is far off), they are taken again in float64, and stay so.
    The diagonal means nothing.
    """
    narrow = features.dtype != torch.float64
    wide = features.float() if narrow else features
    mean = wide.mean(0)
    apart = wide - mean
    gram = _products(apart)
    floor = len(apart) * (DEAD_RATIO if narrow else DEAD_RATIO_FLOAT64) ** 2 * mean.double().square().sum()
    alive = gram.diagonal().sum(dtype=torch.float64) > floor
    if not narrow or not alive or _are_precise(gram, apart):
        return gram * alive
    return _products(wide.double().sub_(mean))  # not `apart`: what is far off has moved the mean, and rounds it


def _products(features: Float[Tensor, "inputs features"]) -> Float[Tensor, "inputs inputs"]:
    """Inner products of inputs; a quarter is left to symmetry.

    Parts of the features are multiplied side by side: few inputs alone would not keep all cores busy.
    """
    n, n_features = features.shape
    parts = features.reshape(n, math.gcd(n_features, _MOST_PARTS), -1).transpose(0, 1)
    half, gram = n // 2, features.new_empty(n, n)
    with full_precision():
        torch.sum(parts[:, :half] @ parts.mT, 0, out=gram[:half])
        torch.sum(parts[:, half:] @ parts[:, half:].mT, 0, out=gram[half:, half:])
    gram[half:, :half] = gram[:half, half:].T
    return gram


def _are_precise(gram: Float[Tensor, "inputs inputs"], features: Float[Tensor, "inputs features"]) -> bool:
    """Whether rounding is small beside what debiased HSIC is made of; the diagonal may be set to zero on the way.

    About 256 products are added up in a row. With P the sums of these for the longest input, whose norm tells how
    even its features are, an entry of the Gram matrix is off by about eps E / 4, E = |(16 P, 1'P)|. With V the
    norm of what is left of the matrix without diagonal and means of rows, CKA is off by about eps E / (3 V), and
    HSIC of a layer with itself too large by (n eps E / (4 V))^2. An input that is far off cannot hide this: it is
    the longest.
    """
    n = len(gram)
    if n < _FEWEST:
        return False
    squares = features[gram.diagonal().argmax()].double().square()
    sums = functional.pad(squares, (0, -len(squares) % _IN_A_ROW)).view(-1, _IN_A_ROW).sum(1)
    rounded = torch.sqrt(_IN_A_ROW * sums.square().sum() + sums.sum() ** 2).item()  # E
    varying = n * (n - 3) * debiased_hsic(gram[None]).item()  # V squared
    return varying >= (rounded * max(_LEAST_VARYING, n / _MOST_INPUTS)) ** 2


def debiased_hsic(grams: Float[Tensor, "layers inputs inputs"]) -> Float64[Tensor, "layers layers"]:
    """HSIC of every two layers in float64; the diagonals of the Gram matrices are set to zero on the way."""
    n_layers, n, _ = grams.shape
    grams.diagonal(dim1=1, dim2=2).zero_()
    inner = torch.zeros(n_layers, n_layers, dtype=torch.float64, device=grams.device)
    for rows in torch.split(grams, max(1, _ENTRIES_AT_ONCE // n), dim=1):
        wide = rows.double().flatten(1)
        inner += wide @ wide.T
    sums = grams.sum(2, dtype=torch.float64)
    total = sums.sum(1)
    inner += torch.outer(total, total) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (sums @ sums.T)
    return (inner / (n * (n - 3))).cpu()
