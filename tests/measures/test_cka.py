"""CKA: slow Gram loops, planted answers, both routes, estimators on noise, errors."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from convergent.errors import InvalidArgumentError
from convergent.measures import linear_cka, rbf_cka
from convergent.statistics import PairMoments, PairSample

RNG = np.random.default_rng(0)


def u_centred(kernel: np.ndarray) -> np.ndarray:
    """Szekely & Rizzo: off the diagonal, rows and columns sum to 0."""
    n = len(kernel)
    k = kernel.copy()
    np.fill_diagonal(k, 0)
    out = np.zeros_like(k)
    for i in range(n):
        for j in range(n):
            if i != j:
                rows = (k[i].sum() + k[:, j].sum()) / (n - 2)
                out[i, j] = k[i, j] - rows + k.sum() / ((n - 1) * (n - 2))
    return out


def slow_cka(k: np.ndarray, l: np.ndarray, estimator: str) -> float:  # noqa: E741
    h = np.eye(len(k)) - 1 / len(k)
    k, l = (u_centred(one) if estimator == "debiased" else h @ one @ h for one in (k, l))  # noqa: E741
    return float((k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum()))


def layers(n: int, d_a: int, d_b: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 4))
    x, y = (shared @ rng.normal(size=(4, d)) + rng.normal(size=(n, d)) for d in (d_a, d_b))
    return x + 3, y * 2 - 50


ESTIMATORS = pytest.mark.parametrize("estimator", ["debiased", "biased"])


@ESTIMATORS
@settings(max_examples=15)
@given(st.integers(4, 40), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_moments_samples_and_a_slow_loop_agree(estimator: str, n: int, d_a: int, d_b: int, seed: int) -> None:
    x, y = layers(n, d_a, d_b, seed)
    expected = slow_cka(x @ x.T, y @ y.T, estimator)
    moments = linear_cka(PairMoments.from_samples(x, y), estimator=estimator)
    assert moments == pytest.approx(expected, abs=1e-10, rel=1e-10)
    assert linear_cka(PairSample.from_samples(x, y), estimator=estimator) == pytest.approx(moments, abs=1e-10)


@ESTIMATORS
def test_wide_layers_go_through_gram_matrices(estimator: str) -> None:
    x, y = RNG.normal(size=(2, 20, 200_000))  # 200,000 x 200,000 would be 320 GB
    found = linear_cka(PairSample.from_samples(x, np.hstack([x, y])), estimator=estimator)
    assert 0.6 < found <= 1


@ESTIMATORS
def test_a_mean_far_above_the_std_does_not_matter(estimator: str) -> None:
    x, y = layers(50, 5, 6)
    for sample in (PairSample.from_samples, PairMoments.from_samples):
        near, far = (linear_cka(sample(x + m, y + m), estimator=estimator) for m in (0, 1e5))
        assert far == pytest.approx(near, abs=1e-9)


def test_debiased_is_zero_on_average_where_biased_is_large() -> None:
    rng = np.random.default_rng(1)
    pairs = [PairMoments.from_samples(*rng.normal(size=(2, 60, 80))) for _ in range(40)]
    debiased = np.array([linear_cka(pair) for pair in pairs])
    assert abs(debiased.mean()) < 4 * debiased.std() / np.sqrt(40)
    assert debiased.min() < 0
    assert min(linear_cka(pair, estimator="biased") for pair in pairs) > 0.5


@ESTIMATORS
def test_itself_and_its_rotation(estimator: str) -> None:
    x, _ = layers(30, 6, 1)
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    for sample in (PairMoments.from_samples(x, x @ turn), PairSample.from_samples(x, 9 * x @ turn + 1)):
        assert linear_cka(sample, estimator=estimator) == pytest.approx(1, abs=1e-10)


def test_extreme_scales_are_no_matter() -> None:
    x, y = layers(30, 4, 4)
    expected = linear_cka(PairMoments.from_samples(x, y))
    for scale in (1e-60, 1e60):
        assert linear_cka(PairMoments.from_samples(x * scale, y)) == pytest.approx(expected)


def test_dead_units_count_for_nothing_and_a_dead_layer_is_unknown() -> None:
    x, y = layers(30, 4, 4)
    with_dead = np.hstack([x, np.full((30, 1), 0.1)])
    expected = linear_cka(PairMoments.from_samples(x, y))
    assert linear_cka(PairMoments.from_samples(with_dead, y)) == pytest.approx(expected, abs=1e-12)
    assert linear_cka(PairSample.from_samples(with_dead, y)) == pytest.approx(expected, abs=1e-12)
    dead = np.full((30, 2), 0.1)
    assert np.isnan(linear_cka(PairMoments.from_samples(dead, y)))
    assert np.isnan(rbf_cka(PairSample.from_samples(dead * 0, y)))


def test_published_correlations_give_biased_cka() -> None:
    x, y = layers(40, 3, 4)
    z = [(one - one.mean(0)) / one.std(0) for one in (x, y)]
    pair = PairMoments.from_correlation(*(i.T @ j / 40 for i, j in ((z[0], z[0]), (z[1], z[1]), z)))
    expected = slow_cka(z[0] @ z[0].T, z[1] @ z[1].T, "biased")
    assert linear_cka(pair, estimator="biased") == pytest.approx(expected, abs=1e-10)
    with pytest.raises(InvalidArgumentError, match=r"depends on the number of samples\. Found matrices alone"):
        linear_cka(pair)


@ESTIMATORS
@pytest.mark.parametrize("bandwidth", [0.3, 1, 4.0])
def test_gaussian_kernels_are_those_of_a_slow_loop(estimator: str, bandwidth: float) -> None:
    x, y = layers(25, 5, 40)
    first, second = (
        np.exp(-(squareform(d) ** 2) / (2 * (bandwidth * np.median(d)) ** 2)) for d in map(pdist, (x, y))
    )
    found = rbf_cka(PairSample.from_samples(x, y), estimator=estimator, bandwidth=bandwidth)
    assert found == pytest.approx(slow_cka(first, second, estimator), abs=1e-10)


def test_a_wide_gaussian_kernel_is_linear() -> None:
    sample = PairSample.from_samples(*layers(50, 5, 6))
    assert rbf_cka(sample, bandwidth=1e3) == pytest.approx(linear_cka(sample), abs=1e-4)


def test_what_cannot_be_asked() -> None:
    sample, small = PairSample.from_samples(*layers(9, 3, 3)), PairSample.from_samples(*layers(3, 3, 3))
    with pytest.raises(InvalidArgumentError, match=r"Asked for estimator 'unbiased' of CKA\. There are"):
        linear_cka(sample, estimator="unbiased")
    for ask in (linear_cka, rbf_cka):
        with pytest.raises(InvalidArgumentError, match=r"divides by n - 3\. Found n = 3 samples"):
            ask(small)
    with pytest.raises(InvalidArgumentError, match=r"divides by n - 3\. Found n = 3 samples"):
        linear_cka(PairMoments.from_samples(small.x, small.y))
    with pytest.raises(InvalidArgumentError, match=r"multiple of the median distance\. Found 0"):
        rbf_cka(sample, bandwidth=0)
    pair = replace(PairMoments.from_samples(sample.x, sample.y), norms=None)
    with pytest.raises(InvalidArgumentError, match=r"kept without\. Keep them with MomentsPlan\(norms=True\), or"):
        linear_cka(pair)
