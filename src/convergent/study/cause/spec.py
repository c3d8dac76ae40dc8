"""What a study of causes may say: which units are taken out, put in, merged and combined."""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from ..families import FamiliesStudy
from ..spec import Data, fault

Experiment = Literal["ablation", "transplant", "merging", "zipping", "combining", "distilling"]
Share = Annotated[float, Field(gt=0, le=1)]


class CauseStudy(FamiliesStudy):
    """Nets run again with other units: does it matter what only one of them has?

    Attributes:
        fit: inputs with labels on which units are found, means taken, maps and readouts fitted and merged nets
            mended; those of `data` are scored and know nothing of it.
        untrained: none; what is asked is what trained nets live on.
        experiments: which are made.
        share: of the living units of a layer that are the most unique, and that are the most shared.
        n_sets: random sets of units like these, for each net and layer.
        fractions: of the living units, that are taken out one after the other.
        pairs: of the nets of a family: "first" two, "ring" (each with the next), or "all".
        weights: of the second net, between 0 and 1, at which nets are merged.
        widths: of zipped nets, 1 to 2.
        draws: how often the units that are added to another net are drawn.
    """

    kind: Literal["cause"] = "cause"
    fit: Data
    untrained: Literal[0] = 0
    experiments: Annotated[list[Experiment], Field(min_length=1)] = Field(default=list(get_args(Experiment)))
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.125
    n_sets: Annotated[int, Field(ge=2, le=1000)] = 19
    fractions: Annotated[list[Share], Field(min_length=1)] = Field(default=[0.125, 0.25, 0.5, 0.75, 1.0])
    pairs: Literal["first", "ring", "all"] = "ring"
    weights: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.25, 0.5, 0.75], min_length=1)
    widths: list[Annotated[float, Field(ge=1, le=2)]] = Field(default=[1.0, 1.25, 1.5, 2.0], min_length=1)
    draws: Annotated[int, Field(ge=1, le=100)] = 3

    @model_validator(mode="after")
    def _can_be_asked(self) -> "CauseStudy":
        for name, family in self.families.items():
            if len(family.nets(name)) < 2:
                told = "a unit is unique against other nets; give two seeds or checkpoints, or more"
                raise fault(told, "families", name)
        if self.data == self.fit:
            raise fault("these are the inputs of `data`, which must not be fitted on; choose others", "fit")
        for key in ("fractions", "weights"):
            if sorted(set(getattr(self, key))) != getattr(self, key):
                raise fault("expected numbers that ascend, each once", key)
        return self

    def pairs_of(self, family: str) -> list[tuple[str, str]]:
        """Pairs of nets of a family in which the order counts: the first is given what the second has."""
        return _pairs(self.nets_of(family), self.pairs)

    def unordered_pairs_of(self, family: str) -> list[tuple[str, str]]:
        """The same pairs, each once where the order does not count."""
        nets = self.nets_of(family)
        chosen = {frozenset(pair) for pair in self.pairs_of(family)}
        return [pair for pair in combinations(nets, 2) if frozenset(pair) in chosen]


def _pairs(nets: Sequence[str], which: str) -> list[tuple[str, str]]:
    if which == "all":
        return list(permutations(nets, 2))
    ring = list(zip(nets, [*nets[1:], nets[0]], strict=True))
    return ring if which == "ring" else ring[:1]
