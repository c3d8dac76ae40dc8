"""The figures about whole layers: the ladder, similarity of layers, units that all nets have."""

from collections.abc import Iterator

from . import alts_layers
from .content_layers import first_ladder, first_matrices
from .drawing import Drawing
from .ladder_chart import ladder_chart
from .layer_matrices import layer_matrices
from .run_folder import Run
from .universality_bars import universality_bars


def figures_of_whole_layers(run: Run) -> Iterator[Drawing]:
    """L, C and U, as far as the study asked for them.

    Args:
        run: what the folder holds.
    """
    if (ladder := first_ladder(run)) is not None:
        yield Drawing("L", "", ladder_chart(ladder), alts_layers.ladder(ladder))
    if matrices := first_matrices(run):
        yield Drawing("C", "", layer_matrices(matrices), alts_layers.matrices(matrices))
    if run.universality is not None and len(run.universality):
        yield Drawing("U", "", universality_bars(run.universality), alts_layers.universality(run.universality))
