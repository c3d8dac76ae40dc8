"""What a study of pairs of nets may say: unit by unit, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from ..spec import NetSpec, PlainName, Study, fault

Measure = Literal[
    "match_best",
    "match_one_to_one",
    "mutual_information",
    "sparse_map",
    "cluster_units",
    "ladder",
    "similarity",
    "universality",
]


class PairsStudy(Study):
    """Nets in pairs, layers of equal name: which units are the same?

    Attributes:
        nets: at least two, by name.
        untrained: how many untrained copies of the first net set the chance level (0, or at least 2).
        layers: names or globs, for all nets.
        rolls: by how many inputs, at most, a partner's inputs are rolled to set the chance level; 0 leaves it out.
        measures: what is asked. Matchings, similarity and universality are of all nets; the others, of the first
            two.
        bins: of each unit, for mutual information.
        top_inputs: how many of its strongest inputs are shown for each unit.
        projection: how what comes back from a unit is computed, for the first two nets.
    """

    kind: Literal["pairs"] = "pairs"
    nets: Annotated[dict[PlainName, NetSpec], Field(min_length=2)]
    untrained: Annotated[int, Field(ge=0, le=100)] = 2
    layers: Annotated[list[str], Field(min_length=1)]
    rolls: Annotated[int, Field(ge=0, le=100)] = 4
    measures: Annotated[list[Measure], Field(min_length=1)] = Field(default=list(get_args(Measure)))
    bins: Annotated[int, Field(ge=2, le=100)] = 10
    top_inputs: Annotated[int, Field(ge=1, le=100)] = 9
    projection: Literal["deconvnet", "gradient_x_input"] = "deconvnet"

    @model_validator(mode="after")
    def _consistent(self) -> "PairsStudy":
        if not {"match_best", "match_one_to_one"} & set(self.measures):
            raise fault("everything begins with a matching; add match_best or match_one_to_one", "measures")
        if self.untrained == 1:
            raise fault("chance is measured between untrained nets; give 0, or at least 2", "untrained")
        for name in self.nets:
            if name in self.controls:
                raise fault("this is the name of an untrained net; choose another", "nets", name)
        return self

    @property
    def members(self) -> Mapping[str, tuple[NetSpec, int]]:
        """The nets, and as many seeds."""
        return {name: (net, self.seed + i) for i, (name, net) in enumerate(self.nets.items())}

    @property
    def controls(self) -> Mapping[str, tuple[NetSpec, int]]:
        """Untrained copies of the first net."""
        first = next(iter(self.nets.values()))
        return {f"untrained{i + 1}": (first, self.seed + 1000 + i) for i in range(self.untrained)}

    @property
    def chosen_layers(self) -> Mapping[str, Sequence[str]]:
        """The same for all nets."""
        return dict.fromkeys((*self.nets, *self.controls), self.layers)

    def place_of(self, net: str) -> tuple[str, str]:
        """Under `nets`."""
        return ("nets", net)
