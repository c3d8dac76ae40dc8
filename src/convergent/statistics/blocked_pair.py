"""`BlockedPair`: a pair of layers in blocks of inputs; held-out scores, intervals and chance come from it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Array, Int64, Tensor
from ..batch import block_of, roll_shifts
from ..errors import InvalidArgumentError
from ..results import Fingerprint
from ..units import LayerRef, LayerUnits
from .blocked import Blocked, check_n_blocks
from .moments import Moments
from .pair_sample import PairSample
from .pairs import PairMoments, is_narrow


@dataclass(frozen=True, eq=False, repr=False)
class BlockedPair:
    """The joint moments of layers a and b in blocks of whole inputs.

    Attributes:
        a: name of the first layer (rows), `net/layer`.
        b: name of the second layer (columns).
        blocks: moments of both layers in each block; blocks without inputs are left out.
        roll: by how many inputs the partner's inputs are rolled; 0 for the layers as they are.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> blocked = BlockedPair.from_samples(x, x[:, ::-1], n_blocks=5)
        >>> sum(held_out.n_samples for _, held_out in blocked.folds()), len(blocked.rolled)
        (100, 4)
    """

    a: str
    b: str
    blocks: Blocked[Moments]
    roll: int = 0
    _folds: tuple[tuple[PairMoments, PairMoments], ...] | None = None
    _without_two: tuple[tuple[int, int, PairMoments], ...] | None = None

    def __repr__(self) -> str:
        n_inputs = sum(block.n_inputs for block in self.blocks.blocks)
        n_samples = sum(block.n_samples[LayerRef.parse(self.a)] for block in self.blocks.blocks)
        rolled = f", rolled by {self.roll}" if self.roll else ""
        counts = f"{n_inputs} inputs, {n_samples} samples, {self.n_blocks} blocks"
        return f"BlockedPair({self.a}, {self.b}; {counts}{rolled})"

    @classmethod
    def of(cls, blocks: Blocked[Moments], a: LayerRef | str, b: LayerRef | str) -> "BlockedPair":
        """One pair of layers out of blocked moments.

        Args:
            blocks: what a pass with `BlockedPlan(MomentsPlan(...))` gives.
            a: the layer whose units become rows, as `net/layer` or `LayerRef`.
            b: the layer whose units become columns.

        Raises:
            UnknownNameError: if the pair was not accumulated.
            InvalidArgumentError: if no block holds inputs.
        """
        left, right = LayerRef.of(a), LayerRef.of(b)
        parts = tuple(block.only(left, right) for block in blocks.blocks if block.n_inputs)
        if not parts:
            raise InvalidArgumentError(
                f"Asked for '{left}' with '{right}' in blocks of inputs. Found {len(blocks.blocks)} blocks, all "
                "empty. Accumulate some inputs."
            )
        parts[0].pair(left, right)
        return cls(str(left), str(right), Blocked(parts))

    @property
    def n_blocks(self) -> int:
        """Blocks that hold inputs."""
        return len(self.blocks.blocks)

    @cached_property
    def total(self) -> PairMoments:
        """Of all inputs."""
        return self._pair(self.blocks.total)

    @property
    def shape(self) -> tuple[int, int]:
        """How many units a and b have."""
        n_units = {str(layer.ref): layer.n_units for layer in self.blocks.blocks[0].layers}
        return n_units[self.a], n_units[self.b]

    def folds(self) -> Iterator[tuple[PairMoments, PairMoments]]:
        """(moments of the other blocks, moments of the block held out), block by block; none of a single block."""
        if self._folds is not None:
            yield from self._folds
        elif self.n_blocks > 1:
            alone = self.alone
            for rest, held_out in alone.blocks.folds():
                yield alone._pair(rest), alone._pair(held_out)

    def without_two(self) -> Iterator[tuple[int, int, PairMoments]]:
        """(i, j, moments of all blocks but these), for blocks at most two steps apart on a ring, every two once.

        None of fewer than three blocks.
        """
        if self._without_two is not None:
            yield from self._without_two
            return
        alone, n = self.alone, self.n_blocks
        blocks = alone.blocks.blocks
        nothing = blocks[0].identity()
        before = list(accumulate(blocks, Moments.merge, initial=nothing))
        after = list(accumulate(reversed(blocks), Moments.merge, initial=nothing))[::-1]
        near = {(min(i, k % n), max(i, k % n)) for i in range(n) for k in (i + 1, i + 2)}
        for i, j in sorted((i, j) for i, j in near if i != j and n > 2):
            yield i, j, alone._pair(reduce(Moments.merge, (before[i], *blocks[i + 1 : j], after[j + 1])))

    def with_folds(self, *, at_most: int = 2**27) -> "BlockedPair":
        """The same with its folds at hand, for several measures; without them where they take more memory.

        Args:
            at_most: bytes.

        Cost: about 6 merges a block; 4 n_blocks times the memory of the pair's moments.
        """
        (n_a, n_b), n_pairs = self.shape, 4 * self.n_blocks
        if 8 * n_pairs * (n_a**2 + n_a * n_b + n_b**2) > at_most:
            return self
        return replace(self, _folds=tuple(self.folds()), _without_two=tuple(self.without_two()))

    @property
    def alone(self) -> "BlockedPair":
        """The same without the products of other rolls, which would be added up for nothing."""
        k = self.roll
        blocks = tuple(
            replace(block, rolled={pair: rolls[k - 1 : k] for pair, rolls in block.rolled.items()} if k else {})
            for block in self.blocks.blocks
        )
        return replace(self, blocks=Blocked(blocks), roll=min(k, 1), _folds=None, _without_two=None)

    @property
    def halves(self) -> tuple[PairMoments, PairMoments]:
        """Of the first and of the second half of the blocks.

        Raises:
            InvalidArgumentError: if there are fewer than two blocks.
        """
        blocks = self.blocks.blocks
        if len(blocks) < 2:
            raise InvalidArgumentError(
                f"Asked for two halves of the blocks of '{self.a}' with '{self.b}'. Found {len(blocks)} block "
                "with inputs. Give more inputs, or more blocks."
            )
        middle = len(blocks) // 2
        return self._pair(Blocked(blocks[:middle]).total), self._pair(Blocked(blocks[middle:]).total)

    @property
    def swapped(self) -> "BlockedPair":
        """The same pair seen from b."""
        return BlockedPair(
            self.b,
            self.a,
            self.blocks,
            self.roll,
            self._folds and tuple((rest.swapped, held_out.swapped) for rest, held_out in self._folds),
            self._without_two and tuple((i, j, rest.swapped) for i, j, rest in self._without_two),
        )

    def of_units(self, a: Int64[Array, " chosen_a"], b: Int64[Array, " chosen_b"]) -> "BlockedPair":
        """Some units of each side, in this order; norms, which are of all units, are left out.

        Args:
            a: indices of units of a.
            b: likewise of b.
        """
        chosen = {LayerRef.parse(self.a): a, LayerRef.parse(self.b): b}
        return BlockedPair(
            self.a, self.b, Blocked(tuple(self.blocks.map(lambda one: one.of_units(chosen)))), self.roll
        )

    @property
    def rolled(self) -> tuple["BlockedPair", ...]:
        """The pair with the partner's inputs rolled by 1, 2, ... inputs: what is left of it by chance."""
        return tuple(
            replace(self, roll=k, _folds=None, _without_two=None)
            for k in range(1, self.blocks.blocks[0].n_rolls + 1)
        )

    def _pair(self, moments: Moments) -> PairMoments:
        return moments.pair(self.a, self.b, roll=self.roll)

    @classmethod
    def from_samples(
        cls,
        x: ArrayLike | Tensor,
        y: ArrayLike | Tensor,
        *,
        input_of: ArrayLike | None = None,
        n_blocks: int = 10,
        n_rolls: int = 4,
        a: str = "a/units",
        b: str = "b/units",
    ) -> "BlockedPair":
        """From activations already at hand, in float64; units are dead as in `PairMoments.from_samples`.

        Args:
            x: samples x units_a; NumPy array, torch tensor of any dtype on any device, or nested lists.
            y: samples x units_b; row i is the same sample as row i of `x`.
            input_of: whole number of the input that each sample comes from; inputs have equally many samples.
                Each sample is an input of its own where not given.
            n_blocks: blocks that inputs fall into by a hash of their number.
            n_rolls: by how many inputs, at most, the partner's are rolled.
            a: name for the first side, `net/layer`.
            b: name for the second side, another one.

        Raises:
            InvalidArgumentError: if fewer than two blocks are asked for, both sides have one name, inputs have
                different numbers of samples or no whole numbers, or a matrix cannot be used.
            MismatchError: if there are different numbers of rows.

        Cost: (6 + 2 n_rolls) units^2 multiplications and additions a sample.
        """
        check_n_blocks(n_blocks)
        refs = LayerRef.parse(a), LayerRef.parse(b)
        if refs[0] == refs[1]:
            raise InvalidArgumentError(
                f"Both sides of a pair have names of their own. Found '{a}' twice. Name the second one otherwise."
            )
        sample = PairSample.from_samples(x, y, input_of=input_of, a=a, b=b)
        float64 = frozenset(ref for ref, given in zip(refs, (x, y), strict=True) if not is_narrow(given))
        maps = [_by_input(sample, values) for values in (sample.x, sample.y)]
        origins = [values.mean(axis=(0, 1)) for values in maps]
        centred = [_with_norms(values - origin) for values, origin in zip(maps, origins, strict=True)]
        ids = np.arange(len(maps[0])) if input_of is None else np.unique(np.asarray(input_of))
        block = block_of(ids.astype(np.int64), n_blocks)
        parts = tuple(
            _moments(refs, origins, [values[block == i] for values in centred], n_rolls, i, float64)
            for i in range(n_blocks)
            if (block == i).any()
        )
        return cls.of(Blocked(parts), *refs)


def _by_input(sample: PairSample, values: Array) -> Array:
    """Inputs x samples of each x units."""
    counts = np.bincount(sample.input_of)
    if (counts != counts[0]).any():
        raise InvalidArgumentError(
            f"Inputs are held out and rolled whole, and have equally many samples. Found {counts.min()} to "
            f"{counts.max()} samples an input. Average over the samples of each input first."
        )
    order = np.argsort(sample.input_of, kind="stable")
    return values[order].reshape(len(counts), counts[0], -1)


def _with_norms(centred: Array) -> Array:
    return np.concatenate([centred, (centred**2).sum(axis=2, keepdims=True)], axis=2)


def _moments(
    refs: tuple[LayerRef, LayerRef],
    origins: list[Array],
    maps: list[Array],
    n_rolls: int,
    block: int,
    float64: frozenset[LayerRef],
) -> Moments:
    x, y = (values.reshape(-1, values.shape[2]) for values in maps)
    a, b = refs
    n_inputs, n_each, _ = maps[0].shape
    layers = tuple(
        LayerUnits(ref, len(origin), (n_each,) if n_each > 1 else (), n_each, "all")
        for ref, origin in zip(refs, origins, strict=True)
    )
    rolled = [
        x.T @ np.roll(maps[1], shift, axis=0).reshape(len(y), -1) for shift in roll_shifts(n_inputs, n_rolls)
    ]
    return Moments(
        layers=layers,
        n_inputs=n_inputs,
        n_samples=dict.fromkeys(refs, len(x)),
        origin={ref: np.append(origin, 0.0) for ref, origin in zip(refs, origins, strict=True)},
        sums={a: x.sum(axis=0), b: y.sum(axis=0)},
        products={(a, a): x.T @ x, (a, b): x.T @ y, (b, b): y.T @ y},
        fingerprint=Fingerprint(inputs=(f"samples block {block}",)),
        norms=True,
        rolled={(a, b): np.array(rolled)} if rolled else {},
        float64=float64,
    )
