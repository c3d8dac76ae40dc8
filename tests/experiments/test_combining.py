"""Ensembles and the table of what each combination buys."""

from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from convergent import Answers, Combination, Costs, combination_table, ensemble, over_inputs
from convergent.errors import InvalidArgumentError, MismatchError

RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=2000)


def noisy(sd: float, *, n_classes: int = 3) -> Answers:
    """The truth and independent noise."""
    return Answers(np.arange(2000), LABELS, np.eye(n_classes)[LABELS] + RNG.normal(size=(2000, n_classes)) * sd)


@pytest.mark.parametrize("estimator", ["scores", "probabilities"])
def test_identical_nets_are_no_better_together(estimator: str) -> None:
    net = noisy(1.0)
    both = ensemble([net, net, net], estimator=estimator)
    np.testing.assert_allclose(both.losses, net.losses, atol=1e-12)
    np.testing.assert_array_equal(both.choice, net.choice)


def test_means_are_those_of_scores_and_of_probabilities() -> None:
    nets = [noisy(1.0), noisy(1.0)]
    of_scores, of_probabilities = (ensemble(nets, estimator=how) for how in ("scores", "probabilities"))
    mean_log = np.mean([log_softmax(one.scores, axis=1) for one in nets], axis=0)
    np.testing.assert_allclose(softmax(of_scores.scores, axis=1), softmax(mean_log, axis=1), atol=1e-12)
    mean = np.mean([softmax(one.scores, axis=1) for one in nets], axis=0)
    np.testing.assert_allclose(np.exp(of_probabilities.scores), mean, atol=1e-12)


def test_the_table_sets_each_way_against_the_better_net() -> None:
    a, b = noisy(1.0), noisy(0.9)
    one = Costs(100, 1000)
    nets = {"a": Combination((a,), one), "b": Combination((b,), one)}
    ways = {"both": Combination((ensemble([a, b]),), one + one), "drawn": Combination((a, b), one)}
    table: Any = combination_table(nets, ways).set_index("way")
    assert table.index.tolist() == ["a", "b", "both", "drawn"]
    assert table.loc["b", ["accuracy_gain", "accuracy_gain_low", "loss_saved"]].tolist() == [0, 0, 0]
    assert table.loc["both", "accuracy_gain_low"] > 0
    assert table.loc["a", "accuracy_gain"] < 0
    paired = over_inputs(a.correct.astype(float) - b.correct)
    assert table.loc["a", "accuracy_gain"] == pytest.approx(paired.value)
    assert table.loc["a", "accuracy_gain_low"] == pytest.approx(paired.low)
    assert table.loc["both", "loss_saved"] == pytest.approx(b.loss - ensemble([a, b]).loss)
    assert table["n_draws"].tolist() == [1, 1, 1, 2]
    assert table.loc["drawn", "accuracy"] == pytest.approx((a.accuracy + b.accuracy) / 2)
    assert table["times_multiply_adds"].tolist() == table["times_parameters"].tolist() == [1, 1, 2, 1]


def test_what_cannot_be_combined_says_why() -> None:
    net = noisy(1.0)
    with pytest.raises(InvalidArgumentError, match=r"combine answers\. Found none\. Give those of one net"):
        ensemble([])
    with pytest.raises(InvalidArgumentError, match=r"'scores' or 'probabilities'\. Found estimator='votes'"):
        ensemble([net], estimator="votes")
    with pytest.raises(MismatchError, match=r"Found nets with \[3, 4\] classes\. Combine nets"):
        ensemble([net, noisy(1.0, n_classes=4)])
    other = Answers(net.ids + 1, net.labels, net.scores)
    with pytest.raises(MismatchError, match=r"compared input by input"):
        Combination((net, other), Costs(1, 1))
    one = Combination((net,), Costs(1, 1))
    with pytest.raises(MismatchError, match=r"compared input by input"):
        combination_table({"a": one}, {"b": Combination((other,), Costs(1, 1))})
    for nets in ({}, {"a": one}):
        with pytest.raises(InvalidArgumentError, match=r"compared with single nets\. Found the nets"):
            combination_table(nets, {"a": one})
