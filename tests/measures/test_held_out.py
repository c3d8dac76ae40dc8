"""Scores on blocks left out: what a block of one sample may say."""

import numpy as np
import torch
from torch import nn

from convergent import BlockedPlan, Lockstep, MomentsPlan, collect, held_out_scores, match_best


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
