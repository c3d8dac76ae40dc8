"""Alignments in order: every path of small matrices, and what a plan must be."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.solvers.monotone import monotone_plan

shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))


def paths(n_a: int, n_b: int) -> Iterator[list[tuple[int, int]]]:
    if (n_a, n_b) == (1, 1):
        yield [(0, 0)]
    for i, j in ((1, 1), (1, 0), (0, 1)):
        if n_a > i and n_b > j:
            yield from ([*path, (n_a - 1, n_b - 1)] for path in paths(n_a - i, n_b - j))


def mean_along(gain: np.ndarray, path: list[tuple[int, int]]) -> float:
    previous = [(-1, -1), *path]
    total = sum((i - p + j - q) * gain[i, j] for (p, q), (i, j) in zip(previous, path, strict=False))
    return float(total / sum(gain.shape))


@settings(max_examples=40)
@given(shapes)
def test_no_path_is_better(case: tuple[int, int, int]) -> None:
    n_a, n_b, seed = case
    gain = np.random.default_rng(seed).normal(size=(n_a, n_b))
    found = (monotone_plan(gain) * gain).sum()
    np.testing.assert_allclose(found, max(mean_along(gain, path) for path in paths(n_a, n_b)), atol=1e-12)


@settings(max_examples=25)
@given(shapes)
def test_the_plan_is_a_monotone_path_and_what_is_added_to_all_does_not_matter(case: tuple[int, int, int]) -> None:
    n_a, n_b, seed = case
    gain = np.random.default_rng(seed).normal(size=(n_a, n_b))
    plan = monotone_plan(gain)
    np.testing.assert_allclose(plan.sum(), 1)
    assert (plan.sum(axis=0) > 0).all()
    assert (plan.sum(axis=1) > 0).all()
    rows, columns = np.nonzero(plan)
    assert (np.diff(rows) >= 0).all()
    assert (np.diff(columns) >= 0).all()
    np.testing.assert_allclose(monotone_plan(gain + 3), plan)
    np.testing.assert_allclose(monotone_plan(gain.T), plan.T)
