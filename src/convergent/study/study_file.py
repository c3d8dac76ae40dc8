"""Reading a study file: every key is checked, and an error names the line and the key."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..errors import StudyError, nearest
from ..files import why_unreadable
from ..nets.hub import PREFIX as HUB
from .kinds import kind_of, study_from
from .spec import KINDS_OF_DATA, Study

_EXPECTED = {
    "string_type": "expected text; put it in quotes",
    "path_type": "expected a path; put it in quotes",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "model_attributes_type": f"expected keys and values, kind: one of {', '.join(KINDS_OF_DATA)}",
}
_DATA = (["data"], ["fit"])
Told = tuple[int, str]


def load_study(path: str | Path) -> Study:
    """Read and check a study file. Relative paths in it are relative to the file.

    Raises:
        StudyError: if the file is missing, is not YAML, or a key or value is wrong; it names the line and the key.
    """
    path = Path(path)
    content, node = _parsed(path, _text(path))
    twice = list(_repeated(node, ()))
    if twice:
        raise _refused(path, twice)
    try:
        study = study_from(content)
    except ValidationError as error:
        raise _refused(path, [_told(content, node, fault) for fault in error.errors()]) from error
    absolute: Study = _with_absolute_paths(study, path.resolve().parent)
    return absolute


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(
            f"Cannot read the study '{path}'. {why_unreadable(path, error)}. "
            "Check the path, or run `convergent demo`."
        ) from error
    except UnicodeDecodeError as error:
        raise StudyError(
            f"Cannot read the study '{path}'. It is not UTF-8 text ({error}). Save it as UTF-8."
        ) from error


def _parsed(path: Path, text: str) -> tuple[Mapping[Any, Any], yaml.Node | None]:
    try:
        content, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist, say, is a ValueError
        raise StudyError(f"Cannot read the study '{path}'. It is not YAML: {error}. Correct that line.") from error
    if not isinstance(content, Mapping):
        raise StudyError(
            f"Cannot read the study '{path}'. It holds {type(content).__name__}, not keys and values. "
            "Begin with `name:`, `data:`, `nets:` and `layers:`."
        )
    return content, node


def _repeated(node: yaml.Node | None, place: tuple[str, ...], above: tuple[yaml.Node, ...] = ()) -> Iterator[Told]:
    """Keys that stand twice beside each other, of which YAML would keep the last without a word."""
    if not isinstance(node, yaml.MappingNode) or node in above:
        return
    seen: set[str] = set()
    for key, value in node.value:
        here = (*place, str(key.value))
        if here[-1] in seen:
            yield key.start_mark.line + 1, f"{'.'.join(here)}: this key is there twice."
        seen.add(here[-1])
        yield from _repeated(value, here, (*above, node))


def _with_absolute_paths(said: Any, folder: Path) -> Any:
    """What a study says, with its paths relative to a folder."""
    match said:
        case Path():
            return folder / said
        case str() if said.startswith(f"{HUB}."):
            return f"{HUB}{folder / said.removeprefix(HUB)}"
        case BaseModel():
            fields = {name: getattr(said, name) for name in type(said).model_fields}
            return said.model_copy(update=_with_absolute_paths(fields, folder))
        case dict():
            return {key: _with_absolute_paths(value, folder) for key, value in said.items()}
        case list():
            return [_with_absolute_paths(value, folder) for value in said]
    return said


def _refused(path: Path, told: Sequence[Told]) -> StudyError:
    """Every fault, each with the line and the key it stands at."""
    count = f"{len(told)} fault{'s' if len(told) > 1 else ''}"
    lines = [f"  line {line}, {what}" for line, what in sorted(told)]
    return StudyError(
        "\n".join([f"Cannot run the study '{path}'. Found {count}:", *lines, "Correct the file and run it again."])
    )


def _told(content: Mapping[Any, Any], node: yaml.Node | None, fault: ErrorDetails) -> Told:
    place = _place(fault)
    return _line_of(node, place), f"{'.'.join(map(str, place)) or 'the study'}: {_fault(content, fault)}"


def _place(fault: ErrorDetails) -> list[int | str]:
    """Where a fault stands in the file; pydantic also names the kind of data that was tried, and marks keys."""
    place = [part for part in fault["loc"] if part != "[key]"]
    place = [part for i, part in enumerate(place) if not (place[:i] in _DATA and part in KINDS_OF_DATA)]
    if fault["type"].startswith("union_tag"):
        place.append("kind")
    return place + list(fault.get("ctx", {}).get("place", []))


def _fault(content: Mapping[Any, Any], fault: ErrorDetails) -> str:
    found, of = fault["input"], fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            *place, key = fault["loc"]
            return f"there is no such key. {nearest(str(key), _keys_at(kind_of(content), place))}"
        case "missing":
            return "this key is missing."
        case "union_tag_not_found":
            return f"this key is missing; expected one of {', '.join(map(repr, KINDS_OF_DATA))}."
        case "union_tag_invalid":
            return f"there is no such kind of data; found {of['tag']!r}. {nearest(of['tag'], KINDS_OF_DATA)}"
        case "literal_error":
            choices = re.findall(r"'([^']*)'", of["expected"])
            return f"expected {of['expected']}; found {found!r}. {nearest(str(found), choices)}"
        case "too_short":
            return f"expected at least {of['min_length']}; found {of['actual_length']}."
    said = _EXPECTED.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    said = said.replace("should be greater", "should be a number greater").replace("Input should be", "expected")
    said = said.rstrip(".")
    return f"{said}." if isinstance(found, Mapping | BaseModel) else f"{said}; found {found!r}."


def _keys_at(study: type[Study], place: Sequence[int | str]) -> list[str]:
    """The keys that exist at a place of the file."""
    found: list[Any] = [study]
    for part in place:
        found = [inner for one in found for inner in _inside(one, part)]
    return [key for one in found for key in getattr(one, "model_fields", ())]


def _inside(kind: Any, part: int | str) -> list[Any]:
    """The types that may stand at a part of a type: a key, an index, or the `kind` of one of several."""
    if get_origin(kind) in (dict, list):
        return _alternatives(get_args(kind)[-1])
    fields = getattr(kind, "model_fields", {})
    if part in fields:
        return _alternatives(fields[part].annotation)
    return [kind] if "kind" in fields and part in get_args(fields["kind"].annotation) else []


def _alternatives(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else [annotation]


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
