"""Features of units against NumPy on all activations at once; whose weights read a unit."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from convergent import Batch, View, unit_features
from convergent.errors import DataError
from convergent.experiments.outgoing_weights import outgoing_norms
from convergent.experiments.unit_features import unit_sums

G = torch.Generator().manual_seed(0)
X = torch.randn(30, 3, 4, 4, generator=G)
Y = torch.tensor([0] * 20 + [3] * 7 + [1] * 3)  # unequal classes, one of them missing
DATA = [(X[:18], Y[:18]), (X[18:], Y[18:])]


def net(*between: nn.Module, above: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3, padding=1)
    with torch.no_grad():
        conv.weight[2] = 0
    return nn.Sequential(OrderedDict(conv=conv, between=nn.Sequential(*between), above=above)).eval()


def test_features_are_those_of_all_activations_at_once() -> None:
    asked = net(nn.ReLU(), nn.Flatten(), above=nn.Linear(96, 4))
    found = unit_features(asked, DATA, "conv")
    values = asked.get_submodule("conv")(X).detach().double().numpy().reshape(30, 6, 16)
    np.testing.assert_allclose(found["mean"], values.mean(axis=(0, 2)), atol=1e-7)
    np.testing.assert_allclose(found["variance"], values.var(axis=(0, 2)), atol=1e-7)
    assert found["dead"].tolist() == [unit == 2 for unit in range(6)]
    per_input = values.mean(axis=2)
    explained = sum(
        (Y.numpy() == label).sum() * (per_input[Y.numpy() == label].mean(axis=0) - per_input.mean(axis=0)) ** 2
        for label in (0, 1, 3)
    ) / (30 * per_input.var(axis=0).clip(1e-12))
    np.testing.assert_allclose(found["selectivity"].drop(2), np.delete(explained, 2), atol=1e-6)
    assert np.isnan(found["selectivity"][2])
    weight = asked.get_parameter("above.weight").detach().view(4, 6, 16)
    np.testing.assert_allclose(found["outgoing_norm"], weight.norm(dim=(0, 2)), rtol=1e-6)
    assert all(not module._forward_pre_hooks and not module._forward_hooks for module in asked.modules())


def test_a_unit_that_is_the_class_is_all_selective_and_one_that_ignores_it_is_not() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    x = torch.stack([labels * 1.0, torch.tensor([1.0, 2, 3, 2, 1, 3])], dim=1)
    found = unit_features(nn.Sequential(nn.Identity(), nn.Linear(2, 3)), [(x, labels)], "0")
    np.testing.assert_allclose(found["selectivity"], [1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "between",
    [
        (),
        (nn.ReLU(), nn.MaxPool2d(2)),
        (nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
        (nn.LocalResponseNorm(5),),
        (nn.GroupNorm(1, 6), nn.GELU()),
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_the_weights_that_read_a_unit_are_found_through_what_lies_between(
    between: tuple[nn.Module, ...], groups: int
) -> None:
    above = nn.Conv2d(6, 8, 2, groups=groups)
    found = outgoing_norms(net(*between, above=above), Batch(np.arange(2), X[:2]), "conv")
    squares = above.weight.detach().double().square().sum(dim=(2, 3)).view(groups, 8 // groups, 6 // groups)
    np.testing.assert_allclose(found, squares.sum(dim=1).flatten().sqrt(), rtol=1e-6)


def test_a_concatenation_and_an_order_of_its_own() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.head = nn.Linear(4, 3), nn.Linear(4, 2), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([self.left(x), self.right(x).flip(1)], dim=1))

    asked, batch = Joined(), Batch(np.arange(3), torch.randn(3, 4))
    norms = asked.head.weight.detach().double().norm(dim=0)
    np.testing.assert_allclose(outgoing_norms(asked, batch, "left"), norms[:3])
    np.testing.assert_allclose(outgoing_norms(asked, batch, "right"), norms[[4, 3]])
    assert np.isnan(outgoing_norms(asked, batch, "output")).all()


def test_a_matrix_that_is_multiplied_by_as_gpt2_has_it() -> None:
    class Multiply(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    multiply = Multiply()
    asked = nn.Sequential(nn.Linear(3, 4), nn.GELU(), multiply, nn.Linear(4, 2))
    found = outgoing_norms(asked, Batch(np.arange(2), torch.randn(2, 5, 3)), "0")
    np.testing.assert_allclose(found, multiply.weight.detach().double().norm(dim=1))


def test_neurons_are_units_where_the_view_says_so() -> None:
    asked = net(nn.Flatten(), above=nn.Linear(96, 4))
    found = unit_features(asked, DATA, "conv", view=View("neurons"))
    assert len(found) == 96
    np.testing.assert_allclose(
        found["outgoing_norm"], asked.get_parameter("above.weight").detach().norm(dim=0), rtol=1e-6
    )


def test_padding_takes_no_part() -> None:
    tokens, mask = torch.randn(4, 5, 3, generator=G), torch.arange(5) < torch.tensor([[5], [2], [1], [3]])
    batch = Batch(np.arange(4), tokens.masked_fill(~mask[:, :, None], float("nan")), torch.arange(4) % 2, mask)
    sums = unit_sums(nn.Identity(), [batch], ["output"])["output"]
    real = tokens[mask].double().numpy()
    np.testing.assert_allclose(sums.mean, real.mean(axis=0))
    np.testing.assert_allclose(sums.variance, real.var(axis=0))
    assert np.isfinite(sums.selectivity).all()


def test_inputs_without_labels_or_none_at_all_are_refused() -> None:
    asked = net(nn.Flatten(), above=nn.Linear(96, 4))
    with pytest.raises(DataError, match=r"units of 'conv' are for classes\. Found inputs without label\. Give"):
        unit_features(asked, [X], "conv")
    with pytest.raises(DataError, match=r"means of units\. Found no inputs\. Give at least one"):
        unit_features(asked, [], "conv")
