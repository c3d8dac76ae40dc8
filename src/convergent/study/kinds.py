"""The kinds of studies: which questions are asked."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError, ValidationError

from ..errors import nearest
from .cause import CauseStudy
from .depth import DepthStudy
from .pairs import PairsStudy
from .residual import ResidualStudy
from .spec import Study

KINDS: Mapping[str, type[Study]] = {
    "pairs": PairsStudy,
    "cause": CauseStudy,
    "depth": DepthStudy,
    "residual": ResidualStudy,
}


def study_from(content: Any) -> Study:
    """A study of the kind that its content names; of pairs, where it names none.

    Raises:
        ValidationError: if a key or value is wrong.
    """
    return kind_of(content).model_validate(content)


def kind_of(content: Any) -> type[Study]:
    """The kind of study that some content names.

    Raises:
        ValidationError: if there is no such kind.
    """
    kind = content.get("kind", "pairs") if isinstance(content, Mapping) else "pairs"
    if kind not in list(KINDS):
        told = f"there is no such kind of study; found {kind!r}. {nearest(str(kind), KINDS)}"
        fault = PydanticCustomError("together", "{told}", {"told": told})
        raise ValidationError.from_exception_data("Study", [{"type": fault, "loc": ("kind",), "input": content}])
    return KINDS[kind]
