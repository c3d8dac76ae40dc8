"""Published numbers beside ours, as JSON for programs and Markdown for people."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..files import replacing
from .wording import NONE

Verdict = Literal["holds", "fails", "cannot tell"]


@dataclass(frozen=True)
class Row:
    """One number of the paper and ours.

    Attributes:
        section: heading it stands under.
        what: the number, in words.
        published: theirs; None where they printed none.
        ours: ours; None where this run has none.
        note: how theirs was read, or why ours may differ.
    """

    section: str
    what: str
    published: float | int | None
    ours: float | int | None
    note: str = ""

    @property
    def difference(self) -> float | int | None:
        """Ours less theirs."""
        return None if self.published is None or self.ours is None else self.ours - self.published


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, put to the test.

    Attributes:
        claim: what the paper says.
        statistic: the number that decides, and the bound it must pass.
        published: that number in the paper, in words.
        ours: that number here, in words.
        verdict: whether the claim holds here.
    """

    claim: str
    statistic: str
    published: str
    ours: str
    verdict: Verdict


def write_reproduction(
    folder: Path, *, title: str, introduction: str, rows: Sequence[Row], claims: Sequence[Claim] = ()
) -> Path:
    """Write `reproduce.json` and `reproduce.md` into a folder.

    Returns:
        The Markdown file.

    Raises:
        StorageError: if a file cannot be written.
    """
    content = {
        "title": title,
        "rows": [_as_json(asdict(row) | {"difference": row.difference}) for row in rows],
        "claims": [asdict(claim) for claim in claims],
    }
    with replacing(folder / "reproduce.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
    path = folder / "reproduce.md"
    with replacing(path) as temporary:
        temporary.write_text(as_markdown(title, introduction, rows, claims), encoding="utf-8")
    return path


def as_markdown(title: str, introduction: str, rows: Sequence[Row], claims: Sequence[Claim]) -> str:
    """Claims first, then the numbers."""
    parts = [f"# {title}", introduction, *([claims_as_markdown(claims)] if claims else []), rows_as_markdown(rows)]
    return "\n\n".join(parts) + "\n"


def claims_as_markdown(claims: Sequence[Claim]) -> str:
    """A paragraph that says which hold, and a table of all."""
    lines = [(c.claim, c.statistic, c.published, c.ours, f"**{c.verdict}**") for c in claims]
    said = [_told(verdict, [c.claim for c in claims if c.verdict == verdict]) for verdict in get_args(Verdict)]
    table = markdown_table(("claim", "statistic", "published", "ours", "verdict"), lines)
    return "\n\n".join(["## Claims", f"Of {len(claims)} claims " + "; ".join(filter(None, said)) + ".", table])


def rows_as_markdown(rows: Sequence[Row]) -> str:
    """A table for each section, in the order in which they come."""
    parts = []
    for section in dict.fromkeys(row.section for row in rows):
        lines = [
            (row.what, _number(row.published), _number(row.ours), _number(row.difference, signed=True), row.note)
            for row in rows
            if row.section == section
        ]
        parts += [f"## {section}", markdown_table(("", "published", "ours", "difference", "note"), lines)]
    return "\n\n".join(parts)


def _told(verdict: Verdict, claims: Sequence[str]) -> str:
    """How many have a verdict; those that do not hold by name."""
    if not claims:
        return ""
    words = {
        "holds": ("holds", "hold"),
        "fails": ("fails", "fail"),
        "cannot tell": ("cannot be told", "cannot be told"),
    }
    counted = f"{len(claims)} {words[verdict][len(claims) > 1]}"
    named = "; ".join(f"\u201c{claim.rstrip('.')}\u201d" for claim in claims)
    return counted if verdict == "holds" else f"{counted} ({named})"


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells)


def _number(value: float | int | None, *, signed: bool = False) -> str:
    if value is None or math.isnan(value):
        return NONE
    digits = 0 if isinstance(value, int) else 3
    return f"{value:{'+' if signed else ''}.{digits}f}"


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """NaN is no JSON."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
