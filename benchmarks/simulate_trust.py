"""Do intervals hold the truth as often as they say, and q-values let through no more than they say?

Layers with a known truth: units that share latent variables, at locations that repeat each other, dense or sparse
(rectified, up to 99 % zeros). Coverage: the share of nominal 95 % intervals that hold the truth, which is known or
taken from 400,000 inputs. False discoveries: units without a partner whose q is at most 0.05, among all
that are found.

    python benchmarks/simulate_trust.py                     # 400 layers a row
    python benchmarks/simulate_trust.py --layers 100
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np

from convergent.measures import held_out_matching, matched_interval
from convergent.measures.cka import linear_cka
from convergent.measures.correlation import correlation
from convergent.measures.intervals import Estimate, jackknife, leave_one_net_out
from convergent.measures.ladder import Ladder, ladder
from convergent.measures.matching import match_best, match_one_to_one
from convergent.measures.partner_chance import partner_chance
from convergent.statistics import BlockedPair, PairMoments

_TRUTH_INPUTS = 400_000


@dataclass(frozen=True)
class Layers:
    """Two layers of equally many units; the first `shared` units of b are noisy copies of those of a.

    Attributes:
        n_units: of each.
        n_inputs: inputs of one data set.
        n_locations: of each input.
        repeat: how much of a unit's variance is the same at all locations of an input; a number, or a range.
        zeros: share of values that are 0 (rectified at that quantile); a number, or a range; None for dense units.
        shared: how many units have a partner.
        noise: of the partner, relative to the unit.
        factor: how much of each layer's variance is one latent variable of all its units, not of its partner's.
    """

    n_units: int = 16
    n_inputs: int = 300
    n_locations: int = 10
    repeat: tuple[float, float] = (0.5, 0.5)
    zeros: tuple[float, float] | None = None
    shared: int = 16
    noise: float = 1.0
    factor: float = 0.0

    def sample(self, rng: np.random.Generator, n_inputs: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Values of both layers, inputs x locations x units."""
        n = n_inputs or self.n_inputs
        x, own = self._values(n, rng), self._values(n, rng)
        y = own.copy()
        y[..., : self.shared] = (x + self.noise * own)[..., : self.shared] / np.hypot(1, self.noise)
        if self.zeros is None:
            return x, y
        return tuple(np.maximum(values - self._thresholds(), 0) for values in (x, y))

    def blocked(self, rng: np.random.Generator) -> BlockedPair:
        """One data set in ten blocks."""
        x, y = (values.reshape(-1, self.n_units) for values in self.sample(rng))
        return BlockedPair.from_samples(x, y, input_of=np.arange(self.n_inputs).repeat(self.n_locations))

    def _values(self, n: int, rng: np.random.Generator) -> np.ndarray:
        repeat = self._spread(self.repeat)
        of_input = rng.normal(size=(n, 1, self.n_units))
        of_location = rng.normal(size=(n, self.n_locations, self.n_units))
        values = np.sqrt(repeat) * of_input + np.sqrt(1 - repeat) * of_location
        common = rng.normal(size=(n, 1, 1))
        return np.asarray(np.sqrt(self.factor) * common + np.sqrt(1 - self.factor) * values)

    def _thresholds(self) -> np.ndarray:
        assert self.zeros is not None
        return _normal_quantile(self._spread(self.zeros)[::-1])

    def _spread(self, ends: tuple[float, float]) -> np.ndarray:
        """A value for each unit, evenly over the range, in an order of its own."""
        return np.linspace(*ends, self.n_units)[np.random.default_rng(1).permutation(self.n_units)]


def _normal_quantile(share: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return np.asarray(norm.ppf(share))


@cache
def truth(layers: Layers) -> PairMoments:
    """Moments of so many inputs that they are the truth; one location each, for locations are alike."""
    one = Layers(**{**layers.__dict__, "n_locations": 1})
    x, y = (values[:, 0] for values in one.sample(np.random.default_rng(99), _TRUTH_INPUTS))
    return PairMoments.from_samples(x, y)


def pairwise_r(pair: PairMoments) -> np.ndarray:
    """Correlation of each unit with the one of its index."""
    return np.diagonal(correlation(pair).between).copy()


def mean_r(pair: PairMoments) -> float:
    """Mean over partners, which are fixed."""
    return float(pairwise_r(pair).mean())


def debiased_cka(pair: PairMoments) -> float:
    """What debiased CKA comes to."""
    return float(linear_cka(pair, estimator="debiased"))


def biased_cka(pair: PairMoments) -> float:
    """Of so many inputs that bias has gone."""
    return float(linear_cka(pair, estimator="biased"))


Interval = Callable[[BlockedPair], Estimate]
DENSE, SPARSE = Layers(), Layers(zeros=(0.5, 0.95))
NOISE = Layers(shared=0)


def coverage_rows() -> Iterator[tuple[str, Layers, Interval, Callable[[PairMoments], object]]]:
    """What is asked, of which layers, and what the truth is."""
    fisher: Interval = lambda blocked: jackknife(blocked, pairwise_r, transform="fisher")  # noqa: E731
    plain: Interval = lambda blocked: jackknife(blocked, pairwise_r)  # noqa: E731
    single = Layers(n_locations=1, n_inputs=1000)
    yield "r, one location an input", single, fisher, pairwise_r
    yield "r, locations that repeat each other", DENSE, fisher, pairwise_r
    yield "r, the same, without Fisher's transform", DENSE, plain, pairwise_r
    yield "r, sparse units (50 to 95 % zeros)", SPARSE, fisher, pairwise_r
    rare = Layers(zeros=(0.95, 0.99), n_inputs=1000)
    yield "r, very sparse units (95 to 99 % zeros)", rare, fisher, pairwise_r
    yield "r, units without partner", Layers(shared=0, zeros=(0.5, 0.95)), fisher, pairwise_r
    matched: Interval = lambda blocked: jackknife(blocked, mean_r)  # noqa: E731
    yield "mean r of fixed partners", DENSE, matched, mean_r
    yield "mean r of fixed partners, sparse", SPARSE, matched, mean_r
    best: Interval = lambda blocked: matched_interval(blocked, match=match_best)  # noqa: E731
    yield "r of the partner of all inputs", SPARSE, best, pairwise_r
    cka: Interval = lambda blocked: jackknife(blocked, debiased_cka)  # noqa: E731
    yield "debiased CKA, one location an input", single, cka, biased_cka
    yield "debiased CKA, locations that repeat each other", Layers(n_inputs=1000), cka, biased_cka
    yield "debiased CKA, sparse", Layers(n_inputs=1000, zeros=(0.5, 0.95)), cka, biased_cka
    yield "held-out mean r, one to one", SPARSE, one_to_one, mean_r
    few = Layers(n_inputs=150, n_locations=6, zeros=(0.5, 0.95))
    yield "held-out mean r, one to one, 150 inputs", few, one_to_one, mean_r
    yield "held-out mean r, one to one, noise", NOISE, one_to_one, lambda _: 0.0
    yield "held-out mean r, best partner, noise", NOISE, best_partner, lambda _: 0.0
    by_unit: Interval = lambda blocked: held_out_matching(blocked, match=match_one_to_one).units  # noqa: E731
    yield "held-out r of a unit, one to one", SPARSE, by_unit, pairwise_r
    yield "held-out r of a unit, one to one, noise", NOISE, by_unit, lambda _: 0.0
    best_by_unit: Interval = lambda blocked: held_out_matching(blocked).units  # noqa: E731
    yield "held-out r of a unit, best partner, noise", NOISE, best_by_unit, lambda _: 0.0


def one_to_one(blocked: BlockedPair) -> Estimate:
    """Partners of the other blocks."""
    return held_out_matching(blocked, match=match_one_to_one).layer


def best_partner(blocked: BlockedPair) -> Estimate:
    """Likewise, each unit for itself."""
    return held_out_matching(blocked, match=match_best).layer


def print_coverage(n_layers: int) -> None:
    """A row a question: coverage, and how wide intervals are beside the scatter of the values."""
    print(f"{'nominal 95 % intervals':50} {'coverage':>9} {'error said / scatter':>21}")
    for name, layers, interval, true in coverage_rows():
        goal = true(truth(layers))
        found = [interval(layers.blocked(np.random.default_rng(seed))) for seed in range(n_layers)]
        print_row(name, found, goal)
    print_row("mean over pairs of 6 nets, leave one net out", *over_nets(n_layers, n_nets=6))
    print_row("mean over pairs of 10 nets, leave one net out", *over_nets(n_layers, n_nets=10))
    for kind, layers in (("", SPARSE), (", noise", NOISE)):
        climbed = [ladder(layers.blocked(np.random.default_rng(seed))) for seed in range(n_layers)]
        for rung in ("permutation", "partial_soft_matching", "sparse", "orthogonal", "ridge"):
            for what in ("layer_r", "layer_r2", "share_of_linear"):
                if what != "share_of_linear" or (layers is SPARSE and rung != "ridge"):
                    found = [of_rung(one, rung, what) for one in climbed]
                    goal = float(np.mean([one.value for one in found]))
                    print_row(f"ladder, {what} of {rung}{kind}", found, goal)


def print_row(name: str, found: list[Estimate], goal: object) -> None:
    """Of all values of all data sets together."""
    low, high = np.array([one.low for one in found]), np.array([one.high for one in found])
    inside = float(((low <= goal) & (goal <= high)).mean())
    values = np.array([one.value for one in found])
    said = np.sqrt(np.mean(np.array([one.standard_error for one in found]) ** 2))
    scatter = np.sqrt(np.mean((values - values.mean(axis=0)) ** 2))
    print(f"{name:50} {100 * inside:7.1f} % {said / scatter:21.2f}", flush=True)


def over_nets(n_layers: int, *, n_nets: int) -> tuple[list[Estimate], float]:
    """Numbers of pairs of nets, each a net's effect, another's, and the pair's own; the truth is 0.5."""
    found, pairs = [], list(combinations(range(n_nets), 2))
    names = [(f"net{i}", f"net{j}") for i, j in pairs]
    for seed in range(n_layers):
        rng = np.random.default_rng(seed)
        of_net, of_pair = 0.05 * rng.normal(size=n_nets), 0.03 * rng.normal(size=len(pairs))
        found.append(leave_one_net_out(0.5 + of_net[np.array(pairs)].sum(axis=1) + of_pair, names))
    return found, 0.5


def of_rung(found: Ladder, rung: str, what: str) -> Estimate:
    """One rung of a row of the ladder; the truth of such rows is their mean over all data sets."""
    row, at = getattr(found, what), found.rungs.index(rung)
    names = "value", "standard_error", "low", "high"
    return replace(row, **{name: float(getattr(row, name)[at]) for name in names})


def discovery_rows() -> Iterator[tuple[str, Layers]]:
    """Layers of 48 units with and without partners."""
    few = Layers(n_units=48, shared=0, n_inputs=300, n_locations=4)
    yield "noise, dense", few
    yield "noise, 50 to 99 % zeros", few_with(few, zeros=(0.5, 0.99))
    yield "noise, units repeat themselves 0 to 95 %", few_with(few, repeat=(0.0, 0.95), n_locations=10)
    both = few_with(few, repeat=(0.0, 0.95), zeros=(0.5, 0.99), n_locations=10)
    yield "noise, both", both
    yield "noise, half of each layer's variance is one factor", few_with(few, factor=0.5)
    yield "a quarter have a partner (r about 0.6)", few_with(both, shared=12, noise=1.0)
    yield "a quarter have a partner (r about 0.3)", few_with(both, shared=12, noise=2.5)
    yield "half have a partner (r about 0.3)", few_with(both, shared=24, noise=2.5)
    yield "one has a partner (r about 0.6)", few_with(both, shared=1, noise=1.0)


def few_with(layers: Layers, **changes: object) -> Layers:
    """The same but for some attributes."""
    return Layers(**{**layers.__dict__, **changes})


def print_discoveries(n_layers: int) -> None:
    """A row a kind of layers: false discovery rate, false positives at p <= 0.05, power."""
    print(f"\n{'q <= 0.05':50} {'FDR':>7} {'found any':>10} {'p <= .05, no partner':>21} {'power':>7}")
    for name, layers in discovery_rows():
        rates, some, wrong, power = [], [], [], []
        for seed in range(n_layers):
            found = partner_chance(layers.blocked(np.random.default_rng(seed)))
            chosen, alone = found.q <= 0.05, np.arange(layers.n_units) >= layers.shared
            rates.append((chosen & alone).sum() / max(chosen.sum(), 1))
            some.append(chosen.any())
            wrong.append((found.p <= 0.05)[alone].mean())
            power.append(chosen[~alone].mean() if layers.shared else np.nan)
        told = f"{100 * np.mean(power):5.1f} %" if layers.shared else ""
        rate, any_found = 100 * np.mean(rates), 100 * np.mean(some)
        print(f"{name:50} {rate:5.1f} % {any_found:8.1f} % {100 * np.mean(wrong):19.1f} % {told:>7}", flush=True)


def main() -> None:
    """Read the command line and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=400, help="data sets a row")
    asked = parser.parse_args()
    print_coverage(asked.layers)
    print_discoveries(asked.layers)


if __name__ == "__main__":
    main()
