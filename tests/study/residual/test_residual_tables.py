"""Estimates of numbers of nets, and means of families, from tables written by hand."""

import numpy as np
import pandas as pd
import pytest

from convergent.measures import leave_one_net_out
from convergent.study.residual.by_family import family_half_lives, family_lags, family_steps
from convergent.study.residual.estimates import Term, sum_of

BLOCKS = 5


def numbers(values: dict[str, np.ndarray], *, family: str = "f", trained: bool = True) -> pd.DataFrame:
    """The mean of a net's values, and without each block of them."""
    rows = []
    for net, own in values.items():
        parts = np.array_split(own, BLOCKS)
        rows.append({"net": net, "left_out": -1, "n_samples": len(own), "x": own.mean()})
        rows += [
            {
                "net": net,
                "left_out": block,
                "n_samples": len(part),
                "x": np.concatenate(parts[:block] + parts[block + 1 :]).mean(),
            }
            for block, part in enumerate(parts)
        ]
    return pd.DataFrame(rows).assign(family=family, trained=trained, one=1.0)


def draws(*nets: str, seed: int = 0) -> dict[str, np.ndarray]:
    return {net: np.random.default_rng([seed, i]).normal(size=50) for i, net in enumerate(nets)}


def test_three_nets_are_left_out_in_turn() -> None:
    values = draws("a", "b", "c")
    found = sum_of([Term("f", True, {"x": 2.0, "one": 1.0})], numbers(values))
    assert found is not None
    expected = leave_one_net_out([2 * own.mean() + 1 for own in values.values()], [(n, n) for n in values])
    assert found.over == "over 3 nets"
    assert (found.estimate.value, found.estimate.low) == pytest.approx((expected.value, expected.low))


def test_one_net_is_known_as_well_as_its_inputs() -> None:
    values = draws("a")
    found = sum_of([Term("f", True, {"x": 1.0})], numbers(values))
    assert found is not None
    assert found.over.startswith("over inputs")
    means = [part.mean() for part in np.array_split(values["a"], BLOCKS)]
    assert found.estimate.value == pytest.approx(values["a"].mean())
    assert found.estimate.standard_error == pytest.approx(np.std(means, ddof=1) / np.sqrt(BLOCKS))
    assert found.estimate.n_samples == 50


def test_differences_on_the_same_inputs_are_paired() -> None:
    shared = draws("a")
    table = pd.concat([numbers(shared), numbers({"b": shared["a"] + 3}, family="g")])
    found = sum_of([Term("g", True, {"x": 1.0}), Term("f", True, {"x": -1.0})], table)
    assert found is not None
    assert (found.estimate.low, found.estimate.high) == pytest.approx((3, 3))


def test_ends_of_shares_lie_one_step_further_out() -> None:
    table = numbers({"a": np.zeros(50)}).assign(share=0.5, chance=0.1)
    found = sum_of([Term("f", True, {"share": 1.0, "chance": -1.0})], table)
    assert found is not None
    assert (found.estimate.low, found.estimate.value, found.estimate.high) == pytest.approx((0.3, 0.4, 0.5))
    nets = pd.concat([table.assign(net=name) for name in "abc"])
    over_nets = sum_of([Term("f", True, {"share": 1.0})], nets)
    assert over_nets is not None
    assert over_nets.estimate.low == pytest.approx(0.5)


def test_one_block_gives_no_interval_and_no_net_no_number() -> None:
    table = numbers(draws("a"))
    found = sum_of([Term("f", True, {"x": 1.0})], table[table["left_out"] == -1])
    assert found is not None
    assert np.isnan(found.estimate.low)
    assert sum_of([Term("f", False, {"x": 1.0})], table) is None
    assert sum_of([Term("f", True, {"x": 1.0})], table.assign(x=np.nan)) is None


def lags(curves: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        {"net": net, "family": "f", "trained": True, "stage": 0, "lag": lag, "chance": 0.1, "share": 0.5}
        | {"self_r": r, "rotated_self_r": r / 2, "rotated_share": 0.25}
        for net, curve in curves.items()
        for lag, r in enumerate(curve, 1)
    ]
    return pd.DataFrame(rows)


def test_the_half_life_of_a_family_is_that_of_its_mean_curve() -> None:
    table = lags({"a": [0.8, 0.3], "b": [0.8, 0.4], "c": [0.8, 0.2]})
    (row,) = family_half_lives(table).to_dict("records")
    assert row["half_life"] == pytest.approx(1 + 0.3 / 0.5)
    assert row["low"] < row["half_life"] < row["high"]
    assert np.isnan(row["more_than"])
    assert row["rotated"] == pytest.approx(0.5 / 0.6)


def test_a_half_life_that_was_not_reached_is_a_lower_bound() -> None:
    (row,) = family_half_lives(lags({"a": [0.9, 0.8]})).to_dict("records")
    assert np.isnan([row["half_life"], row["low"], row["high"]]).all()
    assert row["more_than"] == 2


def test_means_of_three_nets_have_ends_and_those_of_two_have_none() -> None:
    curves = {"a": [0.8], "b": [0.7], "c": [0.9]}
    (row,) = family_lags(lags(curves)).to_dict("records")
    expected = leave_one_net_out([0.8, 0.7, 0.9], [(n, n) for n in "abc"])
    assert (row["self_r"], row["self_r_low"], row["n_nets"]) == pytest.approx((0.8, expected.low, 3))
    assert (row["share"], row["rotated_share"], row["chance"]) == pytest.approx((0.5, 0.25, 0.1))
    (row,) = family_lags(lags({"a": [0.8], "b": [0.7]})).to_dict("records")
    assert row["self_r"] == pytest.approx(0.75)
    assert np.isnan(row["self_r_high"])


def test_steps_are_counted_in_each_net() -> None:
    table = pd.DataFrame(
        [
            {"net": net, "family": "f", "trained": True, "a": f"l{i}", "b": f"l{i + 1}", "across": i == 1}
            | {"estimator": "debiased", "cka": cka + i}
            for net, cka in (("a", 0.0), ("b", 0.2))
            for i in range(3)
        ]
    )
    found = family_steps(table)
    assert found["cka"].tolist() == pytest.approx([0.1, 1.1, 2.1])
    assert found["across"].tolist() == [False, True, False]
    assert found["b"].tolist() == ["l1", "l2", "l3"]
