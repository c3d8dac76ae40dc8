"""Linear readouts: against a fit by another solver, with dead units, odd classes; what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import nn

from convergent import Features, answer, features, fit_readout
from convergent.batch import Batch
from convergent.errors import DataError, InvalidArgumentError, MismatchError

RNG = np.random.default_rng(0)


def made(n: int = 400, *, n_classes: int = 3, n_units: int = 4, first_id: int = 0) -> Features:
    """Labels from a linear map of all units but the last, and noise."""
    values = RNG.normal(size=(n, n_units)) * np.arange(1, n_units + 1) + 5
    weights = np.random.default_rng(1).normal(size=(n_units, n_classes))
    weights[-1] = 0
    scores = (values - 5) @ weights + RNG.gumbel(size=(n, n_classes))
    return Features(np.arange(first_id, first_id + n), scores.argmax(axis=1), values)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_the_penalised_fit_that_another_solver_finds(n_classes: int) -> None:
    train = made(n_classes=n_classes)
    readout = fit_readout(train, penalties=[0.01])
    x = (train.values - train.values.mean(0)) / train.values.std(0)

    def objective(parameters: np.ndarray) -> float:
        weights, bias = np.split(parameters, [x.shape[1] * n_classes])
        scores = x @ weights.reshape(-1, n_classes) + bias
        losses = logsumexp(scores, axis=1) - scores[np.arange(len(x)), train.labels]
        return losses.mean() + 0.005 * (weights**2).sum()

    mine = objective(np.concatenate([readout.weights.ravel(), readout.bias]))
    best = minimize(objective, np.zeros((x.shape[1] + 1) * n_classes)).fun
    assert mine == pytest.approx(best, abs=1e-6)


def test_the_penalty_is_the_one_that_does_best_on_what_was_held_out() -> None:
    assert fit_readout(made(4000)).penalty < 0.01
    noise = replace(made(60, n_units=30), values=np.random.default_rng(3).normal(size=(60, 30)))
    assert fit_readout(noise).penalty == 1


def test_the_same_features_give_the_same_bits() -> None:
    train = made(100)
    one, again = fit_readout(train), fit_readout(train)
    np.testing.assert_array_equal(one.weights, again.weights)


def test_dead_units_take_no_part() -> None:
    train, test = made(), made(100, first_id=1000)
    dead = [replace(one, values=np.hstack([one.values, np.full((len(one.ids), 1), 3.0)])) for one in (train, test)]
    dead[1].values[:, -1] = 9  # alive only where it was not seen
    readout = fit_readout(dead[0])
    assert readout.alive.tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(readout.weights[-1], 0)
    np.testing.assert_allclose(readout.answer(dead[1]).scores, fit_readout(train).answer(test).scores, atol=1e-3)
    all_dead = fit_readout(replace(train, values=np.ones((400, 2)))).answer(
        replace(test, values=np.ones((100, 2)))
    )
    shares = np.bincount(train.labels) / 400
    np.testing.assert_allclose(np.exp(-all_dead.losses), shares[test.labels], atol=1e-3)


def test_classes_may_be_unequal_and_missing() -> None:
    train = made()
    train = replace(train, labels=np.where(train.labels == 1, 4, train.labels))
    rare = replace(train, labels=np.where((train.labels == 2) & (train.labels[::-1] != 2), 0, train.labels))
    for one in (train, rare):
        readout = fit_readout(one)
        assert readout.bias.shape == (5,)
        assert np.isinf(readout.bias[[1, 3]]).all()
        found = readout.answer(one)
        assert np.isfinite(found.losses).all()
        assert found.accuracy > np.bincount(one.labels).max() / len(one.labels)
    with pytest.raises(
        MismatchError, match=r"on the classes \[0, 2, 4\]\. Found inputs of \[1\]\. Train it on all"
    ):
        readout.answer(replace(train, labels=np.where(train.labels == 0, 1, train.labels)))
    few = replace(train, labels=np.where(np.arange(400) < 2, 0, 2))  # too few of class 0 to hold one out
    assert fit_readout(few).bias.shape == (3,)


def test_features_are_means_over_locations() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(36, 2)).train()
    x, y = torch.randn(9, 3, 5, 5), torch.arange(9) % 2
    found = features(net, [(x[:5], y[:5]), (x[5:], y[5:])], "0")
    np.testing.assert_allclose(found.values, net[0](x).detach().mean((2, 3)), atol=1e-6)
    assert found.labels.tolist() == y.tolist()
    assert net.training
    both = found.beside(found.of([2]))
    np.testing.assert_array_equal(both.values[:, 4], found.values[:, 2])
    assert answer(net, [(x, y)]).ids.tolist() == found.ids.tolist()


def test_what_cannot_be_read_out_says_why() -> None:
    net, x = nn.Linear(2, 2), torch.randn(6, 2)
    for labels in (None, torch.tensor([0, 1, 0, 1, 0, -1]), torch.zeros(6, 2, dtype=torch.int64)):
        with pytest.raises(DataError, match=r"on 6 inputs\. Found some without a label, or with several\. Give"):
            features(net, [Batch(np.arange(6), x, labels)], "output")
    padded = Batch(np.arange(2), torch.randn(2, 3, 4), torch.zeros(2, dtype=torch.int64), torch.eye(2, 3) > 0)
    only = replace(padded, mask=torch.eye(2, 3) > torch.tensor([[1], [0]]))
    assert features(nn.Identity(), [padded], "output").values[0] == pytest.approx(padded.tensor[0, 0].numpy())
    with pytest.raises(
        DataError, match=r"of 2 inputs\. Found one with nothing but padding\. Leave such inputs out"
    ):
        features(nn.Identity(), [only], "output")
    train = made(40)
    for penalties in ([], [1.0, 0.0]):
        with pytest.raises(InvalidArgumentError, match=r"with the penalties .* Found none, or one that is not"):
            fit_readout(train, penalties=penalties)
    with pytest.raises(DataError, match=r"on 40 inputs of 1 classes\. It takes two.*Give more inputs"):
        fit_readout(replace(train, labels=np.zeros(40, dtype=np.int64)))
    with pytest.raises(DataError, match=r"on 4 inputs of 2 classes"):
        fit_readout(Features(np.arange(4), np.array([0, 1, 0, 1]), RNG.normal(size=(4, 2))))
    with pytest.raises(MismatchError, match=r"trained on 4 units\. Found 1\. Give the same units"):
        fit_readout(train).answer(train.of([0]))
    with pytest.raises(MismatchError, match=r"input by input\. Found 40 against 40.*Read both from the same"):
        train.beside(made(40, first_id=7))
