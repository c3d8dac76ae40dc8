"""Any statistic, split by a hash of the input's id: folds, split halves and jackknife without a second pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

import numpy as np

from .._typing import Tensor
from ..batch import ActivationBatch, block_of
from ..errors import InvalidArgumentError, MismatchError
from ..results import Fingerprint
from ..units import LayerUnits
from .accumulate import MomentsAccumulator
from .base import Accumulator, Plan, Statistic, under

S = TypeVar("S", bound=Statistic)
R = TypeVar("R")


@dataclass(frozen=True)
class Blocked(Generic[S]):
    """One statistic per block of inputs; whole inputs, never parts of one, belong to a block.

    Attributes:
        blocks: the statistics, block 0 first.
    """

    blocks: tuple[S, ...]

    @property
    def total(self) -> S:
        """The statistic of all inputs."""
        return reduce(lambda a, b: a.merge(b), self.blocks)

    def without(self, block: int) -> S:
        """The statistic of all inputs but one block's: the sum of the others, never a difference.

        Raises:
            InvalidArgumentError: if there is no such block.
        """
        if block not in range(len(self.blocks)):
            raise InvalidArgumentError(
                f"Asked for all inputs but those of block {block}. There are blocks 0 to {len(self.blocks) - 1}. "
                "Choose one of these."
            )
        others = [other for i, other in enumerate(self.blocks) if i != block]
        return reduce(lambda a, b: a.merge(b), others)

    def folds(self) -> Iterator[tuple[S, S]]:
        """(statistic of the other blocks, statistic of the block held out), block by block.

        Cost: about 3 merges a block, whatever their number.
        """
        after = [self.blocks[0].identity()]
        for block in reversed(self.blocks[1:]):
            after.append(block.merge(after[-1]))
        before = self.blocks[0].identity()
        for block, rest in zip(self.blocks, reversed(after), strict=True):
            yield before.merge(rest), block
            before = before.merge(block)

    def merge(self, other: "Blocked[S]") -> "Blocked[S]":
        """Block by block.

        Raises:
            MismatchError: if they have different numbers of blocks, or the blocks do not belong together.
        """
        if not isinstance(other, Blocked):
            raise MismatchError(
                f"Cannot merge blocked statistics with {type(other).__name__}. Its inputs belong to no block. "
                "Accumulate it with a BlockedPlan too, or take the .total of what is blocked."
            )
        if len(self.blocks) != len(other.blocks):
            raise MismatchError(
                f"Cannot merge statistics of {len(self.blocks)} and of {len(other.blocks)} blocks. "
                "The same input would fall into different blocks. Accumulate both with one number of blocks."
            )
        return Blocked(tuple(a.merge(b) for a, b in zip(self.blocks, other.blocks, strict=True)))

    __add__ = merge

    def map(self, function: Callable[[S], R]) -> list[R]:
        """Apply a function to each block."""
        return [function(block) for block in self.blocks]


def check_n_blocks(n_blocks: int) -> None:
    """Refuse what nothing can be held out of.

    Args:
        n_blocks: blocks that inputs fall into.

    Raises:
        InvalidArgumentError: if there are fewer than two.
    """
    if n_blocks < 2:
        raise InvalidArgumentError(
            f"Blocks are what is held out in turn. Found n_blocks={n_blocks}. Give at least 2."
        )


@dataclass(frozen=True)
class BlockedPlan:
    """A plan, carried out for each block of inputs.

    Args:
        plan: what is accumulated in each block.
        n_blocks: how many blocks.

    Raises:
        InvalidArgumentError: if there are fewer than two blocks.
    """

    plan: Plan
    n_blocks: int = 10

    def __post_init__(self) -> None:
        check_n_blocks(self.n_blocks)

    def n_bytes(self, layers: Sequence[LayerUnits]) -> int:
        """As many times the plan's as there are blocks."""
        return self.n_blocks * self.plan.n_bytes(layers)

    def start(self, layers: Sequence[LayerUnits], calibration: ActivationBatch) -> "BlockedAccumulator":
        """Empty accumulators, all about the same origin."""
        return BlockedAccumulator([self.plan.start(layers, calibration) for _ in range(self.n_blocks)])


class BlockedAccumulator:
    """One accumulator per block; made by `BlockedPlan.start`."""

    def __init__(self, accumulators: Sequence[Accumulator]) -> None:
        self._accumulators = accumulators

    def update(self, batch: ActivationBatch, inputs: Sequence[int] | None = None) -> None:
        """Hand each input of the batch to its block."""
        chosen = np.arange(len(batch.ids)) if inputs is None else np.asarray(inputs, dtype=np.int64)
        blocks = block_of(batch.ids[chosen], len(self._accumulators))
        for block, accumulator in enumerate(self._accumulators):
            members = chosen[blocks == block].tolist()
            if members:
                accumulator.update(batch, members)

    def state(self) -> dict[str, Tensor]:
        """The states of all blocks."""
        return {
            f"{block}/{name}": value
            for block, accumulator in enumerate(self._accumulators)
            for name, value in accumulator.state().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state()`."""
        for block, accumulator in enumerate(self._accumulators):
            accumulator.restore(under(f"{block}/", state))

    def finish(self, fingerprint: Fingerprint) -> Blocked[Statistic]:
        """The statistics of all blocks."""
        n_blocks = len(self._accumulators)
        orders = [one.label_order for one in self._accumulators if isinstance(one, MomentsAccumulator)]
        for first in orders[:1]:
            first.absorb(orders[1:])  # one warning for all blocks
        return Blocked(
            tuple(
                accumulator.finish(fingerprint.of_block(block, n_blocks=n_blocks))
                for block, accumulator in enumerate(self._accumulators)
            )
        )
