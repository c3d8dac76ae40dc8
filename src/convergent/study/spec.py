"""What every kind of study may say: its name, the data, the nets and how they are looked at."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..data.photo_digits import NAME as PHOTO_DIGITS
from ..extraction.views import UnitAxis, View
from ..nets.recipe import Recipe

Triple = tuple[float, float, float]


def _plain_name(name: str) -> str:
    """A name that can be a file's, and stays in its folder."""
    if name.strip(".") == "" or not all(character.isalnum() or character in "._-" for character in name):
        raise ValueError("expected a name of letters, digits, '.', '_' and '-', and not of dots alone")
    return name


def fault(told: str, *place: str) -> PydanticCustomError:
    """A fault of several keys together, told at one of them."""
    return PydanticCustomError("together", "{told}", {"told": told, "place": list(place)})


PlainName = Annotated[str, AfterValidator(_plain_name)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """Knows its keys and no others, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotoDigitsSpec(Strict):
    """The embedded data: digits on photographs, held out from training unless `split` says otherwise."""

    kind: Literal["photo-digits"]
    n: Annotated[int, Field(ge=1)] = 4000
    split: Literal["held-out", "train"] = "held-out"


class FolderSpec(Strict):
    """A folder of images."""

    kind: Literal["folder"]
    root: Path
    size: Annotated[int, Field(ge=1)]
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)


class HubSpec(Strict):
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


def _folder_or_name(said: Any) -> Any:
    """A folder where it is written as one: `./tokenizer`, `/data/tokenizer`; else a name on the hub."""
    return Path(said) if isinstance(said, str) and said.startswith((".", "/")) else said


class TokensSpec(Strict):
    """A file of texts, one a line, and the tokenizer that a language net was trained with."""

    kind: Literal["tokens"]
    path: Path
    tokenizer: Annotated[str | Path, BeforeValidator(_folder_or_name)]
    length: Annotated[int, Field(ge=1)] = 128
    n: Annotated[int, Field(ge=1)] | None = None


Data = Annotated[PhotoDigitsSpec | FolderSpec | HubSpec | TokensSpec, Field(discriminator="kind")]
KINDS_OF_DATA: Mapping[str, type[BaseModel]] = {
    PHOTO_DIGITS: PhotoDigitsSpec,
    "folder": FolderSpec,
    "hub": HubSpec,
    "tokens": TokensSpec,
}


class Training(Strict):
    """How nets are trained here, on photo-digits; what is not given is the default recipe's."""

    n_steps: Annotated[int, Field(ge=1)] = Recipe.n_steps
    batch_size: Annotated[int, Field(ge=1)] = Recipe.batch_size
    learning_rate: Annotated[float, Field(gt=0)] = Recipe.learning_rate
    weight_decay: Annotated[float, Field(ge=0)] = Recipe.weight_decay


class TrainSpec(Training):
    """How one net is trained here, and from which seed."""

    seed: Seed


class NetSpec(Strict):
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


class ViewSpec(Strict):
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


class Study(Strict, ABC):
    """What all kinds of studies have; docs/studies.md tells every key.

    Attributes:
        kind: which questions are asked.
        name: of the study, and of its run folder.
        seed: from which nets without weights of their own, and untrained nets, are drawn.
        data: what the nets are compared on.
        view: which values are units, and where they are sampled.
        blocks: how many blocks of inputs are held out in turn.
        batch_size: inputs that run at once.
        nets_folder: where nets trained here are kept, so that studies can share them; the run folder's own `nets`
            where not given.
    """

    kind: str
    name: PlainName
    seed: Annotated[int, Field(ge=0, lt=2**31 - 100_000)] = 0
    data: Data
    view: ViewSpec = Field(default_factory=ViewSpec)
    blocks: Annotated[int, Field(ge=2, le=1000)] = 10
    batch_size: Annotated[int, Field(ge=1)] = 64
    nets_folder: Path | None = None

    @property
    @abstractmethod
    def members(self) -> Mapping[str, tuple[NetSpec, int]]:
        """The nets under comparison, and the seed of each, which decides where nothing else sets its weights."""

    @property
    @abstractmethod
    def controls(self) -> Mapping[str, tuple[NetSpec, int]]:
        """The untrained nets beside them: what each is a copy of, and the seed of its weights."""

    @property
    @abstractmethod
    def chosen_layers(self) -> Mapping[str, Sequence[str]]:
        """Names or globs of layers, for each net."""

    @model_validator(mode="after")
    def _data_to_train_on(self) -> "Study":
        for name, (net, _) in self.members.items():
            if net.train is not None and self.data.kind != PHOTO_DIGITS:
                told = "training happens on photo-digits only; give a checkpoint for data of your own"
                raise fault(told, *self.place_of(name), "train")
        return self

    @abstractmethod
    def place_of(self, net: str) -> tuple[str, str]:
        """Where in the file a net is described."""

    def resolved(self) -> str:
        """The study as YAML, with every default spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
