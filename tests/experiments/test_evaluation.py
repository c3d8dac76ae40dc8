"""Answers of nets: against torch, on several kinds of inputs; what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convergent import Answers, answer, over_inputs
from convergent.errors import DataError, MismatchError, NetError

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(30, 4, generator=GENERATOR)
Y = torch.randint(3, (30,), generator=GENERATOR)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 3)).train()


def test_answers_are_those_of_the_net_in_evaluation_mode() -> None:
    asked = net()
    found = answer(asked, [(X[:20], Y[:20]), (X[20:], Y[20:])])
    assert all(module.training for module in asked.modules())
    scores = asked.eval()(X).detach()
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6)
    assert found.loss == pytest.approx(F.cross_entropy(scores, Y).item(), rel=1e-6)
    assert found.accuracy == (scores.argmax(1) == Y).double().mean().item()
    by_class = found.by_class()
    assert by_class["n_inputs"].tolist() == torch.bincount(Y).tolist()
    assert (by_class["accuracy"] * by_class["n_inputs"]).sum() == pytest.approx(found.correct.sum())


def test_large_scores_have_finite_losses() -> None:
    found = Answers(np.arange(2), np.array([0, 1]), np.array([[1e4, 0.0], [1e4, 0.0]]))
    np.testing.assert_array_equal(found.losses, [0, 1e4])


def test_the_interval_over_inputs_holds_the_truth() -> None:
    rng = np.random.default_rng(0)
    found = [over_inputs(rng.random(50) < 0.8) for _ in range(400)]
    assert 0.9 < np.mean([one.low <= 0.8 <= one.high for one in found]) < 0.98


def test_what_cannot_be_read_says_why() -> None:
    with pytest.raises(DataError, match=r"Found no inputs\. Give at least one"):
        answer(net(), [])
    with pytest.raises(DataError, match=r"for 30 inputs\. Found no label, or several, of each\. Give inputs"):
        answer(net(), [X])
    with pytest.raises(NetError, match=r"which of 3 scores is right\. Found labels from 0 to 3\. Give labels"):
        answer(net(), [(X, Y.clamp(max=2) + torch.eye(30, dtype=torch.int64)[0] * (3 - Y[0]))])
    with pytest.raises(NetError, match=r"answers to 30 inputs\. The net gives shape \(30, 2, 2\), not one score"):
        answer(nn.Unflatten(1, (2, 2)), [(X, Y)])
    with pytest.raises(DataError, match=r"scatter over inputs\. Found 1\. Give at least two"):
        over_inputs(np.ones(1))
    one = answer(net(), [(X, Y)])
    with pytest.raises(MismatchError, match=r"input by input\. Found 30 against 10.*Ask both nets the same"):
        one.same_inputs(answer(net(), [(X[:10], Y[:10])]))
