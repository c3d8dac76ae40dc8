from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.solvers.assignment import assign


def best_total(scores: np.ndarray) -> float:
    """The largest sum of scores over all one-to-one assignments, tried one by one."""
    wide = scores if scores.shape[0] <= scores.shape[1] else scores.T
    rows = np.arange(len(wide))
    return max(float(wide[rows, list(columns)].sum()) for columns in permutations(range(wide.shape[1]), len(wide)))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1), st.sampled_from([1, 10]))
def test_no_assignment_is_better(n_a: int, n_b: int, seed: int, digits: int) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, size=(n_a, n_b)).round(digits)  # few digits give ties
    partner = assign(scores)
    matched = partner[partner >= 0]
    assert len(matched) == len(np.unique(matched)) == min(n_a, n_b)
    assert scores[partner >= 0, matched].sum() == pytest.approx(best_total(scores))


@pytest.mark.parametrize("shape", [(12, 12), (9, 14), (14, 9)])
def test_networkx_agrees(shape: tuple[int, int]) -> None:
    networkx = pytest.importorskip("networkx")
    scores = np.random.default_rng(0).uniform(-1, 1, size=shape)
    graph = networkx.Graph()
    graph.add_weighted_edges_from((("a", i), ("b", j), w) for (i, j), w in np.ndenumerate(scores))
    pairs = [sorted(edge) for edge in networkx.max_weight_matching(graph, maxcardinality=True)]
    expected = np.full(shape[0], -1)
    for (_, i), (_, j) in pairs:
        expected[i] = j
    np.testing.assert_array_equal(assign(scores), expected)


def test_rows_left_over_have_no_column() -> None:
    assert assign(np.array([[0.1], [0.9], [0.5]])).tolist() == [-1, 0, -1]
