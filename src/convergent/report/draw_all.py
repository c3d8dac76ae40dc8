"""Every figure of a run, layer by layer, in as many processes as there are cores for."""

import io
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from ..errors import StudyError
from ..measures import correlation, match_one_to_one
from ..progress import bar
from ..threads import use_one_thread
from . import alts
from .crops import data_address
from .curves import layer_means, match_curves, sorted_means
from .drawing import Drawing
from .layer_figures import figures_of_whole_layers
from .pair_figures import figures_of_all_layers, figures_of_layer
from .pictures import best_and_worst, correlation_panels, drawn_step
from .run_folder import Run, load_run
from .sheets import Tiles
from .summaries import layer_summary

_PIXELS_PER_INCH = 128  # Larger than in print: type of 8 points reads like 14 pixels.


@dataclass(frozen=True)
class PageFigure:
    """A figure as the page shows it.

    Attributes:
        number: as in the paper, with a letter where it has several parts; "T1" is its Table 1.
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


def draw_all(run: Run, *, n_processes: int = 1) -> Iterator[PageFigure]:
    """Draw the figures over all layers and those of each layer, and write their files.

    Args:
        run: what the folder holds.
        n_processes: how many layers are drawn at once, to the same bytes.

    Raises:
        StudyError: if a process dies, or a file of the folder is missing or damaged.
        StorageError: if a figure cannot be written.
    """
    parts = ["", *run.pair_layers]
    n_processes = min(n_processes, len(parts) // 2)  # a process takes as long to start as a layer to draw
    with bar("Drawing figures", total=len(parts)) as progress:
        for part, figures in zip(parts, _drawn(run, parts, n_processes), strict=True):
            yield from figures
            progress.advance(note=part)


def _drawn(run: Run, parts: Sequence[str], n_processes: int) -> Iterator[list[PageFigure]]:
    if n_processes < 2:
        yield from (_draw_part(run, part) for part in parts)
        return
    context = get_context("spawn")  # a fork would inherit torch's threads, and hang
    try:
        with ProcessPoolExecutor(n_processes, context, initializer=_begin) as pool:
            yield from pool.map(_draw_part_of, [run.path] * len(parts), parts)
    except BrokenProcessPool as error:
        raise StudyError(
            f"Cannot draw the figures of '{run.path}'. A process died. In a script, call this under "
            "if __name__ == '__main__':, or give n_processes=1."
        ) from error


def _begin() -> None:
    """Leave Ctrl-C to the parent, and the other cores to the other processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_one_thread()


@cache
def _opened(path: Path) -> Run:
    return load_run(path)


def _draw_part_of(path: Path, part: str) -> list[PageFigure]:
    return _draw_part(_opened(path), part)


def _draw_part(run: Run, part: str) -> list[PageFigure]:
    drawings = _of_layer(run, part) if part else _of_all_layers(run)
    return [page_figure(drawing, run.path / "figures") for drawing in drawings]


def _of_layer(run: Run, layer: str) -> Iterator[Drawing]:
    yield _correlations(run, layer)
    tiles = run.all_tiles(layer)
    if run.has_best:
        yield _pictures(run, layer, tiles)
    yield from figures_of_layer(run, layer, tiles)


def _of_all_layers(run: Run) -> Iterator[Drawing]:
    pairs, summary = run.pair_matches(), layer_summary(run.matches, run.units)
    if run.has_best:
        yield Drawing("3", "", match_curves(pairs), alts.curves(pairs))
    yield Drawing("4", "", layer_means(summary), alts.means(summary))
    yield from figures_of_whole_layers(run)
    units = run.units[run.units["net"].isin(run.nets) & run.units["layer"].isin(run.layers)]
    yield Drawing("S8", "", sorted_means(units), alts.activations(units))
    yield from figures_of_all_layers(run)


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


def _pictures(run: Run, layer: str, tiles: Mapping[str, Tiles]) -> Drawing:
    matches = run.pair_matches()
    pairs = matches[matches["layer"] == layer]
    a, b = run.first_pair
    figure = best_and_worst(pairs, tiles_a=tiles.get(a), tiles_b=tiles.get(b))
    return Drawing("2", layer, figure, alts.ends(layer, pairs))


def page_figure(drawing: Drawing, folder: Path) -> PageFigure:
    """Write a figure's files into a folder, and keep its picture for the page.

    Raises:
        StorageError: if a file cannot be written.
    """
    address = _small_address(drawing.write(folder))
    width, height = (round(_PIXELS_PER_INCH * inches) for inches in drawing.figure.get_size_inches())
    return PageFigure(drawing.number, drawing.layer, drawing.alt, drawing.note, address, width, height)


def _small_address(png: Path) -> str:
    """The picture as WebP, which is a third of the PNG."""
    content = io.BytesIO()
    with Image.open(png) as picture:
        picture.convert("RGB").save(content, "webp", quality=90, method=2)
    return data_address(content.getvalue(), "webp")
