"""Lasso paths from second moments: scikit-learn, the optimality conditions, collinear units, both methods."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, LinearRegression, Ridge

from convergent.errors import InvalidArgumentError
from convergent.solvers.descent import paper_descent
from convergent.solvers.duality import relative_gaps
from convergent.solvers.forward_selection import units_needed
from convergent.solvers.lasso import LassoPath, lasso_path
from convergent.solvers.ridge import least_squares_gaps, ridge_path

BOTH = pytest.mark.parametrize("method", ["active_set", "admm"])
GRID = np.array([0.5, 0.2, 0.05, 0.01, 0.002])


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def samples(units: int, targets: int, seed: int = 0, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(n, max(2, units // 2)))
    x = np.maximum(latents @ rng.normal(size=(latents.shape[1], units)) + 0.3 * rng.normal(size=(n, units)), 0)
    y = np.maximum(x @ rng.normal(size=(units, targets)) + rng.normal(size=(n, targets)), 0)
    return standardised(x + 1e-9 * rng.normal(size=x.shape)), standardised(y + 1e-9 * rng.normal(size=y.shape))


def moments(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.T @ x / len(x), x.T @ y / len(x)


def gap_from_samples(x: np.ndarray, y: np.ndarray, w: np.ndarray, penalty: float) -> float:
    """Primal minus dual objective of one target, by the book: at the best feasible multiple of the residual."""
    residual = y - x @ w
    limit = penalty / np.abs(x.T @ residual / len(y)).max()
    theta = residual * np.clip(y @ residual / (residual @ residual), -limit, limit)
    primal = 0.5 * (residual**2).mean() + penalty * np.abs(w).sum()
    return float(primal - 0.5 * (y**2).mean() + 0.5 * ((y - theta) ** 2).mean())


def reference_gaps(x: np.ndarray, y: np.ndarray, path: LassoPath) -> np.ndarray:
    steps = np.broadcast_to(path.penalties, (y.shape[1], path.weights.shape[0]))
    return np.array(
        [
            [gap_from_samples(x, y[:, t], w, steps[t, i]) for t, w in enumerate(one)]
            for i, one in enumerate(path.weights)
        ]
    )


@BOTH
@pytest.mark.parametrize(("units", "targets"), [(12, 7), (5, 9), (1, 1)])
def test_scikit_learn_agrees(method: str, units: int, targets: int) -> None:
    x, y = samples(units, targets)
    path = lasso_path(*moments(x, y), GRID, tolerance=1e-11, method=method)
    assert path.converged.all()
    for i, penalty in enumerate(GRID):
        for target in range(targets):
            expected = Lasso(alpha=penalty, tol=1e-12, max_iter=100_000, fit_intercept=False).fit(x, y[:, target])
            np.testing.assert_allclose(path.weights[i, target], expected.coef_, atol=2e-5)
            if method == "active_set":
                np.testing.assert_allclose(path.weights[i, target], expected.coef_, atol=1e-6)


@BOTH
def test_gaps_are_those_of_the_data(method: str) -> None:
    x, y = samples(15, 6, seed=1)
    path = lasso_path(*moments(x, y), GRID, method=method)
    gaps = reference_gaps(x, y, path)
    assert gaps.max() <= 1e-6 + 1e-12
    np.testing.assert_allclose(path.gaps, gaps, atol=1e-12)
    assert (path.gaps >= -1e-12).all()


def test_gaps_of_bad_weights_are_large_and_bound_the_distance() -> None:
    x, y = samples(8, 5, seed=2)
    q, wanted = moments(x, y)
    best = lasso_path(q, wanted, np.array([0.1]), tolerance=1e-12).weights[0]
    bad = best + np.random.default_rng(0).normal(size=best.shape)

    def objective(w: np.ndarray) -> np.ndarray:
        return 0.5 * ((y - x @ w.T) ** 2).mean(axis=0) + 0.1 * np.abs(w).sum(axis=1)

    tensors = torch.from_numpy(q), torch.from_numpy(wanted), torch.from_numpy(bad.T.copy())
    gaps = relative_gaps(*tensors, torch.full((5,), 0.1, dtype=torch.float64)).numpy()
    assert (gaps >= objective(bad) - objective(best)).all()
    assert (gaps > 0.01).all()


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(1e-3, 1.2))
def test_weights_obey_the_optimality_conditions(units: int, targets: int, seed: int, penalty: float) -> None:
    q, wanted = moments(*samples(units, targets, seed=seed, n=100))
    w = lasso_path(q, wanted, np.array([penalty])).weights[0].T
    gradient = wanted - q @ w
    assert np.abs(gradient).max() <= penalty + 1e-5
    np.testing.assert_allclose(gradient[w != 0], penalty * np.sign(w[w != 0]), atol=1e-5)
    assert (w[:, np.abs(wanted).max(axis=0) < penalty] == 0).all()


@BOTH
def test_penalties_in_any_order_shared_or_per_target(method: str) -> None:
    q, wanted = moments(*samples(10, 4))
    expected = lasso_path(q, wanted, GRID, method=method, tolerance=1e-10).weights
    shuffle = np.array([3, 0, 4, 1, 2])
    mixed = lasso_path(q, wanted, GRID[shuffle], method=method, tolerance=1e-10)
    np.testing.assert_allclose(mixed.weights, expected[shuffle], atol=1e-4)
    rows = np.array([GRID, GRID[::-1], GRID[shuffle], GRID])
    rows[3, 2:] = 0
    each = lasso_path(q, wanted, rows, method=method, tolerance=1e-10)
    np.testing.assert_allclose(each.weights[:, 1], expected[::-1, 1], atol=1e-4)
    np.testing.assert_allclose(each.weights[:, 2], expected[shuffle, 2], atol=1e-4)
    np.testing.assert_allclose(each.weights[:2, 3], expected[:2, 3], atol=1e-4)
    np.testing.assert_allclose(each.weights[2:, 3], np.tile(np.linalg.solve(q, wanted[:, 3]), (3, 1)), atol=1e-8)


def test_penalty_zero_is_least_squares_of_smallest_norm() -> None:
    x, y = samples(6, 3)
    path = lasso_path(*moments(x, y), np.array([0.0, 0.1]))
    np.testing.assert_allclose(path.weights[0], LinearRegression(fit_intercept=False).fit(x, y).coef_, atol=1e-9)
    twice = np.concatenate([x, x], axis=1)
    doubled = lasso_path(*moments(twice, y), np.array([0.0]))
    np.testing.assert_allclose(doubled.weights[0], np.tile(path.weights[0] / 2, 2), atol=1e-7)
    assert np.abs(doubled.gaps).max() < 1e-9
    q, wanted = moments(x, y)
    moved = path.weights[0] + 0.1
    above = 0.5 * ((y - x @ moved.T) ** 2).mean(axis=0) - 0.5 * ((y - x @ path.weights[0].T) ** 2).mean(axis=0)
    np.testing.assert_allclose(least_squares_gaps(q, wanted, moved), above, atol=1e-9)


@BOTH
@pytest.mark.parametrize("noise", [0, 1e-9, 1e-5])
def test_equal_and_nearly_collinear_units(method: str, noise: float) -> None:
    rng = np.random.default_rng(3)
    x, y = samples(20, 8, seed=3)
    copies = x[:, :8] + noise * rng.normal(size=(300, 8))
    sums = x[:, 8:10] + x[:, 10:12] + noise * rng.normal(size=(300, 2))
    x = standardised(np.concatenate([x, copies, sums, -x[:, 12:14]], axis=1))
    penalties = np.geomspace(0.5, 1e-3, 12)
    path = lasso_path(*moments(x, y), penalties, method=method)
    assert path.converged.all()
    assert reference_gaps(x, y, path).max() < 2e-6


def test_tighter_gaps_than_the_diagonal_allows_are_reached() -> None:
    x, y = samples(30, 5, seed=4)
    x = standardised(np.concatenate([x, x[:, :10]], axis=1))
    path = lasso_path(*moments(x, y), np.geomspace(0.3, 1e-4, 8), tolerance=1e-12)
    assert path.converged.all()
    assert reference_gaps(x, y, path).max() < 1e-11


@BOTH
def test_what_is_not_reached_is_said(method: str) -> None:
    q, wanted = moments(*samples(20, 5))
    path = lasso_path(q, wanted, np.array([0.01]), tolerance=1e-9, method=method, max_iterations=1)
    assert not path.converged.all()
    assert (path.converged == (path.gaps <= 1e-9)).all()
    assert path.gaps[~path.converged].min() > 1e-9


def test_slightly_indefinite_correlations_are_solved() -> None:
    x, y = samples(10, 4)
    x = standardised(np.concatenate([x, x[:, :3]], axis=1))
    q, wanted = moments(x, y)
    rng = np.random.default_rng(0)
    rounded = q + 1e-8 * rng.normal(size=q.shape)
    rounded = (rounded + rounded.T) / 2
    assert np.linalg.eigvalsh(rounded)[0] < -1e-8
    assert lasso_path(rounded, wanted, GRID).converged.all()


def test_torch_tensors_and_no_units() -> None:
    q, wanted = moments(*samples(6, 3))
    expected = lasso_path(q, wanted, GRID).weights
    tensors = torch.from_numpy(q), torch.from_numpy(wanted)
    np.testing.assert_array_equal(lasso_path(*tensors, GRID).weights, expected)
    empty = lasso_path(np.zeros((0, 0)), np.zeros((0, 3)), np.array([0.1, 0.0]))
    assert empty.weights.shape == (2, 3, 0)
    assert lasso_path(q, np.zeros((6, 0)), GRID).weights.shape == (5, 0, 6)


def test_what_cannot_be_solved_is_refused() -> None:
    q, wanted = moments(*samples(3, 2))
    with pytest.raises(InvalidArgumentError, match=r"Found shapes \(3, 3\) and \(2, 2\)"):
        lasso_path(q, wanted[:2], GRID)
    with pytest.raises(InvalidArgumentError, match=r"needs finite correlations\. Found 1 that are not in within"):
        lasso_path(np.where(np.eye(3) * [1, 0, 0] > 0, np.nan, q), wanted, GRID)
    with pytest.raises(InvalidArgumentError, match=r"a row for each of 2\. Found shape \(3, 1\)"):
        lasso_path(q, wanted, np.ones((3, 1)))
    with pytest.raises(InvalidArgumentError, match=r"numbers from 0 up, .*\. Found -1 to 0\.5"):
        lasso_path(q, wanted, np.array([0.5, -1]))
    with pytest.raises(InvalidArgumentError, match=r"Asked for method 'magic'\. There are"):
        lasso_path(q, wanted, GRID, method="magic")
    with pytest.raises(InvalidArgumentError, match=r"positive semi-definite\. Found the eigenvalue -1\."):
        lasso_path(np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]]), wanted, GRID)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 3.0])
def test_ridge_is_scikit_learn_s(penalty: float) -> None:
    x, y = samples(9, 4)
    weights = ridge_path(*moments(x, y), np.array([penalty]))[0]
    expected = Ridge(alpha=penalty * len(x), fit_intercept=False).fit(x, y).coef_
    np.testing.assert_allclose(weights, expected, atol=1e-10)


def slow_descent(q: np.ndarray, wanted: np.ndarray, shrink: float, start: np.ndarray) -> np.ndarray:
    """The paper's recipe, written as it is told: rows of w are targets."""
    w, v, count = start.copy(), np.zeros_like(start), wanted.shape[1]
    for rate, updates in ((0.001, 1500), (0.0005, 1500), (0.00025, 1500), (0.000125, 1)):
        for _ in range(updates):
            gradient = (w @ q - wanted.T) / count + shrink * np.sign(w)
            v = 0.98 * v + rate * gradient
            w = w - v
    return w


def test_the_paper_s_descent_is_the_recipe_step_by_step() -> None:
    q, wanted = moments(*samples(5, 3))
    start = 0.01 * torch.randn(3, 5, generator=torch.Generator().manual_seed(7), dtype=torch.float64).numpy()
    start /= np.sqrt(np.einsum("ti,ij,tj->t", start, q, start).mean())
    penalties = np.array([0.3, 0.0])
    found = paper_descent(q, wanted, penalties, seed=7)
    for weights, penalty in zip(found, penalties, strict=True):
        np.testing.assert_allclose(weights, slow_descent(q, wanted, penalty / 3, start), atol=1e-9)
    assert np.abs(paper_descent(q, wanted, penalties, seed=8) - found).max() > 1e-6


def slow_count(x: np.ndarray, y: np.ndarray, goal: float) -> int:
    chosen: list[int] = []

    def r2(units: list[int]) -> float:
        return float(LinearRegression(fit_intercept=False).fit(x[:, units], y).score(x[:, units], y))

    while not chosen or r2(chosen) < goal:
        rest = [j for j in range(x.shape[1]) if j not in chosen]
        chosen.append(max(rest, key=lambda j: r2([*chosen, j])))
    return len(chosen)


def test_units_needed_are_those_of_a_slow_loop() -> None:
    x, y = samples(10, 6, seed=5)
    q, wanted = moments(x, y)
    full = np.array([LinearRegression(fit_intercept=False).fit(x, one).score(x, one) for one in y.T])
    found = units_needed(q, wanted, 0.95 * full)
    assert found.tolist() == [slow_count(x, one, 0.95 * goal) for one, goal in zip(y.T, full, strict=True)]
    assert len(set(found.tolist())) > 1
    assert units_needed(q, wanted, full + 0.01).tolist() == [-1] * 6
    assert units_needed(q, wanted, np.zeros(6)).tolist() == [0] * 6
    twice = moments(np.concatenate([x, x], axis=1), y)
    assert units_needed(*twice, 0.95 * full).tolist() == found.tolist()
    assert units_needed(*twice, full + 0.01).tolist() == [-1] * 6
