"""Mutual information: planted answers, scikit-learn, invariances, and what it adds to correlation."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from convergent.errors import InvalidArgumentError, MismatchError
from convergent.measures import (
    MutualInformation,
    Scores,
    agreement,
    correlation,
    excess_over_gaussian,
    match_best,
    match_one_to_one,
    mutual_information,
)
from convergent.statistics import PairHistograms, PairMoments

N = 20_000


def gaussian_pair(r: float, *, n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, noise = np.random.default_rng(seed).normal(size=(2, n, 1))
    return x, r * x + np.sqrt(1 - r**2) * noise


def information(x: np.ndarray, y: np.ndarray, *, bins: Any = 10, **options: Any) -> MutualInformation:
    return mutual_information(PairHistograms.from_samples(x, y, bins=bins), **options)


def binned_gaussian(r: float, k: int = 10) -> float:
    """Exact information of a Gaussian pair cut into k bins of equal mass: what the estimate aims at."""
    cuts = norm.ppf(np.arange(1, k) / k)
    both = multivariate_normal(cov=[[1, r], [r, 1]])
    below = np.array([[both.cdf([x, y]) for y in cuts] for x in cuts])
    share = np.arange(k + 1) / k
    whole = np.block([[np.zeros((1, k + 1))], [np.zeros((k - 1, 1)), below, share[1:-1, None]], [share[None]]])
    p = np.diff(np.diff(whole, axis=0), axis=1)
    return float(np.sum(np.where(p > 1e-12, p * np.log(np.maximum(p, 1e-12) * k * k), 0)))


# How much of -0.5 log(1 - r^2) ten bins of equal mass lose.
@pytest.mark.parametrize(("r", "lost"), [(0.3, 0.085), (-0.6, 0.095), (0.9, 0.125), (0.99, 0.24)])
def test_gaussian_pairs(r: float, lost: float) -> None:
    found = information(*gaussian_pair(r)).between[0, 0]
    assert found == pytest.approx(binned_gaussian(r), abs=4 / np.sqrt(N))
    whole = -0.5 * np.log(1 - r**2)
    assert (1 - lost) * whole < binned_gaussian(r) < whole


def test_independent_units_share_nothing_within_the_error() -> None:
    n, units = 4000, 20
    x, y = np.random.default_rng(1).normal(size=(2, n, units))
    corrected, plugin = (information(x, y, estimator=e).between for e in ("corrected", "plugin"))
    # 2 N I is chi-squared with 81 degrees of freedom: standard deviation sqrt(162) / 2N for one pair.
    one = np.sqrt(162) / (2 * n)
    assert abs(corrected.mean()) < 4 * one / units
    assert np.abs(corrected).max() < 6 * one
    assert plugin.min() >= 0
    np.testing.assert_allclose(plugin - corrected, 81 / (2 * n), rtol=1e-12)


def zero_inflated(seed: int, n: int = N, units: int = 4) -> np.ndarray:
    return np.maximum(np.random.default_rng(seed).normal(size=(n, units)) - 1, 0)


def test_zero_inflated_pairs() -> None:
    """Ten bins, one of them zero: a copy tells all, and being zero together alone is told too."""
    x = zero_inflated(2, units=1)
    both = information(x, x, estimator="plugin").between[0, 0]
    share = np.append((x == 0).mean(), [(x > 0).mean() / 9] * 9)
    assert both == pytest.approx(-(share * np.log(share)).sum(), abs=1e-6)
    on = x > 0
    size = np.random.default_rng(3).exponential(size=x.shape)
    found = information(x, on * size, estimator="plugin").between[0, 0]
    p = on.mean()
    assert found == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p), abs=0.02)
    assert abs(information(x, zero_inflated(4, units=1)).between[0, 0]) < 0.004


def test_identical_units_share_their_entropy() -> None:
    x = np.random.default_rng(5).normal(size=(N, 3))
    found = information(x, x, estimator="plugin")
    np.testing.assert_allclose(found.between.diagonal(), found.entropy_a)
    np.testing.assert_allclose(found.between.diagonal(), np.log(10), atol=1e-6)
    np.testing.assert_allclose(information(x, x).between.diagonal(), np.log(10) - 81 / (2 * N), atol=1e-6)


@pytest.mark.parametrize("k", [2, 10, 16, 40])
def test_equal_to_scikit_learn_on_the_same_codes(k: int) -> None:
    x = zero_inflated(6, n=3000)
    y = np.hstack([x[:, :2] + 0.2 * np.random.default_rng(7).normal(size=(3000, 2)), zero_inflated(8, n=3000)])
    pair = PairHistograms.from_samples(x, y, bins=k)
    plugin = mutual_information(pair, estimator="plugin")
    shares = {
        kind: mutual_information(pair, estimator="plugin", normalised=kind).between
        for kind in ("min", "geometric", "mean")
    }
    for i, edges_i in enumerate(pair.edges_a):
        for j, edges_j in enumerate(pair.edges_b):
            codes = np.searchsorted(edges_i, x[:, i]), np.searchsorted(edges_j, y[:, j])
            assert plugin.between[i, j] == pytest.approx(mutual_info_score(*codes), abs=1e-10)
            for kind, sklearn_name in (("min", "min"), ("geometric", "geometric"), ("mean", "arithmetic")):
                expected = normalized_mutual_info_score(*codes, average_method=sklearn_name)
                assert shares[kind][i, j] == pytest.approx(expected, abs=1e-10)


def test_share_of_the_joint_entropy() -> None:
    x = zero_inflated(6)
    pair = PairHistograms.from_samples(x, x)
    found = mutual_information(pair, estimator="plugin", normalised="joint").between
    np.testing.assert_allclose(found.diagonal(), 1)
    p = pair.counts[0, 1] / N
    joint = -np.sum(p[p > 0] * np.log(p[p > 0]))
    assert found[0, 1] == pytest.approx(mutual_information(pair, estimator="plugin").between[0, 1] / joint)


def test_constant_units_are_dead() -> None:
    x = np.random.default_rng(9).normal(size=(500, 3))
    x[:, 1] = 7
    found = information(x, x)
    assert found.alive_a.tolist() == found.alive_b.tolist() == [True, False, True]
    assert np.isnan(found.between[1]).all()
    assert np.isnan(found.between[:, 1]).all()
    assert np.isfinite(found.between[np.ix_([0, 2], [0, 2])]).all()
    assert np.isnan(information(x, x, normalised="min").between[1]).all()
    for match in (match_best, match_one_to_one):
        assert match(found).partner.tolist() == [0, -1, 2]


def test_increasing_maps_and_order_of_units_do_not_matter_but_rotation_does() -> None:
    x, y = np.random.default_rng(10).normal(size=(2, 4000, 4))
    y += x
    expected = information(x, y).between
    np.testing.assert_allclose(information(3 * x + 1, y).between, expected, atol=2e-3)
    np.testing.assert_allclose(information(np.exp(x), y**3).between, expected, atol=2e-3)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(information(x[:, order], y).between, expected[order])
    rotation = np.linalg.qr(np.random.default_rng(11).normal(size=(4, 4)))[0]
    assert np.abs(information(x @ rotation, y).between - expected).max() > 0.1


def test_dependence_that_correlation_does_not_see() -> None:
    x = np.random.default_rng(12).normal(size=(N, 1))
    y = np.hstack([x**2, 0.5 * x + np.random.default_rng(13).normal(size=(N, 1))])
    found, r = information(x, y), correlation(PairMoments.from_samples(x, y))
    excess = excess_over_gaussian(found, r)
    assert excess[0, 0] > 1
    assert -0.02 < excess[0, 1] < 0.01
    assert match_best(found).partner.tolist() == [0]
    assert match_best(r).partner.tolist() == [1]
    assert agreement(found, r).same_partner == 0
    same = excess_over_gaussian(information(x, x), correlation(PairMoments.from_samples(x[:, [0]], x)))
    assert same[0, 0] < -10 or same[0, 0] == -np.inf


def test_partners_by_information_and_by_correlation_agree_on_gaussian_units() -> None:
    rng = np.random.default_rng(14)
    x = rng.normal(size=(N, 6))
    y = (x + np.linspace(0.2, 2, 6) * rng.normal(size=(N, 6)))[:, [3, 1, 5, 0, 2, 4]]
    found, r = information(x, y), correlation(PairMoments.from_samples(x, y))
    both = agreement(found, r)
    assert (both.same_partner, both.n_units) == (1, 6)
    assert both.rank_correlation == pytest.approx(1)
    for match in (match_best, match_one_to_one):
        np.testing.assert_array_equal(match(found).partner, match(r).partner)
        again = match(found).scored_on(information(x[:5000], y[:5000]))
        np.testing.assert_array_equal(again.partner, match(found).partner)
        assert list(match(found).scored_on(r).table())[4] == "r"
    assert {"score", "partner"} < set(match_best(found).table())
    assert isinstance(found, Scores)
    assert isinstance(r, Scores)


def test_agreement_of_nothing() -> None:
    x = np.ones((10, 2))
    both = agreement(information(x, x), correlation(PairMoments.from_samples(x, x)))
    assert np.isnan([both.same_partner, both.rank_correlation]).all()
    assert both.n_units == 0


def test_table_and_array() -> None:
    x = np.random.default_rng(15).normal(size=(100, 2))
    found = information(x, x)
    np.testing.assert_array_equal(np.asarray(found), found.between)
    table = found.table()
    assert list(table) == ["a", "unit_a", "b", "unit_b", "mi"]
    assert table.mi[2] == found.between[1, 0]
    with pytest.raises(ValueError, match="read-only"):
        found.between[0, 0] = 1


def test_refusals() -> None:
    x = np.random.default_rng(16).normal(size=(100, 2))
    pair = PairHistograms.from_samples(x, x)
    with pytest.raises(InvalidArgumentError, match=r"with estimator='best'\. Known are corrected, plugin"):
        mutual_information.__wrapped__(pair, estimator="best")  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgumentError, match=r"with normalised='max'\. Known are min, geometric"):
        mutual_information.__wrapped__(pair, normalised="max")  # type: ignore[attr-defined]
    r = correlation(PairMoments.from_samples(x, x))
    with pytest.raises(InvalidArgumentError, match=r"Found information normalised by 'min'"):
        excess_over_gaussian(mutual_information(pair, normalised="min"), r)
    for compare in (agreement, excess_over_gaussian):
        with pytest.raises(MismatchError, match=r"Found 'a' with 'b', \(2, 2\), against 'a' with 'c', \(2, 2\)"):
            compare(mutual_information(pair), correlation(PairMoments.from_samples(x, x, b="c")))


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1e6])
@pytest.mark.parametrize("rectified", [False, True])
def test_the_scale_of_a_unit_does_not_matter(scale: float, rectified: bool) -> None:
    x = np.random.default_rng(0).normal(size=(2000, 2))
    y = np.maximum(x, 0) if rectified else x
    plain, scaled = (mutual_information(PairHistograms.from_samples(s * y, x)).between for s in (1.0, scale))
    np.testing.assert_allclose(scaled, plain, atol=1e-12)


@pytest.mark.parametrize("bins", [1, 1001, np.int64(1)])
def test_what_is_no_number_of_bins_is_refused(bins: Any) -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(InvalidArgumentError, match=r"Give a whole number from 2 to 1000"):
        PairHistograms.from_samples(x, x, bins=bins)
    assert PairHistograms.from_samples(x, x, bins=np.int64(3)).counts.shape == (2, 2, 3, 3)
