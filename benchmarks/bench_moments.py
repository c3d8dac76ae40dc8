"""Second moments of two nets' units: what fraction of a plain float32 matrix product is reached?

The ideal is the sgemm rate of a 2048 x 2048 product, measured in the same process, in turn with the rest. The work
is the useful arithmetic of the three blocks (within a, within b, between): 2 n (a^2 + ab + b^2). Float32 batches
of 64 inputs, post-ReLU. Each answer is first checked against float64. A value over 1 is possible: half of one
triangle of each within block is left out.

    python benchmarks/bench_moments.py            # rates; blocked against unblocked; a loop written by hand
    python benchmarks/bench_moments.py --rolls    # what norms and rolled partners cost beside plain moments
    python benchmarks/bench_moments.py --memory   # announced against measured peak memory, in fresh processes
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from convergent.batch import ActivationBatch, Activations
from convergent.results import Fingerprint
from convergent.statistics import BlockedPlan, MomentsPlan, PairMoments
from convergent.statistics.base import Plan
from convergent.units import LayerRef, LayerUnits

CASES = ((384, 13), (256, 13), (96, 27))
A, B = LayerRef("a", "conv"), LayerRef("b", "conv")
N_BATCHES = 8


def batch(units: int, side: int, seed: int = 0, *, channels_last: bool = False) -> ActivationBatch:
    """One batch of 64 inputs of two nets, half of whose units resemble each other."""
    generator = torch.Generator().manual_seed(seed)
    a, noise = (torch.randn(64, units, side, side, generator=generator) for _ in range(2))
    maps = {A: a.relu(), B: (a.roll(1, 1) + noise).relu()}
    if channels_last:
        maps = {ref: values.to(memory_format=torch.channels_last) for ref, values in maps.items()}
    ids = np.arange(64) + 64 * seed
    return ActivationBatch(ids, {ref: Activations(values.flatten(2)) for ref, values in maps.items()})


def layers(units: int, side: int) -> list[LayerUnits]:
    """The two layers of a batch."""
    return [LayerUnits(ref, units, (side, side), side * side, "all") for ref in (A, B)]


def medians(works: Sequence[Callable[[], object]], rounds: int = 9) -> list[float]:
    """Median seconds of each, timed in turn so that a slow moment of the machine hits all; two rounds warm up."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 2):
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[2:]) for taken in times]


SIZE = 2048
SGEMM_WORK = 4 * 2 * SIZE**3
X, Y, OUT = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE), torch.empty(SIZE, SIZE)


def sgemm() -> None:
    """The ideal: four plain products."""
    for _ in range(4):
        torch.mm(X, Y, out=OUT)


def worst_error(plan: Plan, units: int, side: int) -> float:
    """Largest error of a correlation against float64."""
    one = batch(units, side)
    accumulator = plan.start(layers(units, side), one)
    accumulator.update(one)
    finished = accumulator.finish(Fingerprint())
    pair = getattr(finished, "total", finished).pair(A, B)
    x, y = (one.layers[ref].values.transpose(1, 2).flatten(0, 1) for ref in (A, B))
    truth = PairMoments.from_samples(x, y)
    scale = np.outer(truth.std_a, truth.std_b)
    return float(np.abs(pair.cov_ab / scale - truth.cov_ab / scale).max())


def accumulate(plan: Plan, batches: list[ActivationBatch], units: int, side: int) -> Callable[[], None]:
    """A call that takes in all batches, over and over into one accumulator."""
    accumulator = plan.start(layers(units, side), batches[0])

    def work() -> None:
        for one in batches:
            accumulator.update(one)

    return work


def by_hand(batches: list[ActivationBatch]) -> Callable[[], None]:
    """What one writes first: samples x units in float32, three products, added up in float64. No shift."""
    sums: dict[tuple[LayerRef, LayerRef], torch.Tensor] = {}

    def work() -> None:
        for one in batches:
            rows = {ref: layer.values.transpose(1, 2).flatten(0, 1) for ref, layer in one.layers.items()}
            for a, b in ((A, A), (A, B), (B, B)):
                sums[a, b] = sums.get((a, b), 0) + (rows[a].T @ rows[b]).double()

    return work


def rates() -> None:
    """Print the fractions, each the median over rounds in which all four are timed in turn."""
    print("    units    grid        layout    error    sgemm  reached  blocked  by hand  blocked/unblocked")
    for units, side in CASES:
        for channels_last in (False, True):
            plans = (MomentsPlan(), BlockedPlan(MomentsPlan(), 10))
            error = max(worst_error(plan, units, side) for plan in plans)
            assert error < 1e-6, f"wrong answer: {error}"
            batches = [batch(units, side, seed, channels_last=channels_last) for seed in range(N_BATCHES)]
            works = [accumulate(plan, batches, units, side) for plan in plans] + [by_hand(batches)]
            seconds = medians([sgemm, *works])
            useful = N_BATCHES * 2 * 64 * side**2 * 3 * units**2
            ideal = SGEMM_WORK / seconds[0]
            reached, blocked, hand = (useful / one / ideal for one in seconds[1:])
            print(
                f"{units:>4}+{units:<4} {side:>3}x{side:<3} {'channels last' if channels_last else 'NCHW':>13} "
                f"{error:>8.0e} {ideal / 1e9:>4.0f} GF {reached:>8.2f} {blocked:>8.2f} {hand:>8.2f} "
                f"{blocked / reached:>18.2f}",
                flush=True,
            )


def rolls() -> None:
    """Print the time with norms, and with four rolls too, in units of plain moments; the ideal of rolls is 7/3."""
    print("    units    grid        layout    plain   norms   norms and 4 rolls")
    for units, side in CASES:
        for channels_last in (False, True):
            plans = (MomentsPlan(), MomentsPlan(norms=True), MomentsPlan(norms=True, n_rolls=4))
            error = max(worst_error(plan, units, side) for plan in plans)
            assert error < 1e-6, f"wrong answer: {error}"
            batches = [batch(units, side, seed, channels_last=channels_last) for seed in range(N_BATCHES)]
            plain, norms, rolled = medians([accumulate(plan, batches, units, side) for plan in plans])
            print(
                f"{units:>4}+{units:<4} {side:>3}x{side:<3} {'channels last' if channels_last else 'NCHW':>13} "
                f"{plain * 1e3:>5.0f} ms {norms / plain:>7.2f} {rolled / plain:>19.2f}",
                flush=True,
            )


def kibibytes(label: str) -> int:
    """A figure of this process's memory, from the kernel."""
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index(label) + 1])


def memory(units: int, side: int, blocks: int, n_rolls: int) -> None:
    """Announced and measured peak memory of one accumulation, in this fresh process."""
    moments = MomentsPlan(norms=n_rolls > 0, n_rolls=n_rolls)
    plan: Plan = BlockedPlan(moments, blocks) if blocks else moments
    batches = [batch(units, side, seed) for seed in range(12)]
    _accumulate_all(plan, batches, units, side)  # the matrix library takes about 5 MiB of its own, once
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = kibibytes("VmRSS:")
    _accumulate_all(plan, batches, units, side)
    grown = (kibibytes("VmHWM:") - before) * 1024
    announced = plan.n_bytes(layers(units, side))
    print(
        f"{units:>4}+{units:<4} blocks {blocks or 'none':>4}  rolls {n_rolls}  "
        f"announced {announced / 2**20:7.1f} MiB  measured {grown / 2**20:7.1f} MiB  ratio {grown / announced:.2f}"
    )


def _accumulate_all(plan: Plan, batches: list[ActivationBatch], units: int, side: int) -> None:
    accumulator = plan.start(layers(units, side), batches[0])
    for one in batches:
        accumulator.update(one)
    accumulator.finish(Fingerprint())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rolls", action="store_true")
    parser.add_argument("--one", nargs=4, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        memory(*asked.one)
    elif asked.memory:
        plain = ((384, 13, 0, 0), (384, 13, 10, 0), (1024, 13, 0, 0), (1024, 13, 10, 0), (96, 27, 10, 0))
        for case in (*plain, (384, 13, 0, 4), (384, 13, 10, 4), (96, 27, 10, 4)):
            # Without this, freed memory of preparing the batches would be used again and hide what is needed.
            environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
            command = [sys.executable, __file__, "--one", *map(str, case)]
            subprocess.run(command, check=True, env=environment)
    elif asked.rolls:
        rolls()
    else:
        rates()
