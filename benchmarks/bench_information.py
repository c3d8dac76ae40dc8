"""Mutual information of all pairs of units: how many pair-samples a second, and how much faster than pair by pair?

A pair-sample is one sample of one pair of units. The work starts at raw float32 activations, batches of 64 inputs,
and ends at mutual information in nats, 10 bins, edges given. The ideal is a plain int8 matrix product of the same
cumulative counts, 2 n (9 units)^2 operations, already coded: 1 means as fast as that product alone. Counts are
first checked bin by bin against `numpy.add.at`, and information against scikit-learn's on the same codes. All is
timed in turn in one process; scikit-learn on a few pairs, since all of them would take minutes.

    python benchmarks/bench_information.py              # medians of 9 rounds
    python benchmarks/bench_information.py --rounds 5
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.metrics import mutual_info_score

from convergent.batch import ActivationBatch, Activations
from convergent.measures import mutual_information
from convergent.results import Fingerprint
from convergent.statistics import HistogramsPlan, PairHistograms, QuantilesPlan
from convergent.statistics.edges import UnitEdges
from convergent.units import LayerRef, LayerUnits

A, B = LayerRef("a", "conv"), LayerRef("b", "conv")
CASES = ((96, 27), (384, 13))
N_INPUTS, N_BINS, N_CHECKED = 64, 10, 3


def batch(units: int, side: int, seed: int) -> ActivationBatch:
    """One batch of two nets, half of whose units resemble each other, after a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    a, noise = (torch.randn(N_INPUTS, units, side * side, generator=generator) for _ in range(2))
    maps = {A: Activations(a.relu()), B: Activations((a.roll(1, 1) + noise).relu())}
    return ActivationBatch(np.arange(N_INPUTS) + N_INPUTS * seed, maps)


def edges_of(batches: Sequence[ActivationBatch], layers: Sequence[LayerUnits]) -> dict[LayerRef, UnitEdges]:
    """Edges from the fine histograms of all batches."""
    accumulator = QuantilesPlan().start(layers, batches[0])
    for one in batches:
        accumulator.update(one)
    return accumulator.finish(Fingerprint()).edges(N_BINS)


def counted(
    plan: HistogramsPlan, batches: Sequence[ActivationBatch], layers: Sequence[LayerUnits]
) -> PairHistograms:
    """Joint histograms of all batches."""
    accumulator = plan.start(layers, batches[0])
    for one in batches:
        accumulator.update(one)
    return accumulator.finish(Fingerprint()).pair(A, B)


def codes(batches: Sequence[ActivationBatch], ref: LayerRef, edges: UnitEdges, units: Sequence[int]) -> np.ndarray:
    """The bin of each sample of these units, by search."""
    values = torch.cat([one.layers[ref].values for one in batches]).double().numpy()
    return np.stack([np.searchsorted(edges[u], values[:, u].ravel(), side="left") for u in units])


def check(pair: PairHistograms, left: np.ndarray, right: np.ndarray) -> None:
    """Counts equal bin by bin, and information equal to scikit-learn's, for the first units of both sides."""
    information = mutual_information(pair, estimator="plugin").between
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            counts = np.zeros((N_BINS, N_BINS), dtype=np.int64)
            np.add.at(counts, (x, y), 1)
            assert (pair.counts[i, j] == counts).all(), f"wrong counts of units {i} and {j}"
            assert abs(information[i, j] - mutual_info_score(x, y)) < 1e-10, f"wrong information of {i} and {j}"


def medians(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each, timed in turn so that a slow moment of the machine hits all; one round warms up."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[1:]) for taken in times]


def int8_product(units: int, n: int = 4096) -> tuple[Callable[[], object], int]:
    """The ideal, and how many pair-samples it makes."""
    rows = torch.randint(0, 2, (units * (N_BINS - 1) + 1, n), dtype=torch.int8)
    out = torch.empty(len(rows), len(rows), dtype=torch.int32)
    return lambda: torch._int_mm(rows, rows.T, out=out), units**2 * n


def row(units: int, side: int, n_batches: int, rounds: int) -> None:
    """Check, time and print one case."""
    layers = [LayerUnits(ref, units, (side, side), side * side, "all") for ref in (A, B)]
    batches = [batch(units, side, seed) for seed in range(n_batches)]
    edges = edges_of(batches, layers)
    few = range(N_CHECKED)
    left, right = codes(batches, A, edges[A], few), codes(batches, B, edges[B], few)
    plan = HistogramsPlan(edges)
    pair = counted(plan, batches, layers)
    check(pair, left, right)
    product, n_ideal = int8_product(units)
    works: list[Callable[[], object]] = [
        lambda: mutual_information(counted(plan, batches, layers)),
        lambda: counted(HistogramsPlan(edges, method="int8", buffer_samples=4096), batches, layers),
        lambda: mutual_information(pair),
        lambda: edges_of(batches, layers),
        product,
        lambda: [mutual_info_score(x, y) for x, y in zip(left, right, strict=True)],
    ]
    ours, products, reading, sketch, ideal, sklearn = medians(works, rounds)
    n = pair.n_samples
    rate, peer = units**2 * n / ours, N_CHECKED * n / sklearn
    print(
        f"{units:>4} x {units:<4} {n:>8,} {rate:>9.1e} {units**2 * n / products:>9.1e} {n_ideal / ideal:>9.1e} "
        f"{rate * ideal / n_ideal:>8.2f} {peer:>9.1e} {rate / peer:>8.0f} {1e3 * reading:>8.0f} "
        f"{1e3 * sketch:>8.0f}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=6, help="batches of 64 inputs")
    asked = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; pair-samples per second; medians of {asked.rounds} rounds")
    print("  units       samples      bits      int8     ideal  reached   sklearn    ratio  read ms edges ms")
    for case in CASES:
        row(*case, asked.batches, asked.rounds)
