"""Reading the files of a run folder, each checked as it is read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import yaml

from ..errors import StudyError

MAKE = "Make it with: convergent run STUDY.yaml --resume"


def check_run(run: Path) -> None:
    """Make sure that there is a folder.

    Raises:
        StudyError: if there is none.
    """
    if not run.is_dir():
        raise StudyError(f"Asked for a report on '{run}'. There is no such folder. {MAKE}")


def file_of(run: Path, name: str) -> Path:
    """A file of a run folder.

    Raises:
        StudyError: if it is missing.
    """
    file = run / name
    if not file.is_file():
        raise StudyError(f"Asked for a report on '{run}'. Its '{name}' is missing. {MAKE}")
    return file


def read_table(run: Path, name: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """A table of a run folder.

    Args:
        run: the folder.
        name: of the file, `tables/NAME.parquet`.
        columns: what it must have.

    Raises:
        StudyError: if it is missing, damaged or lacks a column.
    """
    file = file_of(run, name)
    try:
        table = pd.read_parquet(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise StudyError(
            f"Asked for a report on '{run}'. Its '{name}' is not a parquet table ({error}). "
            f"Remove that file. {MAKE}"
        ) from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise StudyError(
            f"Asked for a report on '{run}'. Its '{name}' lacks the columns {', '.join(missing)}. "
            f"Remove that file. {MAKE}"
        )
    return table


def read_json(run: Path, name: str) -> Mapping[str, Any]:
    """A JSON file of keys and values.

    Raises:
        StudyError: if it is missing or damaged.
    """
    try:
        found = json.loads(file_of(run, name).read_text(encoding="utf-8"))
        if not isinstance(found, Mapping):
            raise ValueError(f"of keys and values, but {type(found).__name__}")
        return found
    except ValueError as error:
        raise StudyError(
            f"Asked for a report on '{run}'. Its '{name}' is not JSON ({error}). Remove that file. {MAKE}"
        ) from error


def study_kind(run: Path) -> str:
    """Which kind of study a run folder holds; "pairs" where it does not say.

    Raises:
        StudyError: if there is no folder, or no study in it.
    """
    check_run(run)
    return said(file_of(run, "study.yaml").read_text(encoding="utf-8"), "kind") or "pairs"


def said(study: str, key: str) -> str:
    """What a study file says of a key, or "".

    Args:
        study: its text, which need not be YAML: the page shows it as it is, and only what is quoted is lost.
        key: at the top of the file.
    """
    try:
        parsed = yaml.safe_load(study)
    except yaml.YAMLError:
        return ""
    return str(parsed.get(key) or "") if isinstance(parsed, dict) else ""
