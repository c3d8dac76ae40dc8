"""What a study file may say. Every key is checked, and an error names the line and the key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from ..data.photo_digits import NAME as PHOTO_DIGITS
from ..errors import StudyError, nearest
from ..extraction.views import UnitAxis, View
from ..nets.recipe import Recipe

Measure = Literal["match_best", "match_one_to_one", "mutual_information", "sparse_map", "cluster_units"]
Triple = tuple[float, float, float]


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


_KINDS_OF_DATA: Mapping[str, type[BaseModel]] = {
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
        measures: what is asked. Matchings are of all pairs of nets; the others, of the first two nets.
        bins: of each unit, for mutual information.
        top_inputs: how many of its strongest inputs are shown for each unit.
        batch_size: inputs that run at once.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    seed: Annotated[int, Field(ge=0, lt=2**31 - 1000)] = 0
    data: Annotated[PhotoDigitsSpec | FolderSpec | HubSpec, Field(discriminator="kind")]
    nets: Annotated[dict[str, NetSpec], Field(min_length=2)]
    untrained: Annotated[int, Field(ge=0, le=100)] = 2
    layers: Annotated[list[str], Field(min_length=1)]
    view: "ViewSpec" = Field(default_factory=lambda: ViewSpec())
    blocks: Annotated[int, Field(ge=2, le=1000)] = 10
    measures: Annotated[list[Measure], Field(min_length=1)] = list(get_args(Measure))
    bins: Annotated[int, Field(ge=2, le=100)] = 10
    top_inputs: Annotated[int, Field(ge=1, le=100)] = 9
    batch_size: Annotated[int, Field(ge=1)] = 64

    @field_validator("nets")
    @classmethod
    def _plain_names(cls, nets: dict[str, NetSpec]) -> dict[str, NetSpec]:
        for name in nets:
            if not name or not all(character.isalnum() or character in "._-" for character in name):
                raise ValueError(f"net names are letters, digits, '.', '_' and '-'; found {name!r}")
        return nets

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        if self.untrained == 1:
            raise ValueError("untrained: chance is measured between untrained nets; give 0, or at least 2")
        taken = set(self.nets) & set(self.untrained_seeds)
        if taken:
            raise ValueError(f"nets: {sorted(taken)} are the names of the untrained nets; choose others")
        if self.data.kind != PHOTO_DIGITS and any(net.train for net in self.nets.values()):
            raise ValueError("nets: training happens on photo-digits only; give checkpoints for data of your own")
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

    @model_validator(mode="after")
    def _is_a_view(self) -> "ViewSpec":
        self.view()
        return self

    def view(self) -> View:
        """The view itself."""
        return View(units=self.units, locations=self.locations)


Study.model_rebuild()


def load_study(path: str | Path) -> Study:
    """Read and check a study file. Relative paths in it are relative to the file.

    Raises:
        StudyError: if the file is missing, is not YAML, or a key or value is wrong; it names the line and the key.
    """
    path = Path(path)
    if not path.is_file():
        raise StudyError(
            f"Cannot read the study '{path}'. There is no such file. Check the path, or run `convergent demo`."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StudyError(
            f"Cannot read the study '{path}'. It is not UTF-8 text ({error}). Save it as UTF-8."
        ) from error
    try:
        content, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise StudyError(f"Cannot read the study '{path}'. It is not YAML: {error}. Correct that line.") from error
    if not isinstance(content, Mapping):
        raise StudyError(
            f"Cannot read the study '{path}'. It holds {type(content).__name__}, not keys and values. "
            "Begin with `name:`, `data:`, `nets:` and `layers:`."
        )
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise StudyError(_explained(path, node, error)) from error
    return _with_absolute_paths(study, path.resolve().parent)


def _with_absolute_paths(study: Study, folder: Path) -> Study:
    nets = {
        name: net if net.checkpoint is None else net.model_copy(update={"checkpoint": folder / net.checkpoint})
        for name, net in study.nets.items()
    }
    changes: dict[str, object] = {"nets": nets}
    if isinstance(study.data, FolderSpec):
        changes["data"] = study.data.model_copy(update={"root": folder / study.data.root})
    if isinstance(study.data, HubSpec) and study.data.path is not None:
        changes["data"] = study.data.model_copy(update={"path": folder / study.data.path})
    return study.model_copy(update=changes)


def _explained(path: Path, node: yaml.Node | None, error: ValidationError) -> str:
    """Every fault, each with the line and the key it stands at."""
    told = sorted(_told(node, fault) for fault in error.errors())
    count = f"{len(told)} fault{'s' if len(told) > 1 else ''}"
    lines = [f"  line {line}, {what}" for line, what in told]
    return "\n".join(
        [f"Cannot run the study '{path}'. Found {count}:", *lines, "Correct the file and run it again."]
    )


def _told(node: yaml.Node | None, fault: ErrorDetails) -> tuple[int, str]:
    # Data may be one of several things, and the place of a fault in it also names the one that was tried.
    tried = any(fault["loc"][:2] == ("data", kind) for kind in _KINDS_OF_DATA)
    place = [*fault["loc"][:1], *fault["loc"][2:]] if tried else list(fault["loc"])
    return _line_of(node, place), f"{'.'.join(map(str, place)) or 'the study'}: {_fault(fault)}"


def _fault(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return f"there is no such key. {nearest(str(fault['loc'][-1]), _keys_at(fault['loc'][:-1]))}"
    if fault["type"] == "missing":
        return "this key is missing."
    said, found = fault["msg"].removeprefix("Value error, "), fault["input"]
    return f"{said}." if isinstance(found, Mapping | BaseModel) else f"{said}; found {found!r}."


def _keys_at(place: Sequence[int | str]) -> list[str]:
    """The keys that exist at a place of the file."""
    models: dict[tuple[str, ...], type[BaseModel]] = {
        (): Study,
        ("view",): ViewSpec,
        ("nets", "*"): NetSpec,
        ("nets", "*", "train"): TrainSpec,
        **{("data", kind): model for kind, model in _KINDS_OF_DATA.items()},
    }
    general = tuple("*" if i == 1 and place[0] == "nets" else str(part) for i, part in enumerate(place))
    return list(models[general].model_fields) if general in models else []


def _line_of(node: yaml.Node | None, place: Sequence[int | str]) -> int:
    """The line of the deepest part of a place that is in the file, counted from 1."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = [(node.value[part], node.value[part])]
        else:
            found = []
        if not found:
            return line
        line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line
