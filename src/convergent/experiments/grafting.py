"""Units of one net added to another's, into a linear readout: are some worth more than others?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from torch import nn

from .._typing import Array, Int64
from ..batch import Inputs
from ..errors import InvalidArgumentError
from ..extraction.feeds import Loader, feed_nets
from ..extraction.lockstep import Call, call_on_tensor
from ..extraction.views import UnitAxis
from ..threads import map_in_threads
from .combining import Combination
from .costs import Costs, costs
from .evaluation import Answers
from .readout import PENALTIES, Features, features, fit_readout

Both = tuple[Features, Features]  # to train on, to test on
_ADDED = ("random", "copies", "noise")


@dataclass(frozen=True, eq=False)
class Grafts:
    """Readouts of A's units, alone and with as many other units beside them.

    Attributes:
        alone: the readout of A's units.
        by_set: readouts of A's units and those of a set, by its name; "random" units of B, "copies" of A's own
            units, and "noise" are among them.
        n_units: how many units were added.
    """

    alone: Combination
    by_set: Mapping[str, Combination]
    n_units: Mapping[str, int]

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row a set, with intervals over inputs.

        Args:
            level: how often an interval should hold the truth, between 0 and 1.

        Returns:
            added, n_units, n_draws, accuracy, sd_over_draws (of accuracy; NaN for one draw), loss (nats),
            n_parameters, n_multiply_adds; accuracy_gain and loss_saved over A alone, and over as many random units
            of B (over_random_accuracy_gain, over_random_loss_saved), each with _low and _high, positive is better;
            random_draws_beaten: share of the draws of random units whose loss is larger, 0..1. What compares with
            random units is NaN where nothing was added.
        """
        rows = [self._row("nothing", self.alone, 0, level)]
        rows += [self._row(name, one, self.n_units[name], level) for name, one in self.by_set.items()]
        return pd.DataFrame(rows)

    def _row(self, name: str, one: Combination, n_units: int, level: float) -> dict[str, object]:
        accuracies = [draw.accuracy for draw in one.draws]
        random = self.by_set["random"]
        over_random = {f"over_random_{key}": value for key, value in one.against(random, level=level).items()}
        over_random["random_draws_beaten"] = float(
            np.mean([draw.loss > one.losses.mean() for draw in random.draws])
        )
        return {
            "added": name,
            "n_units": n_units,
            "n_draws": len(accuracies),
            "sd_over_draws": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else np.nan,
            **one.summary(),
            **one.against(self.alone, level=level),
            **(over_random if n_units else dict.fromkeys(over_random, np.nan)),
        }


def grafted(
    a: nn.Module,
    b: nn.Module,
    train_inputs: Inputs | Loader,
    test_inputs: Inputs | Loader,
    *,
    layer: str,
    units: Mapping[str, Sequence[int]],
    layer_b: str | None = None,
    n_units: int | None = None,
    n_draws: int = 5,
    seed: int = 0,
    penalties: Sequence[float] = PENALTIES,
    unit_axis: UnitAxis = "auto",
    batch_size: int = 64,
    call: Call = call_on_tensor,
) -> Grafts:
    """Add units of B to A's, train a linear readout anew, and see what it gains.

    Every set adds the same number of units: that of the smallest set that has any. From larger sets as many are
    drawn, `n_draws` times. Beside the sets stand as many random living units of B, as many copies of A's own units
    and as many columns of noise: what more inputs alone would do. Dead units of B are left out of all sets.

    Args:
        a: the net that gets units.
        b: the net that gives them.
        train_inputs: with labels; readouts are trained on them.
        test_inputs: with labels; readouts are tested on them. None of them should be a training input.
        layer: of A, and of B where `layer_b` is not given.
        units: sets of units of B by name, such as "unique" and "shared" of `unit_verdicts`; empty sets gain 0.
        layer_b: of B.
        n_units: how many units are added, at most as many as the smallest set has.
        n_draws: how often units are drawn.
        seed: of the drawing.
        penalties: see `fit_readout`.
        unit_axis: which axis of the layers' outputs holds the units.
        batch_size: inputs per batch, where they do not come in batches.
        call: how the nets eat a batch.

    Returns:
        Readouts on the test inputs, with costs: A up to the layer, B up to its layer where B gave units, readout.

    Raises:
        InvalidArgumentError: if a set has units that B lacks, one twice or a name that is taken, or there are too
            few units or draws.
        DataError: if inputs lack labels, or do not suffice for a readout.
        UnknownNameError: if a net has no such layer.
        NetError: if a net cannot eat the inputs.

    Cost: one forward of each net, and a fit of a readout a draw: 4 n_draws + 1, in threads.

    Reference: Alain & Bengio 2016 (linear readouts). Bansal et al. 2021 (layers of one net used in another).

    Example:
        >>> import torch
        >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> halves = [nn.Linear(2, 1, bias=False) for _ in range(2)]
        >>> with torch.no_grad():
        ...     for net, row in zip(halves, torch.eye(2)):
        ...         _ = net.weight.copy_(row)
        >>> y = (x.sum(1) > 0).long()
        >>> train, test = [(x[:100], y[:100])], [(x[100:], y[100:])]
        >>> found = grafted(*halves, train, test, layer="output", units={"unique": [0]}).table()
        >>> bool(found.set_index("added").loc["unique", "accuracy_gain_low"] > 0)
        True
    """
    names = layer, layer if layer_b is None else layer_b
    of_a, of_b = (
        _both(net, (train_inputs, test_inputs), name, unit_axis, batch_size, call)
        for net, name in zip((a, b), names, strict=True)
    )
    sets = {name: _living(name, members, of_b[0]) for name, members in units.items()}
    size = _size(sets, n_units, n_draws)
    added = _added(of_a, of_b, sets, size, n_draws, seed)
    jobs = [of_a, *(_beside(of_a, extra) for extras in added.values() for extra in extras)]
    answers = iter(map_in_threads(lambda both: _answers(both, penalties), jobs))
    batch = next(feed_nets(("a",), test_inputs, batch_size=batch_size).batches(0))["a"]
    up_to = [costs(net, batch, layer=name, call=call) for net, name in zip((a, b), names, strict=True)]
    alone = _combined([next(answers)], up_to[:1])
    by_set = {}
    for name, extras in added.items():
        run = up_to[:1] if name in ("copies", "noise") else up_to
        by_set[name] = _combined([next(answers) for _ in extras], run) if extras else alone
    return Grafts(alone, by_set, {name: size if extras else 0 for name, extras in added.items()})


def _both(
    net: nn.Module,
    inputs: Iterable[Inputs | Loader],
    layer: str,
    unit_axis: UnitAxis,
    batch_size: int,
    call: Call,
) -> Both:
    train, test = (features(net, one, layer, units=unit_axis, batch_size=batch_size, call=call) for one in inputs)
    return train, test


def _living(name: str, members: Sequence[int], of_b: Features) -> Int64[Array, " k"]:
    """The living units of a set."""
    found = np.asarray(members, dtype=np.int64)
    known = (found >= 0) & (found < of_b.n_units)
    if name in _ADDED or not known.all() or len(np.unique(found)) < len(found):
        raise InvalidArgumentError(
            f"Cannot add the set {name!r} of {len(found)} units. Found {(~known).sum()} that are none of the "
            f"{of_b.n_units} of B, and {len(found) - len(np.unique(found))} more than once; the names "
            f"{', '.join(map(repr, _ADDED))} are taken. Give each unit of B once, and a name of its own."
        )
    return found[of_b.alive[found]]


def _size(sets: Mapping[str, Int64[Array, " k"]], n_units: int | None, n_draws: int) -> int:
    """How many units every set adds."""
    smallest = min((len(members) for members in sets.values() if len(members)), default=0)
    if n_draws < 1 or (n_units is not None and not 0 <= n_units <= smallest):
        raise InvalidArgumentError(
            f"Asked to add n_units={n_units} of every set, drawn n_draws={n_draws} times. The smallest set that "
            f"has living units has {smallest}. Give at most so many, and one draw or more."
        )
    return smallest if n_units is None else n_units


def _added(
    a: Both, b: Both, sets: Mapping[str, Int64[Array, " k"]], size: int, n_draws: int, seed: int
) -> dict[str, list[Both]]:
    """What is put beside A's units, by name and draw; nothing where a set is empty."""
    random = {name: np.random.default_rng([seed, *name.encode()]) for name in (*sets, *_ADDED)}
    living = np.flatnonzero(b[0].alive)
    found = {
        name: [_of(b, draw) for draw in _draws(members, size, n_draws, random[name])]
        for name, members in {**sets, "random": living}.items()
    }
    n_floors = n_draws if size else 0
    found["copies"] = [_of(a, random["copies"].integers(a[0].n_units, size=size)) for _ in range(n_floors)]
    found["noise"] = [_noise(a, size, random["noise"]) for _ in range(n_floors)]
    return found


def _draws(
    members: Int64[Array, " k"], size: int, n_draws: int, random: np.random.Generator
) -> list[Int64[Array, " size"]]:
    if not size or not len(members):
        return []
    if len(members) == size:
        return [members]
    return [np.sort(random.choice(members, size, replace=False)) for _ in range(n_draws)]


def _of(both: Both, units: Int64[Array, " k"]) -> Both:
    return both[0].of(units), both[1].of(units)


def _noise(both: Both, size: int, random: np.random.Generator) -> Both:
    train, test = (Features(one.ids, one.labels, random.normal(size=(len(one.ids), size))) for one in both)
    return train, test


def _beside(a: Both, b: Both) -> Both:
    return a[0].beside(b[0]), a[1].beside(b[1])


def _answers(both: Both, penalties: Sequence[float]) -> tuple[Answers, Costs]:
    readout = fit_readout(both[0], penalties=penalties)
    return readout.answer(both[1]), readout.costs


def _combined(found: Sequence[tuple[Answers, Costs]], run: Sequence[Costs]) -> Combination:
    return Combination(tuple(answers for answers, _ in found), reduce(Costs.__add__, run, found[0][1]))
