"""Reading the run folder of a study of families."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ...errors import StudyError
from ..run_files import MAKE, check_run, file_of, read_json, read_table

_CLAIMS = ("claim", "statistic", "estimate", "low", "high", "verdict")


@dataclass(frozen=True, eq=False)
class FamiliesRun:
    """What a study of families left in its folder.

    Attributes:
        path: the folder.
        study: the study, with every default spelled out.
        text: the same, verbatim.
        provenance: versions, hashes, seeds, accuracies.
        claims: one row a claim: claim, statistic, estimate, low, high, verdict.
    """

    path: Path
    study: Mapping[str, Any]
    text: str
    provenance: Mapping[str, Any]
    claims: pd.DataFrame

    @property
    def families(self) -> list[str]:
        """Their names, in the order of the study."""
        return list(self.study["families"])

    def table(self, name: str, *columns: str) -> pd.DataFrame:
        """A table that the study wrote.

        Args:
            name: `tables/NAME.parquet`.
            columns: what it must have.

        Raises:
            StudyError: if it is missing, damaged, or lacks a column.
        """
        return read_table(self.path, f"tables/{name}.parquet", columns)


def families_run(path: Path) -> FamiliesRun:
    """Read a run folder.

    Raises:
        StudyError: if the folder or a file of it is missing or damaged.
    """
    check_run(path)
    text = file_of(path, "study.yaml").read_text(encoding="utf-8")
    study = yaml.safe_load(text)
    if not isinstance(study, Mapping) or not isinstance(study.get("families"), Mapping):
        raise StudyError(
            f"Asked for a report on '{path}'. Its 'study.yaml' names no families. Remove the folder. {MAKE}"
        )
    claims = read_table(path, "tables/claims.parquet", _CLAIMS)
    return FamiliesRun(path, study, text, read_json(path, "provenance.json"), claims)
