"""One-to-one matchings of many sets at once, without contradiction: every set is matched to one universe."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from .._typing import Array, Float64, Int64
from .assignment import assign


class Synchronised(NamedTuple):
    """A universe, and who of each set is which of its elements.

    Attributes:
        element: per member of all sets, its element; no two members of a set have the same.
        objective: sum of the scores of all pairs of members that share an element.
        objectives: of each start, by rising order of what it came to.
        history: of the best start, the objective at its beginning and after each round; it never falls.
    """

    element: Int64[Array, " members"]
    objective: float
    objectives: Float64[Array, " starts"]
    history: Float64[Array, " rounds"]


def synchronise(scores: Float64[Array, "members members"], sizes: Sequence[int]) -> Synchronised:
    """Match several sets to a universe as large as the largest of them, so that what is alike is the same element.

    objective = sum over pairs of sets of the scores of their members of equal element.

    With the other sets held, the best elements for one are an assignment problem, and the objective cannot fall;
    sets take turns until nothing changes. That is a local maximum, so it starts from each set as the universe and
    from the leading eigenvectors of the pairwise assignments, and takes the best. Sets take turns in an order that
    their scores decide, so that the order they are given in does not matter (ties apart).

    Args:
        scores: of all members of all sets, one set after another; symmetric; within sets they are not looked at.
        sizes: how many members each set has; none is empty.

    Cost: starts x rounds x sets x O(size^3); 0.3 s for four sets of 256, 0.8 s for four of 384, one core.

    Reference: Pachauri, Kondor & Singh 2013 (the eigenvectors); taking turns is block coordinate ascent.

    Example:
        >>> synchronise(np.kron(np.ones((3, 3)), np.eye(2)), [2, 2, 2]).element.tolist()
        [0, 1, 0, 1, 0, 1]
    """
    sets = _Sets(scores, sizes)
    order = sets.order()
    runs = [_ascend(sets, start, order) for start in _starts(sets, order)]
    best = max(runs, key=lambda run: run.history[-1])
    objectives = np.sort([run.history[-1] for run in runs])
    return Synchronised(best.element, float(best.history[-1]), objectives, best.history)


class _Sets:
    """The scores, set by set."""

    def __init__(self, scores: Array, sizes: Sequence[int]) -> None:
        stops = np.cumsum(sizes)
        self.n_elements = int(max(sizes))
        self.members = [np.arange(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        set_of = np.repeat(np.arange(len(sizes)), sizes)
        self.between = np.where(set_of[:, None] == set_of, 0.0, scores)
        self.partners = {
            (i, j): assign(self.between[np.ix_(self.members[i], self.members[j])])
            for i, j in combinations(range(len(sizes)), 2)
        }

    def order(self) -> list[int]:
        """Larger sets first; among equals those that pairwise assignments tie more strongly to the others."""
        ties = np.zeros(len(self.members))
        for (i, j), partner in self.partners.items():
            total = self.between[self.members[i][partner >= 0], self.members[j][partner[partner >= 0]]].sum()
            ties[[i, j]] += total
        return sorted(range(len(ties)), key=lambda one: (-len(self.members[one]), -ties[one]))

    def gains(self, one: int, element: Array) -> Array:
        """What each member of a set would add at each element; sets that have none yet add nothing."""
        gains = np.zeros((len(self.members[one]), self.n_elements))
        for other, members in enumerate(self.members):
            if other != one and element[members[0]] >= 0:
                gains[:, element[members]] += self.between[np.ix_(self.members[one], members)]
        return gains

    def objective(self, element: Array) -> float:
        together = (element[:, None] == element) & (element >= 0)
        return float(self.between[together].sum() / 2)


class _Run(NamedTuple):
    element: Array
    history: Array


def _starts(sets: _Sets, order: Sequence[int]) -> Iterator[Array]:
    """From each set as the universe, the others added one by one; and from eigenvectors."""
    for first in order:
        yield _added(sets, [first, *(other for other in order if other != first)])
    yield _spectral(sets, order[0])


def _added(sets: _Sets, order: Sequence[int]) -> Array:
    element = np.full(len(sets.between), -1, dtype=np.int64)
    first, *others = order
    element[sets.members[first]] = np.arange(len(sets.members[first]))
    for other in others:
        element[sets.members[other]] = assign(sets.gains(other, element))
    return element


def _spectral(sets: _Sets, reference: int) -> Array:
    """Pachauri's: the eigenvectors of all pairwise assignments at once, each set's rows matched to one set's."""
    together = np.eye(len(sets.between))
    for (i, j), partner in sets.partners.items():
        rows, columns = sets.members[i][partner >= 0], sets.members[j][partner[partner >= 0]]
        together[rows, columns] = together[columns, rows] = 1
    vectors = np.linalg.eigh(together)[1][:, -sets.n_elements :]
    element = np.zeros(len(together), dtype=np.int64)
    for members in sets.members:
        element[members] = assign(vectors[members] @ vectors[sets.members[reference]].T)
    return element


def _ascend(sets: _Sets, element: Array, order: Sequence[int]) -> _Run:
    """Sets take turns until a whole round changes nothing."""
    history = [sets.objective(element)]
    while True:
        moved = element.copy()
        for one in order:
            gains, members = sets.gains(one, moved), sets.members[one]
            chosen, rows = assign(gains), np.arange(len(members))
            if gains[rows, chosen].sum() > gains[rows, moved[members]].sum() + 1e-12 * len(members):
                moved[members] = chosen
        if (moved == element).all():
            return _Run(element, np.array(history))
        element = moved
        history.append(sets.objective(element))
