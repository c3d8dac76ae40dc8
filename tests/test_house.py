"""The rules of the house that a machine can check: floors, docstrings, sizes, no paths of one machine."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import convergent

PACKAGE = Path(convergent.__file__).parent
ROOT = PACKAGE.parents[1]
# Rooms by floor. Imports only go down, and rooms on one floor never import each other.
FLOORS: dict[str, int] = {
    **dict.fromkeys(("_typing", "errors", "units", "batch", "results", "files", "progress", "threads"), 0),
    **dict.fromkeys(("nets", "data"), 1),
    **dict.fromkeys(("extraction", "statistics", "solvers"), 2),
    **dict.fromkeys(("passes", "measures"), 3),
    "experiments": 4,
    **dict.fromkeys(("study", "report", "selftest"), 5),
    "cli": 6,
    **dict.fromkeys(("__init__", "__main__"), 7),
    "__version__": 0,  # a word that any room may quote
}
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = sorted(
    [
        "convergent",
        *(m.name for m in pkgutil.walk_packages([str(PACKAGE)], "convergent.") if "__main__" not in m.name),
    ]
)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


by_file = pytest.mark.parametrize("path", SOURCES, ids=name_of)
by_module = pytest.mark.parametrize("name", MODULES)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms of this package that a file imports from, wherever in it the import stands."""
    package = ("convergent", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = [*base, *(node.module.split(".") if node.module else ())]
            targets = [[*module, alias.name] for alias in node.names]
        else:
            continue
        yield from (target[1] for target in targets if target[0] == "convergent" and len(target) > 1)


@by_file
def test_imports_only_go_down(path: Path) -> None:
    room = room_of(path)
    for other in imported_rooms(path):
        assert other in FLOORS, f"'{name_of(path)}' imports '{other}' from the top of the package"
        on_ground_floor = FLOORS[room] == FLOORS[other] == 0
        assert other == room or FLOORS[other] < FLOORS[room] or on_ground_floor, f"{room} imports {other}"


def test_the_floors_are_those_of_the_package() -> None:
    rooms = {room_of(path) for path in SOURCES}
    assert rooms <= FLOORS.keys()
    assert "statistics" in set(imported_rooms(PACKAGE / "passes.py"))  # the search finds something


@by_file
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = ast.get_docstring(node, clean=False) is not None
            begin = (first.end_lineno or 0) if docstring else node.lineno
            assert (node.end_lineno or 0) - begin <= 60, f"{node.name} is too long"


def public(name: str) -> Iterator[tuple[str, Any]]:
    """Public functions, classes and methods that a module defines."""
    module = importlib.import_module(name)
    for label, thing in vars(module).items():
        defined_here = getattr(thing, "__module__", None) == name
        if label.startswith("_") or not defined_here or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        yield label, thing
        for key, member in vars(thing).items() if inspect.isclass(thing) else ():
            function: Any = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if not key.startswith("_") and inspect.isfunction(function):
                yield f"{label}.{key}", inspect.unwrap(function)


@by_module
def test_everything_public_says_what_it_is(name: str) -> None:
    assert importlib.import_module(name).__doc__
    assert [label for label, thing in public(name) if not thing.__doc__] == []


def documented_args(docstring: str) -> list[str] | None:
    """Names in the Args section; None where there is no such section."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n|\n)+)", inspect.cleandoc(docstring) + "\n", re.MULTILINE)
    return re.findall(r"^ {4}\*{0,2}(\w+):", section[1], re.MULTILINE) if section else None


@by_module
def test_args_are_those_of_the_signature(name: str) -> None:
    for label, thing in public(name):
        documented = documented_args(thing.__doc__ or "")
        if documented is not None:
            parameters = [p for p in inspect.signature(thing).parameters if p not in ("self", "cls")]
            assert documented == parameters, f"{name}.{label}"


def test_args_are_found() -> None:
    assert {"PairMoments.from_samples", "PairMoments"} <= {
        label for label, _ in public("convergent.statistics.pairs")
    }
    assert documented_args(
        "Do.\n\n    Args:\n        a: one,\n            more: of it.\n        b: two.\n\n    Returns: x"
    ) == ["a", "b"]
    assert documented_args("Do.\n\nReturns:\n    a: b.") is None


def examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", [name for name in MODULES if examples(importlib.import_module(name))])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    told: list[str] = []
    for test in examples(importlib.import_module(name)):
        runner.run(test, out=told.append)
    assert runner.failures == 0, "".join(told)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_path_of_one_machine() -> None:
    if not tracked():
        pytest.skip("this is not a git checkout")
    somewhere = re.compile(r"(?<![\w.~/-])/(?:home|root|work|Users|mnt|workspace)/\w")
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}: {line.strip()}" for line in text.splitlines() if somewhere.search(line)
        ]
    assert found == []
