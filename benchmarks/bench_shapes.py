"""Procrustes, CCA and permutation distance of two layers: how many times faster than netrep?

Both start from float32 samples x units in memory and give the angular distance. Ours takes the moments of the pair
(`MomentsPlan`, as in a pass), from which any other measure follows, and decomposes them: "decompose" alone.
netrep is given float64, in which it computes ("netrep"), and the float32 samples themselves ("netrep32"). Our
answer is first checked against float64 throughout, and that against netrep.

netrep is not on PyPI. Where Python does not find it, only our times are printed.

    python benchmarks/bench_shapes.py
    PYTHONPATH=folder/of/netrep python benchmarks/bench_shapes.py --rounds 7
    OMP_NUM_THREADS=1 python benchmarks/bench_shapes.py --cpu   # seconds of one core, where others use the machine
"""

import argparse
import importlib
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from convergent.batch import ActivationBatch, Activations
from convergent.measures import permutation_distance, shape_distance
from convergent.results import Fingerprint
from convergent.statistics import MomentsPlan, PairMoments
from convergent.units import LayerRef, LayerUnits

CASES = ((50_000, 96), (50_000, 384), (10_000, 1000))
BATCH = 4096
TOLERANCE = 1e-5
_REST = 0.25  # seconds: idle workers of the library that ran last spin for a while, on the cores of the next
Distance = Callable[[PairMoments], float]
Theirs = dict[str, Callable[[np.ndarray, np.ndarray], float]]
OURS: dict[str, Distance] = {
    "Procrustes": shape_distance,
    "CCA": lambda pair: shape_distance(pair, alpha=0),
    "permutation": permutation_distance,
}


def layers(n: int, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Two post-ReLU layers of some shared directions and some of their own, float32."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(n, units // 2)).astype(np.float32)
    x, y = (
        shared @ rng.normal(size=(units // 2, units)).astype(np.float32) / units**0.5
        + rng.normal(size=(n, units)).astype(np.float32)
        for _ in range(2)
    )
    return np.maximum(x, 0), np.maximum(y, 0)


def moments(x: np.ndarray, y: np.ndarray) -> PairMoments:
    """As a pass over a net takes them: batches of float32 samples, added up in float64."""
    refs = LayerRef("a", "layer"), LayerRef("b", "layer")
    units = [LayerUnits(ref, one.shape[1], (), 1, "all") for ref, one in zip(refs, (x, y), strict=True)]
    ids = np.arange(len(x))
    batches = [
        ActivationBatch(
            ids[part], {ref: Activations(torch.from_numpy(one[part])[:, :, None]) for ref, one in both}
        )
        for both in [list(zip(refs, (x, y), strict=True))]
        for part in (slice(first, first + BATCH) for first in range(0, len(x), BATCH))
    ]
    accumulator = MomentsPlan([refs]).start(units, batches[0])
    for batch in batches:
        accumulator.update(batch)
    return accumulator.finish(Fingerprint()).pair(*refs)


def by_netrep() -> Theirs:
    """The same three distances by netrep; nothing where it is not installed."""
    try:
        metrics = importlib.import_module("netrep.metrics")
    except ImportError:
        print("netrep is not installed: our times alone.")
        return {}
    return {
        "Procrustes": metrics.LinearMetric(alpha=1.0).fit_score,
        "CCA": metrics.LinearMetric(alpha=0.0).fit_score,
        "permutation": metrics.PermutationMetric().fit_score,
    }


def medians(works: list[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[float]:
    """Median seconds of each, timed in turn, after one round that is not counted."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, taken in zip(works, times, strict=True):
            time.sleep(_REST)
            start = clock()
            work()
            taken.append(clock() - start)
    return [median(taken[1:]) for taken in times]


def ours_and_theirs(name: str, x: np.ndarray, y: np.ndarray, theirs: Theirs) -> list[Callable[[], object]]:
    """What is timed: ours, ours without any work on samples; and netrep twice."""
    ours, pair = OURS[name], moments(x, y)
    works: list[Callable[[], object]] = [
        lambda: ours(moments(x, y)),
        lambda: ours(pair),
    ]
    if name in theirs:
        exact = x.astype(np.float64), y.astype(np.float64)
        works += [lambda: theirs[name](*exact), lambda: theirs[name](x, y)]
    return works


def check(name: str, x: np.ndarray, y: np.ndarray, theirs: Theirs) -> float:
    """Our error against float64 throughout, which netrep must agree with."""
    ours = OURS[name]
    truth = ours(PairMoments.from_samples(x, y))
    error = abs(ours(moments(x, y)) - truth)
    assert error < TOLERANCE, f"wrong answer: {error}"
    if name in theirs:
        assert abs(theirs[name](x.astype(np.float64), y.astype(np.float64)) - truth) < TOLERANCE
    return error


def main() -> None:
    """Read the command line and print a row a size and distance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor, not of the clock")
    asked, theirs = parser.parse_args(), by_netrep()
    clock = time.process_time if asked.cpu else time.perf_counter
    columns = ("ours", "decompose", "netrep", "netrep32")
    print(f"{'samples':>8} {'units':>6} {'distance':>12} {'error':>6}", *(f"{one:>11}" for one in columns))
    for n, units in CASES:
        x, y = layers(n, units)
        for name in OURS:
            error = check(name, x, y, theirs)
            seconds = medians(ours_and_theirs(name, x, y, theirs), asked.rounds, clock)
            row = " ".join(f"{1e3 * one:8.1f} ms" for one in seconds)
            if theirs:
                row += f"   {seconds[2] / seconds[0]:4.1f}x, {seconds[3] / seconds[0]:4.1f}x"
            print(f"{n:8} {units:6} {name:>12} {error:6.0e} {row}", flush=True)


if __name__ == "__main__":
    main()
