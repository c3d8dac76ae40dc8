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
    split further. Of more than four parts the three largest are drawn, and how many there are is told. A box tells
    the units of each net, and the similarity between nets.

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
        _arrange(opened, places)
    nets = list(dict.fromkeys(net for split in splits for net in split.cluster.members))
    box = (0.8, 0.2 + len(nets) * 0.42)
    row = box[1] + 0.34
    n_rows = 1 + max((depth for _, depth in places.values()), default=0)
    sheet = Sheet.blank(PAGE_INCHES, n_rows * row)
    if not splits:
        sheet.text(0.02, 0.15, "No cluster.")
    pitch = PAGE_INCHES / max(1, sum(i not in opened for i in places))
    for i, (column, depth) in places.items():
        x, y = (column + 0.5) * pitch, 0.04 + depth * row
        _draw_split(sheet, x - box[0] / 2, y, box, splits[i].cluster, nets, tiles_by_net)
        middle, n_parts = y + box[1] + 0.15, len(splits[i].children)
        shown = opened.get(i, ())
        for child in shown:
            below = (places[child][0] + 0.5) * pitch
            sheet.line((x, x, below, below), (y + box[1], middle, middle, y + row))
        if len(shown) < n_parts:
            told = f"{len(shown)} of {n_parts}" if shown else "…"
            sheet.text(
                x + (0.05 if shown else 0), middle - 0.06, told, ha="left" if shown else "center", fontsize=7
            )
    return sheet.figure


def _opened(splits: Sequence[Split], most_leaves: int) -> dict[int, Sequence[int]]:
    """The splits whose parts are drawn, with these parts: always the largest leaf next, while there is room."""

    def size(i: int) -> int:
        return sum(map(len, splits[i].cluster.members.values()))

    def parts(i: int) -> Sequence[int]:
        children = splits[i].children
        return children if len(children) <= 4 else sorted(children, key=size, reverse=True)[:3]

    opened: dict[int, Sequence[int]] = {}
    leaves = [0] if splits else []
    while fits := [i for i in leaves if parts(i) and len(leaves) - 1 + len(parts(i)) <= most_leaves]:
        largest = max(fits, key=size)
        leaves.remove(largest)
        leaves.extend(parts(largest))
        opened[largest] = parts(largest)
    return opened


def _arrange(
    opened: Mapping[int, Sequence[int]], places: dict[int, tuple[float, int]], at: int = 0, depth: int = 0
) -> None:
    """Column and row of each box: leaves from left to right, a parent in the middle of its parts."""
    if at not in opened:
        places[at] = (float(sum(i not in opened for i in places)), depth)
        return
    for child in opened[at]:
        _arrange(opened, places, child, depth + 1)
    columns = [places[child][0] for child in opened[at]]
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
