"""Sets of units along axes: what is tied, cut and fixed, against a permutation of entries worked out by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convergent.experiments.unit_axes import Axis, Block, UnitSets


def entries(sets: UnitSets, axis: Axis) -> list[tuple[int, int, int]]:
    """What each entry along an axis is: set, unit, place within the unit."""
    return [
        (block.units, unit, k)
        for block in sets.resolved(axis)
        for unit in range(sets.size(block.units))
        for k in range(block.repeat)
    ]


def test_a_flattened_map_moves_in_bundles() -> None:
    sets = UnitSets()
    maps, weights = sets.new(3), sets.new(12)
    sets.tie([sets.repeated(maps, inner=4, outer=1), weights], "")
    assert entries(sets, weights) == [(entries(sets, maps)[0][0], i // 4, i % 4) for i in range(12)]


def test_a_concatenation_cuts_what_it_meets() -> None:
    sets = UnitSets()
    one, two, whole = sets.new(2), sets.new(3), sets.new(5)
    sets.tie([(*(one or ()), *(two or ())), whole], "")
    assert sets.resolved(whole) == (*sets.resolved(one), *sets.resolved(two))
    sets.fix(two, "for a reason")
    assert [sets.reason(block.units) for block in sets.resolved(whole)] == ["", "for a reason"]
    assert sets.moves(whole)
    assert not sets.moves(two)


def test_bundles_that_do_not_fit_fix_both() -> None:
    sets = UnitSets()
    two, three = sets.new(2), sets.new(3)
    sets.tie([sets.repeated(two, inner=3, outer=1), sets.repeated(three, inner=2, outer=1)], "they cross")
    assert not sets.moves(two)
    assert not sets.moves(three)
    four, width = sets.new(4), sets.new(8)
    cut = sets.taken(sets.repeated(four, inner=2, outer=1), 1, 5, "cut through")
    assert cut is None
    assert sets.reason((sets.resolved(four))[0].units) == "cut through"
    sets.tie([width, None], "beside what stays")
    assert sets.reason(sets.resolved(width)[0].units) == "beside what stays"


def test_single_units_and_places_do_not_move() -> None:
    sets = UnitSets()
    assert sets.new(1) is None
    assert sets.taken(None, 0, 2, "") is None
    assert sets.repeated(None, inner=2, outer=2) is None
    assert sets.tie([None, None], "") is None
    assert sets.immovable(3, "padding") == (Block(0),)
    assert sets.reason(0) == "padding"


@st.composite
def divided(draw: st.DrawFn, length: int) -> list[tuple[int, int]]:
    """Sizes and widths of blocks that fill an axis."""
    blocks = []
    while length:
        width = draw(st.sampled_from([w for w in (1, 1, 2, 3) if w <= length]))
        size = draw(st.integers(1, length // width))
        blocks.append((size, width))
        length -= size * width
    return blocks


@given(st.data(), st.integers(2, 14))
def test_axes_that_are_tied_are_the_same_entry_by_entry(data: st.DataObject, length: int) -> None:
    """Whatever the blocks: what still moves lies in all of them alike. What moves nowhere may differ."""
    sets = UnitSets()
    axes = []
    for _ in range(3):
        blocks = [(sets.new(size), width) for size, width in data.draw(divided(length))]
        axes.append(tuple(Block((axis or sets.immovable(1, "single"))[0].units, width) for axis, width in blocks))
    tied = sets.tie(axes, "they cross")
    assert sets.length(tied) == length
    moving = [
        [entry if not sets.reason(entry[0]) else None for entry in entries(sets, axis)] for axis in (tied, *axes)
    ]
    assert all(one == moving[0] for one in moving)
    assert all(len(one) == length for one in moving)


@given(st.data(), st.integers(2, 14))
def test_a_range_holds_the_entries_it_names(data: st.DataObject, length: int) -> None:
    sets = UnitSets()
    axis = tuple(
        Block((sets.new(size) or sets.immovable(1, "single"))[0].units, width)
        for size, width in data.draw(divided(length))
    )
    start, stop = sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length))))
    taken = sets.taken(axis, start, stop, "cut through")
    if taken is not None:
        assert np.array_equal(entries(sets, axis)[start:stop], entries(sets, taken))
    else:
        assert not sets.moves(axis)
