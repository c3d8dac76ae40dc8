"""Which matrix products a pass needs: paired layers share a buffer, and neighbours in it share a product."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._typing import Tensor
from ..units import LayerRef, LayerUnits
from .pairing import Pair

_HALVE_FROM = 256


@dataclass(frozen=True)
class Strip:
    """One matrix product: these rows of the buffer with these columns, and the pairs its parts belong to."""

    layer: LayerRef
    first_row: int  # within the layer
    rows: slice  # within the buffer
    columns: slice
    partners: tuple[tuple[LayerRef, slice, slice], ...]  # partner, columns of the product, columns of the pair

    @property
    def n_values(self) -> int:
        """How large the product is."""
        return _length(self.rows) * _length(self.columns)


@dataclass(frozen=True)
class Group:
    """Layers with the same samples that are paired with one another, one below the other in one buffer.

    Attributes:
        rows: where each layer stands, its squared norm behind its units where norms are kept.
        strips: products of samples with themselves.
        rolled: products of samples with those of earlier inputs.
        capacity: how many samples are multiplied at once.
        n_locations: samples of an input.
        n_rolls: how many earlier inputs are kept.
    """

    rows: Mapping[LayerRef, slice]
    strips: tuple[Strip, ...]
    rolled: tuple[Strip, ...]
    capacity: int
    n_locations: int
    n_rolls: int

    @property
    def n_rows(self) -> int:
        """Of all layers."""
        return sum(_length(rows) for rows in self.rows.values())

    @property
    def history(self) -> int:
        """Samples that are kept after they were multiplied."""
        return self.n_rolls * self.n_locations

    @property
    def n_columns(self) -> int:
        """Room for what waits, behind a history that moves to the front without overlap."""
        return self.capacity + 2 * self.history

    @property
    def n_bytes(self) -> int:
        """Of its buffer and of the first inputs, in float32."""
        return 4 * self.n_rows * (self.n_columns + self.history)

    @property
    def n_temporary(self) -> int:
        """Bytes of its largest product."""
        return max(4 * strip.n_values for strip in self.strips)


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def group_layers(
    pairs: Sequence[Pair], layers: Sequence[LayerUnits], *, buffer_samples: int, norms: bool, n_rolls: int
) -> list[Group]:
    """Layers that are paired, directly or through others, form a group."""
    group_of: dict[LayerRef, list[LayerRef]] = {}
    for a, b in pairs:
        left, right = group_of.setdefault(a, [a]), group_of.setdefault(b, [b])
        if left is not right:
            left.extend(right)
            group_of.update(dict.fromkeys(right, left))
    members = {id(group): set(group) for group in group_of.values()}
    return [
        _group([layer for layer in layers if layer.ref in group], pairs, buffer_samples, norms, n_rolls)
        for group in members.values()
    ]


def _group(
    layers: Sequence[LayerUnits], pairs: Sequence[Pair], buffer_samples: int, norms: bool, n_rolls: int
) -> Group:
    rows, end = {}, 0
    for layer in layers:
        rows[layer.ref] = slice(end, end + layer.n_units + norms)
        end = rows[layer.ref].stop
    strips, rolled = (
        tuple(
            strip
            for layer in layers
            for run in _runs([b for a, b in chosen if a == layer.ref], rows)
            for strip in _strips(layer.ref, run, rows)
        )
        for chosen in (pairs, [(a, b) for a, b in pairs if a != b])
    )
    n_locations = max(layer.n_samples_per_input for layer in layers)
    return Group(rows, strips, rolled, max(buffer_samples, n_locations), n_locations, n_rolls if rolled else 0)


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


def _strips(layer: LayerRef, run: Sequence[LayerRef], rows: Mapping[LayerRef, slice]) -> Iterator[Strip]:
    """A layer's product with itself is symmetric: from some size on, half of one triangle is left out."""
    own = rows[layer]
    n_rows = _length(own)
    halves = [0, n_rows // 2, n_rows] if run[0] == layer and n_rows >= _HALVE_FROM else [0, n_rows]
    for first, last in itertools.pairwise(halves):
        start = rows[run[0]].start + (first if run[0] == layer else 0)
        partners = []
        for partner in run:
            skipped = first if partner == layer else 0
            begin, end = rows[partner].start + skipped - start, rows[partner].stop - start
            partners.append((partner, slice(begin, end), slice(skipped, skipped + end - begin)))
        columns = slice(start, rows[run[-1]].stop)
        yield Strip(layer, first, slice(own.start + first, own.start + last), columns, tuple(partners))


def mirror(product: Tensor) -> None:
    """Fill the part of a symmetric product that the strips left out."""
    n = len(product)
    if n >= _HALVE_FROM:
        product[n // 2 :, : n // 2] = product[: n // 2, n // 2 :].T
