"""How long a unit stays itself along the layers of one net, and what changes where the width does."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from .._typing import Array, Float64, Int64
from ..errors import InvalidArgumentError
from ..results import frozen
from ..solvers.haar import haar
from ..solvers.pooling import delete_block_error, student_reach
from ..statistics.blocked import Blocked
from ..statistics.joint_moments import JointMoments
from ..statistics.moments import Moments
from ..units import LayerRef
from .chance import plain
from .cka import linear_cka
from .correlation import correlation
from .intervals import Estimate, scale_of
from .matching import match_best, match_one_to_one
from .residual_stream import ResidualStream, StreamIntervals, half_lives
from .shared_basis import mean_self_r, one_step_out, share_of_themselves, turned

_Source: TypeAlias = Moments | JointMoments
_Scale: TypeAlias = tuple[Callable[[Array], Array], Callable[[Array], Array]]

_LOG: _Scale = (np.log, np.exp)


def stream_along(
    moments: Moments | JointMoments | Blocked[Moments],
    layers: Sequence[LayerRef | str],
    *,
    n_draws: int = 5,
    seed: int = 0,
    level: float = 0.95,
) -> ResidualStream:
    """Follow the units of one net along its layers: every layer with every later one of the same width.

    Within a stage (neighbouring layers of one width): mean correlation of a unit with itself, identity share and
    one-to-one share, as in `identity_share`; their means over pairs at each lag; and the half-life, the lag at
    which the mean correlation crosses 1/2 (it is 1 at lag 0), linear between lags. Between each layer and the
    next, across stages too: linear CKA, which needs no common basis.

    Args:
        moments: of the layers, every two of a stage paired (`MomentsPlan(pairs="all", norms=True)`); in blocks of
            inputs, for intervals too.
        layers: of one net, from the input up: its residual sums, say.
        n_draws: rotations of the basis, one for all layers of a stage; 0 leaves them out.
        seed: of the rotations.
        level: how often an interval should hold the truth, between 0 and 1.

    Returns:
        Shares in [0, 1], correlations in [-1, 1], half-lives above 0. Intervals are by leaving out one block at a
        time, of atanh(r) for correlations and of the logarithm for half-lives.

    Raises:
        InvalidArgumentError: if there are fewer than two layers, or one twice; n_draws is negative; with blocks,
            if fewer than two hold inputs, or the level is not between 0 and 1.
        UnknownNameError: if two layers of a stage, or neighbours, were not paired.

    Invariant to: positive scaling and shifting of single units (yes, but for CKA); one permutation of the units of
        all layers (yes); rotation of units (no).

    Cost: for each pair of layers an assignment, and for each draw four products of units x units; 10 layers of
        256 units take 0.3 s, and 0.4 s more for each draw, one core. Each block adds one search of best partners
        for each pair: 10 blocks, 3 s.

    Reference: He et al. 2016; Elhage et al. 2021.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> layers = {"net/block0": rng.normal(size=(500, 20))}
        >>> for k in range(1, 5):  # each block doubles the variance
        ...     sd = 2 ** ((k - 1) / 2)
        ...     layers[f"net/block{k}"] = layers[f"net/block{k - 1}"] + sd * rng.normal(size=(500, 20))
        >>> found = stream_along(JointMoments.from_samples(layers), list(layers))
        >>> found.by_lag()["self_r"].round(1).tolist(), found.half_life.round(1).tolist()
        ([0.7, 0.5, 0.3, 0.2], [2.0])
    """
    names = tuple(str(layer) for layer in layers)
    _check(names, n_draws)
    whole = moments.total if isinstance(moments, Blocked) else moments
    route = _route(whole, names)
    seen = _seen(whole, route)
    rotated_self_r, rotated_share = _rotated(whole, route, n_draws, seed)
    return ResidualStream(
        layers=names,
        n_units=route.n_units,
        stage=frozen(route.stage),
        first=frozen(route.first),
        second=frozen(route.second),
        n_alive=frozen(seen.n_alive),
        self_r=frozen(seen.self_r),
        share=frozen(seen.share),
        one_to_one=frozen(_one_to_one(whole, route)),
        rotated_self_r=rotated_self_r,
        rotated_share=rotated_share,
        cka=frozen(seen.cka),
        estimator=route.estimator,
        intervals=_intervals(seen, moments, route, level) if isinstance(moments, Blocked) else None,
    )


class _Route(NamedTuple):
    """The layers, and which of them are compared."""

    names: tuple[str, ...]
    n_units: tuple[int, ...]
    stage: Int64[Array, " layers"]
    first: Int64[Array, " pairs"]
    second: Int64[Array, " pairs"]
    estimator: str

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(self.names[i], self.names[j]) for i, j in zip(self.first, self.second, strict=True)]

    def half_life(self, self_r: Float64[Array, " pairs"]) -> Float64[Array, " stages"]:
        return half_lives(self_r, self.second - self.first, self.stage[self.first], int(self.stage[-1]) + 1)


class _Seen(NamedTuple):
    """What is measured anew without each block."""

    self_r: Float64[Array, " pairs"]
    share: Float64[Array, " pairs"]
    n_alive: Int64[Array, " pairs"]
    cka: Float64[Array, " steps"]
    half_life: Float64[Array, " stages"]


def _check(names: tuple[str, ...], n_draws: int) -> None:
    if len(names) < 2 or len(set(names)) != len(names) or n_draws < 0:
        raise InvalidArgumentError(
            f"A stream leads through layers of one net, each once. Found {list(names)} and n_draws={n_draws}. "
            "Name at least two layers from the input up, and draw 0 rotations or more."
        )


def _route(moments: _Source, names: tuple[str, ...]) -> _Route:
    alone = [moments.pair(name, name) for name in names]
    n_units = tuple(len(pair.mean_a) for pair in alone)
    stage = np.cumsum(np.diff(n_units, prepend=n_units[0]) != 0)
    first, second = np.triu_indices(len(names), 1)
    within = stage[first] == stage[second]
    n_samples = alone[0].n_samples
    debiased = alone[0].norms is not None and n_samples is not None and n_samples > 3
    return _Route(names, n_units, stage, first[within], second[within], "debiased" if debiased else "biased")


def _seen(moments: _Source, route: _Route) -> _Seen:
    numbers = np.full((len(route.pairs), 3), np.nan)
    for row, names in zip(numbers, route.pairs, strict=True):
        scores = correlation(moments.pair(*names))
        self_r = np.diagonal(scores.between)
        row[:] = mean_self_r(self_r), share_of_themselves(match_best(scores), self_r), np.sum(~np.isnan(self_r))
    steps = zip(route.names[:-1], route.names[1:], strict=True)
    cka = np.array([linear_cka(moments.pair(*step), estimator=route.estimator) for step in steps])
    self_r, share, n_alive = numbers.T
    return _Seen(self_r, share, n_alive.astype(np.int64), cka, route.half_life(self_r))


def _one_to_one(moments: _Source, route: _Route) -> Float64[Array, " pairs"]:
    found = [correlation(moments.pair(*names)) for names in route.pairs]
    return np.array([share_of_themselves(match_one_to_one(one), np.diagonal(one.between)) for one in found])


def _rotated(
    moments: _Source, route: _Route, n_draws: int, seed: int
) -> tuple[Float64[Array, "draws pairs"], Float64[Array, "draws pairs"]]:
    """Mean self_r and identity share after one rotation for all layers of a stage."""
    found = np.full((2, n_draws, len(route.pairs)), np.nan)
    rng = np.random.default_rng(seed)
    for stage in np.unique(route.stage[route.first]):
        layers = [name for name, own in zip(route.names, route.stage, strict=True) if own == stage]
        units, scale = _common_scale(moments, layers)
        if not len(units):
            continue
        rotations = [haar(len(units), rng) / scale[:, None] for _ in range(n_draws)]
        for column in np.flatnonzero(route.stage[route.first] == stage):
            pair = moments.pair(*route.pairs[column])
            aa, bb, ab = (cov[np.ix_(units, units)] for cov in (pair.cov_aa, pair.cov_bb, pair.cov_ab))
            for draw, rotation in enumerate(rotations):
                r = turned(aa, bb, ab, rotation)
                found[:, draw, column] = np.diagonal(r).mean(), (r.argmax(axis=1) == np.arange(len(r))).mean()
    return frozen(found[0]), frozen(found[1])


def _common_scale(moments: _Source, layers: Sequence[str]) -> tuple[Int64[Array, " living"], Array]:
    """The units that live in all layers, and the root of their mean variance."""
    alone = [moments.pair(layer, layer) for layer in layers]
    units = np.flatnonzero(np.all([pair.alive_a for pair in alone], axis=0))
    return units, np.sqrt(np.mean([pair.std_a[units] ** 2 for pair in alone], axis=0))


def _intervals(whole: _Seen, given: Blocked[Moments], route: _Route, level: float) -> StreamIntervals:
    blocked = Blocked(tuple(block for block in given.blocks if block.n_inputs))
    if len(blocked.blocks) < 2:
        raise InvalidArgumentError(
            f"Asked to leave out one block of inputs of '{route.names[0]}' at a time. Found {len(blocked.blocks)} "
            "block with inputs. Give more inputs or more blocks, or pass `.total` alone."
        )
    layer = LayerRef.parse(route.names[0])
    without = [_seen(rest, route) for rest, _ in blocked.folds()]
    sizes = np.array([block.n_samples[layer] or 1 for block in blocked.blocks], dtype=np.float64)
    n_inputs = sum(block.n_inputs for block in blocked.blocks)

    def estimate(name: str, scale: _Scale) -> Estimate:
        value, others = getattr(whole, name), np.array([getattr(one, name) for one in without])
        forward, back = scale
        reach = student_reach(level, len(sizes)) * delete_block_error(forward(value), forward(others), sizes)
        return Estimate(
            value=plain(value),
            standard_error=plain(delete_block_error(value, others, sizes)),
            low=plain(back(forward(value) - reach)),
            high=plain(back(forward(value) + reach)),
            level=level,
            n_blocks=len(sizes),
            n_inputs=n_inputs,
            n_samples=int(sizes.sum()),
        )

    return StreamIntervals(
        estimate("self_r", scale_of("fisher")),
        one_step_out(estimate("share", scale_of(None)), whole.n_alive),
        estimate("cka", scale_of(None)),
        estimate("half_life", _LOG),
    )
