"""Lasso paths of all targets from correlations: how many times faster than scikit-learn, at the same duality gap?

30 penalties per target, from the one that zeroes everything down to a thousandth of it; relative duality gap
1e-6. The reference is `sklearn.linear_model.lasso_path` with the Gram matrix and X'y given, target by target; on
more targets than `--targets` it is timed on every k-th and scaled up. Gaps of all weights are first checked by
another formula, from pseudo-samples with the same moments. scikit-learn runs on one core, as it does; ours on as
many as torch has threads (OMP_NUM_THREADS), so `--threads 1` is core for core.

    python benchmarks/bench_lasso.py                       # 96, 256 and 384 units
    python benchmarks/bench_lasso.py --data lasso_data.py  # moments by lasso_data(units) of that file
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.linear_model import lasso_path as sklearn_path

from convergent.solvers.lasso import LassoPath, lasso_path

N_PENALTIES, SMALLEST, TOLERANCE = 30, 1e-3, 1e-6
IDEAL = {96: 1, 256: 20, 384: 50}
Array = np.ndarray


def relu_moments(units: int, n: int = 50_000) -> tuple[Array, Array]:
    """Correlations of ReLU units over shared latents of falling strength; half of b are noisy copies of a."""
    rng = np.random.default_rng(0)
    rank = max(8, units // 3)
    latents = rng.normal(size=(n, rank)) * (1 + np.arange(rank)) ** -0.8
    a = np.maximum(latents @ rng.normal(size=(rank, units)) + 0.1 * rng.normal(size=(n, units)) - 0.3, 0)
    b = np.maximum(latents @ rng.normal(size=(rank, units)) + 0.1 * rng.normal(size=(n, units)) - 0.3, 0)
    half = units // 2
    b[:, :half] = np.maximum(a[:, :half] + 0.5 * a[:, :half].std(axis=0) * rng.normal(size=(n, half)), 0)
    a, b = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (a, b))
    return a.T @ a / n, a.T @ b / n


def moments(units: int, data: str | None) -> tuple[Array, Array]:
    """From the generator in a file, or the one above."""
    if data is None:
        return relu_moments(units)
    spec = importlib.util.spec_from_file_location("lasso_data", data)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    within, between = module.lasso_data(units)
    return within.numpy(), between.numpy()


def grids(between: Array) -> Array:
    """Falling penalties, one row a target."""
    return np.abs(between).max(axis=0)[:, None] * np.geomspace(1, SMALLEST, N_PENALTIES)


def worst_gap(within: Array, between: Array, weights: Array, penalties: Array) -> float:
    """Largest gap of weights (penalties, targets, units), by residuals of pseudo-samples with these very moments.

    With Q = LL', the rows of L' are samples x, and y has L^-1 q there and the rest of its variance in one more
    row.
    """
    factor = np.linalg.cholesky(within)
    y = np.linalg.solve(factor, between)
    rest = 1 - (y**2).sum(axis=0)
    worst = 0.0
    for i, w in enumerate(weights):
        residual = y - factor.T @ w.T
        limit = penalties[:, i] / np.abs(factor @ residual).max(axis=0)
        squared = (residual**2).sum(axis=0) + rest
        scale = np.clip(((y * residual).sum(axis=0) + rest) / squared, -limit, limit)
        primal = 0.5 * squared + penalties[:, i] * np.abs(w).sum(axis=1)
        dual = 0.5 - 0.5 * (((y - scale * residual) ** 2).sum(axis=0) + (1 - scale) ** 2 * rest)
        worst = max(worst, float((primal - dual).max()))
    return worst


def by_sklearn(within: Array, between: Array, penalties: Array, targets: Array) -> Array:
    """Weights (penalties, targets, units), target by target; the Gram matrix is given, and y only for its norm."""
    n = len(between)
    factor = np.linalg.cholesky(within)
    found = []
    for target in targets:
        y = np.linalg.solve(factor, between[:, target])
        x = np.asfortranarray(np.vstack([factor.T, np.zeros(n)]) * np.sqrt(n + 1))
        rest = max(1 - float(y @ y), 0.0)
        y = np.append(y, np.sqrt(rest)) * np.sqrt(n + 1)
        _, coefficients, _ = sklearn_path(
            x,
            y,
            alphas=penalties[target],
            precompute=within * (n + 1),
            Xy=between[:, target] * (n + 1),
            tol=TOLERANCE,
            max_iter=1_000_000,
        )
        found.append(coefficients.T)
    return np.stack(found, axis=1)


def median(work: Callable[[], object], rounds: int) -> float:
    """Median seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ours(within: Array, between: Array, penalties: Array, method: str) -> LassoPath:
    return lasso_path(within, between, penalties, tolerance=TOLERANCE, method=method)


def compare(units: int, method: str, n_targets: int, rounds: int, data: str | None) -> None:
    """Check, time, print one row."""
    within, between = moments(units, data)
    penalties = grids(between)
    found = ours(within, between, penalties, method)  # also compiles
    gap = worst_gap(within, between, found.weights, penalties)
    assert gap <= 1.01 * TOLERANCE, f"wrong answer: gap {gap}"
    targets = np.arange(0, units, max(1, units // n_targets))
    reference = by_sklearn(within, between, penalties, targets)
    theirs_gap = worst_gap(within, between[:, targets], reference, penalties[targets])
    seconds = median(lambda: ours(within, between, penalties, method), rounds)
    scale = units / len(targets)
    theirs = scale * median(lambda: by_sklearn(within, between, penalties, targets), rounds if units < 256 else 1)
    print(
        f"{units:>5} {method:>11} {gap:>8.0e} {theirs_gap:>8.0e} {seconds:>8.3f} s {theirs:>8.2f} s "
        f"{'measured' if scale == 1 else f'from {len(targets)} targets':>16} {theirs / seconds:>7.1f}x "
        f"{IDEAL.get(units, 1):>5}x",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[96, 256, 384])
    parser.add_argument("--method", nargs="+", default=["active_set"], choices=["active_set", "admm"])
    parser.add_argument("--targets", type=int, default=48, help="how many targets scikit-learn is timed on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--data", help="file with a function lasso_data(units): within and between, as tensors")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(f"{asked.threads} threads, 30 penalties, all targets")
    print("units      method      gap  sklearn     ours    sklearn                     ratio   aim")
    for size in asked.units:
        for solver in asked.method:
            compare(size, solver, asked.targets, asked.rounds, asked.data)
