"""Counting, for every two units, how often they are above their edges together: the hot loop of the histograms.

Samples are coded as a thermometer: bit k of unit u says x_u > edge k. Joint counts of these bits are cumulative
histograms, and a difference along both axes makes them histograms: exact integers, and no bin is ever searched.

On a CPU the code is 64 samples a word, and a count is popcount(a & b): `BitPlanes`. Elsewhere it is a byte a
sample, and the counts are one int8 matrix product, or a float32 one where the device has no int8: `ByteRows`. A
last row of ones gives the counts of each side alone. Why: docs/measures/mutual_information.md, "Cost".
"""

from typing import Any, no_type_check

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .._typing import Array, Float64, Int64, Shaped, Tensor
from ..errors import InvalidArgumentError
from ..threads import in_threads

METHODS = ("auto", "bits", "int8", "float32")
BLOCK = 3  # planes of a unit that are counted together; edges are padded to a multiple of it
WORD = 512  # samples: as many bits as the widest registers have, so that no loop over them has a rest
_MIN_ROWS = 24  # CUDA's int8 product wants more than 16 rows, and multiples of 8


def cuts_for(edges: Float64[Array, "units cuts"], dtype: torch.dtype) -> Tensor:
    """Edges in the samples' own precision such that x > edge has the same answer as in float64."""
    exact = torch.from_numpy(np.array(edges))
    near = exact.to(dtype)
    below = torch.nextafter(near, torch.full_like(near, -torch.inf))
    return torch.where(near.double() > exact, below, near)


class BitPlanes:
    """Thermometer code of one layer's samples, 64 samples a word."""

    def __init__(self, cuts: Shaped[Tensor, "units cuts"], capacity: int) -> None:
        self._cuts = cuts.numpy()
        n_units, n_cuts = cuts.shape
        self._halves = np.zeros((n_units, n_cuts, capacity // 32), dtype=np.uint32)
        self._words = self._halves.view(np.uint64)
        self._above = np.zeros((n_units, n_cuts), dtype=np.int64)
        self._n = self._n_words = 0

    def fill(self, samples: Shaped[Tensor, "units samples"], n: int) -> None:
        """Code the first n columns; what lies behind them up to a multiple of 512 is -inf."""
        self._n, self._n_words = n, -(-n // WORD) * (WORD // 64)
        length, n_halves = samples.shape[1], 2 * self._n_words
        values = samples.numpy().ravel()  # a view: samples are contiguous
        in_threads(
            lambda first, last: _pack(values, length, self._cuts, self._halves, n_halves, first, last),
            len(samples),
        )
        self._above = _popcounts(self._words, self._n_words)

    def add_joint(self, other: "BitPlanes", counts: Int64[Tensor, "rows_a rows_b"]) -> None:
        """Add the joint counts of this layer's units and another's."""
        into, mine, theirs, n_words = counts.numpy(), self._words, other._words, self._n_words
        in_threads(lambda first, last: _add_joint(mine, theirs, into, n_words, first, last), len(mine))
        into[-1, :-1] += other._above.ravel()
        into[:-1, -1] += self._above.ravel()
        into[-1, -1] += self._n


class ByteRows:
    """Thermometer code of one layer's samples, a byte or a float32 a sample, with a row of ones."""

    def __init__(self, cuts: Shaped[Tensor, "units cuts"], capacity: int, *, dtype: torch.dtype) -> None:
        self._cuts = cuts[:, :, None]
        self._n_rows = cuts.numel() + 1
        n_padded = max(_MIN_ROWS, -(-self._n_rows // 8) * 8)
        self._rows = torch.zeros(n_padded, capacity, dtype=dtype, device=cuts.device)
        self._code = self._rows[: cuts.numel()].view(*cuts.shape, capacity)

    def fill(self, samples: Shaped[Tensor, "units samples"], n: int) -> None:
        """Code the first n columns; the others count nowhere."""
        torch.gt(samples[:, None], self._cuts, out=self._code)
        self._code[:, :, n:] = 0
        self._rows[self._n_rows - 1] = 0
        self._rows[self._n_rows - 1, :n] = 1

    def add_joint(self, other: "ByteRows", counts: Int64[Tensor, "rows_a rows_b"]) -> None:
        """Add the joint counts of this layer's units and another's."""
        product = _exact_product(self._rows, other._rows)
        counts += product[: self._n_rows, : other._n_rows]


Coded = BitPlanes | ByteRows


def coder(method: str, cuts: Shaped[Tensor, "units cuts"], capacity: int) -> Coded:
    """A place for the code of up to `capacity` samples of one layer.

    Args:
        method: "bits" (CPU only), "int8" or "float32" products, or "auto": bits on a CPU, else int8 where the
            device multiplies bytes, else float32. All give the same counts.
        cuts: edges, in the samples' precision and on their device.
        capacity: a multiple of 512, at most 2^24, so that a float32 product is exact.

    Raises:
        InvalidArgumentError: if bits are asked for elsewhere than on a CPU.
    """
    on_cpu = cuts.device.type == "cpu"
    if method == "bits" and not on_cpu:
        raise InvalidArgumentError(
            f"Counting by bits runs on a CPU. Found activations on '{cuts.device}'. Choose method='auto'."
        )
    if method == "bits" or (method == "auto" and on_cpu):
        return BitPlanes(cuts, capacity)
    bytes_work = method != "float32" and multiplies_bytes(cuts.device)
    return ByteRows(cuts, capacity, dtype=torch.int8 if bytes_work else torch.float32)


def multiplies_bytes(device: torch.device) -> bool:
    """Whether `torch._int_mm`, which is private and not on every device, exists and is right there."""
    ones = torch.ones(_MIN_ROWS, WORD, dtype=torch.int8, device=device)
    try:
        return bool((torch._int_mm(ones, ones.T) == WORD).all())
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def _exact_product(left: Tensor, right: Tensor) -> Tensor:
    if left.dtype == torch.int8:
        return torch._int_mm(left, right.T)
    return (left @ right.T).to(torch.int64)  # sums of at most 2^24 ones: exact, in TF32 as well


def histograms_of(
    counts: Int64[Array, "rows_a rows_b"], n_bins_a: Array, n_bins_b: Array
) -> Int64[Array, "units_a units_b bins_a bins_b"]:
    """Histograms from cumulative counts: the difference along both axes.

    Args:
        counts: (units_a cuts_a + 1) x (units_b cuts_b + 1), ones last.
        n_bins_a: bins of each unit of a.
        n_bins_b: likewise of b.
    """
    n_a, n_b = len(n_bins_a), len(n_bins_b)
    widths = [(size - 1) // n for size, n in zip(counts.shape, (n_a, n_b), strict=True)]
    keep_a, keep_b = int(n_bins_a.max(initial=1)), int(n_bins_b.max(initial=1))
    found = np.empty((n_a, n_b, keep_a, keep_b), dtype=np.int64)
    for unit in range(n_a):
        rows = np.vstack(
            [counts[-1:], counts[unit * widths[0] : (unit + 1) * widths[0]], np.zeros_like(counts[-1:])]
        )
        by_row = -np.diff(rows, axis=0)[:keep_a]
        above = by_row[:, :-1].reshape(keep_a, n_b, widths[1])
        everything = np.broadcast_to(by_row[:, -1, None, None], (keep_a, n_b, 1))
        cumulative = np.concatenate([everything, above, np.zeros_like(everything)], axis=2)
        found[unit] = -np.diff(cumulative, axis=2)[:, :, :keep_b].transpose(1, 0, 2)
    return found


@no_type_check
def _count_bits(typing, word):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_popcount: Any = intrinsic(_count_bits)
_compiled = njit(nogil=True, cache=True)


@no_type_check
def _compare_32(typing, values, start, cut):
    """32 values beside each other from `start` on, each above `cut` or not: one bit each, in one comparison."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        n_bytes = signature.args[0].dtype.bitwidth // 8
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), 32)
        lanes, undefined = ir.VectorType(ir.IntType(32), 32), ir.Constant(vector, ir.Undefined)
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        one = builder.insert_element(undefined, arguments[2], ir.Constant(ir.IntType(32), 0))
        cuts = builder.shuffle_vector(one, undefined, ir.Constant(lanes, [0] * 32))
        above = builder.fcmp_ordered(">", builder.load(place, align=n_bytes), cuts)
        return builder.bitcast(above, ir.IntType(32))

    return types.uint32(values, types.intp, values.dtype), generate


_above: Any = intrinsic(_compare_32)


@_compiled
@no_type_check
def _pack(values, row_length, cuts, words, n_words, first, last):
    for u in range(first, last):
        for w in range(n_words):
            for k in range(cuts.shape[1]):
                words[u, k, w] = _above(values, u * row_length + w * 32, cuts[u, k])


@_compiled
@no_type_check
def _popcounts(planes, n_words):
    above = np.zeros(planes.shape[:2], dtype=np.int64)
    for u in range(planes.shape[0]):
        for k in range(planes.shape[1]):
            total = np.uint64(0)
            for w in range(n_words):
                total += _popcount(planes[u, k, w])
            above[u, k] = total
    return above


@_compiled
@no_type_check
def _add_joint(left, right, counts, n_words, first, last):
    """Three planes against three: six loads for nine counts, all kept in registers."""
    width_a, width_b = left.shape[1], right.shape[1]
    for i in range(first, last):
        for j in range(right.shape[0]):
            for k in range(0, width_a, 3):
                a0, a1, a2 = left[i, k], left[i, k + 1], left[i, k + 2]
                for m in range(0, width_b, 3):
                    b0, b1, b2 = right[j, m], right[j, m + 1], right[j, m + 2]
                    c00 = c01 = c02 = c10 = c11 = c12 = c20 = c21 = c22 = np.uint64(0)
                    for w in range(n_words):
                        x0, x1, x2, y0, y1, y2 = a0[w], a1[w], a2[w], b0[w], b1[w], b2[w]
                        c00 += _popcount(x0 & y0)
                        c01 += _popcount(x0 & y1)
                        c02 += _popcount(x0 & y2)
                        c10 += _popcount(x1 & y0)
                        c11 += _popcount(x1 & y1)
                        c12 += _popcount(x1 & y2)
                        c20 += _popcount(x2 & y0)
                        c21 += _popcount(x2 & y1)
                        c22 += _popcount(x2 & y2)
                    row, column = i * width_a + k, j * width_b + m
                    counts[row, column] += c00
                    counts[row, column + 1] += c01
                    counts[row, column + 2] += c02
                    counts[row + 1, column] += c10
                    counts[row + 1, column + 1] += c11
                    counts[row + 1, column + 2] += c12
                    counts[row + 2, column] += c20
                    counts[row + 2, column + 1] += c21
                    counts[row + 2, column + 2] += c22
