"""A page of findings as HTML, and as Markdown for a repository."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from ...files import replacing
from ..content import net_rows, provenance_rows
from ..draw_all import page_figure
from ..reproduction import markdown_table
from ..wording import interval, score
from .cause import cause_findings
from .depth import depth_findings
from .finding import Findings, Section
from .folder import FamiliesRun, families_run
from .residual import residual_findings

_FINDINGS: Mapping[str, Callable[[FamiliesRun], Findings]] = {
    "cause": cause_findings,
    "depth": depth_findings,
    "residual": residual_findings,
}
KINDS = tuple(_FINDINGS)
_SMALL = 0.1  # numbers of claims below it need a third digit


def write_findings(path: Path) -> Path:
    """Draw the figures of a run folder and write its page, `report.html`, and `findings.md`.

    Args:
        path: the folder that `convergent run` wrote.

    Returns:
        The page. Every file is whole or not there.

    Raises:
        StudyError: if a file of the folder is missing or damaged.
        StorageError: if a figure or the page cannot be written.
    """
    run = families_run(path)
    found = _FINDINGS[run.study["kind"]](run)
    for name, text in (("report.html", _as_html(run, found)), ("findings.md", as_markdown(run, found))):
        with replacing(path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path / "report.html"


def as_markdown(run: FamiliesRun, found: Findings) -> str:
    """The page as Markdown; its figures are named as they lie in the folder's `figures`."""
    parts = [f"# {found.title}", " ".join(found.answer), "## Claims", _claims_as_markdown(run.claims)]
    for section in found.sections:
        parts += [f"## {section.title}", *section.said]
        parts += [f"![{one.alt}](figures/{one.file_name}.png)" for one in section.drawings]
        parts += [markdown_table(section.table.head, section.table.rows)] if section.table else []
        parts += [section.note] if section.note else []
    return "\n\n".join(parts) + "\n"


def _as_html(run: FamiliesRun, found: Findings) -> str:
    environment = Environment(
        loader=PackageLoader("convergent.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("findings.html").render(
        title=found.title,
        facts=_facts(run),
        answer=found.answer,
        claims=[_claim_row(row) for row in run.claims.to_dict("records")],
        sections=[_shown(section, run.path / "figures") for section in found.sections],
        nets=net_rows(run.provenance),
        provenance=provenance_rows(run.provenance),
        hashes={net: about.get("weights", "") for net, about in run.provenance.get("nets", {}).items()},
        study=run.text,
    )


def _facts(run: FamiliesRun) -> list[str]:
    about = run.provenance
    trained = sum(bool(net.get("trained")) for net in about.get("nets", {}).values())
    return [
        f"{len(run.families)} families",
        f"{trained} trained nets",
        f"{about.get('n_inputs')} inputs",
        str(about.get("created"))[:10],
    ]


def _shown(section: Section, folder: Path) -> dict[str, Any]:
    figures = [page_figure(drawing, folder) for drawing in section.drawings]
    return {
        "title": section.title,
        "said": section.said,
        "figures": figures,
        "table": section.table,
        "note": section.note,
    }


def _claim_row(row: Mapping[Any, Any]) -> dict[str, str]:
    sizes = [abs(row[part]) for part in ("estimate", "low", "high") if not pd.isna(row[part])]
    digits = 2 if max(sizes, default=1) >= _SMALL else 3
    return {
        "claim": str(row["claim"]),
        "statistic": str(row["statistic"]),
        "estimate": score(row["estimate"], digits=digits),
        "interval": interval(row["low"], row["high"], digits=digits),
        "verdict": str(row["verdict"]),
    }


def _claims_as_markdown(claims: pd.DataFrame) -> str:
    rows: Sequence[Mapping[str, str]] = [_claim_row(row) for row in claims.to_dict("records")]
    head = ("claim", "statistic", "estimate", "interval", "verdict")
    return markdown_table(head, [[row[name] for name in head] for row in rows])
