"""Which axes must be permuted together: blocks of units along an axis, tied to each other by what a net does.

An axis is a row of blocks. A block is a set of units that are permuted among themselves, each of them `repeat`
neighbouring entries wide: 1 along the channels of a map, height x width after the map was flattened. Sets are tied
(they are one), cut (a part moves by itself) or fixed (none of it moves, for a reason that is kept).
An axis that holds no units, such as the inputs or the locations, is `None`: it stays in place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias


@dataclass(frozen=True)
class Block:
    """The units of one set along an axis, each `repeat` neighbouring entries wide."""

    units: int
    repeat: int = 1


Axis: TypeAlias = tuple[Block, ...] | None


class UnitSets:
    """Sets of units, what is known of them so far, and how axes consist of them."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._made_of: dict[int, tuple[Block, ...]] = {}
        self._fixed: dict[int, str] = {}

    def new(self, size: int) -> Axis:
        """An axis of its own set; None where there is but one unit, which cannot move."""
        if size == 1:
            return None
        return (Block(self._add(size)),)

    def immovable(self, size: int, reason: str) -> tuple[Block, ...]:
        """Entries beside others that move, and do not move themselves."""
        block = Block(self._add(size))
        self._fixed[block.units] = reason
        return (block,)

    def size(self, units: int) -> int:
        """How many units a set has."""
        return self._sizes[units]

    def length(self, axis: Axis) -> int:
        """How many entries."""
        return sum(self._sizes[block.units] * block.repeat for block in axis or ())

    def resolved(self, axis: Axis) -> tuple[Block, ...]:
        """The axis in terms of sets as they are known by now."""
        return tuple(part for block in axis or () for part in self._expand(block))

    def reason(self, units: int) -> str:
        """Why a set does not move; empty where it does."""
        return self._fixed.get(units, "")

    def moves(self, axis: Axis) -> bool:
        """Whether any unit along the axis may move."""
        return any(block.units not in self._fixed for block in self.resolved(axis))

    def fix(self, axis: Axis, reason: str) -> None:
        """From now on nothing along this axis moves; a reason given before is kept."""
        for block in self.resolved(axis):
            self._fixed.setdefault(block.units, reason)

    def tie(self, axes: Iterable[Axis], reason: str) -> Axis:
        """Make axes of one length move as one, and give that one.

        Args:
            axes: beside one that stays in place, the others must stay too.
            reason: why units would have to stay in place.
        """
        distinct = list(dict.fromkeys(axes))
        moving = [axis for axis in distinct if axis is not None]
        for one, other in pairwise(moving):
            self._tie(one, other, reason)
        if not moving:
            return None
        if None in distinct:
            self.fix(moving[0], reason)
        return self.resolved(moving[0])

    def taken(self, axis: Axis, start: int, stop: int, reason: str) -> Axis:
        """The entries from start to stop, whose units can then only move among each other."""
        if axis is None or not all(self._cut_at(axis, entry, reason) for entry in (start, stop)):
            return None
        found, at = [], 0
        for block in self.resolved(axis):
            if start <= at < stop:
                found.append(block)
            at += self.length((block,))
        return tuple(found)

    def repeated(self, axis: Axis, *, inner: int, outer: int) -> Axis:
        """An axis merged with locations after it (inner) and before it (outer)."""
        return tuple(Block(block.units, block.repeat * inner) for block in axis or ()) * outer if axis else None

    def _add(self, size: int) -> int:
        self._sizes.append(size)
        return len(self._sizes) - 1

    def _expand(self, block: Block) -> tuple[Block, ...]:
        if block.units not in self._made_of:
            return (block,)
        parts = self._made_of[block.units]
        return tuple(one for part in parts for one in self._expand(Block(part.units, part.repeat * block.repeat)))

    def _tie(self, one: Axis, other: Axis, reason: str) -> None:
        left, right = list(self.resolved(one))[::-1], list(self.resolved(other))[::-1]
        while left and right:
            a, b = self._next(left), self._next(right)
            longer, shorter = sorted((a, b), key=lambda block: -self.length((block,)))
            spare = self.length((longer,)) - self.length((shorter,))
            if a == b:
                continue
            if spare == 0 and longer.units != shorter.units and self._merge(a, b):
                continue
            if spare and self._cut(longer, self.length((shorter,))):
                left.append(a)
                right.append(b)
                continue
            self.fix(one, reason)
            self.fix(other, reason)
            return

    def _next(self, blocks: list[Block]) -> Block:
        """The first block (they lie in reverse), as it is known by now."""
        first, *rest = self._expand(blocks.pop())
        blocks += rest[::-1]
        return first

    def _merge(self, a: Block, b: Block) -> bool:
        """Two blocks of one length become one; the units of the finer move in the bundles of the coarser."""
        fine, coarse = (a, b) if a.repeat <= b.repeat else (b, a)
        if coarse.repeat % fine.repeat:
            return False
        self._define(fine.units, (Block(coarse.units, coarse.repeat // fine.repeat),))
        return True

    def _cut_at(self, axis: Axis, entry: int, reason: str) -> bool:
        """Whether no unit lies on both sides of an entry; if one does, none can move."""
        at = 0
        for block in self.resolved(axis):
            length = self.length((block,))
            if at < entry < at + length:
                if self._cut(block, entry - at):
                    return self._cut_at(axis, entry, reason)  # the same set may lie elsewhere too
                self.fix(axis, reason)
                return False
            at += length
        return True

    def _cut(self, block: Block, entries: int) -> bool:
        first, rest = divmod(entries, block.repeat)
        if rest:
            return False
        size = self._sizes[block.units]
        self._define(block.units, (Block(self._add(first)), Block(self._add(size - first))))
        return True

    def _define(self, units: int, parts: Sequence[Block]) -> None:
        reasons = [self._fixed[one] for one in (units, *(part.units for part in parts)) if one in self._fixed]
        self._made_of[units] = tuple(parts)
        if reasons:
            self.fix(tuple(parts), reasons[0])
