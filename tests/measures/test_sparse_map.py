"""Sparse maps and their verdicts: planted answers, references, invariances, scores on held-out data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import r2_score

from convergent.errors import InvalidArgumentError, MismatchError
from convergent.measures.local_or_distributed import PenaltyChoice, choose_penalty, local_or_distributed
from convergent.measures.mended import mended
from convergent.measures.sparse_map import SparseMap, checked_penalties, ridge_map, sparse_map
from convergent.statistics import PairMoments

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 12))
Fold = tuple[PairMoments, PairMoments]
EACH = pytest.mark.parametrize("fit", [sparse_map, ridge_map])
Fit = Callable[..., SparseMap]


def rotation(n: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0]


def folds_of(x: np.ndarray, y: np.ndarray, n: int = 5) -> list[Fold]:
    parts = np.array_split(np.arange(len(x)), n)
    return [
        (
            PairMoments.from_samples(np.delete(x, part, axis=0), np.delete(y, part, axis=0)),
            PairMoments.from_samples(x[part], y[part]),
        )
        for part in parts
    ]


def noisy(y: np.ndarray, size: float) -> np.ndarray:
    return y + size * np.random.default_rng(2).normal(size=y.shape)


def test_a_permuted_copy_has_one_contributor_each() -> None:
    order = RNG.permutation(12)
    found = sparse_map(PairMoments.from_samples(X, X[:, order] * 3 - 1), penalties=[0.3])
    assert found.n_contributors().tolist() == [[1] * 12]
    assert found.weights[0].argmax(axis=1).tolist() == order.tolist()
    np.testing.assert_allclose(found.weights[0].max(axis=1), 0.7, atol=1e-6)
    np.testing.assert_allclose(found.r2, 1 - 0.3**2, atol=1e-6)
    assert found.loss[0] == pytest.approx(0.5 * 0.09, abs=1e-6)
    whole = local_or_distributed(PairMoments.from_samples(X, X[:, order]), folds_of(X, X[:, order]))
    assert whole.verdict.tolist() == ["local"] * 12
    assert whole.top_contributor.tolist() == order.tolist()
    assert whole.n_for_90.tolist() == [1] * 12


def test_a_rotated_copy_is_dense_and_perfect() -> None:
    y = X @ rotation(12)
    found = sparse_map(PairMoments.from_samples(X, y), penalties=[1e-4, 0])
    assert (found.r2 > 0.999).all()
    assert found.n_contributors()[0].mean() > 11
    np.testing.assert_allclose(found.r2[1], 1, atol=1e-12)
    whole = local_or_distributed(PairMoments.from_samples(X, y), folds_of(X, y))
    assert (whole.n_for_90 >= 3).all()
    assert whole.shares()["distributed"] > 0.6
    assert (whole.ridge_r2_held_out > 0.999).all()


def test_a_sum_of_three_has_those_three() -> None:
    y = noisy(np.stack([X[:, [0, 4, 7]].sum(axis=1), X[:, [1, 2, 3]].sum(axis=1)], axis=1), 0.1)
    found = sparse_map(PairMoments.from_samples(X, y), penalties=[0.2])
    assert [w.nonzero()[0].tolist() for w in found.weights[0]] == [[0, 4, 7], [1, 2, 3]]
    whole = local_or_distributed(PairMoments.from_samples(X, y), folds_of(X, y))
    assert whole.verdict.tolist() == ["few", "few"]
    assert whole.n_for_90.tolist() == [3, 3]


def test_every_verdict() -> None:
    y = np.stack([X[:, 3], X[:, 3] + X[:, 5], X.sum(axis=1), RNG.normal(size=600), np.ones(600)], axis=1)
    y[:, :3] = noisy(y[:, :3], 0.1)
    whole = local_or_distributed(PairMoments.from_samples(X, y), folds_of(X, y))
    assert whole.verdict.tolist() == ["local", "few", "distributed", "unpredictable", "dead"]
    assert whole.n_for_90[:3].tolist() == [1, 2, 11]
    assert whole.n_for_90[4] == whole.top_contributor[4] == -1
    assert whole.shares() == {"local": 0.25, "few": 0.25, "distributed": 0.25, "unpredictable": 0.25}
    assert np.isnan([whole.penalty[4], whole.r2[4], whole.r2_held_out[4], whole.ridge_r2_held_out[4]]).all()
    assert whole.n_contributors[4] == 0
    table = whole.table()
    assert table.verdict.tolist() == whole.verdict.tolist()
    assert {"r2", "r2_held_out", "ridge_r2", "ridge_r2_held_out", "n_contributors", "n_for_90"} <= set(
        table.columns
    )
    assert table.top_contributor[0] == 3
    strict = local_or_distributed(PairMoments.from_samples(X, y), folds_of(X, y), predictable_from=0.9999)
    assert set(strict.verdict) == {"unpredictable", "dead"}


def test_all_dead() -> None:
    dead = np.ones((600, 3))
    found = sparse_map(PairMoments.from_samples(X, dead))
    assert np.isnan(found.loss).all()
    assert np.isnan(found.r2).all()
    assert not found.weights.any()
    blind = sparse_map(PairMoments.from_samples(dead, X))
    np.testing.assert_array_equal(blind.loss, 0.5)
    assert blind.table().top_contributor.eq(-1).all()
    assert set(local_or_distributed(PairMoments.from_samples(X, dead), folds_of(X, dead)).verdict) == {"dead"}
    assert set(local_or_distributed(PairMoments.from_samples(dead, X), folds_of(dead, X)).verdict) == {
        "unpredictable"
    }


def test_dead_units_are_left_out_and_change_nothing() -> None:
    y = noisy(X[:, :7] @ RNG.normal(size=(7, 5)), 1)
    x = X.copy()
    x[:, 2] = 5
    with_dead_b = np.insert(y, 1, 7, axis=1)
    found = sparse_map(PairMoments.from_samples(x, with_dead_b), penalties=[0.1, 0.01])
    without = sparse_map(PairMoments.from_samples(np.delete(x, 2, axis=1), y), penalties=[0.1, 0.01])
    assert found.alive_a.tolist() == [i != 2 for i in range(12)]
    assert found.alive_b.tolist() == [True, False, True, True, True, True]
    assert not found.weights[:, :, 2].any()
    assert not found.weights[:, 1].any()
    assert np.isnan(found.r2[:, 1]).all()
    assert np.isnan(found.gap[:, 1]).all()
    np.testing.assert_allclose(
        np.delete(np.delete(found.weights, 2, axis=2), 1, axis=1), without.weights, atol=1e-9
    )
    np.testing.assert_allclose(found.loss, without.loss)
    np.testing.assert_allclose(found.paper_lambda, [0.1 / 5, 0.01 / 5])


@EACH
def test_scale_shift_and_order_of_units_do_not_matter_and_rotation_does(fit: Fit) -> None:
    x = X * np.linspace(0.5, 3, 12)
    y = noisy(x @ RNG.normal(size=(12, 5)), 2)
    expected = fit(PairMoments.from_samples(x, y), penalties=[0.1])
    moved = fit(PairMoments.from_samples(x * np.geomspace(1e-3, 1e3, 12) - 7, 5 - y), penalties=[0.1])
    np.testing.assert_allclose(moved.weights, -expected.weights, atol=1e-6)
    np.testing.assert_allclose(moved.r2, expected.r2, atol=1e-6)
    p, q = RNG.permutation(12), RNG.permutation(5)
    permuted = fit(PairMoments.from_samples(x[:, p], y[:, q]), penalties=[0.1])
    np.testing.assert_allclose(permuted.weights[0], expected.weights[0][np.ix_(q, p)], atol=1e-6)
    turned = fit(PairMoments.from_samples(x @ rotation(12), y), penalties=[0.1])
    assert np.abs(turned.r2 - expected.r2).max() > 1e-3


@pytest.mark.parametrize("n_b", [5, 20])
def test_scikit_learn_agrees_on_fit_and_held_out_data(n_b: int) -> None:
    y = noisy(X @ RNG.normal(size=(12, n_b)), 2) + 3
    train, test = slice(400), slice(400, 600)
    pair, other = PairMoments.from_samples(X[train], y[train]), PairMoments.from_samples(X[test], y[test])
    mean, std = X[train].mean(axis=0), X[train].std(axis=0)
    x = (X - mean) / std
    for penalty in (0.3, 0.05):
        found = sparse_map(pair, penalties=[penalty], tolerance=1e-10)
        dense = ridge_map(pair, penalties=[penalty])
        scores, dense_scores = found.scored_on(other), dense.scored_on(other)
        for unit in range(n_b):
            middle, scale = y[train, unit].mean(), y[train, unit].std()
            z = (y[:, unit] - middle) / scale
            lasso = Lasso(alpha=penalty, tol=1e-10).fit(x[train], z[train])
            np.testing.assert_allclose(found.weights[0, unit], lasso.coef_, atol=1e-5)
            assert found.r2[0, unit] == pytest.approx(lasso.score(x[train], z[train]), abs=1e-6)
            assert scores[0, unit] == pytest.approx(lasso.score(x[test], z[test]), abs=1e-6)
            ridge = Ridge(alpha=penalty * 400).fit(x[train], z[train])
            assert dense.r2[0, unit] == pytest.approx(ridge.score(x[train], z[train]), abs=1e-9)
            assert dense_scores[0, unit] == pytest.approx(ridge.score(x[test], z[test]), abs=1e-9)
    np.testing.assert_allclose(found.scored_on(pair), found.r2, atol=1e-12)


def test_a_shift_of_the_data_costs() -> None:
    found = sparse_map(PairMoments.from_samples(X, X), penalties=[0.01])
    shifted = PairMoments.from_samples(X, X + 1)
    expected = r2_score(X[:, 0] + 1, X[:, 0].mean() + found.weights[0, 0, 0] * (X[:, 0] - X[:, 0].mean()))
    assert found.scored_on(shifted)[0, 0] == pytest.approx(expected, abs=1e-6)
    assert found.scored_on(shifted)[0, 0] < 0.2
    dead = X.copy()
    dead[:, 4] = 1
    assert np.isnan(found.scored_on(PairMoments.from_samples(X, dead))[0]).tolist() == [i == 4 for i in range(12)]


def test_the_paper_s_solver_is_not_converged_and_says_so() -> None:
    x = RNG.normal(size=(400, 40))
    pair = PairMoments.from_samples(x, noisy(x @ rotation(40), 0.5))
    exact, paper = (sparse_map(pair, penalties=[0.1, 0], solver=solver) for solver in ("exact", "paper"))
    assert exact.gap.max() < 1e-6
    assert paper.gap.mean() > 1e-4
    assert (paper.loss >= exact.loss - 1e-3).all()
    again = sparse_map(pair, penalties=[0.1, 0], solver="paper")
    np.testing.assert_array_equal(again.weights, paper.weights)
    other = sparse_map(pair, penalties=[0.1, 0], solver="paper", seed=1)
    assert np.abs(other.weights - paper.weights).max() > 1e-3
    counts = paper.n_contributors()
    assert (counts == (np.abs(paper.weights) > 3e-5).sum(axis=2)).all()
    assert (paper.n_contributors(threshold=0.1) <= counts).all()
    assert (exact.n_contributors() == (exact.weights != 0).sum(axis=2)).all()


def test_default_penalties_from_nothing_to_nearly_all() -> None:
    found = sparse_map(PairMoments.from_samples(X, noisy(X @ rotation(12), 1)))
    assert found.penalties[[0, 10, 30]].tolist() == pytest.approx([1, 0.1, 1e-3])
    assert not found.n_contributors()[0].any()
    assert found.loss[0] == 0.5
    assert (np.diff(found.loss) < 1e-12).all()
    table = found.table()
    assert len(table) == 31 * 12
    assert table.top_contributor[:12].tolist() == [-1] * 12
    assert table.top_contributor.iloc[-1] == np.abs(found.weights[-1, -1]).argmax()
    for array in (found.weights, found.r2, found.gap, found.penalties):
        assert not array.flags.writeable


def slow_choice(folds: list[Fold], penalties: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Pooled held-out R2 and the choice by the one-standard-error rule, unit by unit."""
    fits = [(sparse_map(rest, penalties=penalties).scored_on(held_out), held_out) for rest, held_out in folds]
    n_units = len(folds[0][0].mean_b)
    r2, chosen = np.empty((len(penalties), n_units)), []
    for unit in range(n_units):
        weight = np.array([(held_out.n_samples or 0) * held_out.cov_bb[unit, unit] for _, held_out in fits])
        scores = np.array([score[:, unit] for score, _ in fits])
        r2[:, unit] = weight @ scores / weight.sum()
        spread = (weight[:, None] * (scores - r2[:, unit])) ** 2
        error = np.sqrt(spread.sum(axis=0) * len(fits) / (len(fits) - 1)) / weight.sum()
        best = int(r2[:, unit].argmax())
        allowed = [i for i in range(len(penalties)) if r2[i, unit] >= r2[best, unit] - error[best]]
        chosen.append(max(allowed, key=lambda i: penalties[i]))
    return r2, np.array(chosen)


def test_the_choice_of_penalties_is_that_of_a_slow_loop() -> None:
    y = noisy(X[:, :6] @ RNG.normal(size=(6, 8)), 4)
    folds, penalties = folds_of(X, y), [0.001, 0.3, 0.01, 0.1, 0.03]
    choice: PenaltyChoice = choose_penalty(iter(folds), lambda rest: sparse_map(rest, penalties=penalties))
    r2, chosen = slow_choice(folds, penalties)
    np.testing.assert_allclose(choice.r2_held_out, r2, atol=1e-9)
    assert choice.chosen.tolist() == chosen.tolist()
    assert (choice.penalties[choice.chosen] >= choice.penalties[choice.best]).all()
    assert (choice.penalties[choice.chosen] > choice.penalties[choice.best]).any()


def test_noise_is_not_predicted_on_held_out_data() -> None:
    x, y = RNG.normal(size=(100, 40)), RNG.normal(size=(100, 10))
    dense = choose_penalty(folds_of(x, y), lambda rest: ridge_map(rest, penalties=[1e-3, 10]))
    assert ridge_map(PairMoments.from_samples(x, y), penalties=[1e-3]).r2.mean() > 0.3
    assert dense.r2_held_out[0].mean() < -0.2
    assert (local_or_distributed(PairMoments.from_samples(x, y), folds_of(x, y)).verdict == "unpredictable").all()


def test_mending_raises_only_what_is_too_low() -> None:
    fine = PairMoments.from_samples(X, X)
    same, change = mended(fine)
    assert change == 0
    np.testing.assert_array_equal(same.cov_aa, fine.cov_aa)
    within = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    repaired, change = mended(PairMoments.from_correlation(within, np.eye(2), np.zeros((3, 2))), floor=0.01)
    assert np.linalg.eigvalsh(repaired.cov_aa)[0] > 0.005
    np.testing.assert_allclose(np.diagonal(repaired.cov_aa), 1)
    assert change == pytest.approx(np.abs(repaired.cov_aa - within).max())
    assert change > 0.1
    with pytest.raises(InvalidArgumentError, match=r"raised to a floor below\. Found floor=0\."):
        mended(fine, floor=0.0)


def test_what_cannot_be_done_is_refused() -> None:
    pair = PairMoments.from_samples(X, X)
    with pytest.raises(InvalidArgumentError, match=r"Asked for solver 'sgd'\. There are 'exact' and 'paper'"):
        sparse_map(pair, solver="sgd")
    with pytest.raises(InvalidArgumentError, match=r"list of numbers from 0 up.*Found \[0\.1, -1\]"):
        sparse_map(pair, penalties=[0.1, -1])
    with pytest.raises(InvalidArgumentError, match=r"list of numbers from 0 up.*Found \[\]"):
        ridge_map(pair, penalties=[])
    x = np.random.default_rng(0).normal(size=(200, 30)) @ np.random.default_rng(1).normal(size=(30, 30))
    wide, steps = PairMoments.from_samples(x, x[:, :20] + 1), np.linspace(0.01, 0.3, 30)
    told = r"duality gaps of at most 1e-300\. Found .* in \d+ of 600 fits"
    with pytest.raises(InvalidArgumentError, match=told):
        sparse_map(wide, penalties=steps, tolerance=1e-300)
    with pytest.raises(InvalidArgumentError, match=r"choose penalties on held-out folds\. Found 1 folds"):
        choose_penalty([(pair, pair)])
    found = sparse_map(pair, penalties=[0.1])
    for other in (PairMoments.from_samples(X, X, b="c"), PairMoments.from_samples(X, X[:, :5])):
        with pytest.raises(
            MismatchError, match=r"Cannot score a map from 'a' to 'b' \(12 to 12 units\) on 'a' with"
        ):
            found.scored_on(other)


@pytest.mark.parametrize("solver", ["exact", "paper"])
def test_the_path_is_the_loss_and_the_mean_count_of_living_targets(solver: str) -> None:
    x = np.random.default_rng(0).normal(size=(400, 5))
    y = np.column_stack([x[:, 2], x[:, 0] + x[:, 3], np.zeros(400)])
    found = sparse_map(PairMoments.from_samples(x, y), penalties=[0.3, 0.1, 0.0], solver=solver)
    table = found.path_table()
    np.testing.assert_array_equal(table["penalty"], found.penalties)
    np.testing.assert_array_equal(table["loss"], found.loss)
    np.testing.assert_array_equal(table["paper_lambda"], found.penalties / 2)
    np.testing.assert_array_equal(table["n_contributors"], found.n_contributors()[:, :2].mean(axis=1))
    np.testing.assert_array_equal(table["gap"], found.gap[:, :2].max(axis=1))
    if solver == "exact":
        assert table["n_contributors"].iloc[0] == 1.5


@pytest.mark.parametrize("solver", ["exact", "paper"])
def test_the_path_of_dead_targets_is_unknown(solver: str) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    found = sparse_map(PairMoments.from_samples(x, np.zeros((50, 2))), penalties=[0.1], solver=solver)
    assert found.path_table()[["loss", "n_contributors", "gap"]].isna().all(axis=None)


def test_folds_of_another_pair_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    pair = PairMoments.from_samples(x, x[:, :3], a="n/a", b="m/b")
    with pytest.raises(MismatchError, match=r"Found 'm/b' \(3\) with 'n/a' \(4\). Take both from the same blocks"):
        local_or_distributed(pair, [(pair.swapped, pair.swapped)] * 2)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_a_tolerance_is_above_zero(tolerance: float) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises(InvalidArgumentError, match=r"relative duality gap. Found tolerance="):
        sparse_map(PairMoments.from_samples(x, x), penalties=[0.1], tolerance=tolerance)


@pytest.mark.parametrize("wrong", [np.array(["a"]), np.array([None]), np.array([[0.1]])])
def test_penalties_that_are_no_numbers_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"are a list of numbers.*Give at least one"):
        checked_penalties(wrong)
