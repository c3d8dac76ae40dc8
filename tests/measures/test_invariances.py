"""What each measure of two layers does not change under, and what it does: the declared trues and falses."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from convergent.measures import (
    cca,
    cknna,
    effective_dimension,
    linear_cka,
    linear_predictivity,
    mutual_knn,
    permutation_distance,
    procrustes,
    pwcca,
    rbf_cka,
    rsa,
    shape_distance,
    svcca,
)
from convergent.statistics import PairMoments, PairSample

RNG = np.random.default_rng(0)
X = np.exp(0.5 * RNG.normal(size=(120, 8))) @ RNG.normal(size=(8, 8)) + RNG.normal(size=8)
Y = X[:, :6] @ RNG.normal(size=(6, 7)) + 0.7 * RNG.normal(size=(120, 7))
TRANSFORMATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "isotropic scaling": lambda x: 3.7 * x,
    "shift": lambda x: x + np.linspace(-5, 9, x.shape[1]),
    "permutation": lambda x: x[:, ::-1],
    "rotation": lambda x: x @ np.linalg.qr(np.random.default_rng(1).normal(size=(x.shape[1],) * 2))[0],
    "scaling of units": lambda x: x * np.geomspace(0.2, 5, x.shape[1]),
    "invertible linear map": lambda x: (
        x @ (0.3 * np.random.default_rng(2).normal(size=(x.shape[1],) * 2) + np.eye(x.shape[1]))
    ),
}


class Declared(NamedTuple):
    measure: Callable[[np.ndarray, np.ndarray], float]
    invariant: str
    """One letter a transformation: y or n."""


def of_moments(measure: Callable[[PairMoments], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda x, y: measure(PairMoments.from_samples(x, y))


def of_sample(measure: Callable[[PairSample], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda x, y: measure(PairSample.from_samples(x, y))


DECLARED = {
    "linear_cka debiased": Declared(of_moments(linear_cka), "yyyynn"),
    "linear_cka biased": Declared(of_moments(lambda p: linear_cka(p, estimator="biased")), "yyyynn"),
    "linear_cka of samples": Declared(of_sample(linear_cka), "yyyynn"),
    "rbf_cka": Declared(of_sample(rbf_cka), "yyyynn"),
    "cca": Declared(of_moments(lambda p: cca(p).mean), "yyyyyy"),
    "svcca": Declared(of_moments(lambda p: svcca(p, variance=0.8).mean), "yyyynn"),
    "pwcca": Declared(of_moments(lambda p: pwcca(p).mean), "yyynnn"),
    "procrustes": Declared(of_moments(lambda p: procrustes(p).similarity), "yyyynn"),
    "procrustes distance": Declared(of_moments(lambda p: procrustes(p).distance), "yyyynn"),
    "procrustes r2": Declared(of_moments(lambda p: procrustes(p).scored_on(p).overall), "yyyynn"),
    "shape_distance": Declared(of_moments(shape_distance), "yyyynn"),
    "shape_distance 0.5": Declared(of_moments(lambda p: shape_distance(p, alpha=0.5)), "nyyynn"),
    "shape_distance 0": Declared(of_moments(lambda p: shape_distance(p, alpha=0)), "yyyyyy"),
    "shape_distance euclidean": Declared(of_moments(lambda p: shape_distance(p, angular=False)), "nyyynn"),
    "permutation_distance": Declared(of_moments(permutation_distance), "yyynnn"),
    "permutation_distance euclidean": Declared(
        of_moments(lambda p: permutation_distance(p, angular=False)), "nyynnn"
    ),
    "effective_dimension": Declared(of_moments(lambda p: effective_dimension(p).a), "yyyynn"),
    "linear_predictivity": Declared(
        of_moments(lambda p: linear_predictivity(p, penalties=[0.1]).a_to_b.mean), "yyynyn"
    ),
    "rsa correlation": Declared(of_sample(lambda s: rsa(s).similarity), "ynynnn"),
    "rsa euclidean": Declared(of_sample(lambda s: rsa(s, dissimilarity="euclidean").similarity), "yyyynn"),
    "rsa cosine": Declared(of_sample(lambda s: rsa(s, dissimilarity="cosine").similarity), "ynyynn"),
    "mutual_knn": Declared(of_sample(mutual_knn), "ynyynn"),
    "cknna": Declared(of_sample(cknna), "ynyynn"),
}


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("name", DECLARED)
def test_declared_invariances_hold_and_the_others_do_not(name: str, transformation: str) -> None:
    measure, invariant = DECLARED[name]
    before, after = measure(X, Y), measure(TRANSFORMATIONS[transformation](X), Y)
    if invariant[list(TRANSFORMATIONS).index(transformation)] == "y":
        assert after == pytest.approx(before, abs=1e-8)
    else:
        assert abs(after - before) > 1e-3


@pytest.mark.parametrize("name", [name for name, one in DECLARED.items() if one.invariant == "y" * 6])
def test_what_no_linear_map_of_a_changes_no_linear_map_of_b_does(name: str) -> None:
    measure = DECLARED[name].measure
    assert measure(X, TRANSFORMATIONS["invertible linear map"](Y)) == pytest.approx(measure(X, Y), abs=1e-8)


def test_pwcca_weighted_by_a_is_invariant_to_linear_maps_of_b() -> None:
    measure = DECLARED["pwcca"].measure
    assert measure(X, TRANSFORMATIONS["invertible linear map"](Y)) == pytest.approx(measure(X, Y), abs=1e-8)


@pytest.mark.parametrize("name", [name for name in DECLARED if name not in ("pwcca", "effective_dimension")])
def test_measures_are_symmetric_but_for_predictions(name: str) -> None:
    measure = DECLARED[name].measure
    same = measure(Y, X) == pytest.approx(measure(X, Y), abs=1e-8)
    assert same == (name not in ("procrustes r2", "linear_predictivity"))
