"""The figure of how clusters of units were split, from the top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from .group_figures import ClusterBox
from .sheets import Sheet, Tiles
from .style import PAGE_INCHES, shorten, styled
from .wording import score


@dataclass(frozen=True)
class Split:
    """A cluster in the tree of splits.

    Attributes:
        cluster: what is in it.
        children: places of its parts in the list of splits; none where it was not split.
    """

    cluster: ClusterBox
    children: Sequence[int] = ()


_TREE_TILE, _MOST_LEAVES = 0.36, 8


@styled
def split_tree(
    splits: Sequence[Split], tiles_by_net: Mapping[str, Tiles], *, most_leaves: int = _MOST_LEAVES
) -> Figure:
    """Figure S5: how clusters were split, from the top, each with its first two units of each net.

    The largest cluster is opened first, until there are as many leaves as fit; dots below a box say that it was
    split further. A box tells the units of each net, and the similarity between nets.

    Args:
        splits: the tree; the first is its root.
        tiles_by_net: pictures of the units of each net.
        most_leaves: how many boxes the tree ends in at most, up to 8.

    Returns:
        A figure of page width.
    """
    opened = _opened(splits, min(most_leaves, _MOST_LEAVES))
    places: dict[int, tuple[float, int]] = {}
    if splits:
        _arrange(splits, opened, places)
    nets = list(dict.fromkeys(net for split in splits for net in split.cluster.members))
    box, row = (0.8, 0.2 + len(nets) * 0.42), 0.2 + len(nets) * 0.42 + 0.34
    n_rows = 1 + max((depth for _, depth in places.values()), default=0)
    sheet = Sheet.blank(PAGE_INCHES, n_rows * row)
    if not splits:
        sheet.text(0.02, 0.15, "No cluster.")
    pitch = PAGE_INCHES / max(1, sum(i not in opened for i in places))
    for i, (column, depth) in places.items():
        x, y = (column + 0.5) * pitch, 0.04 + depth * row
        for child in splits[i].children if i in opened else ():
            below = (places[child][0] + 0.5) * pitch
            middle = y + box[1] + 0.13
            sheet.line((x, x, below, below), (y + box[1], middle, middle, y + row))
        if i not in opened and splits[i].children:
            sheet.text(x, y + box[1] + 0.1, "…", ha="center")
        _draw_split(sheet, x - box[0] / 2, y, box, splits[i].cluster, nets, tiles_by_net)
    return sheet.figure


def _opened(splits: Sequence[Split], most_leaves: int) -> set[int]:
    """The splits whose children are drawn: always the largest leaf next, while there is room."""
    opened: set[int] = set()
    leaves = [0] if splits else []
    while True:
        fits = [
            i for i in leaves if splits[i].children and len(leaves) - 1 + len(splits[i].children) <= most_leaves
        ]
        if not fits:
            return opened
        largest = max(fits, key=lambda i: sum(map(len, splits[i].cluster.members.values())))
        leaves.remove(largest)
        leaves.extend(splits[largest].children)
        opened.add(largest)


def _arrange(
    splits: Sequence[Split], opened: set[int], places: dict[int, tuple[float, int]], at: int = 0, depth: int = 0
) -> None:
    """Column and row of each box: leaves from left to right, a parent in the middle of its children."""
    if at not in opened:
        places[at] = (float(sum(i not in opened for i in places)), depth)
        return
    for child in splits[at].children:
        _arrange(splits, opened, places, child, depth + 1)
    columns = [places[child][0] for child in splits[at].children]
    places[at] = ((columns[0] + columns[-1]) / 2, depth)


def _draw_split(
    sheet: Sheet,
    x: float,
    y: float,
    box: tuple[float, float],
    cluster: ClusterBox,
    nets: Sequence[str],
    tiles_by_net: Mapping[str, Tiles],
) -> None:
    sheet.box(x, y, *box, facecolor="none", edgecolor="#AAAAAA", linewidth=0.6)
    counts = " + ".join(str(len(cluster.members.get(net, ()))) for net in nets)
    sheet.text(x + 0.05, y + 0.11, shorten(counts, 9), fontsize=7)
    sheet.text(x + box[0] - 0.05, y + 0.11, score(cluster.between), fontsize=7, ha="right", weight="bold")
    for j, net in enumerate(nets):
        for i, unit in enumerate(cluster.members.get(net, ())[:2]):
            place = (x + 0.03 + i * 0.38, y + 0.2 + j * 0.42)
            sheet.unit(*place, unit, tiles_by_net.get(net), size=_TREE_TILE, numbered=False)
