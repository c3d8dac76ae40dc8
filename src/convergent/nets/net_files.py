"""Files of nets that are trained here: safetensors, with the recipe as JSON in the metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .._typing import Tensor
from ..errors import FileFormatError, MismatchError
from ..files import replacing
from .recipe import Recipe

# The one key of the metadata: safetensors writes several in no fixed order, and equal nets should be equal files.
FORMAT = "convergent.net/1"


@dataclass(frozen=True)
class NetFile:
    """What such a file holds.

    Attributes:
        tensors: weights by name; in the checkpoint of an unfinished training also the optimiser's state.
        recipe: how they came about.
        data: fingerprint of the training data.
        n_steps_done: steps of the recipe that were done.
        accuracy: share of held-out inputs classified correctly, None until training has ended.
        objective: fingerprint of what was made small; empty for the cross-entropy of the labels.
    """

    tensors: Mapping[str, Tensor]
    recipe: Recipe
    data: str
    n_steps_done: int
    accuracy: float | None = None
    objective: str = ""

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name starts so, without that start."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def write_net(path: Path, content: NetFile) -> None:
    """Write a file, whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    header = {
        "recipe": asdict(content.recipe),
        "data": content.data,
        "n_steps_done": content.n_steps_done,
        "accuracy": content.accuracy,
    } | ({"objective": content.objective} if content.objective else {})
    tensors = {name: tensor.contiguous() for name, tensor in content.tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={FORMAT: json.dumps(header, sort_keys=True)})


def read_net(path: Path) -> NetFile:
    """Read a file back.

    Raises:
        FileFormatError: if it is missing, damaged, or holds no recipe.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[FORMAT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return NetFile(**{**header, "recipe": Recipe(**header["recipe"]), "tensors": tensors})
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"Cannot read '{path}' as a net trained here. It is missing, damaged, or has no recipe this version "
            f"knows ({type(error).__name__}: {error}). Move it away and train again."
        ) from error


def check_same(path: Path, found: NetFile, recipe: Recipe, *, data: str, objective: str = "") -> None:
    """Make sure that a file is of this recipe, this data and this objective.

    Raises:
        MismatchError: naming what differs.
    """
    was = asdict(found.recipe) | {"content of the data": found.data[:12], "objective": found.objective[:12]}
    wanted = asdict(recipe) | {"content of the data": data[:12], "objective": objective[:12]}
    differing = [f"{key} is {was[key]!r}, not {wanted[key]!r}" for key in wanted if was[key] != wanted[key]]
    if differing:
        raise MismatchError(
            f"Cannot train into '{path}'. It holds a net of another recipe: {'; '.join(differing)}. "
            "Choose another path, or move that file away."
        )
