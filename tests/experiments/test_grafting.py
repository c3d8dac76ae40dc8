"""Grafts with a planted truth: two nets that each see half of what decides the label, and share the rest."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from convergent import Costs, answer, costs, grafted
from convergent.errors import InvalidArgumentError, UnknownNameError

N_EACH = 3  # directions that A alone, B alone and both see


class Seeing(nn.Sequential):
    """ReLU units of the given directions of the input, both signs of each, and one that is dead."""

    def __init__(self, directions: list[int]) -> None:
        rows = torch.eye(3 * N_EACH)[directions]
        seeing = nn.Linear(3 * N_EACH, 2 * len(rows) + 1)
        with torch.no_grad():
            seeing.weight.copy_(torch.cat([rows, -rows, torch.zeros(1, 3 * N_EACH)]))
            seeing.bias.zero_()
        super().__init__(seeing, nn.ReLU(), nn.Linear(2 * len(rows) + 1, 3))


ONLY_A, BOTH, ONLY_B = (list(range(k * N_EACH, (k + 1) * N_EACH)) for k in range(3))
A, B = Seeing(ONLY_A + BOTH), Seeing(BOTH + ONLY_B)
SHARED = [*range(3), *range(6, 9)]
UNIQUE = [*range(3, 6), *range(9, 12)]
DEAD = 12


def drawn(n: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The label is a noisy linear function of every direction, of three classes of unequal size."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3 * N_EACH, generator=generator)
    weights = torch.randn(3 * N_EACH, 3, generator=torch.Generator().manual_seed(7))
    scores = x @ weights + 0.3 * torch.randn(n, 3, generator=generator) + torch.tensor([1.0, 0, -1])
    return [(x, scores.argmax(1))]


TRAIN, TEST = drawn(800, 0), drawn(600, 1)


def graft(**options: Any) -> Any:
    asked: dict[str, Any] = {
        "layer": "1",
        "units": {"unique": UNIQUE, "shared": SHARED, "none": [], "dead": [DEAD]},
        "n_draws": 3,
    }
    return grafted(A, B, TRAIN, TEST, **(asked | options)).table().set_index("added")


@pytest.fixture(scope="module")
def table() -> Any:
    return graft()


def test_unique_units_buy_accuracy_and_shared_ones_do_not(table: Any) -> None:
    assert table.index.tolist() == ["nothing", "unique", "shared", "none", "dead", "random", "copies", "noise"]
    unique, random = table.loc["unique"], table.loc["random"]
    assert unique["accuracy_gain_low"] > 0.1
    assert unique["loss_saved_low"] > 0.1
    assert unique["over_random_accuracy_gain_low"] > 0
    assert unique["random_draws_beaten"] == 1
    assert table.loc["copies", "random_draws_beaten"] == 0
    assert 0 < random["accuracy_gain"] < unique["accuracy_gain"]
    for nothing_new in ("shared", "copies"):
        row = table.loc[nothing_new]
        assert row["accuracy_gain_low"] <= 0 <= row["accuracy_gain_high"], nothing_new
        assert abs(row["loss_saved"]) < 0.005, nothing_new
        assert row["over_random_accuracy_gain_high"] < 0
    assert table.loc["noise", "accuracy_gain"] <= 0.01
    assert (table.loc[["unique", "shared", "random", "copies", "noise"], "n_units"] == 6).all()
    assert table["n_draws"].tolist() == [1, 1, 1, 1, 1, 3, 3, 3]
    assert table["sd_over_draws"].notna().tolist() == [False] * 5 + [True] * 3


def test_no_units_gain_nothing(table: Any) -> None:
    for name in ("none", "dead", "nothing"):
        row = table.loc[name]
        assert row["n_units"] == 0
        assert row[["accuracy_gain", "accuracy_gain_low", "loss_saved", "loss_saved_high"]].tolist() == [0] * 4
        assert row[["over_random_accuracy_gain", "random_draws_beaten"]].isna().all()
        assert row["n_multiply_adds"] == table.loc["nothing", "n_multiply_adds"]
    empty = graft(units={"unique": []})
    assert (empty["n_units"] == 0).all()
    assert (empty["accuracy_gain"] == 0).all()


def test_costs_count_both_nets_up_to_the_layer_and_the_readout(table: Any) -> None:
    layer = Costs(9 * 13 + 13, 9 * 13)
    assert costs(A, TEST[0][0], layer="1") == layer
    alone = layer + Costs(14 * 3, 13 * 3)
    for name, nets in (("nothing", 1), ("copies", 1), ("noise", 1), ("unique", 2), ("random", 2)):
        added = 0 if name == "nothing" else 6
        found = Costs(*table.loc[name, ["n_parameters", "n_multiply_adds"]].astype(int))
        beside = Costs(added * 3, added * 3) if nets == 1 else layer + Costs(added * 3, added * 3)
        assert found == alone + beside, name


def test_larger_sets_are_drawn_from(table: Any) -> None:
    few = graft(units={"unique": UNIQUE[:2], "shared": SHARED})
    assert few["n_draws"].tolist() == [1, 1, 3, 3, 3, 3]
    assert (few["n_units"].iloc[1:] == 2).all()
    again = graft(units={"shared": SHARED, "unique": UNIQUE[:2]})
    pd.testing.assert_frame_equal(few, again.loc[few.index])
    one = graft(n_units=1, n_draws=1, layer_b="0")
    assert one["n_units"].max() == 1
    assert one.loc["unique", "accuracy_gain"] < table.loc["unique", "accuracy_gain"]


def test_nets_are_left_as_they_were() -> None:
    before = answer(A.train(), TEST).scores
    with pytest.raises(UnknownNameError, match=r"Cannot choose layer 'conv'"):
        graft(layer="conv")
    assert A.training
    np.testing.assert_array_equal(answer(A, TEST).scores, before)


@pytest.mark.parametrize("units", [{"x": [13]}, {"x": [-1]}, {"x": [1, 1]}, {"random": [1]}])
def test_sets_that_cannot_be_added_say_why(units: dict[str, list[int]]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"Cannot add the set .* none of the 13 of B.*are taken\. Give"):
        graft(units=units)


def test_too_many_units_or_too_few_draws_say_why() -> None:
    for options in ({"n_units": 7}, {"n_units": -1}, {"n_draws": 0}):
        with pytest.raises(InvalidArgumentError, match=r"The smallest set that has living units has 6\. Give"):
            graft(**options)
