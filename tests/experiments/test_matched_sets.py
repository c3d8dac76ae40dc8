"""Random sets like chosen units; whether chosen units help, hurt or do not matter, where that is planted."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from convergent import matched_sets, unique_units_effect
from convergent.errors import InvalidArgumentError, UnknownNameError

RNG = np.random.default_rng(0)


def features(n: int = 60) -> pd.DataFrame:
    variance = np.exp(RNG.normal(size=n))
    return pd.DataFrame(
        {
            "variance": variance,
            "outgoing_norm": 1 / variance + 0.1 * RNG.random(n),
            "selectivity": RNG.random(n),
            "dead": np.arange(n) == 7,
        }
    )


def test_sets_are_other_living_units_that_match_better_than_all_others() -> None:
    known = features()
    chosen = known["variance"].nlargest(18).index[::3].to_numpy()
    found = matched_sets(known, [*chosen, 7], n_sets=20)
    assert sorted(found.chosen.tolist()) == sorted(chosen.tolist())
    assert found.left_out.tolist() == [7]
    assert found.sets.shape == (20, len(chosen))
    assert not np.isin(found.sets, [*chosen, 7]).any()
    assert all(len(set(one)) == len(one) for one in found.sets.tolist())
    table = found.table().set_index("feature")
    assert (table["smd"].abs() < 0.5 * table["smd_unmatched"].abs() + 0.1).all()
    assert table.loc["variance", "smd_worst"] >= abs(table["smd"]["variance"])
    assert 0 < found.overlap < 1
    assert found.imbalance == table["smd"].abs().max()
    np.testing.assert_array_equal(found.sets, matched_sets(known, [*chosen, 7], n_sets=20).sets)
    assert (found.sets != matched_sets(known, [*chosen, 7], n_sets=20, seed=1).sets).any()


def test_units_with_a_twin_get_it_where_all_others_are_at_hand() -> None:
    known = pd.concat([features(20)] * 2, ignore_index=True).assign(dead=False)
    found = matched_sets(known, np.arange(40) < 20, n_sets=2, share=1)
    np.testing.assert_array_equal(found.sets, [np.arange(20, 40)] * 2)
    np.testing.assert_allclose(found.table()["smd"], 0, atol=1e-12)
    assert found.overlap == 1


def test_scales_and_shifts_of_features_do_not_matter_and_an_unknown_one_is_left_out() -> None:
    known = features()
    moved = known.assign(variance=7 - 3 * known["variance"], outgoing_norm=np.nan)
    found = matched_sets(moved, [1, 2, 3], n_sets=5)
    assert found.names == ("variance", "selectivity")
    on = ["variance", "selectivity"]
    np.testing.assert_array_equal(found.sets, matched_sets(known, [1, 2, 3], n_sets=5, on=on).sets)


def test_no_units_have_sets_of_none() -> None:
    found = matched_sets(features(), [], n_sets=3)
    assert found.sets.shape == (3, 0)
    assert found.table()["smd"].isna().all()
    assert np.isnan([found.overlap, found.imbalance]).all()


def test_what_cannot_be_matched_says_why() -> None:
    with pytest.raises(InvalidArgumentError, match=r"sets like 40 units\. There are only 19 other living units"):
        matched_sets(features().assign(dead=np.arange(60) == 59), range(40))
    several: list[dict[str, Any]] = [{"on": ["size"]}, {"n_sets": 0}, {"share": 0}, {"chosen": [60]}, {"on": []}]
    for wrong in several:
        with pytest.raises(InvalidArgumentError, match=r"Cannot draw .* Features known are \['variance'"):
            matched_sets(features(), **{"chosen": [1, 2], **wrong})


HELPS, HURTS, USELESS, DEAD = 0, 1, 2, 3


def planted() -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Two classes; unit 0 tells them apart, unit 1 is noise that is believed, unit 2 is not read."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 12, generator=generator)
    below, above = nn.Linear(12, 12), nn.Linear(12, 2)
    with torch.no_grad():
        below.weight.copy_(torch.eye(12))
        below.bias.zero_()
        below.weight[DEAD] = 0
        above.weight.zero_()
        above.bias.zero_()
        above.weight[1] = 0.05 * torch.tensor([1.0, -1] * 6)
        above.weight[1, [HELPS, HURTS, USELESS]] = torch.tensor([2.0, 1, 0])
    return nn.Sequential(below, nn.Identity(), above), [(x, (x[:, HELPS] > 0).long())]


@pytest.mark.parametrize(
    ("chosen", "verdict"),
    [([HELPS], "help"), ([HURTS], "hurt"), ([USELESS], "no effect seen"), ([USELESS, DEAD], "no effect seen")],
)
def test_planted_units_get_the_verdict_that_was_planted(chosen: list[int], verdict: str) -> None:
    net, data = planted()
    found = unique_units_effect(net, data, "1", chosen, n_sets=19, share=0.3)
    row = found.table().iloc[0]
    assert row["verdict"] == verdict
    assert row["n_units"] + row["n_dead"] == len(chosen)
    assert row["n_sets"] == 19
    if verdict == "help":
        assert row["p_more"] == 1 / 20
        assert row["p_less"] == 1
        assert row["loss_difference_low"] > 0
        assert row["accuracy_change_high"] < 0
    if chosen == [USELESS]:
        assert abs(row["loss_change"]) < 1e-6
    assert row["loss_difference"] == pytest.approx(row["loss_change"] - row["matched_loss_change"])
    assert found.matched is not None


def test_no_unique_units_do_nothing_and_all_of_them_have_none_like_them() -> None:
    net, data = planted()
    none = unique_units_effect(net, data, "1", [], n_sets=3).table().iloc[0]
    assert (none["n_units"], none["loss_change"], none["loss_difference"], none["p_more"]) == (0, 0, 0, 1)
    every = unique_units_effect(net, data, "1", range(12))
    row = every.table().iloc[0]
    assert every.matched is None
    assert (row["n_units"], row["n_dead"], row["n_sets"], row["verdict"]) == (11, 1, 0, "help")
    assert np.isnan(
        row[["matched_loss_change", "matched_loss_sd", "loss_difference", "p_more"]].astype(float)
    ).all()


def test_a_unit_that_is_not_there_is_refused() -> None:
    net, data = planted()
    with pytest.raises(UnknownNameError, match=r"take unit 12 out of layer '1'\. It has 12 units\. Choose from 0"):
        unique_units_effect(net, data, "1", [12])
