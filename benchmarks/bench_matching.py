"""One-to-one matching: how long it takes, and how many times faster than networkx?

Half of the units have a twin in the other net (r from .5 to .95), all share a low-rank background, as real layers
do. The optimum is checked first: the sums of scores agree with networkx where it runs, and no exchange of two
partners gains anything. networkx takes more than a minute at 384 units, once.

    python benchmarks/bench_matching.py                     # 96, 384, 1000 and 4096 units; networkx at 96
    python benchmarks/bench_matching.py --networkx 96 384
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import networkx as nx
import numpy as np

from convergent.solvers.assignment import assign


def scores(n_units: int, seed: int = 0) -> np.ndarray:
    """Correlations of two nets with half of their units in common."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, n_units, 12))
    background = np.asarray(np.tanh(left @ right.T / 12) * 0.5 + 0.03 * rng.normal(size=(n_units, n_units)))
    twins = rng.permutation(n_units)[: n_units // 2]
    background[np.arange(len(twins)), twins] = rng.uniform(0.5, 0.95, len(twins))
    return background


def by_networkx(matrix: np.ndarray) -> float:
    """The best sum of scores, by networkx; weights are made positive, for it leaves out what does not gain."""
    graph = nx.Graph()
    n = len(matrix)
    graph.add_weighted_edges_from((i, n + j, 2 + matrix[i, j]) for i in range(n) for j in range(n))
    return float(sum(graph[i][j]["weight"] - 2 for i, j in nx.max_weight_matching(graph, maxcardinality=True)))


def check(matrix: np.ndarray, partner: np.ndarray) -> None:
    """Partners are all different, and no exchange of two of them gains anything."""
    assert len(set(partner.tolist())) == len(matrix)
    chosen = matrix[:, partner]
    gain = chosen + chosen.T - np.diagonal(chosen)[:, None] - np.diagonal(chosen)[None, :]
    assert gain.max() < 1e-12


def seconds(run: Callable[[], object], rounds: int) -> float:
    """The median of several rounds, after one that is not counted."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def main() -> None:
    """Read the command line and print a row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[96, 384, 1000, 4096])
    parser.add_argument("--networkx", type=int, nargs="*", default=[96], help="sizes at which it runs, once")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(f"{'units':>6} {'ours':>11} {'networkx':>11} {'ratio':>9}")
    for n_units in asked.units:
        matrix = scores(n_units)
        partner = assign(matrix)
        check(matrix, partner)
        ours = seconds(lambda matrix=matrix: assign(matrix), asked.rounds)  # type: ignore[misc]
        row = f"{n_units:6} {1e3 * ours:8.1f} ms"
        if n_units in asked.networkx:
            start = time.perf_counter()
            theirs = by_networkx(matrix)
            taken = time.perf_counter() - start
            assert abs(theirs - matrix[np.arange(n_units), partner].sum()) < 1e-9
            row += f" {taken:9.2f} s {taken / ours:8.0f}x"
        print(row, flush=True)


if __name__ == "__main__":
    main()
