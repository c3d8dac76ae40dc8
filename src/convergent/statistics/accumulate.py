"""Summing second moments while the nets run: the hot loop of the library.

Samples are copied once, shifted by the origin, into one buffer per group of layers that are paired; when the
buffer is full, float32 matrix products of it go into float64 sums. Only torch inside the loop. Why each step is
as it is: docs/decisions/0002-moments.md.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field

import torch

from .._typing import Float, Shaped, Tensor
from ..batch import ActivationBatch, Activations
from ..errors import MismatchError
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .moments import Moments
from .pairing import Pair, PairSpec, resolve_pairs

_SHIFT_RATIO = 1.0
_HALVE_FROM = 256
_PER_INPUT_FROM = 32


@dataclass(frozen=True)
class MomentsPlan:
    """Moments of every layer that has a partner, and of the pairs.

    Args:
        pairs: "same-layer" (equal names across nets), "all", or a list of `("a/conv1", "b/conv1")`.
        buffer_samples: how many samples are multiplied at once; more take more memory. A power of two is slow:
            the rows of the buffer would fall on the same lines of the cache.
    """

    pairs: PairSpec = "same-layer"
    buffer_samples: int = 2200

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Peak memory of the accumulator on float32 activations: sums, buffers, and the largest product."""
        pairs = resolve_pairs(self.pairs, layers)
        units = {layer.ref: layer.n_units for layer in layers}
        sums = sum(8 * units[a] * units[b] for a, b in pairs)
        groups = _groups(pairs, layers, self.buffer_samples)
        buffers = sum(4 * group.n_units * group.capacity for group in groups)
        largest = max((4 * strip.n_values for group in groups for strip in group.strips), default=0)
        return sums + buffers + largest

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "MomentsAccumulator":
        """An empty accumulator, its origin set from `calibration`."""
        pairs = resolve_pairs(self.pairs, layers)
        return MomentsAccumulator(tuple(layers), pairs, _groups(pairs, layers, self.buffer_samples), calibration)


@dataclass(frozen=True)
class _Strip:
    """One matrix product: these rows of the buffer with these columns, and the pairs its parts belong to."""

    layer: LayerRef
    first_row: int  # within the layer
    rows: slice  # within the buffer
    columns: slice
    partners: tuple[tuple[LayerRef, slice, slice], ...]  # partner, columns of the product, columns of the pair

    @property
    def n_values(self) -> int:
        return _length(self.rows) * _length(self.columns)


@dataclass(frozen=True)
class _Group:
    """Layers with the same samples that are paired with one another, one below the other in one buffer."""

    rows: Mapping[LayerRef, slice]
    strips: tuple[_Strip, ...]
    capacity: int

    @property
    def n_units(self) -> int:
        return sum(_length(rows) for rows in self.rows.values())


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def _groups(pairs: Sequence[Pair], layers: Sequence[LayerUnits], buffer_samples: int) -> list[_Group]:
    group_of: dict[LayerRef, list[LayerRef]] = {}
    for a, b in pairs:
        left, right = group_of.setdefault(a, [a]), group_of.setdefault(b, [b])
        if left is not right:
            left.extend(right)
            group_of.update(dict.fromkeys(right, left))
    members = {id(group): set(group) for group in group_of.values()}
    by_ref = {layer.ref: layer for layer in layers}
    return [
        _group([layer for layer in layers if layer.ref in group], pairs, buffer_samples, by_ref)
        for group in members.values()
    ]


def _group(
    layers: Sequence[LayerUnits],
    pairs: Sequence[Pair],
    buffer_samples: int,
    by_ref: Mapping[LayerRef, LayerUnits],
) -> _Group:
    rows, end = {}, 0
    for layer in layers:
        rows[layer.ref] = slice(end, end + layer.n_units)
        end += layer.n_units
    strips = [
        strip
        for layer in layers
        for run in _runs([b for a, b in pairs if a == layer.ref], rows)
        for strip in _strips(layer.ref, run, rows)
    ]
    whole_inputs = max(buffer_samples, max(layer.n_samples_per_input for layer in layers))
    return _Group(rows, tuple(strips), whole_inputs)


def _runs(partners: Sequence[LayerRef], rows: Mapping[LayerRef, slice]) -> Iterator[list[LayerRef]]:
    """Partners that lie next to each other in the buffer share a product."""
    run: list[LayerRef] = []
    for partner in sorted(partners, key=lambda ref: rows[ref].start):
        if run and rows[run[-1]].stop != rows[partner].start:
            yield run
            run = []
        run.append(partner)
    if run:
        yield run


def _strips(layer: LayerRef, run: Sequence[LayerRef], rows: Mapping[LayerRef, slice]) -> Iterator[_Strip]:
    """A layer's product with itself is symmetric: from some size on, half of one triangle is left out."""
    own = rows[layer]
    n_units = _length(own)
    halves = [0, n_units // 2, n_units] if run[0] == layer and n_units >= _HALVE_FROM else [0, n_units]
    for first, last in itertools.pairwise(halves):
        start = rows[run[0]].start + (first if run[0] == layer else 0)
        partners = []
        for partner in run:
            skipped = first if partner == layer else 0
            begin, end = rows[partner].start + skipped - start, rows[partner].stop - start
            partners.append((partner, slice(begin, end), slice(skipped, skipped + end - begin)))
        columns = slice(start, rows[run[-1]].stop)
        yield _Strip(layer, first, slice(own.start + first, own.start + last), columns, tuple(partners))


@dataclass(eq=False)
class MomentsAccumulator:
    """Running sums of moments; made by `MomentsPlan.start`."""

    layers: tuple[LayerUnits, ...]
    pairs: tuple[Pair, ...]
    groups: list[_Group]
    calibration: InitVar[ActivationBatch]
    n_inputs: int = field(default=0, init=False)

    def __post_init__(self, calibration: ActivationBatch) -> None:
        refs = [ref for group in self.groups for ref in group.rows]
        first = calibration.layers
        self._origin = {ref: calibrated_origin(first[ref]) for ref in refs}
        self._sums = {ref: torch.zeros_like(self._origin[ref], dtype=torch.float64) for ref in refs}
        self._products = {
            (a, b): self._sums[a].new_zeros(len(self._sums[a]), len(self._sums[b])) for a, b in self.pairs
        }
        self._buffers = [_Buffer(group, {ref: first[ref] for ref in group.rows}) for group in self.groups]
        self._n_samples = dict.fromkeys(refs, 0)
        self._shift = _shifts(self._origin)

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Take in a batch, or only the inputs at these positions of it.

        Raises:
            MismatchError: if layers that are paired have different masks or numbers of locations, or inputs have
                more locations than their layer announced and the buffer holds.
        """
        self.n_inputs += len(batch.ids) if inputs is None else len(inputs)
        for group, buffer in zip(self.groups, self._buffers, strict=True):
            activations = [batch.layers[ref] for ref in group.rows]
            check_same_samples(list(group.rows), activations)
            for piece in pieces(activations, inputs):
                self._take(group, buffer, piece)

    def _take(self, group: _Group, buffer: "_Buffer", piece: list[Tensor]) -> None:
        n_inputs, _, n_locations = piece[0].shape
        if n_locations > group.capacity:
            raise MismatchError(
                f"Cannot take in inputs of {n_locations} locations in '{next(iter(group.rows))}'. "
                f"The buffer holds {group.capacity} samples. "
                "Announce as many in LayerUnits, or raise MomentsPlan(buffer_samples=)."
            )
        for ref in group.rows:
            self._n_samples[ref] += n_inputs * n_locations
        done = 0
        while done < n_inputs and n_locations:
            if buffer.room < n_locations:
                self._flush(group, buffer)
            n = min(n_inputs - done, buffer.room // n_locations)
            for (ref, rows), values in zip(group.rows.items(), piece, strict=True):
                buffer.put(values[done : done + n], rows, self._shift[ref])
            buffer.used += n * n_locations
            done += n

    def _flush(self, group: _Group, buffer: "_Buffer") -> None:
        samples, buffer.used = buffer.samples(), 0
        if not samples.shape[1]:
            return
        with _full_precision():
            total = samples @ samples.new_ones(samples.shape[1])
            for ref, rows in group.rows.items():
                self._sums[ref] += total[rows]
            for strip in group.strips:
                product = samples[strip.rows] @ samples[strip.columns].T
                rows = slice(strip.first_row, strip.first_row + len(product))
                for partner, columns, target in strip.partners:
                    self._products[strip.layer, partner][rows, target] += product[:, columns]

    def state(self) -> dict[str, Tensor]:
        """Sums, origin and the samples still waiting in the buffers."""
        counts = [self.n_inputs, *self._n_samples.values()]
        return (
            {"counts": torch.tensor(counts)}
            | {f"origin/{i}": value for i, value in enumerate(self._origin.values())}
            | {f"sum/{i}": value for i, value in enumerate(self._sums.values())}
            | {f"product/{i}": value for i, value in enumerate(self._products.values())}
            | {f"buffer/{i}": buffer.samples().contiguous() for i, buffer in enumerate(self._buffers)}
        )

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self.n_inputs, *n_samples = state["counts"].tolist()
        self._n_samples = dict(zip(self._n_samples, n_samples, strict=True))
        for name, values in (("origin", self._origin), ("sum", self._sums), ("product", self._products)):
            for i, value in enumerate(values.values()):
                value.copy_(state[f"{name}/{i}"])
        self._shift = _shifts(self._origin)
        for i, buffer in enumerate(self._buffers):
            buffer.refill(state[f"buffer/{i}"])

    def finish(self, fingerprint: Fingerprint) -> Moments:
        """The moments of all that was taken in. The accumulator cannot be used afterwards."""
        for group, buffer in zip(self.groups, self._buffers, strict=True):
            self._flush(group, buffer)
        self._buffers.clear()
        for ref in self._sums:
            _mirror(self._products[ref, ref])
        kept = tuple(layer for layer in self.layers if layer.ref in self._sums)
        order = [layer.ref for layer in kept]
        return Moments(
            layers=kept,
            n_inputs=self.n_inputs,
            n_samples={ref: self._n_samples[ref] for ref in order},
            origin={ref: self._origin[ref].double().cpu().numpy() for ref in order},
            sums={ref: self._sums[ref].cpu().numpy() for ref in order},
            products={pair: product.cpu().numpy() for pair, product in self._products.items()},
            fingerprint=fingerprint,
        )


class _Buffer:
    """Samples waiting to be multiplied; units run along rows or columns, whichever copies straight."""

    def __init__(self, group: _Group, like: Mapping[LayerRef, Activations]) -> None:
        first = next(iter(like.values())).values
        doubles = any(activations.values.dtype == torch.float64 for activations in like.values())
        self._units_last = first.stride(1) == 1 or first.shape[2] == 1
        shape = (group.capacity, group.n_units) if self._units_last else (group.n_units, group.capacity)
        self._memory = first.new_empty(shape, dtype=torch.float64 if doubles else torch.float32)
        self._capacity = group.capacity
        self.used = 0

    @property
    def room(self) -> int:
        return self._capacity - self.used

    def samples(self) -> Float[Tensor, "units samples"]:
        """What is waiting."""
        return self._memory[: self.used].T if self._units_last else self._memory[:, : self.used]

    def put(self, values: Shaped[Tensor, "inputs units locations"], rows: slice, shift: Tensor | None) -> None:
        """Copy samples behind those that wait, shifted and converted on the way."""
        n_inputs, _, n_locations = values.shape
        place = slice(self.used, self.used + n_inputs * n_locations)
        if self._units_last:
            target = self._memory[place, rows].view(n_inputs, n_locations, -1).transpose(1, 2)
        else:
            target = self._memory[rows, place].view(-1, n_inputs, n_locations).transpose(0, 1)
        if shift is None:
            target.copy_(values)
        else:
            torch.sub(values, shift, out=target)

    def refill(self, samples: Float[Tensor, "units samples"]) -> None:
        """The inverse of `samples`."""
        self.used = samples.shape[1]
        self.samples().copy_(samples)


def calibrated_origin(activations: Activations) -> Float[Tensor, " units"]:
    """Per unit, its mean on a typical batch where |mean| is larger than its std, else 0.

    Shifting protects from cancellation where mean >> std. It is not done elsewhere: a sparse unit is exactly 0 at
    most samples, and shifting it turns these zeros into one repeated constant whose rounding errors add up. A unit
    with |mean| > std is 0 at less than half of them.
    """
    values, mask = activations.values, activations.mask
    if mask is not None:
        values = values.transpose(1, 2)[mask].T[None]
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    if values.shape[0] * values.shape[2] == 0:
        return values.new_zeros(values.shape[1])
    variance, mean = torch.var_mean(values, (0, 2), correction=0)
    std = variance.sqrt()
    shifted = torch.where(mean.abs() > _SHIFT_RATIO * std, mean, torch.zeros_like(mean))
    return torch.nan_to_num(shifted)


def _shifts(origin: Mapping[LayerRef, Tensor]) -> dict[LayerRef, Tensor | None]:
    """What to subtract while copying; None where nothing is, which copies faster."""
    return {ref: value[:, None] if value.any() else None for ref, value in origin.items()}


def pieces(activations: Sequence[Activations], inputs: Sequence[int] | None) -> Iterator[list[Tensor]]:
    """A batch in parts that copy without a detour, each a list over layers of inputs x units x locations."""
    values = [layer.values for layer in activations]
    mask = activations[0].mask
    if mask is None and inputs is None:
        yield values
    elif mask is None and values[0].shape[2] < _PER_INPUT_FROM:
        yield [layer[list(inputs or ())] for layer in values]
    else:
        for i in range(len(values[0])) if inputs is None else inputs:
            yield [layer[i : i + 1] if mask is None else layer[i : i + 1, :, mask[i]] for layer in values]


def check_same_samples(refs: Sequence[LayerRef], activations: Sequence[Activations]) -> None:
    """Layers that are paired must have the same inputs, locations and padding."""
    first = activations[0]
    for ref, other in zip(refs, activations, strict=True):
        same_mask = other.mask is first.mask or (
            other.mask is not None and first.mask is not None and torch.equal(other.mask, first.mask)
        )
        if other.values.shape[::2] != first.values.shape[::2] or not same_mask:
            raise MismatchError(
                f"Cannot pair '{refs[0]}' with '{ref}' in this batch. Found {tuple(first.values.shape[::2])} "
                f"against {tuple(other.values.shape[::2])} inputs and locations"
                f"{'' if same_mask else ', with different padding'}. "
                'Use view(locations="mean").'
            )


def _mirror(product: Tensor) -> None:
    """Fill the part of a symmetric product that the strips left out."""
    n = len(product)
    if n >= _HALVE_FROM:
        product[n // 2 :, : n // 2] = product[: n // 2, n // 2 :].T


@contextmanager
def _full_precision() -> Iterator[None]:
    """Real float32 products, whatever the process has set (TF32 or bfloat16 inside matrix products)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
