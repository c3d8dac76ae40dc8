"""Matching many sets at once: planted universes, the ascent, and every universe of small sets looked at."""

from itertools import permutations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.solvers.assignment import assign
from convergent.solvers.synchronisation import synchronise

seeds = st.integers(0, 2**32 - 1)


def symmetric(n: int, rng: np.random.Generator) -> np.ndarray:
    scores = rng.normal(size=(n, n))
    return scores + scores.T


def worth(scores: np.ndarray, sizes: list[int], element: np.ndarray) -> float:
    """The objective, pair by pair."""
    set_of = np.repeat(np.arange(len(sizes)), sizes)
    n = len(scores)
    return float(
        sum(
            scores[i, j]
            for i in range(n)
            for j in range(i + 1, n)
            if set_of[i] != set_of[j] and element[i] == element[j]
        )
    )


@settings(max_examples=25)
@given(seeds)
def test_it_is_one_to_one_and_its_objective_is_what_it_says_and_never_fell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, size=rng.integers(2, 6)).tolist()
    scores = symmetric(sum(sizes), rng)
    found = synchronise(scores, sizes)
    for own in np.split(found.element, np.cumsum(sizes)[:-1]):
        assert len(set(own)) == len(own)
        assert set(own) <= set(range(max(sizes)))
    np.testing.assert_allclose(found.objective, worth(scores, sizes, found.element), atol=1e-9)
    assert (np.diff(found.history) > 0).all()
    assert found.objectives[-1] == found.history[-1] == found.objective
    assert len(found.objectives) == len(sizes) + 1


def test_few_of_small_universes_are_better_and_none_by_moving_one_set() -> None:
    """All universes of four sets of three, 6^3 of them: a local maximum always, and the global one mostly."""
    sizes, orders = [3] * 4, list(permutations(range(3)))
    n_best = 0
    for seed in range(20):
        scores = symmetric(12, np.random.default_rng(seed))
        found = synchronise(scores, sizes)
        values = [worth(scores, sizes, np.concatenate([range(3), *rest])) for rest in product(orders, repeat=3)]
        n_best += bool(np.isclose(found.objective, max(values)))
        for one, order in product(range(4), orders):
            moved = found.element.copy()
            moved[3 * one : 3 * one + 3] = order
            assert worth(scores, sizes, moved) <= found.objective + 1e-9
    assert n_best >= 17


@settings(max_examples=25)
@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_two_sets_are_an_assignment_problem(seed: int, n_a: int, n_b: int) -> None:
    scores = symmetric(n_a + n_b, np.random.default_rng(seed))
    found = synchronise(scores, [n_a, n_b]).element
    place = {element: unit for unit, element in enumerate(found[n_a:])}
    assert [place.get(element, -1) for element in found[:n_a]] == assign(scores[:n_a, n_a:]).tolist()


def test_a_planted_universe_is_found_under_noise_where_plain_matchings_err() -> None:
    rng = np.random.default_rng(1)
    sizes = [12, 10, 12, 8, 11, 12]
    truth = np.concatenate([rng.permutation(12)[:size] for size in sizes])
    noise = symmetric(len(truth), rng) * 0.28
    scores = (truth[:, None] == truth) + noise
    found = synchronise(scores, sizes)
    pairs = {(e, t) for e, t in zip(found.element, truth, strict=True)}
    assert len(pairs) == 12  # a relabelling
    plain = assign(scores[:12, 12:22])
    assert (truth[12:22][plain[plain >= 0]] != truth[:12][plain >= 0]).any()


@settings(max_examples=20)
@given(seeds)
def test_neither_order_of_sets_nor_of_members_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [3, 5, 5, 4]
    scores = symmetric(17, rng)
    members = np.split(np.arange(17), np.cumsum(sizes)[:-1])
    order = rng.permutation(4)
    moved = np.concatenate([rng.permutation(members[one]) for one in order])
    found = synchronise(scores, sizes)
    again = synchronise(scores[np.ix_(moved, moved)], [sizes[one] for one in order])
    np.testing.assert_allclose(again.objective, found.objective)
    same = found.element[:, None] == found.element
    np.testing.assert_array_equal(again.element[:, None] == again.element, same[np.ix_(moved, moved)])
