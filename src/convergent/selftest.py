"""`convergent selftest`: questions whose answers are known beforehand, put to the library from hooks to measures.

Every case is a layer of filters on photographs, made from one layer by what its name says. Inputs carry channels
of noise behind the colours of the picture, so that a copy with noise, or of nothing but noise, is a net as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ._typing import Array, Int64, Tensor
from .batch import Input, Inputs
from .data import PhotoDigits, Subset
from .extraction import Lockstep
from .measures import (
    cca,
    correlation,
    held_out_matching,
    linear_cka,
    match_best,
    match_one_to_one,
    partner_chance,
    procrustes,
    ridge_map,
)
from .passes import collect
from .solvers.haar import haar
from .statistics import BlockedPair, BlockedPlan, Moments, MomentsPlan, PairMoments

_UNITS, _COLOURS, _KERNEL = 16, 3, 5
_DEAD = (3, 11)
_SOME = 32
_RATIOS = (1.0, 10.0, 100.0, 1e3, 1e4)


@dataclass(frozen=True)
class Check:
    """One question of the self test.

    Attributes:
        case: what was compared with the first net.
        asked: what was asked about it.
        expected: what the answer has to be.
        got: what it was.
        passed: whether they agree.
    """

    case: str
    asked: str
    expected: str
    got: str
    passed: bool


def run_selftest(*, n_inputs: int = 120, seed: int = 0) -> Iterator[Check]:
    """Ask questions whose answers are known, one after another.

    Args:
        n_inputs: photographs; 32 x 32 locations each.
        seed: of filters, rotations and orders.

    Returns:
        A check a question, as soon as it is answered.

    Cost: about ten seconds on two cores.
    """
    inputs, rng = _NoisyPictures(PhotoDigits.probe(n_inputs)), np.random.default_rng(seed)
    filters = rng.normal(size=(_UNITS, _COLOURS, _KERNEL, _KERNEL)) / (_COLOURS * _KERNEL**2) ** 0.5
    first = {"first": _layer(filters)}
    std = _moments(first, inputs).pair(_ref("first"), _ref("first")).std_a
    order, rotation = rng.permutation(_UNITS), haar(_UNITS, rng)
    mixing = rotation @ np.diag(np.linspace(0.3, 3, _UNITS)) @ haar(_UNITS, rng)
    copies = {
        "identity": _layer(filters),
        "permuted": _layer(filters[order]),
        "rotated": _layer(_mixed(rotation, filters)),
        "linear": _layer(_mixed(mixing, filters)),
        "noisy": _layer(filters, noise=np.diag(std)),
        "noise": _layer(np.zeros_like(filters), noise=haar(_UNITS, rng)),
        "dead": _layer(_without(filters, _DEAD), bias=np.full(_UNITS, 5.0)),
    }
    blocks = collect(
        _source(first | copies, inputs),
        {"moments": BlockedPlan(MomentsPlan(_with_first(copies), norms=True, n_rolls=4))},
    )["moments"]
    pairs = {name: BlockedPair.of(blocks, _ref("first"), _ref(name)) for name in copies}
    yield from _same(pairs["identity"].total)
    yield from _permuted(pairs["permuted"].total, order)
    yield from _rotated(pairs["rotated"].total)
    yield from _linear(pairs["linear"].total)
    yield from _noisy(pairs["noisy"])
    yield from _independent(pairs["noise"])
    yield from _dead(pairs["dead"].total)
    yield from _precision(filters, std, inputs)
    some = _NoisyPictures(Subset(inputs.pictures, slice(_SOME)))
    yield from _batches_and_shards({"first": first["first"], "noisy": copies["noisy"]}, some)


@dataclass(frozen=True)
class _NoisyPictures:
    """Pictures, and behind their colours as many channels of noise as a layer has units, drawn from the id."""

    pictures: PhotoDigits | Subset

    @property
    def ids(self) -> Int64[Array, " inputs"]:
        return self.pictures.ids

    @property
    def fingerprint(self) -> str:
        return f"{self.pictures.fingerprint}, with channels of noise"

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int, /) -> Input:
        one = self.pictures[index]
        noise = np.random.default_rng(one.id).standard_normal((_UNITS, *one.tensor.shape[1:]), dtype=np.float32)
        return one._replace(tensor=torch.cat([one.tensor, torch.from_numpy(noise)]))


def _layer(filters: Array, *, noise: Array | None = None, bias: Array | None = None) -> nn.Module:
    """A net of one layer: filters on the colours, plus each unit's share of the channels of noise."""
    layer = nn.Conv2d(_COLOURS + _UNITS, _UNITS, _KERNEL, padding=_KERNEL // 2)
    weight = torch.zeros_like(layer.weight)
    weight[:, :_COLOURS] = _single(filters)
    if noise is not None:
        weight[:, _COLOURS:, _KERNEL // 2, _KERNEL // 2] = _single(noise)
    layer.load_state_dict({"weight": weight, "bias": _single(np.zeros(_UNITS) if bias is None else bias)})
    return layer


def _single(values: Array) -> Tensor:
    return torch.from_numpy(values).float()


def _mixed(matrix: Array, filters: Array) -> Array:
    return np.tensordot(matrix, filters, axes=1)


def _without(filters: Array, units: tuple[int, ...]) -> Array:
    left = filters.copy()
    left[list(units)] = 0
    return left


def _source(nets: Mapping[str, nn.Module], inputs: Inputs, *, batch_size: int = 64) -> Lockstep:
    return Lockstep(nets, inputs, layers=["output"], batch_size=batch_size)


def _ref(net: str) -> str:
    return f"{net}/output"


def _with_first(nets: Mapping[str, nn.Module]) -> list[tuple[str, str]]:
    return [(_ref("first"), _ref(name)) for name in nets]


def _moments(nets: Mapping[str, nn.Module], inputs: Inputs, *, batch_size: int = 64) -> Moments:
    source = _source(nets, inputs, batch_size=batch_size)
    moments: Moments = collect(source, {"moments": MomentsPlan("all")})["moments"]
    return moments


def _equal(case: str, asked: str, expected: float | int, got: float | int, *, within: float) -> Check:
    """A number that has to be another, up to a distance."""
    said = f"{expected:g} ± {within:g}"
    return Check(case, asked, said, f"{got:.7g}", bool(abs(got - expected) <= within))


def _small(case: str, asked: str, size: float, *, limit: float) -> Check:
    """An error, or a size, that has to be below a limit."""
    return Check(case, asked, f"<= {limit:g}", f"{size:.2g}", bool(size <= limit))


def _same(pair: PairMoments) -> Iterator[Check]:
    case = "the same net"
    yield _equal(case, "mean r of best partners", 1, match_best(pair).mean, within=1e-6)
    yield _equal(case, "debiased CKA", 1, linear_cka(pair, estimator="debiased"), within=1e-6)


def _permuted(pair: PairMoments, order: Array) -> Iterator[Check]:
    case, found = "units permuted", match_one_to_one(pair)
    right = int((order[found.partner] == np.arange(_UNITS)).sum())
    yield Check(case, "partners found, one to one", f"{_UNITS}", f"{right}", right == _UNITS)
    yield _equal(case, "mean r of partners", 1, found.mean, within=1e-6)


def _rotated(pair: PairMoments) -> Iterator[Check]:
    case, matched = "units rotated", match_one_to_one(pair).mean
    yield _equal(case, "Procrustes similarity", 1, procrustes(pair).similarity, within=1e-6)
    yield _equal(case, "debiased CKA", 1, linear_cka(pair, estimator="debiased"), within=1e-6)
    yield Check(case, "mean r one to one", "< 0.9: units are not found", f"{matched:.3f}", matched < 0.9)


def _linear(pair: PairMoments) -> Iterator[Check]:
    case, similarity = "units mixed linearly", procrustes(pair).similarity
    r2 = ridge_map(pair, penalties=[0]).r2.mean()
    yield _equal(case, "mean canonical correlation", 1, cca(pair).mean, within=1e-4)
    yield _equal(case, "R2 of least squares", 1, float(r2), within=1e-4)
    yield Check(case, "Procrustes similarity", "< 0.99: no rotation", f"{similarity:.3f}", similarity < 0.99)


def _noisy(pair: BlockedPair) -> Iterator[Check]:
    case = "as much noise as signal"
    r = np.diagonal(correlation(pair.total).between)
    yield _equal(case, "mean r with the original", 0.5**0.5, float(r.mean()), within=5e-3)
    interval = held_out_matching(pair).layer
    said = f"{interval.low:.4f} to {interval.high:.4f}"
    yield Check(case, "95 % interval holds it", "0.7071", said, bool(interval.low < 0.5**0.5 < interval.high))
    yield _found(case, pair, expected=_UNITS)


def _independent(pair: BlockedPair) -> Iterator[Check]:
    case, held_out = "nothing but noise", held_out_matching(pair).layer.value
    yield _small(case, "size of debiased CKA", abs(linear_cka(pair.total, estimator="debiased")), limit=1e-3)
    yield _small(case, "size of held-out r of best partners", abs(float(held_out)), limit=1e-2)
    yield _found(case, pair, expected=0)


def _found(case: str, pair: BlockedPair, *, expected: int) -> Check:
    found = int((partner_chance(pair).q < 0.05).sum())
    return Check(case, "units beyond chance, q < .05", f"{expected}", f"{found}", found == expected)


def _dead(pair: PairMoments) -> Iterator[Check]:
    case, found = f"{len(_DEAD)} of {_UNITS} units constant", match_best(pair.swapped)
    dead = tuple(np.flatnonzero(~pair.alive_b).tolist())
    yield Check(case, "units found dead", str(_DEAD), str(dead), dead == _DEAD)
    alone = bool((found.partner[list(_DEAD)] == -1).all() and np.isnan(found.score[list(_DEAD)]).all())
    yield Check(case, "they have a partner", "no", "no" if alone else "yes", alone)
    yield _equal(case, "mean r of the others", 1, found.mean, within=1e-6)


def _precision(filters: Array, std: Array, inputs: _NoisyPictures) -> Iterator[Check]:
    """Units far from 0, which products of raw float32 numbers lose; and activations of few digits."""
    far = {f"mean/std {ratio:g}, in float32": _layer(filters, bias=ratio * std) for ratio in _RATIOS}
    half = {f"a net in {str(dtype)[6:]}": _layer(filters).to(dtype) for dtype in (torch.float16, torch.bfloat16)}
    some = _NoisyPictures(Subset(inputs.pictures, slice(_SOME)))  # half precision is slow on most processors
    for nets, taken in ((far, inputs), (half, some)):
        named = {f"net{i}": net for i, net in enumerate(nets.values())}
        moments, exact = _moments(named, taken), _in_float64(named, taken)
        for case, name in zip(nets, named, strict=True):
            found = correlation(moments.pair(_ref(name), _ref(name))).between
            yield _small(case, "largest error of r", float(np.abs(found - exact[name]).max()), limit=1e-6)


def _in_float64(nets: Mapping[str, nn.Module], inputs: Inputs) -> dict[str, Array]:
    """Correlations of the same activations, all kept and summed in float64."""
    source = _source(nets, inputs)
    samples: dict[str, list[Array]] = {name: [] for name in nets}
    for batch in source.batches():
        for ref, activations in batch.layers.items():
            samples[ref.net].append(activations.values.double().transpose(1, 2).flatten(0, 1).numpy())
    return {name: np.corrcoef(np.concatenate(parts), rowvar=False) for name, parts in samples.items()}


def _batches_and_shards(nets: Mapping[str, nn.Module], inputs: _NoisyPictures) -> Iterator[Check]:
    whole = _moments(nets, inputs)
    for size in (1, 7, len(inputs)):
        other = _moments(nets, inputs, batch_size=size)
        yield _small(f"batches of {size}", "largest change of r", _change(whole, other), limit=1e-6)
    middle = len(inputs) // 3 | 1  # odd: other samples share a product then
    shards = [
        _moments(nets, _NoisyPictures(Subset(inputs.pictures, part)))
        for part in (slice(middle), slice(middle, None))
    ]
    yield _small("two shards, merged", "largest change of r", _change(whole, shards[0] + shards[1]), limit=1e-6)


def _change(one: Moments, other: Moments) -> float:
    r, s = (correlation(moments.pair(_ref("first"), _ref("noisy"))).between for moments in (one, other))
    return float(np.abs(r - s).max())
