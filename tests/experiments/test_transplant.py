"""Images of another net's units: a permuted and rescaled copy is recovered, noise is not; fit and score apart."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from convergent import (
    AffineMap,
    Answers,
    PairMoments,
    Transplants,
    answer,
    disagreement,
    match_best,
    match_one_to_one,
    ridge_map,
    sparse_map,
    transplant,
)
from convergent.errors import ConvergentError, InvalidArgumentError, MismatchError, UnknownNameError

G = torch.Generator().manual_seed(0)
X = torch.randn(300, 5, generator=G)
FIT, SCORE = X[:150], X[150:]
ORDER = torch.tensor([3, 0, 5, 1, 4, 2])
DEAD = 4


class Net(nn.Module):
    """Linear, in-place ReLU, and a head that is not linear."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.relu = nn.Linear(5, 6), nn.ReLU(inplace=True)
        self.head = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.below(x)))


def original() -> Net:
    torch.manual_seed(0)
    net = Net()
    with torch.no_grad():
        net.below.weight[DEAD] = 0
        net.below.bias[DEAD] = -1
        net.head[2].weight.mul_(8)  # type: ignore[operator]
    return net


def permuted() -> Net:
    """Unit ORDER[i] of the original is unit i, three times as large."""
    net = original()
    with torch.no_grad():
        net.below.weight.copy_(3 * original().below.weight[ORDER])
        net.below.bias.copy_(3 * original().below.bias[ORDER])
    return net


LABELS = original()(X).argmax(dim=1)
DATA = [(SCORE[:100], LABELS[150:250]), (SCORE[100:], LABELS[250:])]


def pair_of(a: Net, b: Net, layer: str = "relu") -> PairMoments:
    sides = [getattr(net, layer)(net.below(FIT)) if layer == "relu" else net.below(FIT) for net in (a, b)]
    return PairMoments.from_samples(*sides, a="a/relu", b="b/relu")


def test_a_permuted_copy_is_recovered_by_every_map_and_noise_is_not() -> None:
    a, b = original(), permuted()
    torch.manual_seed(5)
    stranger = Net()
    pair, other = pair_of(a, b), pair_of(a, stranger)
    maps = {
        "one": AffineMap.from_matching(match_one_to_one(pair), pair),
        "sparse": AffineMap.from_map(sparse_map(pair.swapped, penalties=[1e-7])),
        "ridge": AffineMap.from_map(ridge_map(pair.swapped, penalties=[0.1, 1e-9]), penalty=1e-9),
    }
    found = transplant(a, b, DATA, "relu", "relu", maps)
    np.testing.assert_allclose(found.intact.scores, answer(a, DATA).scores)
    np.testing.assert_allclose(found.transplanted["one"].scores, found.intact.scores, atol=1e-5)
    for name in maps:
        back = found.loss_recovered(name)
        assert back.value == pytest.approx(1, abs=1e-5)
        assert back.low <= back.value <= back.high
    table = found.table().set_index("units_are")
    assert table["same_choice"].drop("ablated").eq(1).all()
    assert table["loss_change"]["ablated"] > 0.1
    one = AffineMap.from_matching(match_best(other), other)
    strange = transplant(a, stranger, DATA, "relu", "relu", {"one": one}).table().set_index("units_are")
    assert strange["loss_recovered"]["one"] < 0.9
    assert strange["loss_recovered_low"]["one"] < strange["loss_recovered"]["one"]


def test_one_to_one_images_are_least_squares_fits_and_a_unit_without_partner_is_its_mean() -> None:
    a, b = original(), permuted()
    pair = pair_of(a, b)
    images = AffineMap.from_matching(match_one_to_one(pair), pair)
    assert not images.weights[DEAD].any()
    assert images.bias[DEAD] == images.means[DEAD]
    x, y = (net.relu(net.below(FIT)).detach().double().numpy() for net in (b, a))
    for unit in set(range(6)) - {DEAD}:
        partner = ORDER.tolist().index(unit)
        slope, shift = np.polyfit(x[:, partner], y[:, unit], 1)
        np.testing.assert_allclose([images.weights[unit, partner], images.bias[unit]], [slope, shift], atol=1e-6)


def test_sparse_images_are_the_predictions_of_the_map() -> None:
    pair = pair_of(original(), permuted())
    found = sparse_map(pair.swapped, penalties=[0.3, 0.1])
    images = AffineMap.from_map(found, penalty=0.1)
    x = (permuted().below(FIT).relu().detach().double().numpy() - pair.mean_b) / np.where(
        pair.alive_b, pair.std_b, 1
    )
    wanted = pair.mean_a + pair.std_a * (x @ found.weights[1].T)
    values = permuted().below(FIT).relu().detach()[:, :, None]
    np.testing.assert_allclose(images.of(values, np.arange(6))[:, :, 0], wanted, atol=1e-5)


def test_only_the_units_asked_for_are_replaced_and_maps_may_have_locations() -> None:
    torch.manual_seed(0)
    a, b = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)) for _ in range(2))
    x, y = torch.randn(9, 3, 6, 6, generator=G), torch.randint(3, (9,), generator=G)
    images = AffineMap("a", "b", np.ones((4, 4)), np.arange(4.0), np.zeros(4))
    found = transplant(a, b, [(x, y)], "0", "0", {"sum": images}, units=[1, 3])
    hidden, other = a[0](x), b[0](x).sum(dim=1)
    hidden[:, 1], hidden[:, 3] = other + 1, other + 3
    np.testing.assert_allclose(found.transplanted["sum"].scores, a[1:](hidden).detach(), atol=1e-5)
    none = transplant(a, b, [(x, y)], "0", "0", {"sum": images}, units=[])
    np.testing.assert_allclose(none.ablated.scores, none.intact.scores, atol=1e-6)
    assert np.isnan(none.loss_recovered("sum").value)  # nothing is lost, so nothing can come back


def test_the_interval_of_the_share_recovered_holds_the_truth() -> None:
    rng = np.random.default_rng(0)

    def scores(losses: np.ndarray) -> np.ndarray:
        return np.stack([np.zeros(len(losses)), np.log(np.expm1(losses))], axis=1)

    held = []
    for _ in range(300):
        intact = rng.gamma(2, 0.2, 60)
        at_stake = rng.gamma(2, 0.5, 60)
        back = 0.7 * at_stake + 0.2 * rng.normal(size=60)
        losses = intact, intact + at_stake, np.maximum(intact + at_stake - back, 1e-3)
        several = [Answers(np.arange(60), np.zeros(60, dtype=np.int64), scores(one)) for one in losses]
        found = transplants(several).loss_recovered("x")
        held.append(bool(found.low <= 0.7 <= found.high))
    assert 0.9 < np.mean(held) < 0.99


def transplants(several: list[Answers]) -> Transplants:
    return Transplants("a", "b", np.arange(1), several[0], several[1], {"x": several[2]})


def test_the_unit_that_carries_a_disagreement_is_named() -> None:
    a, b = original(), original()
    with torch.no_grad():
        b.below.weight[1] *= -1
    images = AffineMap.identity("relu", n_units=6)
    found = disagreement(a, b, DATA, "relu", "relu", images, answers_b=answer(b, DATA)).set_index("group")
    assert found["n_disagree"].gt(0).all()
    assert found["to_b"]["1"] == 1
    assert found["lost"]["1"] == 0
    assert found["margin_change"]["1"] > 0
    np.testing.assert_allclose(found["to_b"].drop("1"), 0)
    np.testing.assert_allclose(found["margin_change"].drop("1"), 0, atol=1e-5)
    same = disagreement(a, a, DATA, "relu", "relu", images, answers_b=answer(a, DATA), groups={"all": range(6)})
    assert same["n_disagree"].tolist() == [0]
    assert same[["margin_change", "to_b"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("run", "error", "told"),
    [
        (
            lambda a, one: transplant(a, a, DATA, "relu", "relu", {}),
            InvalidArgumentError,
            r"make units of layer 'relu' from those of 'relu'\. Found no maps\. Give at least one",
        ),
        (
            lambda a, one: transplant(a, a, DATA, "relu", "relu", {"one": one}, units=[6]),
            UnknownNameError,
            r"Cannot replace unit 6 of layer 'relu'\. The map makes 6 units\. Choose from 0 to 5",
        ),
        (
            lambda a, one: transplant(a, a, DATA, "rely", "relu", {"one": one}),
            UnknownNameError,
            r"Cannot tap layer 'rely'",
        ),
        (
            lambda a, one: transplant(a, a, DATA, "relu", "output", {"one": one}),
            MismatchError,
            r"'relu' \(6 units, 1 locations\) from those of 'output' \(3, 1\) by a map from 6 to 6\. Take layers",
        ),
        (
            lambda a, one: transplant(a, a, DATA, "relu", "relu", {"one": one}).loss_recovered("two"),
            UnknownNameError,
            r"what map 'two' recovers\. There are 'one'\. Choose one of these",
        ),
        (
            lambda a, one: disagreement(a, a, DATA, "relu", "relu", one, answers_b=answer(a, DATA), groups={}),
            InvalidArgumentError,
            r"units of layer 'relu' carry a disagreement\. Found no groups\. Give at least one",
        ),
        (
            lambda a, one: disagreement(a, a, DATA, "relu", "relu", one, answers_b=answer(a, DATA[:1])),
            MismatchError,
            r"compared input by input\. Found 150 against 100 inputs",
        ),
        (
            lambda a, one: AffineMap.from_map(ridge_map(pair_of(a, a), penalties=[1, 0.1])),
            InvalidArgumentError,
            r"Cannot choose penalty None of the map from 'a/relu' to 'b/relu'\. It has 1, 0\.1\. Give one",
        ),
        (
            lambda a, one: AffineMap.from_matching(match_best(pair_of(a, a)), pair_of(a, a).swapped),
            MismatchError,
            r"partners of 'a/relu' in 'b/relu' \(6 and 6 units\) on 'b/relu' with 'a/relu' \(6 and 6\)\. Give",
        ),
    ],
)
def test_what_cannot_be_transplanted_says_why(
    run: Callable[[Net, AffineMap], object], error: type[ConvergentError], told: str
) -> None:
    with pytest.raises(error, match=told):
        run(original(), AffineMap.identity("relu", n_units=6))
