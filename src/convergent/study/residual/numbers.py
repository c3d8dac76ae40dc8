"""What claims are made of: a few numbers of each net, of all inputs and without each block of them."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from ..._typing import Array, Bool, Float64
from ...measures import ResidualStream, linear_cka, stream_along
from ...solvers.pooling import mean_of_known
from ...statistics import Blocked, Moments
from .along import named
from .streams import Stream

ALL = -1  # no block is left out


def numbers_table(stream: Stream, moments: Blocked[Moments], *, rotations: int, by_block: bool) -> pd.DataFrame:
    """One row all inputs, and one each block of inputs that is left out.

    Columns: net, family, trained, left_out (the block, -1 for none), n_samples (of that block, or of all), and

    * share, chance, rotated_share, self_r, rotated_self_r: means over neighbours of a stage, one block apart;
    * least_self_r: self_r of the stage where its mean is smallest;
    * lasting_self_r: mean over stages of the mean over lags of self_r: how long a unit stays itself;
    * change_within, change_across: mean of 1 - CKA of a layer and the next, within stages and across boundaries;
    * cka_sums, cka_branches: mean CKA of neighbours of one width; NaN without branches.

    Args:
        stream: of one net.
        moments: of its layers, with norms.
        rotations: of the basis.
        by_block: leave out blocks, for intervals over inputs.
    """
    rows = [
        {"left_out": left_out, "n_samples": n_samples, **_numbers(stream, part, rotations)}
        for left_out, n_samples, part in _parts(stream, moments, by_block=by_block)
    ]
    return named(stream, pd.DataFrame(rows))


def _parts(stream: Stream, moments: Blocked[Moments], *, by_block: bool) -> Iterator[tuple[int, int, Moments]]:
    whole = moments.total
    first = whole.layers[0].ref
    yield ALL, whole.n_samples[first], whole
    blocked = Blocked(tuple(block for block in moments.blocks if block.n_inputs))
    if by_block and len(blocked.blocks) > 1:
        for left_out, (rest, block) in enumerate(blocked.folds()):
            yield left_out, block.n_samples[first], rest


def _numbers(stream: Stream, moments: Moments, rotations: int) -> dict[str, float]:
    seen = stream_along(moments, stream.sums, n_draws=rotations)
    near, across = seen.lag == 1, np.diff(seen.stage) > 0
    return {
        "share": _mean(seen.share[near]),
        "chance": _mean(1 / np.maximum(seen.n_alive[near], 1)),
        "rotated_share": _mean(seen.rotated_share[:, near]),
        "self_r": _mean(seen.self_r[near]),
        "rotated_self_r": _mean(seen.rotated_self_r[:, near]),
        "least_self_r": min(_by_stage(seen, seen.self_r, near)),
        "lasting_self_r": _mean(np.array(_lasting(seen))),
        "change_within": _mean(1 - seen.cka[~across]),
        "change_across": _mean(1 - seen.cka[across]),
        "cka_sums": _mean(seen.cka[~across]),
        "cka_branches": _mean(_branch_ckas(stream, moments)),
    }


def _branch_ckas(stream: Stream, moments: Moments) -> Float64[Array, " neighbours"]:
    near = [(a, b) for a, b in pairwise(stream.branches) if stream.n_units[a] == stream.n_units[b]]
    return np.array([linear_cka(moments.pair(a, b), estimator="debiased") for a, b in near], dtype=np.float64)


def _lasting(seen: ResidualStream) -> list[float]:
    """Of each stage, the mean over lags of the mean over pairs of self_r."""
    lags = seen.by_lag().groupby("stage")["self_r"].mean()
    return [float(value) for value in lags]


def _by_stage(
    seen: ResidualStream, values: Float64[Array, " pairs"], chosen: Bool[Array, " pairs"]
) -> list[float]:
    """Of each stage that has some of the chosen pairs, their mean."""
    stages = seen.stage[seen.first]
    return [_mean(values[chosen & (stages == stage)]) for stage in np.unique(stages[chosen])]


def _mean(values: Float64[Array, "..."]) -> float:
    """Of what is a number."""
    return float(mean_of_known(values.ravel(), axis=0))
