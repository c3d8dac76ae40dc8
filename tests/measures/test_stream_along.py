"""Streams built by hand: what is known of every lag, half-lives, stages, rotations, intervals."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

from convergent.errors import InvalidArgumentError, UnknownNameError
from convergent.extraction import Lockstep
from convergent.measures import identity_share, linear_cka, stream_along
from convergent.passes import collect
from convergent.solvers.haar import haar
from convergent.statistics import Blocked, BlockedPlan, JointMoments, Moments, MomentsPlan

RNG = np.random.default_rng(0)
DOUBLING = 2 ** (np.arange(5) / 2)  # each block adds as much variance as there is: r at lag k is 2 ** (-k / 2)


def doubling(
    n: int = 4000, units: int = 20, n_layers: int = 5, rng: np.random.Generator = RNG
) -> dict[str, np.ndarray]:
    x = rng.normal(size=(n, units))
    layers = {"net/b0": x}
    for k in range(1, n_layers):
        x = x + DOUBLING[k - 1] * rng.normal(size=(n, units))
        layers[f"net/b{k}"] = x
    return layers


def joint(layers: Mapping[str, np.ndarray]) -> JointMoments:
    return JointMoments.from_samples(layers)


class Slices(nn.Module):
    """Layers whose outputs are what stands in the input, one behind the other."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.widths = widths
        for name in widths:
            self.add_module(name, nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = x.split_with_sizes(list(self.widths.values()), dim=1)
        return torch.stack([getattr(self, n)(p).sum(1) for n, p in zip(self.widths, parts, strict=True)])


def passed(layers: Mapping[str, np.ndarray], *, n_blocks: int = 10) -> Blocked[Moments]:
    """Moments in blocks, by a pass over a net that gives these layers out."""
    widths = {name.removeprefix("net/"): x.shape[1] for name, x in layers.items()}
    rows = torch.from_numpy(np.concatenate(list(layers.values()), axis=1))
    source = Lockstep(
        {"net": Slices(widths).double()},
        [rows[k : k + 500] for k in range(0, len(rows), 500)],
        layers=list(widths),
    )
    plan = BlockedPlan(MomentsPlan(pairs="all", norms=True), n_blocks=n_blocks)
    found = collect(source, {"moments": plan})["moments"]
    assert isinstance(found, Blocked)
    return found


def test_a_stream_that_doubles_its_variance_halves_its_self_correlation_in_two_blocks() -> None:
    found = stream_along(joint(doubling()), [f"net/b{k}" for k in range(5)])
    lags = found.by_lag()
    assert lags["n_pairs"].tolist() == [4, 3, 2, 1]
    np.testing.assert_allclose(lags["self_r"], 2 ** (-np.arange(1, 5) / 2), atol=0.02)
    assert (lags["share"] == 1).all()
    assert (lags["one_to_one_share"] == 1).all()
    np.testing.assert_allclose(lags["chance"], 1 / 20)
    np.testing.assert_allclose(lags["rotated_self_r"], lags["self_r"], atol=0.02)  # noise has no basis
    np.testing.assert_allclose(found.half_life, [2.0], atol=0.1)
    assert np.isnan(found.half_lives()["more_than"]).all()
    assert found.estimator == "biased"


def test_pairs_are_those_of_identity_share() -> None:
    layers = doubling(n=200, units=9, n_layers=3)
    moments = joint(layers)
    found = stream_along(moments, list(layers), n_draws=0)
    table = found.table()
    assert list(zip(table["a"], table["b"], table["lag"], strict=True)) == [
        ("net/b0", "net/b1", 1),
        ("net/b0", "net/b2", 2),
        ("net/b1", "net/b2", 1),
    ]
    for row in table.itertuples():
        one = identity_share(moments.pair(str(row.a), str(row.b)), n_draws=1)
        assert row.self_r == one.mean_self_r
        assert (row.share, row.one_to_one_share) == (one.share, one.one_to_one_share)
    assert np.isnan(table["rotated_share"]).all()
    assert found.rotated_share.shape == (0, 3)


def test_a_stream_rotated_layer_by_layer_is_at_chance() -> None:
    layers = {name: x @ haar(40, RNG) for name, x in doubling(units=40).items()}
    found = stream_along(joint(layers), list(layers))
    assert abs(found.share.mean() - 1 / 40) < 4 * np.sqrt(1 / 40 / 400)  # 10 pairs of 40 units
    assert np.abs(found.self_r).max() < 0.15
    assert found.half_life[0] < 1


def test_a_stream_that_keeps_its_units_has_no_half_life_within_what_was_seen() -> None:
    x = RNG.normal(size=(500, 10))
    layers = {f"net/b{k}": x + 0.1 * k * RNG.normal(size=x.shape) for k in range(4)}
    table = stream_along(joint(layers), list(layers)).half_lives()
    assert np.isnan(table["half_life"].iloc[0])
    assert table["more_than"].tolist() == [3]


def test_privileged_units_lose_their_share_by_a_rotation_of_all_layers() -> None:
    x = RNG.normal(size=(2000, 40))
    signs = np.repeat([1.0, -1.0], 20)
    layers = {f"net/b{k}": x * signs**k + 0.2 * RNG.normal(size=x.shape) for k in range(3)}
    lags = stream_along(joint(layers), list(layers)).by_lag()
    assert lags["share"].tolist() == [0.5, 1.0]
    assert lags["rotated_share"].iloc[0] < 0.2
    assert lags["rotated_share"].iloc[1] == 1


def staged(n: int = 3000) -> dict[str, np.ndarray]:
    """Two stages, of 12 and 16 units, three layers each, and a narrow head."""
    first = list(doubling(n, 12, 3).values())
    second = first[-1] @ RNG.normal(size=(12, 16))
    later = [second, second + RNG.normal(size=(n, 16)), second + 0.5 * RNG.normal(size=(n, 16))]
    return {f"net/l{k}": x for k, x in enumerate([*first, *later, later[-1][:, :4]])}


def test_stages_are_split_where_the_width_changes() -> None:
    layers = staged()
    moments = joint(layers)
    found = stream_along(moments, list(layers), n_draws=2)
    assert found.stage.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert found.longest_lag.tolist() == [2, 2, 0]
    assert found.table()["stage"].tolist() == [0] * 3 + [1] * 3
    steps = found.steps()
    assert steps["across"].tolist() == [False, False, True, False, False, True]
    np.testing.assert_array_equal(np.isnan(steps["self_r"]), steps["across"])
    for row in steps.itertuples():
        pair = moments.pair(str(row.a), str(row.b))
        assert row.cka == linear_cka(pair, estimator="biased")
    assert found.half_lives()["n_units"].tolist() == [12, 16, 4]
    assert np.isnan(found.half_life[2])


def test_blocks_give_intervals_and_debiased_cka() -> None:
    layers = doubling(n=3000, units=10)
    moments = passed(layers)
    found = stream_along(moments, list(layers))
    plain = stream_along(joint(layers), list(layers))
    np.testing.assert_allclose(found.self_r, plain.self_r, atol=1e-9)
    np.testing.assert_array_equal(found.share, plain.share)
    assert found.estimator == "debiased"
    assert found.cka[0] == linear_cka(moments.total.pair("net/b0", "net/b1"))
    assert found.intervals is not None
    half_life = found.half_lives().iloc[0]
    assert half_life["low"] < 2 < half_life["high"]
    assert half_life["high"] - half_life["low"] < 0.5
    table = found.table()
    assert (table["share_low"] <= 0.9).all()  # one unit of ten, at least
    assert (table["share_high"] == 1).all()
    truth = 2 ** (-table["lag"] / 2)
    assert ((table["self_r_low"] < truth) & (truth < table["self_r_high"])).mean() > 0.7
    steps = found.steps()
    assert ((steps["cka_low"] < steps["cka"]) & (steps["cka"] < steps["cka_high"])).all()
    assert found.intervals.cka.n_inputs == 3000


def test_intervals_of_the_half_life_hold_the_truth() -> None:
    held = 0
    for seed in range(6):
        layers = doubling(n=800, units=6, rng=np.random.default_rng(seed))
        interval = stream_along(passed(layers), list(layers), n_draws=0).half_lives().iloc[0]
        held += interval["low"] <= 2 <= interval["high"]
    assert held >= 5


def test_dead_units_and_dead_layers() -> None:
    layers = doubling(n=400, units=8, n_layers=3)
    layers["net/b1"] = layers["net/b1"] * (np.arange(8) != 2)
    found = stream_along(joint(layers), list(layers), n_draws=1)
    assert (found.share == 1).all()
    assert not np.isnan(found.rotated_self_r).any()
    layers["net/b1"] = np.ones((400, 8))
    assert found.n_alive.tolist() == [7, 8, 7]
    dead = stream_along(joint(layers), list(layers), n_draws=1)
    assert np.isnan(dead.table()["chance"]).tolist() == [True, False, True]
    assert np.isnan(dead.self_r).tolist() == [True, False, True]
    assert np.isnan(dead.half_life).all()
    assert np.isnan(dead.rotated_self_r).all()


def test_what_is_no_stream_is_refused() -> None:
    layers = doubling(n=60, units=4, n_layers=2)
    for names, n_draws in ((["net/b0"], 1), (["net/b0", "net/b0"], 1), (["net/b0", "net/b1"], -1)):
        with pytest.raises(InvalidArgumentError, match=r"layers of one net, each once.*at least two"):
            stream_along(joint(layers), names, n_draws=n_draws)
    with pytest.raises(UnknownNameError, match="'net/b7'"):
        stream_along(joint(layers), ["net/b0", "net/b7"])


def test_one_block_with_inputs_is_refused() -> None:
    layers = doubling(n=60, units=4, n_layers=2)
    blocked = passed(layers, n_blocks=2)
    one = Blocked((blocked.blocks[0], blocked.blocks[1].identity()))
    with pytest.raises(InvalidArgumentError, match=r"one block of inputs.*Found 1 block.*\.total"):
        stream_along(one, list(layers))
