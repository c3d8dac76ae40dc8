"""What the figures of groups show is what they were given, and all of it is inside the figure."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from convergent.report.alts_groups import clusters, merges, similarities, splits, subspaces
from convergent.report.group_figures import (
    ClusterBox,
    Subtree,
    agglomeration_panel,
    cluster_sheet,
    similarity_curves,
    subspace_zoom,
)
from convergent.report.split_tree import Split, split_tree
from convergent.report.style import BLUE, NET_COLOURS, PAGE_INCHES, VERMILLION

Misplaced = Callable[[Figure], list[str]]
LONG = "features.denseblock1.denselayer16.a_rather_long_name.relu"


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def tiles(n: int, first: int = 0) -> np.ndarray:
    values = np.arange(first, first + n).astype(np.uint8)
    return np.zeros((n, 9, 4, 6, 3), dtype=np.uint8) + values[:, None, None, None, None]


def shown(figure: Figure) -> list[int]:
    return [int(np.asarray(image.get_array()).min()) for image in figure.axes[0].images]


def joined(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix, its sides and its tree, for weights of targets by sources."""
    n_b, n_a = weights.shape
    matrix = np.block([[np.eye(n_a), weights.T], [weights, np.eye(n_b)]])
    distance = 2 - np.nan_to_num(matrix)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    return matrix, np.repeat([0, 1], [n_a, n_b]), tree


def lines_of(panel: Axes) -> list[list[list[list[float]]]]:
    """Pale lines, then strong ones."""
    found = [artist for artist in panel.collections if isinstance(artist, LineCollection)]
    return [[segment.tolist() for segment in artist.get_segments()] for artist in found]


PLANTED = np.diag([0.6, 0.5, 0.4])[:, [2, 0, 1]]


def test_the_matrix_is_drawn_in_the_order_of_the_tree() -> None:
    matrix, sides, tree = joined(PLANTED)
    panel, bar = agglomeration_panel(matrix, sides, tree, a="x/conv", b="y/conv").axes
    order = leaves_list(tree)
    np.testing.assert_array_equal(panel.images[0].get_array(), matrix[np.ix_(order, order)])
    assert panel.images[0].get_clim() == (0, 0.6)
    assert bar.get_ylabel() == "weight"


def test_the_diagonal_has_the_colours_of_the_nets() -> None:
    matrix, sides, tree = joined(PLANTED)
    figure = agglomeration_panel(matrix, sides, tree, a="x/conv", b="y/conv")
    squares = next(artist for artist in figure.axes[0].collections if isinstance(artist, PolyCollection))
    colours = [mpl.colors.to_hex(colour).upper() for colour in np.asarray(squares.get_facecolor()).tolist()]
    assert colours == [(BLUE, VERMILLION)[side] for side in sides[leaves_list(tree)]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["unit of x/conv", "unit of y/conv", "merge of weight ≥ .05", "weaker merge"]


def test_merges_are_angles_around_what_they_join() -> None:
    matrix, sides = np.eye(4), np.array([0, 1, 0, 1])
    matrix[0, 1] = matrix[1, 0] = 0.8
    matrix[2, 3] = matrix[3, 2] = 0.6
    matrix[0, 3] = matrix[3, 0] = 0.04
    tree = np.array([[0, 1], [2, 3], [4, 5]])
    pale, strong = lines_of(agglomeration_panel(matrix, sides, tree, a="x", b="y").axes[0])
    assert strong == [[[0, 0], [0, 1], [1, 1]], [[2, 2], [2, 3], [3, 3]]]
    assert pale == [[[0, 1], [0, 3], [2, 3]]]
    _, strong = lines_of(agglomeration_panel(matrix, sides, tree, a="x", b="y", least=0.01).axes[0])
    assert len(strong) == 3


def test_merges_without_weight_are_not_drawn() -> None:
    matrix, sides, tree = joined(PLANTED)
    pale, strong = lines_of(agglomeration_panel(matrix, sides, tree, a="x", b="y").axes[0])
    assert (len(pale), len(strong)) == (0, 3)


def test_negative_weights_are_white_and_undefined_ones_have_a_colour_of_their_own() -> None:
    weights = PLANTED.copy()
    weights[0, 0], weights[2] = -0.9, np.nan
    matrix, sides, tree = joined(weights)
    image = agglomeration_panel(matrix, sides, tree, a="x", b="y").axes[0].images[0]
    order = leaves_list(tree).tolist()
    colours: Any = image.to_rgba(cast(Any, image.get_array()))
    assert colours[order.index(3), order.index(0)].tolist() == [1, 1, 1, 1]
    assert mpl.colors.to_hex(colours[order.index(5), order.index(1)]) == "#f3e3ec"


@pytest.mark.parametrize("n", [1, 32, 1000])
def test_matrices_of_any_size_fit(n: int, misplaced: Misplaced) -> None:
    weights = np.diag(np.linspace(0.01, 1, n))
    matrix, sides = np.block([[np.eye(n), weights], [weights, np.eye(n)]]), np.repeat([0, 1], n)
    pairs = np.column_stack([np.arange(n), np.arange(n) + n])
    figure = agglomeration_panel(matrix, sides, pairs, a=f"net1/{LONG}", b=f"net2/{LONG}")
    panel = figure.axes[0]
    assert max(panel.images[0].get_size()) <= 600
    pale, strong = lines_of(panel)
    assert len(pale) + len(strong) == n
    assert np.asarray(panel.images[0].get_array()).max() == 1
    assert misplaced(figure) == []


def test_one_unit_without_merges_is_drawn(misplaced: Misplaced) -> None:
    figure = agglomeration_panel(np.ones((1, 1)), np.array([1]), np.zeros((0, 4)), a="x", b="y")
    assert lines_of(figure.axes[0]) == [[], []]
    assert misplaced(figure) == []


def subtree(n: int, *, low: float = 0.1) -> Subtree:
    matrix = np.full((n, n), low)
    np.fill_diagonal(matrix, 1)
    return Subtree(matrix, [i % 2 for i in range(n)], [3 * i for i in range(n)])


def test_a_zoom_has_pictures_on_its_diagonal_and_weights_beside() -> None:
    block = Subtree(np.array([[1, 0.31, 0], [0.31, 1, -0.2], [0, -0.2, 1]]), [0, 1, 0], [4, 2, 0])
    figure = subspace_zoom([block], tiles(6), tiles(6, 100), a="net1", b="net2")
    assert shown(figure) == [4, 102, 0]
    found = texts(figure)
    assert found.count(".31") == found.count("\N{MINUS SIGN}.20") == 2
    assert "1.00" not in found
    assert {"unit of net1", "unit of net2"} <= set(found)
    colours = [text.get_color() for text in figure.axes[0].texts if text.get_text() in "420"]
    assert colours == [colour for side in block.sides for colour in (NET_COLOURS[side],) * 2]
    assert figure.get_figwidth() == PAGE_INCHES / 2


@pytest.mark.parametrize("sizes", [(), (1,), (8,), (8, 6), (40, 2), (8, 8, 8)])
def test_zooms_of_any_size_fit(sizes: Sequence[int], misplaced: Misplaced) -> None:
    figure = subspace_zoom([subtree(n) for n in sizes], tiles(130), tiles(130), a=LONG, b=LONG)
    assert len(figure.axes[0].images) == sum(sizes[:2])
    assert misplaced(figure) == []


def test_a_zoom_without_pictures_has_numbers(misplaced: Misplaced) -> None:
    figure = subspace_zoom([subtree(4), subtree(3)], None, tiles(20))
    assert len(figure.axes[0].images) == 3
    assert texts(figure).count("6") == 3 + 3
    assert misplaced(figure) == []


def cluster(n_a: int, n_b: int, *, name: str = "cluster", between: float = 0.4) -> ClusterBox:
    return ClusterBox(name, {"net1": list(range(n_a)), "net2": list(range(n_b))}, between)


def test_a_cluster_has_units_of_the_first_net_above_those_of_the_second() -> None:
    figure = cluster_sheet([cluster(2, 1)], {"net1": tiles(3), "net2": tiles(3, 100)})
    assert shown(figure) == [0, 1, 100]
    tops = [image.get_extent()[3] for image in figure.axes[0].images]
    assert tops[0] == tops[1] < tops[2]
    assert {"cluster", "between nets .40", "net1", "net2"} <= set(texts(figure))


def test_a_net_without_units_in_a_cluster_keeps_its_row() -> None:
    boxes = [ClusterBox("only one", {"net2": [3]}, 0.0), cluster(1, 1)]
    figure = cluster_sheet(boxes, {"net1": tiles(5), "net2": tiles(5, 100)})
    assert texts(figure).count("no unit") == 1
    assert shown(figure) == [103, 100, 0] or shown(figure) == [103, 0, 100]


@pytest.mark.parametrize("n", [0, 1, 3, 8, 30])
def test_at_most_eight_clusters_are_drawn(n: int, misplaced: Misplaced) -> None:
    boxes = [cluster(9, i % 7, name=f"{LONG}{i}", between=np.nan if i == 1 else 0.1) for i in range(n)]
    figure = cluster_sheet(boxes, {"net1": tiles(9), "net2": tiles(9)})
    assert sum("…" in text for text in texts(figure)) == min(n, 8)
    assert texts(figure).count("+4") == min(n, 8)
    assert ("No cluster." in texts(figure)) == (n == 0)
    assert misplaced(figure) == []


def test_clusters_of_four_nets_without_pictures_fit(misplaced: Misplaced) -> None:
    members = {f"a_net_with_a_long_name{i}": [2047, i] for i in range(4)}
    figure = cluster_sheet([ClusterBox("c", members, 0.2)] * 2, {})
    assert not figure.axes[0].images
    assert texts(figure).count("2047") == 8
    assert misplaced(figure) == []


def binary_tree(depth: int) -> list[Split]:
    """A full tree, breadth first, with a unit of each net in each of its leaves."""
    n = 2**depth
    nodes: list[Split] = []
    for level in range(depth + 1):
        for i in range(2**level):
            units = list(range(i * n >> level, (i + 1) * n >> level))
            place = len(nodes)
            children = (2 * place + 1, 2 * place + 2) if level < depth else ()
            nodes.append(Split(ClusterBox(str(place), {"net1": units, "net2": units}, 0.1 * level), children))
    return nodes


def test_a_tree_has_a_box_a_cluster_and_a_line_a_split() -> None:
    figure = split_tree(binary_tree(2), {"net1": tiles(4), "net2": tiles(4, 100)})
    panel = figure.axes[0]
    assert len(panel.patches) == 7
    assert len(panel.get_lines()) == 6
    assert texts(figure).count("1 + 1") == 4
    assert texts(figure).count(".20") == 4
    assert "…" not in texts(figure)


def test_lines_go_from_a_box_to_its_parts() -> None:
    panel = split_tree(binary_tree(1), {"net1": tiles(2), "net2": tiles(2)}).axes[0]
    boxes = [panel.transData.inverted().transform(patch.get_window_extent()) for patch in panel.patches]
    middles = [np.round(box[:, 0].mean(), 3) for box in boxes]
    assert len(boxes) == 3
    lines = [np.asarray(line.get_data()) for line in panel.get_lines()]
    root = PAGE_INCHES / 2
    assert [round(line[0, 0], 3) for line in lines] == [root, root]
    assert sorted(round(line[0, -1], 3) for line in lines) == sorted(set(middles) - {root})
    tops = sorted({round(box[:, 1].min(), 3) for box in boxes})
    bottoms = sorted({round(box[:, 1].max(), 3) for box in boxes})
    assert {(round(line[1, 0], 3), round(line[1, -1], 3)) for line in lines} == {(bottoms[0], tops[1])}


@pytest.mark.parametrize("depth", [0, 3, 6])
def test_trees_end_in_at_most_eight_boxes(depth: int, misplaced: Misplaced) -> None:
    figure = split_tree(binary_tree(depth), {"net1": tiles(64), "net2": tiles(64)})
    assert len(figure.axes[0].patches) == min(2 ** (depth + 1) - 1, 15)
    assert texts(figure).count("…") == (8 if depth == 6 else 0)
    assert misplaced(figure) == []


def test_of_many_parts_the_three_largest_are_drawn_and_the_rest_counted(misplaced: Misplaced) -> None:
    parts = [cluster(i + 1, i + 1) for i in range(40)]
    tree = [Split(cluster(820, 820), tuple(range(1, 41))), *map(Split, parts)]
    figure = split_tree(tree, {})
    assert "3 of 40" in texts(figure)
    assert {"820 + 820", "40 + 40", "39 + 39", "38 + 38"} <= set(texts(figure))
    assert "37 + 37" not in texts(figure)
    assert misplaced(figure) == []


def test_no_tree_is_told() -> None:
    assert texts(split_tree([], {})) == ["No cluster."]


def table(n: int, layer: str = "conv") -> pd.DataFrame:
    rng = np.random.default_rng(n)
    between = np.where(np.arange(n) % 4 == 3, 0.0, rng.uniform(0, 0.6, n))
    within = between + 0.2
    return pd.DataFrame(
        {"layer": layer, "between": between, "within": within, "between_random": rng.normal(0, 0.1, n)}
    )


def test_clusters_are_sorted_by_the_similarity_between_nets_and_stay_whole() -> None:
    given = table(12)
    between, within, chance = similarity_curves(given).axes[0].get_lines()
    falling = np.asarray(between.get_ydata())
    np.testing.assert_array_equal(falling, np.sort(given["between"])[::-1])
    np.testing.assert_allclose(np.asarray(within.get_ydata()) - falling, 0.2)
    by_between = dict(zip(given["between"], given["between_random"], strict=True))
    for value, beside in zip(falling[:9], np.asarray(chance.get_ydata())[:9], strict=True):
        assert by_between[value] == beside


@pytest.mark.parametrize("n_layers", [0, 1, 2, 16])
def test_any_number_of_layers_gets_a_panel_each(n_layers: int, misplaced: Misplaced) -> None:
    given = pd.concat([table(0), *(table(5 + 30 * i, f"{i}{LONG}") for i in range(n_layers))])
    figure = similarity_curves(given)
    assert len(figure.axes) == n_layers
    assert misplaced(figure) == []


def test_negative_similarities_are_in_view_and_undefined_ones_are_gaps(misplaced: Misplaced) -> None:
    given = table(6).assign(between_random=[-0.7, np.nan, 0, 0, 0, 0], within=np.nan)
    figure = similarity_curves(given)
    assert figure.axes[0].get_ylim()[0] < -0.7
    assert misplaced(figure) == []
    assert misplaced(similarity_curves(given.assign(between=np.nan))) == []


def test_what_is_drawn_is_told_in_words() -> None:
    matrix, _, tree = joined(PLANTED)
    assert "a tree of 5 merges, 3 of them of two single units" in merges(tree, len(matrix), a="x", b="y")
    assert "(units 0, 6 of x; units 3, 9 of y)" in subspaces([subtree(4)], a="x", b="y")
    assert "cluster: 2 + 1 units, .40" in clusters([cluster(2, 1)])
    assert "8 units split into 4 clusters, the largest of 2 units" in splits(binary_tree(2))
    told = similarities(table(4).assign(between=[0.4, 0.2, 0, 0], within=0.5, between_random=-0.01))
    assert "conv .15, .50, \N{MINUS SIGN}.01 (2 of 4 at 0)" in told
