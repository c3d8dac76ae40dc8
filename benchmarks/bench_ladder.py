"""The whole ladder of two layers, with held-out scores, intervals and chance: how long, and what takes the time?

Half of the units of b are noisy copies of units of a, and all share latent variables. 10 blocks and 4 rolls: 55
fits of each rung, and 50 more of sparse and ridge to choose penalties. The ideal is the time of the decompositions
and assignments that the rungs cannot do without. Answers are checked first: a permuted copy is a permutation, a
rotated one a rotation, and noise nothing.

    python benchmarks/bench_ladder.py                       # 96 and 384 units
    python benchmarks/bench_ladder.py --units 256
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from convergent.measures.chance import rolled_pairs
from convergent.measures.correlation import correlation
from convergent.measures.ladder import DEFAULT_PENALTIES, DEFAULT_RIDGE_PENALTIES, ladder
from convergent.measures.partner_chance import partner_chance
from convergent.measures.rungs import PENALISED, RUNGS, fit_rung
from convergent.measures.standardised import standardised
from convergent.solvers.assignment import assign
from convergent.statistics import BlockedPair, PairMoments

_INPUTS, _LOCATIONS, _BLOCKS, _ROLLS = 1000, 20, 10, 4


def layers(n_units: int, seed: int = 0) -> BlockedPair:
    """Two layers that have half of their units in common."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(_INPUTS * _LOCATIONS, 120)) * np.arange(1, 121) ** -0.5
    x, y = (
        np.maximum(latent @ rng.normal(size=(120, n_units)) + 0.7 * rng.normal(size=(len(latent), n_units)), 0)
        for _ in "ab"
    )
    half = rng.permutation(n_units)[: n_units // 2]
    y[:, : len(half)] = x[:, half] + 0.5 * rng.normal(size=(len(x), len(half)))
    return BlockedPair.from_samples(x, y, input_of=np.arange(_INPUTS).repeat(_LOCATIONS), n_blocks=_BLOCKS)


def check() -> None:
    """Known answers, on layers of 12 units."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 12))
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    for y, lowest in ((x[:, rng.permutation(12)], "permutation"), (x @ turn, "orthogonal")):
        found = ladder(BlockedPair.from_samples(x, y)).table().set_index("rung")["r2_held_out"]
        assert found[[lowest, "orthogonal", "ridge"]].min() > 0.999, found
        assert found["identity"] < 0.5, found
    noise = ladder(BlockedPair.from_samples(x, rng.normal(size=x.shape))).table()
    assert noise["r2_held_out"].abs().max() < 0.05, noise


def seconds(run: Callable[[], object], rounds: int = 3) -> float:
    """The median of several rounds, after one that is not counted."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def parts(real: PairMoments, rolled: PairMoments) -> dict[str, float]:
    """Seconds of the whole ladder that each rung's fits take: 11 on the data, 44 on rolled inputs, and choices."""
    penalties = {"sparse": min(DEFAULT_PENALTIES), "ridge": 0.01}
    of_noise = {"sparse": max(DEFAULT_PENALTIES), "ridge": 1.0}
    several = {"sparse": DEFAULT_PENALTIES, "ridge": DEFAULT_RIDGE_PENALTIES}
    taken = {}
    for name in RUNGS:
        taken[name] = 0.0
        for pair, chosen, count in ((real, penalties, 1), (rolled, of_noise, _ROLLS)):
            standard = standardised(pair)
            fit = seconds(lambda: fit_rung(name, pair, standard, chosen))  # noqa: B023
            taken[name] += count * (_BLOCKS + 1) * fit
            if name in PENALISED:
                taken[name] += count * _BLOCKS * seconds(lambda: PENALISED[name](pair, penalties=several[name]))  # noqa: B023
    return taken


def ideal(pair: PairMoments) -> float:
    """Two decompositions and an assignment a fit, and nothing else."""
    found = correlation(pair)
    once = (
        seconds(lambda: np.linalg.svd(found.between))
        + seconds(lambda: np.linalg.eigh(found.within_a))
        + seconds(lambda: assign(found.between))
    )
    return (_BLOCKS + 1) * (_ROLLS + 1) * once


def main() -> None:
    """Read the command line and print a table a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[96, 384])
    asked = parser.parse_args()
    check()
    for n_units in asked.units:
        blocked = layers(n_units)
        whole = seconds(lambda blocked=blocked: ladder(blocked), rounds=1)  # type: ignore[misc]
        chances = seconds(lambda blocked=blocked: partner_chance(blocked), rounds=1)  # type: ignore[misc]
        rolled = next(rolled_pairs(blocked, n_remixes=1, seed=0))
        print(f"\n{n_units} + {n_units} units: {whole:.2f} s, ideal {ideal(blocked.total):.2f} s")
        print(f"  q-values of partners: {chances:.2f} s")
        for name, taken in parts(blocked.total, rolled).items():
            print(f"  {name:22} {taken:7.2f} s {100 * taken / whole:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
