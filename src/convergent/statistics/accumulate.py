"""Summing second moments while the nets run: the hot loop of the library.

Samples are copied once, shifted by the origin, into one buffer per group of layers that are paired; when the
buffer is full, float32 matrix products of it go into float64 sums. Only torch inside the loop. Why each step is
as it is: docs/decisions/0002-moments.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from typing import Any

import torch

from .._typing import Float, Tensor
from ..batch import ActivationBatch, Activations, roll_shifts
from ..errors import InvalidArgumentError, MismatchError, NonFiniteError
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .base import under
from .buffers import Buffer
from .grouping import Group, Strip, group_layers, mirror
from .label_order import LabelOrder
from .moments import Moments
from .pairing import Pair, PairSpec, resolve_pairs

_SHIFT_RATIO = 1.0
_PER_INPUT_FROM = 32
_MOVED_AT_ONCE = 8  # units of a whole batch
_SQUARED_AT_ONCE = 64  # units: so few need little memory, and are summed in float32 without harm


@dataclass(frozen=True)
class MomentsPlan:
    """Moments of every layer that has a partner, and of the pairs.

    Args:
        pairs: "same-layer" (equal names across nets), "all", or a list of `("a/conv1", "b/conv1")`.
        buffer_samples: how many samples are multiplied at once; more take more memory. A power of two is slow:
            the rows of the buffer would fall on the same lines of the cache.
        norms: keep the squared norm of each centred sample as one more unit; debiased measures need it.
        n_rolls: keep also the products with the partner's inputs rolled by 1, 2, ... n_rolls whole inputs: what a
            pair has in common by chance. Costs as much again as the products between layers, n_rolls times.

    Raises:
        InvalidArgumentError: if `n_rolls` is negative.
    """

    pairs: PairSpec = "same-layer"
    buffer_samples: int = 2200
    norms: bool = False
    n_rolls: int = 0

    def __post_init__(self) -> None:
        if self.n_rolls < 0:
            raise InvalidArgumentError(
                f"Partners are rolled by 1, 2, ... n_rolls inputs. Found n_rolls={self.n_rolls}. Give 0 or more."
            )

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """Peak memory of the accumulator on float32 activations: sums, buffers, and the largest product."""
        rows = {layer.ref: layer.n_units + self.norms for layer in layers}
        sums = sum(
            8 * rows[a] * rows[b] * (1 + self.n_rolls * (a != b)) for a, b in resolve_pairs(self.pairs, layers)
        )
        groups = self._groups(layers)
        largest = max((group.n_temporary for group in groups), default=0)
        if self.norms:
            largest = max(largest, *(4 * (_SQUARED_AT_ONCE + 2) * group.capacity for group in groups), 0)
        return sums + sum(group.n_bytes for group in groups) + largest

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "MomentsAccumulator":
        """An empty accumulator, its origin set from `calibration`."""
        pairs = resolve_pairs(self.pairs, layers)
        return MomentsAccumulator(
            tuple(layers), pairs, self._groups(layers), self.norms, self.n_rolls, calibration
        )

    def _groups(self, layers: Sequence[LayerUnits]) -> list[Group]:
        return group_layers(
            resolve_pairs(self.pairs, layers),
            layers,
            buffer_samples=self.buffer_samples,
            norms=self.norms,
            n_rolls=self.n_rolls,
        )


@dataclass(eq=False)
class MomentsAccumulator:
    """Running sums of moments; made by `MomentsPlan.start`."""

    layers: tuple[LayerUnits, ...]
    pairs: tuple[Pair, ...]
    groups: list[Group]
    norms: bool
    n_rolls: int
    calibration: InitVar[ActivationBatch]
    n_inputs: int = field(default=0, init=False)

    def __post_init__(self, calibration: ActivationBatch) -> None:
        refs = [ref for group in self.groups for ref in group.rows]
        first = calibration.layers
        self._origin = {ref: calibrated_origin(first[ref]) for ref in refs}
        if self.norms:
            self._origin = {ref: _with_norm(origin, first[ref]) for ref, origin in self._origin.items()}
        self._sums = {ref: torch.zeros_like(self._origin[ref], dtype=torch.float64) for ref in refs}
        self._products = {
            (a, b): self._sums[a].new_zeros(len(self._sums[a]), len(self._sums[b])) for a, b in self.pairs
        }
        self._rolled = {
            (a, b): product.new_zeros(self.n_rolls, *product.shape)
            for (a, b), product in self._products.items()
            if self.n_rolls and a != b
        }
        self._buffers = [Buffer(group, {ref: first[ref] for ref in group.rows}) for group in self.groups]
        self._n_samples = dict.fromkeys(refs, 0)
        self._shift = self._shifts()
        self.label_order = LabelOrder(self.n_rolls)

    @torch.no_grad()
    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Take in a batch, or only the inputs at these positions of it.

        Raises:
            MismatchError: if layers that are paired have different masks or numbers of locations, or inputs have
                more locations than their layer announced and the buffer holds, or, where partners are rolled,
                not as many as it announced.
        """
        self.n_inputs += len(batch.ids) if inputs is None else len(inputs)
        if self.n_rolls:
            self.label_order.update(batch, inputs)
        for group, buffer in zip(self.groups, self._buffers, strict=True):
            activations = [batch.layers[ref] for ref in group.rows]
            check_same_samples(list(group.rows), activations)
            if group.n_rolls:
                _check_rolled_whole(group, activations[0])
            for piece in pieces(activations, inputs):
                self._take(group, buffer, piece)

    def _take(self, group: Group, buffer: Buffer, piece: list[Tensor]) -> None:
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
                buffer.put(values[done : done + n], slice(rows.start, rows.stop - self.norms), self._shift[ref])
            buffer.used += n * n_locations
            done += n

    def _flush(self, group: Group, buffer: Buffer) -> None:
        samples = buffer.samples()
        if not samples.shape[1]:
            return
        if self.norms:
            self._fill_norms(group, samples)
        with full_precision():
            total = samples @ samples.new_ones(samples.shape[1])
            for ref, rows in group.rows.items():
                self._sums[ref] += total[rows]
            _add_products(group.strips, samples, samples, self._products)
            for k in range(group.n_rolls):
                _add_products(group.rolled, *buffer.rolled((k + 1) * group.n_locations), self._of_roll(k))
        buffer.clear()

    def _fill_norms(self, group: Group, samples: Tensor) -> None:
        """The last row of each layer: squared norms about its origin, less their own."""
        for ref, rows in group.rows.items():
            squares = samples.new_zeros(samples.shape[1], dtype=torch.float64)
            for part in torch.split(samples[rows.start : rows.stop - 1], _SQUARED_AT_ONCE):
                squares += part.square().sum(0)
            samples[rows.stop - 1] = squares - self._origin[ref][-1]

    def _of_roll(self, k: int) -> dict[Pair, Tensor]:
        return {pair: rolled[k] for pair, rolled in self._rolled.items()}

    def _close_cycle(self, group: Group, buffer: Buffer) -> None:
        """The first inputs meet the last ones; where there are too few, a shift comes back."""
        shifts = roll_shifts(self.n_inputs, group.n_rolls)
        for k, shift in enumerate(shifts):
            if shift == k + 1:
                with full_precision():
                    _add_products(group.rolled, *buffer.ends(shift * group.n_locations), self._of_roll(k))
                continue
            for strip in group.rolled:
                for partner, *_ in strip.partners:
                    pair = (strip.layer, partner)
                    self._rolled[pair][k] = self._rolled[pair][shift - 1] if shift else self._products[pair]

    def _shifts(self) -> dict[LayerRef, Tensor | None]:
        """What to subtract while copying; None where nothing is, which copies faster."""
        origins = {ref: value[: len(value) - self.norms] for ref, value in self._origin.items()}
        return {ref: value[:, None] if value.any() else None for ref, value in origins.items()}

    def state(self) -> dict[str, Tensor]:
        """Sums, origin and the samples still waiting in the buffers."""
        counts = [self.n_inputs, *self._n_samples.values()]
        return (
            {"counts": torch.tensor(counts)}
            | {f"{name}/{i}": value for name, held in self._held() for i, value in enumerate(held.values())}
            | {f"buffer/{i}/{k}": v for i, buffer in enumerate(self._buffers) for k, v in buffer.state().items()}
            | {f"labels/{key}": value for key, value in self.label_order.state().items()}
        )

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        self.n_inputs, *n_samples = state["counts"].tolist()
        self._n_samples = dict(zip(self._n_samples, n_samples, strict=True))
        for name, held in self._held():
            for i, value in enumerate(held.values()):
                value.copy_(state[f"{name}/{i}"])
        self._shift = self._shifts()
        for i, buffer in enumerate(self._buffers):
            buffer.restore(under(f"buffer/{i}/", state))
        self.label_order.restore(under("labels/", state))

    def _held(self) -> list[tuple[str, Mapping[Any, Tensor]]]:
        return [
            ("origin", self._origin),
            ("sum", self._sums),
            ("product", self._products),
            ("rolled", self._rolled),
        ]

    def finish(self, fingerprint: Fingerprint) -> Moments:
        """The moments of all that was taken in. The accumulator cannot be used afterwards."""
        for group, buffer in zip(self.groups, self._buffers, strict=True):
            self._flush(group, buffer)
            self._close_cycle(group, buffer)
        self._buffers.clear()
        for ref in self._sums:
            mirror(self._products[ref, ref])
        self.label_order.warn()
        self._require_finite_norms()
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
            norms=self.norms,
            rolled={pair: product.cpu().numpy() for pair, product in self._rolled.items()},
        )

    def _require_finite_norms(self) -> None:
        """Products of squared norms are fourth powers, which leave float32 long before activations do."""
        for (a, _), product in self._products.items() if self.norms else ():
            if not torch.isfinite(product).all():
                raise NonFiniteError(
                    f"Cannot keep squared norms of '{a}'. Their products do not fit float32: activations are of "
                    "the order of 1e8 or more. Run the net in float64, scale its layer, or leave norms out."
                )


def _add_products(strips: Sequence[Strip], left: Tensor, right: Tensor, products: Mapping[Pair, Tensor]) -> None:
    for strip in strips:
        product = left[strip.rows] @ right[strip.columns].T
        rows = slice(strip.first_row, strip.first_row + len(product))
        for partner, columns, target in strip.partners:
            products[strip.layer, partner][rows, target] += product[:, columns]


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


def _with_norm(origin: Tensor, activations: Activations) -> Float[Tensor, " rows"]:
    """Behind the origin of the units, that of |x - origin|^2: its mean on a typical batch."""
    values = activations.values
    squares = origin.new_zeros((values.shape[0], values.shape[2]), dtype=torch.float64)
    for part, point in zip(
        torch.split(values, _MOVED_AT_ONCE, 1), torch.split(origin, _MOVED_AT_ONCE), strict=True
    ):
        squares += (part - point[:, None]).square_().sum(1)
    real = squares if activations.mask is None else squares[activations.mask]
    typical = real.mean() if real.numel() else real.new_zeros(())
    return torch.cat([origin, torch.nan_to_num(typical, posinf=0.0).to(origin.dtype)[None]])


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


def _check_rolled_whole(group: Group, activations: Activations) -> None:
    n_locations = activations.values.shape[2]
    if activations.mask is not None or n_locations != group.n_locations:
        found = "padding" if activations.mask is not None else f"{n_locations} locations"
        raise MismatchError(
            f"Cannot roll the inputs of '{next(iter(group.rows))}', which takes {group.n_locations} locations of "
            f'each. Found {found} in this batch. Use view(locations="mean"), or n_rolls=0.'
        )


@contextmanager
def full_precision() -> Iterator[None]:
    """Real float32 products, whatever the process has set (TF32 or bfloat16 inside matrix products)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
