"""Units of one net replaced by images of another net's units: what a match really carries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from .._typing import Array, Float64, Int64, Shaped, Tensor
from ..batch import Batch, Inputs
from ..errors import InvalidArgumentError, MismatchError, UnknownNameError
from ..extraction.feeds import Loader
from ..extraction.lockstep import Call, call_on_tensor, fit_to
from ..extraction.rewriting import Change, copy_to_write
from ..extraction.taps import explaining, tapping
from ..extraction.views import View
from ..measures.intervals import Estimate
from ..results import frozen
from .ablation import answers_under, with_interval
from .affine_map import AffineMap
from .evaluation import Answers, over_inputs
from .replacement import Units, unit_indices


@dataclass(frozen=True, eq=False)
class Transplants:
    """Answers of a net some of whose units are images of another net's units.

    Attributes:
        layer_a: whose units are replaced.
        layer_b: whose units they are made of.
        units: that are replaced.
        intact: answers of the net as it is.
        ablated: with these units replaced by their mean.
        transplanted: with these units replaced by images, by name of map.
    """

    layer_a: str
    layer_b: str
    units: Int64[Array, " k"]
    intact: Answers
    ablated: Answers
    transplanted: Mapping[str, Answers]

    def loss_recovered(self, name: str, *, level: float = 0.95) -> Estimate:
        """How much of what the mean loses the images give back: 1 as good as the units, 0 no better than a mean.

        (loss ablated - loss transplanted) / (loss ablated - loss intact); above 1 where images are better than the
        units, below 0 where they are worse than a mean. The interval is over inputs, by the delta method. All are
        NaN where the interval of the loss that ablation costs holds 0: there is nothing to recover.

        Args:
            name: of the map.
            level: of the interval, between 0 and 1.

        Raises:
            UnknownNameError: if there is no such map.
            DataError: if there are fewer than two inputs.
        """
        if name not in self.transplanted:
            raise UnknownNameError(
                f"Cannot tell what map {name!r} recovers. There are {', '.join(map(repr, self.transplanted))}. "
                "Choose one of these."
            )
        at_stake = self.ablated.losses - self.intact.losses
        back = self.ablated.losses - self.transplanted[name].losses
        cost = over_inputs(at_stake, level=level)
        if not (cost.low > 0 or cost.high < 0):
            return over_inputs(np.full(len(back), np.nan), level=level)
        ratio = back.mean() / at_stake.mean()
        return over_inputs(ratio + (back - ratio * at_stake) / at_stake.mean(), level=level)

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row a kind of net: "intact", "ablated" and each map.

        Columns: layer_a, layer_b, units_are, n_units, loss, accuracy, loss_change and accuracy_change against the
        intact net and loss_recovered, with intervals over inputs (_low, _high); same_choice, the share of inputs
        where the net chooses the same class as the intact one.

        Args:
            level: of the intervals, between 0 and 1.
        """
        kinds = {"intact": self.intact, "ablated": self.ablated, **self.transplanted}
        rows = []
        for name, found in kinds.items():
            row: dict[str, object] = {"layer_a": self.layer_a, "layer_b": self.layer_b, "units_are": name}
            row |= {"n_units": len(self.units), "loss": found.loss, "accuracy": found.accuracy}
            row |= with_interval("loss_change", found.losses - self.intact.losses, level=level)
            hits = found.correct.astype(np.float64) - self.intact.correct
            row |= with_interval("accuracy_change", hits, level=level)
            if name in self.transplanted:
                back = self.loss_recovered(name, level=level)
                row |= {f"loss_recovered{end}": value for end, value in zip(_ENDS, _three(back), strict=True)}
            row["same_choice"] = float((found.choice == self.intact.choice).mean())
            rows.append(row)
        return pd.DataFrame(rows)


def transplant(
    net_a: nn.Module,
    net_b: nn.Module,
    inputs: Inputs | Loader,
    layer_a: str,
    layer_b: str,
    maps: Mapping[str, AffineMap],
    *,
    units: Units | None = None,
    view: View | None = None,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> Transplants:
    """Replace units of a by affine images of units of b on the same input, and ask a again.

    Fit the maps on other inputs than these. A unit without an image (dead, or without partner) takes its mean of
    the inputs that the map was fitted on, as all units do in the ablated net.

    Args:
        net_a: gives one score per input and class; it is left as it was.
        net_b: eats the same inputs.
        inputs: with labels, other ones than the maps were fitted on.
        layer_a: whose units are replaced.
        layer_b: whose units they are made of; it has the same locations.
        maps: from the units of b to those of a, by name; the means are those of the first.
        units: of a that are replaced; left out, all.
        view: which axis holds the units.
        batch_size: where the inputs do not come in batches.
        call: how the nets eat a batch.

    Returns:
        Answers of a as it is, with the units ablated, and with each map's images.

    Raises:
        InvalidArgumentError: if there are no maps.
        UnknownNameError: if a net has no such layer, or the layer no such unit.
        MismatchError: if a map is of other numbers of units, or the layers have other locations.
        DataError: if there are no inputs, or inputs without label.
        NetError: if a net cannot be run on them.

    Cost: one forward of both nets, and one of what lies above the layer for each map, and for ablation.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> same = AffineMap.identity("a/1", n_units=4)
        >>> found = transplant(net, net, [(torch.randn(8, 3), torch.arange(8) % 2)], "1", "1", {"itself": same})
        >>> bool(np.allclose(found.transplanted["itself"].scores, found.intact.scores, atol=1e-5))
        True
    """
    if not maps:
        raise InvalidArgumentError(
            f"Asked to make units of layer {layer_a!r} from those of {layer_b!r}. Found no maps. "
            "Give at least one."
        )
    seen = View() if view is None else view
    first = next(iter(maps.values()))
    chosen = _units_of(layer_a, first, units)
    wanted = [first.means_only(), *maps.values()]

    def changes(batch: Batch) -> Sequence[Change]:
        values = _values(net_b, layer_b, batch, seen, call)
        return [_Transplanted(layer_a, layer_b, chosen, one, values, seen) for one in wanted]

    intact, (scores,), _ = answers_under(
        net_a, inputs, layer_a, changes, read=lambda found: (found.scores,), batch_size=batch_size, call=call
    )
    ablated, *others = (Answers(intact.ids, intact.labels, frozen(one)) for one in scores)
    return Transplants(layer_a, layer_b, frozen(chosen), intact, ablated, dict(zip(maps, others, strict=True)))


def disagreement(
    net_a: nn.Module,
    net_b: nn.Module,
    inputs: Inputs | Loader,
    layer_a: str,
    layer_b: str,
    images: AffineMap,
    *,
    answers_b: Answers,
    groups: Mapping[str, Units] | None = None,
    view: View | None = None,
    level: float = 0.95,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> pd.DataFrame:
    """Where two nets choose different classes, which units of a carry it?

    Units that carry it make a choose as b does when they take the values that b's units say they should have.
    The margin is the score of b's choice minus that of a's choice, in a.

    Args:
        net_a: gives one score per input and class; it is left as it was.
        net_b: eats the same inputs.
        inputs: with labels.
        layer_a: whose units are replaced.
        layer_b: whose units they are made of.
        images: from the units of b to those of a, fitted on other inputs.
        answers_b: of b to the same inputs.
        groups: of units that are replaced together, by name; left out, each unit alone.
        view: which axis holds the units.
        level: of the intervals.
        batch_size: where the inputs do not come in batches.
        call: how the nets eat a batch.

    Returns:
        One row a group: group, n_units, n_disagree (inputs), n_agree; margin_change, with its interval over inputs
        on which the nets disagree; to_b, the share of these on which a then chooses as b; and lost, the share of
        the inputs on which they agree where a then chooses another class: what the images themselves spoil.

    Raises:
        MismatchError: if the answers of b are to other inputs, or as `transplant`.
        InvalidArgumentError: if there are no groups, or an index is none.

    Cost: one forward of both nets, and one of what lies above the layer for each group.
    """
    n_units = len(images.bias)
    named = {str(unit): [unit] for unit in range(n_units)} if groups is None else groups
    if not named:
        raise InvalidArgumentError(
            f"Asked which units of layer {layer_a!r} carry a disagreement. Found no groups. Give at least one."
        )
    seen = View() if view is None else view
    chosen = {name: _units_of(layer_a, images, units) for name, units in named.items()}

    def changes(batch: Batch) -> Sequence[Change]:
        values = _values(net_b, layer_b, batch, seen, call)
        return [_Transplanted(layer_a, layer_b, units, images, values, seen) for units in chosen.values()]

    intact, (scores,), _ = answers_under(
        net_a, inputs, layer_a, changes, read=lambda found: (found.scores,), batch_size=batch_size, call=call
    )
    intact.same_inputs(answers_b)
    rows = [
        {"group": name, "n_units": len(units), **_moved(intact, answers_b, one, level=level)}
        for (name, units), one in zip(chosen.items(), scores, strict=True)
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _Transplanted:
    """A change of a's layer: some units become images of b's units on the same inputs."""

    layer_a: str
    layer_b: str
    units: Int64[Array, " k"]
    images: AffineMap
    values: Shaped[Tensor, "inputs units_b locations"]
    view: View

    def __call__(self, output: Shaped[Tensor, "inputs ..."]) -> Shaped[Tensor, "inputs ..."]:
        changed, seen = copy_to_write(output, self.view)
        found = self.values.shape[1], seen.shape[1], self.values.shape[2]
        if found != (*self.images.weights.shape[::-1], seen.shape[2]):
            raise MismatchError(
                f"Cannot make units of layer {self.layer_a!r} ({seen.shape[1]} units, {seen.shape[2]} locations) "
                f"from those of {self.layer_b!r} ({found[0]}, {found[2]}) by a map from "
                f"{self.images.weights.shape[1]} to {self.images.weights.shape[0]}. "
                "Take layers with the same locations, and a map fitted on them."
            )
        there = torch.from_numpy(self.units).to(output.device)
        seen[:, there] = self.images.of(self.values, self.units).to(output)
        return changed


def _values(net: nn.Module, layer: str, batch: Batch, view: View, call: Call) -> Tensor:
    fit = fit_to(net, batch)

    def keep(_: str, output: Tensor) -> Tensor:
        return view.arrange(output)[0].clone()

    with explaining(fit.tensor), tapping(net, [layer], keep=keep) as kept:
        call(net, fit)
    return kept[layer]


def _units_of(layer: str, images: AffineMap, units: Units | None) -> Int64[Array, " k"]:
    n = len(images.bias)
    chosen = unit_indices(layer, np.arange(n) if units is None else units)
    if chosen.max(initial=-1) >= n:
        raise UnknownNameError(
            f"Cannot replace unit {chosen[-1]} of layer {layer!r}. The map makes {n} units. "
            f"Choose from 0 to {n - 1}."
        )
    return chosen


def _moved(
    a: Answers, b: Answers, scores: Float64[Array, "inputs classes"], *, level: float
) -> dict[str, float | int]:
    apart, rows = a.choice != b.choice, np.arange(len(scores))

    def margin(of: Array) -> Array:
        return np.asarray(of[rows, b.choice] - of[rows, a.choice])[apart]

    chosen = scores.argmax(axis=1)
    row: dict[str, float | int] = {"n_disagree": int(apart.sum()), "n_agree": int((~apart).sum())}
    moved = margin(scores) - margin(a.scores)
    row |= with_interval("margin_change", moved if len(moved) else np.full(1, np.nan), level=level)
    row["to_b"] = _share(chosen[apart] == b.choice[apart])
    row["lost"] = _share(chosen[~apart] != a.choice[~apart])
    return row


def _share(truths: Array) -> float:
    return float(truths.mean()) if len(truths) else float("nan")


def _three(found: Estimate) -> tuple[float, float, float]:
    return float(found.value), float(found.low), float(found.high)


_ENDS = ("", "_low", "_high")
