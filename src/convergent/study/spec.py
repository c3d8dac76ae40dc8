"""What a study may say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ..data.photo_digits import NAME as PHOTO_DIGITS
from ..extraction.views import UnitAxis, View
from ..nets.recipe import Recipe

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
Triple = tuple[float, float, float]


def _plain_name(name: str) -> str:
    """A name that can be a file's, and stays in its folder."""
    if name.strip(".") == "" or not all(character.isalnum() or character in "._-" for character in name):
        raise ValueError("expected a name of letters, digits, '.', '_' and '-', and not of dots alone")
    return name


def _fault(told: str, *place: str) -> PydanticCustomError:
    """A fault of several keys together, told at one of them."""
    return PydanticCustomError("together", "{told}", {"told": told, "place": list(place)})


PlainName = Annotated[str, AfterValidator(_plain_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotoDigitsSpec(_Strict):
    """The embedded data: held-out digits on photographs."""

    kind: Literal["photo-digits"]
    n: Annotated[int, Field(ge=1)] = 4000


class FolderSpec(_Strict):
    """A folder of images."""

    kind: Literal["folder"]
    root: Path
    size: Annotated[int, Field(ge=1)]
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)


class HubSpec(_Strict):
    """A data set of the Hugging Face hub, or Parquet files, read by the library `datasets`."""

    kind: Literal["hub"]
    name: str | None = None
    path: Path | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    image: str | None = None
    label: str | None = None
    size: Annotated[int, Field(ge=1)]
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _one_source(self) -> "HubSpec":
        if (self.name is None) == (self.path is None):
            raise ValueError("give either the name of a data set on the hub or the path of files, one of the two")
        if self.name is not None and self.split is None:
            raise ValueError("a data set of the hub has several splits; say which, as in split: test")
        if self.path is not None and (self.config or self.revision):
            raise ValueError("config and revision belong to a name on the hub; leave them out beside a path")
        return self


KINDS_OF_DATA: Mapping[str, type[BaseModel]] = {
    PHOTO_DIGITS: PhotoDigitsSpec,
    "folder": FolderSpec,
    "hub": HubSpec,
}


class TrainSpec(_Strict):
    """Train the net here, on photo-digits; what is not given is the default recipe's."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    n_steps: Annotated[int, Field(ge=1)] = Recipe.n_steps
    batch_size: Annotated[int, Field(ge=1)] = Recipe.batch_size
    learning_rate: Annotated[float, Field(gt=0)] = Recipe.learning_rate
    weight_decay: Annotated[float, Field(ge=0)] = Recipe.weight_decay


class NetSpec(_Strict):
    """One net: a factory, and where its weights come from (else they are the factory's own)."""

    factory: str
    kwargs: dict[str, Any] = {}
    checkpoint: Path | None = None
    train: TrainSpec | None = None

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> "NetSpec":
        if self.checkpoint is not None and self.train is not None:
            raise ValueError("a net has either a checkpoint or is trained here; found both")
        return self

    def recipe(self, *, seed: int | None = None) -> Recipe:
        """How the net is trained; with a seed, the recipe of its untrained sibling."""
        choices = {} if self.train is None else self.train.model_dump()
        return Recipe(net=self.factory, kwargs=self.kwargs, **choices | ({} if seed is None else {"seed": seed}))


class Study(_Strict):
    """A whole study; see docs/studies.md for every key.

    Attributes:
        name: of the study, and of its run folder.
        seed: from which nets without weights of their own, and untrained nets, are drawn.
        data: what the nets are compared on.
        nets: at least two, by name.
        untrained: how many untrained copies of the first net set the chance level (0, or at least 2).
        layers: names or globs, for all nets.
        view: which values are units, and where they are sampled.
        blocks: how many blocks of inputs are held out in turn.
        rolls: by how many inputs, at most, a partner's inputs are rolled to set the chance level; 0 leaves it out.
        measures: what is asked. Matchings, similarity and universality are of all nets; the others, of the first
            two.
        bins: of each unit, for mutual information.
        top_inputs: how many of its strongest inputs are shown for each unit.
        projection: how what comes back from a unit is computed, for the first two nets.
        batch_size: inputs that run at once.
    """

    name: PlainName
    seed: Annotated[int, Field(ge=0, lt=2**31 - 1000)] = 0
    data: Annotated[PhotoDigitsSpec | FolderSpec | HubSpec, Field(discriminator="kind")]
    nets: Annotated[dict[PlainName, NetSpec], Field(min_length=2)]
    untrained: Annotated[int, Field(ge=0, le=100)] = 2
    layers: Annotated[list[str], Field(min_length=1)]
    view: "ViewSpec" = Field(default_factory=lambda: ViewSpec())
    blocks: Annotated[int, Field(ge=2, le=1000)] = 10
    rolls: Annotated[int, Field(ge=0, le=100)] = 4
    measures: Annotated[list[Measure], Field(min_length=1)] = list(get_args(Measure))
    bins: Annotated[int, Field(ge=2, le=100)] = 10
    top_inputs: Annotated[int, Field(ge=1, le=100)] = 9
    projection: Literal["deconvnet", "gradient_x_input"] = "deconvnet"
    batch_size: Annotated[int, Field(ge=1)] = 64

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        if not {"match_best", "match_one_to_one"} & set(self.measures):
            raise _fault("everything begins with a matching; add match_best or match_one_to_one", "measures")
        if self.untrained == 1:
            raise _fault("chance is measured between untrained nets; give 0, or at least 2", "untrained")
        for name, net in self.nets.items():
            if name in self.untrained_seeds:
                raise _fault("this is the name of an untrained net; choose another", "nets", name)
            if net.train is not None and self.data.kind != PHOTO_DIGITS:
                told = "training happens on photo-digits only; give a checkpoint for data of your own"
                raise _fault(told, "nets", name, "train")
        return self

    @property
    def net_seeds(self) -> dict[str, int]:
        """Seed each net's factory is called with; it decides where neither a checkpoint nor training follows."""
        return {name: self.seed + i for i, name in enumerate(self.nets)}

    @property
    def untrained_seeds(self) -> dict[str, int]:
        """Name and seed of each untrained net."""
        return {f"untrained{i + 1}": self.seed + 1000 + i for i in range(self.untrained)}

    def resolved(self) -> str:
        """The study as YAML, with every default spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


class ViewSpec(_Strict):
    """See `convergent.View`."""

    units: UnitAxis = "auto"
    locations: str = "all"

    @field_validator("locations")
    @classmethod
    def _are_locations(cls, locations: str) -> str:
        return View(locations=locations).locations

    def view(self) -> View:
        """The view itself."""
        return View(units=self.units, locations=self.locations)


Study.model_rebuild()
