"""Quantiles: edges near the exact ones, the zero bin, and what is refused."""

import numpy as np
import pytest
import torch

from convergent.batch import ActivationBatch, Activations
from convergent.errors import InvalidArgumentError, MismatchError, UnknownNameError
from convergent.results import Fingerprint
from convergent.statistics import Quantiles, QuantilesPlan
from convergent.statistics.edges import equal_mass_edges, unit_edges
from convergent.units import LayerRef, LayerUnits

A = LayerRef("a", "fc")
RNG = np.random.default_rng(0)
N = 4000
UNITS = {
    "relu": np.maximum(RNG.normal(size=N), 0),
    "logit": RNG.normal(size=N) * 30 - 5,
    "positive": RNG.exponential(size=N) + 100,
    "nearly dead": np.where(np.arange(N) == 77, 3.0, 0.0),
    "dead": np.zeros(N),
    "constant": np.full(N, -2.5),
}
X = np.stack(list(UNITS.values()), axis=1).astype(np.float32)


def batch(x: np.ndarray) -> ActivationBatch:
    return ActivationBatch(np.arange(len(x)), {A: Activations(torch.tensor(x, dtype=torch.float32)[:, :, None])})


def quantiles(x: np.ndarray, *, like: np.ndarray | None = None, n_fine: int = 2048) -> Quantiles:
    layers = (LayerUnits(A, x.shape[1], (), 1, "all"),)
    accumulator = QuantilesPlan(n_fine).start(layers, batch(x if like is None else like))
    accumulator.update(batch(x))
    return accumulator.finish(Fingerprint())


@pytest.mark.parametrize("n_bins", [2, 10, 21])
@pytest.mark.parametrize("first", [20, N])  # calibrated on a few samples, or on all
def test_shares_are_those_asked_for_up_to_the_error(n_bins: int, first: int) -> None:
    found = quantiles(X, like=X[:first])
    error = found.error(A)
    for unit, name in enumerate(["relu", "logit", "positive"]):
        x, edges = X[:, unit].astype(np.float64), found.edges(n_bins)[A][unit]
        assert len(edges) == n_bins - 1
        if name == "relu":
            assert edges[0] == 0
            x, edges = x[x > 0], edges[1:]
        shares = (x[:, None] <= edges).mean(axis=0)
        n_equal = len(edges) + 1
        assert np.abs(shares - np.arange(1, n_equal) / n_equal).max(initial=0) <= error[unit] + 1 / len(x)
    if first == N:
        assert error[:3].max() < 0.012  # a fine bin of a peaked unit holds little


def test_exact_edges_have_the_shares_asked_for() -> None:
    edges = equal_mass_edges(X[:, 0].astype(np.float64), 10)
    counts = np.bincount(np.searchsorted(edges, X[:, 0].astype(np.float64), side="left"))
    assert counts[0] == (X[:, 0] == 0).sum()
    assert np.ptp(counts[1:]) <= 1


def test_zero_has_its_own_bin_only_where_it_stands_apart() -> None:
    edges = quantiles(X).edges(10)[A]
    assert edges[3].tolist() == [0]
    assert edges[4].tolist() == edges[5].tolist() == []
    assert (np.abs(edges[1]) > 1e-6).all()
    assert (edges[2] > 100).all()
    together = quantiles(X).edges(10, zero_bin=False)[A][0]
    assert together[0] == 0  # half of the mass is at zero: edges there coincide
    assert len(together) == 5
    exact = equal_mass_edges(X[:, 0].astype(np.float64), 10, zero_bin=False)
    np.testing.assert_allclose(together, exact, atol=3e-3)
    for unit in (3, 4, 5):
        assert equal_mass_edges(X[:, unit].astype(np.float64), 10).tolist() == edges[unit].tolist()


def test_a_zero_in_the_middle_counts_at_zero() -> None:
    x = np.concatenate([np.linspace(-2, -1, 500), np.zeros(500), np.linspace(1, 2, 500)])[:, None]
    edges = quantiles(x).edges(3)[A][0]
    np.testing.assert_allclose(edges, [-1, 0], atol=5e-3)


def test_extremes_zeros_and_both_tails_are_exact() -> None:
    x = np.array([-10.0, -1.0, 0.0, -0.0, 0.5, 1.0, 50.0, 60.0])[:, None]
    found = quantiles(x, like=np.array([[-1.0], [1.0]]), n_fine=8).histograms[A]
    assert (found.low[0], found.high[0]) == (-2, 2)
    assert (found.zeros[0], found.smallest[0], found.largest[0]) == (2, -10, 60)
    assert (found.counts[0, 0], found.counts[0, -1], found.counts.sum()) == (1, 2, 6)


def test_uniform_edges_cut_the_range_in_equal_parts() -> None:
    edges = quantiles(X).uniform_edges(8)[A]
    np.testing.assert_allclose(np.diff(edges[1]), np.ptp(X[:, 1].astype(np.float64)) / 8)
    assert [len(one) for one in edges] == [7, 7, 7, 7, 0, 0]


def test_calibration_without_samples_still_counts_all() -> None:
    x = batch(X[:5])
    mask = torch.zeros(5, 1, dtype=torch.bool)
    empty = ActivationBatch(x.ids, {A: Activations(x.layers[A].values, mask=mask)})
    accumulator = QuantilesPlan().start((LayerUnits(A, X.shape[1], (), 1, "all"),), empty)
    accumulator.update(x)
    accumulator.update(empty)
    found = accumulator.finish(Fingerprint())
    assert (found.n_inputs, found.n_samples[A]) == (10, 5)
    assert (found.histograms[A].counts.sum(axis=1) + found.histograms[A].zeros).tolist() == [5] * X.shape[1]


def test_no_samples_no_edges() -> None:
    assert [len(one) for one in quantiles(X).identity().edges()[A]] == [0] * X.shape[1]
    assert [len(one) for one in quantiles(X).identity().uniform_edges()[A]] == [0] * X.shape[1]


def test_refusals() -> None:
    found = quantiles(X)
    with pytest.raises(InvalidArgumentError, match=r"Found 1 of them"):
        found.edges(1)
    with pytest.raises(InvalidArgumentError, match=r"Found 0 of them"):
        found.uniform_edges(0)
    with pytest.raises(InvalidArgumentError, match=r"Found n_fine=1\. Give at least 2"):
        QuantilesPlan(1)
    with pytest.raises(UnknownNameError, match=r"Asked for layer 'a/fd'\. These quantiles have 1 layers"):
        found.error("a/fd")
    for other in (quantiles(X, like=X[:3]), quantiles(X, n_fine=9)):
        with pytest.raises(MismatchError, match=r"Found other numbers or ranges in 'a/fc'\. Accumulate both"):
            found.merge(other)


def test_edges_given_by_hand() -> None:
    assert [one.tolist() for one in unit_edges([0.5, 1.0], 2, "a")] == [[0.5, 1.0]] * 2
    assert [one.tolist() for one in unit_edges([[0.5], []], 2, "a")] == [[0.5], []]
    with pytest.raises(MismatchError, match=r"each of the 3 units of 'a'\. Found them for 2"):
        unit_edges([[0.5], [1.0]], 3, "a")
    for bad in ([1.0, 1.0], [0.0, np.inf], [2.0, 1.0]):
        with pytest.raises(InvalidArgumentError, match=r"for unit 0 of 'a'\. Leave out -inf, inf and repetitions"):
            unit_edges(bad, 1, "a")
