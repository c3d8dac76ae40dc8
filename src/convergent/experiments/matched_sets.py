"""Random sets of units that are like chosen ones, and what taking either out costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from .._typing import Array, Bool, Float64, Int64
from ..batch import Inputs
from ..errors import InvalidArgumentError, UnknownNameError
from ..extraction.feeds import Loader
from ..extraction.lockstep import Call, call_on_tensor
from ..extraction.views import View
from ..measures.chance import Chance
from ..results import frozen
from ..solvers.assignment import assign
from .ablation import Ablations, Means, ablation_effect, with_interval
from .replacement import Units, unit_indices
from .unit_features import unit_features

MATCHED_ON = ("variance", "outgoing_norm", "selectivity")


@dataclass(frozen=True, eq=False)
class MatchedSets:
    """Sets of other units, each as large as the chosen one and like it.

    Attributes:
        chosen: the living units chosen.
        left_out: those that are dead.
        sets: (sets, units), in the order of the chosen ones they stand for.
        names: of the features they were matched on.
        features: (units, features), of all units of the layer.
    """

    chosen: Int64[Array, " k"]
    left_out: Int64[Array, " dead"]
    sets: Int64[Array, "sets k"]
    names: tuple[str, ...]
    features: Float64[Array, "units features"]

    @property
    def overlap(self) -> float:
        """Share of a set's units that are in another set too, on average: 1 where there is no choice."""
        n_sets, k = self.sets.shape
        if n_sets < 2 or k == 0:
            return float("nan")
        times = np.bincount(self.sets.ravel())
        return float((times * (times - 1)).sum() / (n_sets * (n_sets - 1) * k))

    @property
    def imbalance(self) -> float:
        """Largest size of `smd` over the features: how badly the worst one is matched; NaN where none is known."""
        found = self.table()["smd"].abs().dropna()
        return float(found.max()) if len(found) else float("nan")

    def table(self) -> pd.DataFrame:
        """How well they match: one row a feature.

        Columns: feature, chosen and matched (means), unmatched (mean of all other living units), and the
        standardised mean differences (chosen minus other, in standard deviations over living units): smd (of the
        mean over sets), smd_worst (largest size of one set) and smd_unmatched.
        """
        known = _known(self.features)
        others = np.setdiff1d(np.flatnonzero(known), self.chosen)
        spread = _spread(self.features[known])
        chosen, unmatched = (_mean(self.features[units]) for units in (self.chosen, others))
        of_set = np.stack([_mean(self.features[units]) for units in self.sets])
        differences = (chosen - of_set) / spread
        return pd.DataFrame(
            {
                "feature": self.names,
                "chosen": chosen,
                "matched": of_set.mean(axis=0),
                "unmatched": unmatched,
                "smd": differences.mean(axis=0),
                "smd_worst": np.abs(differences).max(axis=0),
                "smd_unmatched": (chosen - unmatched) / spread,
            }
        )


def matched_sets(
    features: pd.DataFrame,
    chosen: Units,
    *,
    n_sets: int = 100,
    on: Sequence[str] = MATCHED_ON,
    share: float | int = 0.5,
    seed: int = 0,
) -> MatchedSets:
    """Draw sets of other living units that are like the chosen ones.

    For each set a random share of the other living units is drawn, and of these each chosen unit gets one of its
    own, so that the sum of squared distances in standardised features is least. A smaller share gives sets that
    differ more from each other and match less well; `.overlap` and `.table()` say how much.

    Args:
        features: one row a unit, as `unit_features` gives them; a column `dead` where there is one.
        chosen: indices, or one truth a unit.
        n_sets: how many sets.
        on: columns to match on; one that is known of no unit is left out.
        share: of the other units, among which each set is sought; above 0, at most 1.
        seed: of the draws.

    Returns:
        Sets as large as the living part of the chosen one, and none of it in them.

    Raises:
        InvalidArgumentError: if there are fewer other living units than chosen ones, no such unit or column, no
            sets, or a share out of its range.

    Invariant to: scaling and shifting of a feature (yes); order of units, up to the draws (yes).

    Cost: one assignment a set: 100 sets of 30 among 100 units in 10 ms.

    Reference: Rosenbaum 1989, optimal matching for observational studies.

    Example:
        >>> features = pd.DataFrame({"variance": [1.0, 1.1, 5.0, 5.1, 9.0, 9.1]})
        >>> matched_sets(features, [0, 2], n_sets=3, on=["variance"], share=1).sets.tolist()
        [[1, 3], [1, 3], [1, 3]]
    """
    units = unit_indices("features", chosen)
    missing = [name for name in on if name not in features]
    if missing or not on or n_sets < 1 or not 0 < share <= 1 or units.max(initial=-1) >= len(features):
        raise InvalidArgumentError(
            f"Cannot draw {n_sets} sets like units {units.tolist()} among {len(features)}, matched on {list(on)}, "
            f"from a share {share} of the others. Features known are {list(features.columns)}. "
            "Give units and columns that are there, at least one set, and a share above 0 and at most 1."
        )
    names = _names(features, on)
    values = _values(features, names)
    known = _known(values)
    living, others = units[known[units]], np.setdiff1d(np.flatnonzero(known), units)
    if len(others) < len(living):
        raise InvalidArgumentError(
            f"Cannot draw sets like {len(living)} units. There are only {len(others)} other living units. "
            "Choose fewer, or compare in another layer."
        )
    scaled = values / _spread(values[known])
    far = ((scaled[living][:, None] - scaled[others]) ** 2).sum(axis=2)
    sets = _draw(far, others, n_sets, share, seed)
    return MatchedSets(frozen(living), frozen(units[~known[units]]), frozen(sets), names, frozen(values))


@dataclass(frozen=True, eq=False)
class ChosenEffect:
    """What it costs to take chosen units out, beside random units like them.

    Attributes:
        matched: the sets; None where there are too few other living units.
        ablations: of the chosen set, named "chosen", and of the matched ones.
        n_dead: chosen units that are dead, and were not taken out.
    """

    matched: MatchedSets | None
    ablations: Ablations
    n_dead: int

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """One row: do the chosen units help, hurt or not matter, and more than others?

        layer, n_units, n_dead, n_sets, imbalance (of these), loss and accuracy (of the intact net). For each of
        loss and accuracy, X:
        X_change with its interval over inputs (_low, _high): what taking them out does. matched_X_change and
        matched_X_sd: mean and scatter over the matched sets. X_difference (_low, _high): chosen minus the mean of
        the matched sets, sets taken as they are. p_more and p_less: share of sets that cost at least, or at most,
        as much loss (add-one corrected). verdict: "help" where taking them out raises the loss, "hurt" where it
        lowers it, by the interval, else "no effect seen".

        Args:
            level: of the intervals, between 0 and 1.
        """
        effects = self.ablations
        row: dict[str, object] = {
            "layer": effects.layer,
            "n_units": len(effects.sets["chosen"]),
            "n_dead": self.n_dead,
            "n_sets": len(effects.losses) - 1,
            "imbalance": float("nan") if self.matched is None else self.matched.imbalance,
            "loss": effects.intact.loss,
            "accuracy": effects.intact.accuracy,
        }
        for what, changes in (("loss", effects.loss_changes), ("accuracy", effects.accuracy_changes)):
            row |= _against_matched(what, changes, level=level)
        losses = effects.loss_changes.mean(axis=1)
        row |= {"p_more": _p(losses), "p_less": _p(-losses)}
        low, high = row["loss_change_low"], row["loss_change_high"]
        row["verdict"] = "help" if low > 0 else "hurt" if high < 0 else "no effect seen"  # type: ignore[operator]
        return pd.DataFrame([row])


def unique_units_effect(
    net: nn.Module,
    inputs: Inputs | Loader,
    layer: str,
    chosen: Units,
    *,
    features: pd.DataFrame | None = None,
    n_sets: int = 100,
    share: float | int = 0.5,
    replace_by: str = "mean",
    means: Means | None = None,
    view: View | None = None,
    seed: int = 0,
    batch_size: int = 256,
    call: Call = call_on_tensor,
) -> ChosenEffect:
    """Do chosen units of a layer, those no other net has for instance, help, hurt or not matter?

    They are taken out together, and so are random sets of as many other units of like variance, outgoing weight
    norm and class selectivity.

    Args:
        net: gives one score per input and class; it is left as it was.
        inputs: with labels.
        layer: name, as `tapping` understands it.
        chosen: indices, or one truth a unit; none is fine.
        features: of the layer's units; left out, `unit_features` of the same inputs.
        n_sets: how many random sets.
        share: see `matched_sets`.
        replace_by: see `ablate`.
        means: see `ablate`; left out, they are computed from the same inputs.
        view: which axis holds the units.
        seed: of the sets and of "resample".
        batch_size: where the inputs do not come in batches.
        call: how the net eats a batch.

    Returns:
        Effects of the chosen set and of the matched ones, of which there are none where too few other units live.

    Raises:
        UnknownNameError: if the layer has no such unit.
        InvalidArgumentError: as `matched_sets` (but for too few others) and `ablation_effect`.

    Cost: that of `ablation_effect` with n_sets + 1 sets, and of `unit_features`.
    """
    if features is None:
        features = unit_features(net, inputs, layer, view=view, batch_size=batch_size, call=call)
    units = unit_indices(layer, chosen)
    if units.max(initial=-1) >= len(features):
        raise UnknownNameError(
            f"Cannot take unit {units[-1]} out of layer {layer!r}. It has {len(features)} units. "
            f"Choose from 0 to {len(features) - 1}, or another view."
        )
    living = np.flatnonzero(_known(_values(features, _names(features, MATCHED_ON))))
    alive = np.intersect1d(units, living)
    enough = 2 * len(alive) <= len(living)
    matched = matched_sets(features, units, n_sets=n_sets, share=share, seed=seed) if enough else None
    sets = {"chosen": alive}
    if matched is not None:
        sets |= {f"matched {i}": one for i, one in enumerate(matched.sets)}
    found = ablation_effect(
        net,
        inputs,
        layer,
        sets,
        replace_by=replace_by,
        means=means,
        view=view,
        seed=seed,
        batch_size=batch_size,
        call=call,
    )
    return ChosenEffect(matched, found, len(units) - len(alive))


def _names(features: pd.DataFrame, on: Sequence[str]) -> tuple[str, ...]:
    """Columns that are known of some unit."""
    return tuple(name for name in on if features[name].notna().any())


def _values(features: pd.DataFrame, names: tuple[str, ...]) -> Float64[Array, "units features"]:
    """NaN where a unit is dead."""
    values = features[list(names)].to_numpy(np.float64).copy()
    if "dead" in features:
        values[features["dead"].to_numpy(bool)] = np.nan
    return values


def _known(values: Float64[Array, "units features"]) -> Bool[Array, " units"]:
    return ~np.isnan(values).any(axis=1)


def _draw(far: Float64[Array, "k others"], others: Array, n_sets: int, share: float | int, seed: int) -> Array:
    k, n = far.shape
    rng, at_hand = np.random.default_rng(seed), max(k, int(np.ceil(share * n)))
    sets = np.empty((n_sets, k), dtype=np.int64)
    for one in sets:
        drawn = rng.permutation(n)[:at_hand]
        one[:] = others[drawn[assign(-far[:, drawn])]] if k else ()
    return sets


def _spread(values: Float64[Array, "units features"]) -> Array:
    """Standard deviations; 1 where nothing varies."""
    found = values.std(axis=0) if len(values) else np.zeros(values.shape[1])
    return np.where(found > 0, found, 1)


def _mean(values: Float64[Array, "units features"]) -> Array:
    return values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)


def _against_matched(what: str, changes: Float64[Array, "sets inputs"], *, level: float) -> dict[str, float]:
    """The first set against the mean of the others."""
    chosen, others = changes[0], changes[1:]
    row = with_interval(f"{what}_change", chosen, level=level)
    if not len(others):
        kinds = f"matched_{what}_change", f"matched_{what}_sd", *(f"{what}_difference{end}" for end in _ENDS)
        return row | dict.fromkeys(kinds, float("nan"))
    effects = others.mean(axis=1)
    row |= {f"matched_{what}_change": float(effects.mean())}
    row |= {f"matched_{what}_sd": float(effects.std(ddof=1)) if len(effects) > 1 else float("nan")}
    return row | with_interval(f"{what}_difference", chosen - others.mean(axis=0), level=level)


_ENDS = ("", "_low", "_high")


def _p(effects: Float64[Array, " sets"]) -> float:
    """Of the first among the others."""
    if len(effects) < 2:
        return float("nan")
    return float(Chance(float(effects[0]), effects[1:], "random units like them").p)
