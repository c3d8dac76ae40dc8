"""What the figures of mutual information show is what they were given, and all of it is inside the figure."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from convergent.report import best_and_worst
from convergent.report.alts_groups import densities, information, information_ends
from convergent.report.information_figures import JointDensity, information_against_correlation, joint_densities
from convergent.report.pictures import ranked_ends

Misplaced = Callable[[Figure], list[str]]
LONG = "net1/features.denseblock1.denselayer16.a_rather_long_name.relu[2047]"
EDGES = np.array([0.0, 1.0, 2.0, 4.0])


def density(
    counts: np.ndarray | None = None,
    edges: np.ndarray = EDGES,
    *,
    name: str = "conv[3]",
    r: float = 0.5,
    mi: float = 0.2,
) -> JointDensity:
    found = np.ones((len(edges) - 1, len(edges) - 1), dtype=np.int64) if counts is None else counts
    return JointDensity(found, edges, edges, f"a/{name}", f"b/{name}", r, mi)


def mesh_of(figure: Figure, panel: int = 0) -> QuadMesh:
    return next(artist for artist in figure.axes[panel].collections if isinstance(artist, QuadMesh))


def drawn(figure: Figure, panel: int = 0) -> np.ma.MaskedArray:
    return np.ma.asarray(mesh_of(figure, panel).get_array())


def test_a_joint_density_is_samples_per_area_with_a_across() -> None:
    counts = np.array([[8, 0, 0], [0, 2, 0], [4, 0, 8]])
    figure = joint_densities([density(counts)])
    panel, shares = figure.axes[0], drawn(figure)
    per_area = np.array([[8, 0, 0], [0, 2, 0], [2, 0, 2]])
    np.testing.assert_allclose(shares.filled(0), per_area.T / np.percentile([8, 2, 2, 2], 99))
    assert shares.mask.tolist() == (counts == 0).T.tolist()
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("a/conv[3]", "b/conv[3]")
    assert panel.get_title(loc="left") == "r .50, MI .20"
    assert (panel.get_xlim(), panel.get_ylim()) == ((0, 4), (0, 4))


def test_colours_are_saturated_at_the_99th_percentile() -> None:
    counts = np.ones((100, 10), dtype=np.int64)
    counts[0, :5] = 1000
    edges = (np.arange(101.0), np.arange(11.0))
    figure = joint_densities([JointDensity(counts, *edges, "a", "b", 0.1, 0.0)])
    mesh = mesh_of(figure)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 1)
    assert drawn(figure).min() == pytest.approx(1.0)
    assert drawn(figure).max() == pytest.approx(1000)
    assert figure.axes[-1].get_ylabel() == "density"


def test_open_bins_are_drawn_as_wide_as_the_next_or_the_mean() -> None:
    edges = np.array([-np.inf, 0.0, 1.0, 4.0, np.inf])
    panel = joint_densities([density(edges=edges)]).axes[0]
    assert panel.get_xlim() == (-2, 7)


@pytest.mark.parametrize("edges", [[-np.inf, np.inf], [-np.inf, 0.0, np.inf], [0.0, 0.0, 1.0]])
def test_units_with_hardly_any_bins_are_drawn(edges: list[float], misplaced: Misplaced) -> None:
    figure = joint_densities([density(edges=np.array(edges), r=np.nan, mi=0.0)])
    assert figure.axes[0].get_title(loc="left") == "r \N{EN DASH}, MI .00"
    assert misplaced(figure) == []


def test_no_samples_are_white() -> None:
    figure = joint_densities([density(np.zeros((3, 3), dtype=np.int64))])
    assert drawn(figure).mask.all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 16])
def test_any_number_of_pairs_fits(n: int, misplaced: Misplaced) -> None:
    figure = joint_densities([density(name=f"{LONG}{i}", r=-0.01 * i) for i in range(n)])
    assert len(figure.axes) == (n + 1 if n else 0)
    assert all(axes.get_box_aspect() == 1 for axes in figure.axes[:n])
    assert misplaced(figure) == []


def scores(n: int, layer: str = "conv") -> pd.DataFrame:
    r = np.random.default_rng(n).uniform(0, 0.98, n)
    return pd.DataFrame({"layer": layer, "r": r, "mi": -0.5 * np.log(1 - r**2) * 1.1})


def test_units_are_drawn_beside_the_gaussian_curve() -> None:
    given = scores(30)
    units, curve = information_against_correlation(given).axes[0].get_lines()
    np.testing.assert_array_equal(units.get_xydata(), given[["r", "mi"]])
    x, y = (np.asarray(values) for values in curve.get_data())
    np.testing.assert_allclose(y, -0.5 * np.log(1 - x**2), atol=1e-12)
    assert x.max() >= given["r"].max()


def test_undefined_scores_are_left_out_and_negative_ones_are_in_view() -> None:
    given = pd.DataFrame({"layer": "conv", "r": [0.5, np.nan, -0.3], "mi": [0.3, np.nan, -0.001]})
    panel = information_against_correlation(given).axes[0]
    assert len(np.asarray(panel.get_lines()[0].get_xdata())) == 2
    assert panel.get_xlim()[0] < -0.3
    assert panel.get_ylim()[0] < -0.001


@pytest.mark.parametrize("n_layers", [0, 1, 2, 16])
def test_any_number_of_layers_gets_a_panel_each(n_layers: int, misplaced: Misplaced) -> None:
    tables = [scores(2 + 70 * i, f"{i}.{LONG}") for i in range(n_layers)]
    figure = information_against_correlation(pd.concat([scores(0), *tables]))
    assert len(figure.axes) == n_layers
    assert misplaced(figure) == []
    titles = [axes.get_title(loc="left").partition(".")[0] for axes in figure.axes]
    assert titles == [str(i) for i in range(n_layers)]


@pytest.mark.parametrize("r", [[np.nan, np.nan], [1.0, -1.0]])
def test_layers_without_scores_or_of_copies_are_drawn(r: list[float], misplaced: Misplaced) -> None:
    figure = information_against_correlation(pd.DataFrame({"layer": "conv", "r": r, "mi": np.abs(r) * 2.3}))
    assert misplaced(figure) == []


def test_pairs_may_be_ranked_by_information_instead_of_correlation(misplaced: Misplaced) -> None:
    pairs = pd.DataFrame(
        {
            "net_a": "net1",
            "unit_a": [0, 1, 2, 3],
            "net_b": "net2",
            "best_partner": [0, 1, 2, 3],
            "best_r": [0.9, 0.8, 0.7, 0.6],
            "best_mi_partner": [3, 2, 1, -1],
            "best_mi": [0.1, 0.2, 1.08, np.nan],
        }
    )
    best, worst = ranked_ends(pairs, 8, score="best_mi")
    assert (best["unit_a"].tolist(), worst["unit_a"].tolist()) == ([2, 1], [0])
    tiles = np.zeros((4, 9, 4, 6, 3), dtype=np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None, None]
    figure = best_and_worst(pairs, tiles_a=tiles, tiles_b=100 + tiles, score="best_mi", partner="best_mi_partner")
    shown = [int(np.asarray(image.get_array()).min()) for image in figure.axes[0].images]
    assert shown == [2, 101, 1, 102, 0, 103]
    found = {text.get_text() for text in figure.axes[0].texts}
    assert {"2 best", "1 worst", "1.08", ".20", ".10"} <= found
    assert not {".90", ".70"} & found
    assert misplaced(figure) == []


def test_what_is_drawn_is_told_in_words() -> None:
    assert "a/conv[3] and b/conv[3] r .50, MI .20" in densities([density()])
    given = pd.DataFrame({"layer": "conv", "r": [0.5, 0.5, np.nan], "mi": [0.2, 0.1, np.nan]})
    assert "conv .15 at r .50, 50 %" in information(given)
    ends = information_ends("conv", pd.DataFrame({"information": [1.08, np.nan, 0.04]}))
    assert ends.endswith("by mutual information: the best share 1.08 nats, the worst .04.")
