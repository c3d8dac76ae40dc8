"""The page: one HTML file with the answer, the tables, the figures and where it all came from."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files import replacing
from . import content
from .draw_all import PageFigure, draw_all
from .findings.page import KINDS, write_findings
from .run_files import study_kind
from .run_folder import Run, load_run


def write_report(run: str | Path, *, n_processes: int = 1) -> Path:
    """Draw every figure of a run folder and write its page.

    Args:
        run: the folder that `convergent run` wrote.
        n_processes: how many layers are drawn at once, to the same bytes. A script that asks for more than one
            needs the usual `if __name__ == "__main__":`.

    Returns:
        The page, `report.html` in that folder; the figures lie in `figures/`, each as PNG (200 dots per inch) and
        PDF. Every file is whole or not there.

    Raises:
        StudyError: if a file of the folder is missing or damaged.
        StorageError: if a figure or the page cannot be written.

    Cost: about 8 s a layer with all measures, 2 s with matchings alone.
    """
    if study_kind(Path(run)) in KINDS:
        return write_findings(Path(run))
    results = load_run(run)
    figures = list(draw_all(results, n_processes=n_processes))
    page = results.path / "report.html"
    with replacing(page) as temporary:
        temporary.write_text(render(results, figures), encoding="utf-8")
    return page


def render(run: Run, figures: list[PageFigure]) -> str:
    """The page as HTML.

    Args:
        run: what the folder holds.
        figures: what was drawn, in the order in which the page shows them.
    """
    environment = Environment(
        loader=PackageLoader("convergent.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(content.page(run), figures=figures)
