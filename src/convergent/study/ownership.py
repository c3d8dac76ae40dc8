"""Whose a run folder is: nobody's, this study's, or another's."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from ..errors import StudyError
from ..files import replacing
from ..nets.hub import PREFIX as HUB
from .kinds import study_from
from .spec import Study

_NAME = "study.yaml"
_ELSEWHERE = "Choose another one with --out"


def check_folder(folder: Path, study: Study, *, resume: bool) -> None:
    """Make sure that a study may run in a folder; nothing is changed.

    A run that failed before it had done anything left its study only, and that is nobody's.

    Raises:
        StudyError: if the folder holds something else, or a run of this study and `resume` is not given.
    """
    if folder.exists() and not folder.is_dir():
        raise _refused(study, folder, f"It is a file, not a folder. {_ELSEWHERE}.")
    said = folder / _NAME
    if not said.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise _refused(study, folder, f"The folder is not empty and not a run folder. {_ELSEWHERE}.")
        return
    before = _read(said, study)
    if _only_claimed(said, before):
        return
    keys = _differing(before, study)
    if keys:
        told = f"The folder holds the run of another study (these keys differ: {', '.join(keys)})."
        raise _refused(study, folder, f"{told} {_ELSEWHERE}, or remove this one.")
    if not resume:
        told = "The folder holds a run of this study already. Add --resume to go on with it, or choose another"
        raise _refused(study, folder, f"{told} folder with --out.")


def claim(folder: Path, study: Study) -> None:
    """Write the study, with every default spelled out, into its folder."""
    with replacing(folder / _NAME) as temporary:
        temporary.write_text(study.resolved(), encoding="utf-8")


def _read(said: Path, study: Study) -> Study:
    try:
        return study_from(yaml.safe_load(said.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValueError, OSError) as error:  # what pydantic and UTF-8 complain of are ValueErrors
        reason = " ".join(str(error).split())
        raise _refused(
            study,
            said.parent,
            f"Its '{_NAME}' is damaged, or of another version of convergent ({reason}). "
            f"{_ELSEWHERE}, or remove this one.",
        ) from error


def _only_claimed(said: Path, before: Study) -> bool:
    """Whether there is nothing but a study, and it is as `claim` writes it, not somebody's own file."""
    files = [path for path in said.parent.rglob("*") if path.is_file()]
    return files == [said] and said.read_text(encoding="utf-8") == before.resolved()


def _differing(before: Study, now: Study) -> list[str]:
    a, b = before.model_dump(), now.model_dump()
    return [key for key in {**a, **b} if _movable(a.get(key)) != _movable(b.get(key))]


def _movable(said: object) -> object:
    """What a study says with paths by their last part: a project may be moved, and hashes know what is in it."""
    match said:
        case Path():
            return said.name
        case str() if said.startswith(f"{HUB}/"):
            return said.rpartition("/")[2]
        case Mapping():
            return {key: _movable(value) for key, value in said.items()}
        case list():
            return [_movable(value) for value in said]
    return said


def _refused(study: Study, folder: Path, reason: str) -> StudyError:
    return StudyError(f"Cannot run '{study.name}' in '{folder}'. {reason}")
