"""The page: one HTML file with the answer, the tables, the figures and where it all came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files import replacing
from ..measures import correlation, match_one_to_one
from ..progress import Bar, bar
from . import alts, content
from .closely import group_figures, information_figures, map_figures, unit_figures
from .crops import data_address
from .curves import layer_means, match_curves, sorted_means
from .drawing import Drawing
from .pictures import best_and_worst, correlation_panels, drawn_step
from .run_folder import Run, load_run
from .summaries import layer_summary

_PIXELS_PER_INCH = 128  # Larger than in print: type of 8 points reads like 14 pixels.


@dataclass(frozen=True)
class PageFigure:
    """A figure as the page shows it.

    Attributes:
        number: "1" to "4", "S8".
        layer: the layer it shows, or "" where it shows all.
        alt: what it shows, in words.
        note: what the reader must know of this one, or "".
        address: the picture itself, as a `data:` address.
        width: in CSS pixels.
        height: likewise.
    """

    number: str
    layer: str
    alt: str
    note: str
    address: str
    width: int
    height: int


def write_report(run: str | Path) -> Path:
    """Draw every figure of a run folder and write its page.

    Args:
        run: the folder that `convergent run` wrote.

    Returns:
        The page, `report.html` in that folder; the figures lie in `figures/`, each as PNG (200 dots per inch) and
        PDF. Every file is whole or not there.

    Raises:
        StudyError: if a file of the folder is missing or damaged.
        StorageError: if a figure or the page cannot be written.

    Cost: about a second per layer, and a second for all layers together.
    """
    results = load_run(run)
    with bar("Drawing figures", total=None) as progress:
        figures = list(_draw_all(results, progress))
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


def _draw_all(run: Run, progress: Bar) -> Iterator[PageFigure]:
    for drawing in _drawings(run):
        yield _kept(run, drawing)
        progress.advance(note=drawing.layer)


def _drawings(run: Run) -> Iterator[Drawing]:
    for layer in run.pair_layers:
        yield _correlations(run, layer)
    pairs, summary = run.pair_matches(), layer_summary(run.matches, run.units)
    if run.has_best:
        for layer in run.pair_layers:
            yield _pictures(run, layer)
        yield Drawing("3", "", match_curves(pairs), alts.curves(pairs))
    units = run.units[run.units["net"].isin(run.nets) & run.units["layer"].isin(run.layers)]
    yield Drawing("4", "", layer_means(summary), alts.means(summary))
    yield Drawing("S8", "", sorted_means(units), alts.activations(units))
    yield from information_figures(run)
    yield from map_figures(run)
    yield from group_figures(run)
    yield from unit_figures(run)


def _correlations(run: Run, layer: str) -> Drawing:
    pair = run.pair_moments(layer)
    found, matching = correlation(pair), match_one_to_one(pair)
    notes = []
    if (step := drawn_step(found)) > 1:
        notes.append(f"One unit in {step} is drawn.")
    if not found.alive_a.all() or not found.alive_b.all() or (matching.partner < 0).any():
        notes.append("Pale blue: dead units, whose correlations are undefined, and units left without a partner.")
    figure = correlation_panels(found, matching)
    return Drawing("1", layer, figure, alts.correlations(layer, found, matching), " ".join(notes))


def _pictures(run: Run, layer: str) -> Drawing:
    matches = run.pair_matches()
    pairs = matches[matches["layer"] == layer]
    tiles = [run.tiles(net, layer) for net in run.first_pair]
    figure = best_and_worst(pairs, tiles_a=tiles[0], tiles_b=tiles[1])
    return Drawing("2", layer, figure, alts.ends(layer, pairs))


def _kept(run: Run, drawing: Drawing) -> PageFigure:
    """Write a figure's files, and keep its picture for the page."""
    address = data_address(drawing.write(run.path / "figures").read_bytes())
    width, height = (round(_PIXELS_PER_INCH * inches) for inches in drawing.figure.get_size_inches())
    return PageFigure(drawing.number, drawing.layer, drawing.alt, drawing.note, address, width, height)
