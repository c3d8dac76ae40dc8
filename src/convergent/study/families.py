"""Studies of families: nets of one architecture each, from several seeds."""

from abc import ABC
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from ..nets.hub import PREFIX as HUB
from .spec import NetSpec, PlainName, Seed, Strict, Study, Training, TrainSpec, fault

_BETWEEN_FAMILIES = 1000  # seeds of untrained nets


class FamilySpec(Strict):
    """Nets of one architecture.

    Attributes:
        factory: what builds one.
        kwargs: its arguments.
        layers: names or globs, looked up in every net.
        seeds: one a net that is trained here, or whose factory draws its weights.
        checkpoints: one a net that is trained already; instead of seeds.
        train: how those with seeds are trained.
    """

    factory: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    layers: Annotated[list[str], Field(min_length=1)]
    seeds: list[Seed] = Field(default_factory=list)
    checkpoints: list[Path] = Field(default_factory=list)
    train: Training | None = None

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> "FamilySpec":
        if bool(self.seeds) == bool(self.checkpoints):
            raise ValueError("give either seeds or checkpoints, one a net")
        if self.checkpoints and self.train is not None:
            raise ValueError("nets with checkpoints are trained already; leave out train")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed stands there twice, and would give the same net twice")
        return self

    def nets(self, name: str) -> Mapping[str, tuple[NetSpec, int]]:
        """The nets: the family's name with the seed, or with the number of the checkpoint, from 1."""
        if self.checkpoints:
            return {f"{name}{i}": (self._net(checkpoint=path), 0) for i, path in enumerate(self.checkpoints, 1)}
        return {f"{name}{seed}": (self._net(train=self._trained_from(seed)), seed) for seed in self.seeds}

    def untrained(self, name: str, seeds: Sequence[int]) -> Mapping[str, tuple[NetSpec, int]]:
        """Nets of the family before their first step; those of the hub, as their configuration starts them."""
        net = self._net()
        if self.factory.startswith(HUB):
            net = net.model_copy(update={"kwargs": {**net.kwargs, "trained": False}})
        return {f"{name}_untrained{i}": (net, seed) for i, seed in enumerate(seeds, 1)}

    def _trained_from(self, seed: int) -> TrainSpec | None:
        return None if self.train is None else TrainSpec(seed=seed, **self.train.model_dump())

    def _net(self, *, checkpoint: Path | None = None, train: TrainSpec | None = None) -> NetSpec:
        return NetSpec(factory=self.factory, kwargs=self.kwargs, checkpoint=checkpoint, train=train)


class FamiliesStudy(Study, ABC):
    """What studies of families have.

    Attributes:
        families: by name; a net's name is its family's and its seed.
        untrained: untrained nets of each family, which tell what training has to do with it.
    """

    families: Annotated[dict[PlainName, FamilySpec], Field(min_length=1)]
    untrained: Annotated[int, Field(ge=0, le=100)] = 2

    @model_validator(mode="after")
    def _distinct_names(self) -> "FamiliesStudy":
        n_nets = sum(len(family.nets(name)) + self.untrained for name, family in self.families.items())
        if len(self.family_of) < n_nets:
            raise fault("two nets would have one name, which is made of family and seed; rename one", "families")
        return self

    @property
    def members(self) -> Mapping[str, tuple[NetSpec, int]]:
        """The nets of all families."""
        return {net: spec for name in self.families for net, spec in self._nets(name).items()}

    @property
    def controls(self) -> Mapping[str, tuple[NetSpec, int]]:
        """The untrained nets of all families."""
        return {net: spec for name in self.families for net, spec in self._untrained(name).items()}

    @property
    def family_of(self) -> Mapping[str, str]:
        """The family of each net, untrained ones too."""
        return {net: name for name in self.families for net in (*self._nets(name), *self._untrained(name))}

    @property
    def chosen_layers(self) -> Mapping[str, Sequence[str]]:
        """Those of its family, for each net."""
        return {net: self.families[name].layers for net, name in self.family_of.items()}

    def nets_of(self, family: str, *, trained: bool = True) -> list[str]:
        """Names of the nets of a family."""
        return list(self._nets(family) if trained else self._untrained(family))

    def place_of(self, net: str) -> tuple[str, str]:
        """Under `families`."""
        return ("families", self.family_of[net])

    def _nets(self, family: str) -> Mapping[str, tuple[NetSpec, int]]:
        return self.families[family].nets(family)

    def _untrained(self, family: str) -> Mapping[str, tuple[NetSpec, int]]:
        first = self.seed + _BETWEEN_FAMILIES * (1 + list(self.families).index(family))
        return self.families[family].untrained(family, range(first, first + self.untrained))
