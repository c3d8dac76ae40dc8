"""Scores on blocks left out: what a block of one sample may say."""

import numpy as np
import torch
from torch import nn

from convergent import (
    BlockedPair,
    BlockedPlan,
    Lockstep,
    MomentsPlan,
    collect,
    held_out_matching,
    held_out_scores,
    match_best,
    match_one_to_one,
)


def test_blocks_of_one_sample_have_no_say() -> None:
    torch.manual_seed(0)
    nets = {name: nn.Linear(8, 6) for name in "ab"}
    source = Lockstep(nets, [torch.randn(14, 8)], layers=["output"])
    blocked = collect(source, {"moments": BlockedPlan(MomentsPlan())})["moments"]
    folds = [
        (rest.pair("a/output", "b/output"), held_out.pair("a/output", "b/output"))
        for rest, held_out in blocked.folds()
        if held_out.n_inputs
    ]
    single = [fold for fold in folds if fold[1].n_inputs == 1]
    assert single
    several = [fold for fold in folds if fold[1].n_inputs != 1]
    np.testing.assert_array_equal(held_out_scores(folds, match_best), held_out_scores(several, match_best))
    assert np.isnan(held_out_scores(single, match_best)).all()


def test_intervals_hold_zero_where_all_is_noise() -> None:
    """The blocks' scores depend on each other through the search: their scatter alone covers in 74 % of cases."""
    found = []
    for seed in range(80):
        x, y = np.random.default_rng(seed).normal(size=(2, 500, 16))
        found.append(held_out_matching(BlockedPair.from_samples(x, y), match=match_one_to_one).layer)
    assert np.mean([one.low <= 0 <= one.high for one in found]) > 0.87
    said = np.sqrt(np.mean([np.square(one.standard_error) for one in found]))
    assert 0.85 < said / np.std(np.array([one.value for one in found])) < 1.2


def test_stable_partners_have_the_scatter_of_the_blocks_and_no_more() -> None:
    x = np.random.default_rng(0).normal(size=(400, 6))
    blocked = BlockedPair.from_samples(x, x + np.random.default_rng(1).normal(size=x.shape))
    fixed = match_best(blocked.total)
    searched, given = (held_out_matching(blocked, match=one).units for one in (match_best, lambda _: fixed))
    np.testing.assert_array_equal(searched.standard_error, given.standard_error)
