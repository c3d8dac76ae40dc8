"""What the figures show is what the tables say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from convergent.measures import correlation, match_one_to_one
from convergent.report import (
    best_and_worst,
    correlation_panels,
    layer_means,
    layer_summary,
    match_curves,
    sorted_means,
)
from convergent.report.pictures import drawn_step, ranked_ends
from convergent.report.run_folder import load_run
from convergent.report.style import PAGE_INCHES, shorten
from convergent.statistics import PairMoments


def pair_of(n_a: int, n_b: int, *, dead: bool = False) -> PairMoments:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, n_a)), rng.normal(size=(60, n_b))
    shared = min(n_a, n_b)
    y[:, :shared] += 2 * x[:, :shared][:, ::-1]
    if dead:
        x[:, 1] = 0
    return PairMoments.from_samples(x, y, a="a/conv", b="b/conv")


def matches_of(r: list[float], *, layer: str = "conv", a: str = "a", b: str = "b") -> pd.DataFrame:
    n = len(r)
    return pd.DataFrame(
        {
            "layer": layer,
            "net_a": a,
            "unit_a": np.arange(n),
            "net_b": b,
            "best_partner": np.where(np.isnan(r), -1, np.arange(n)),
            "best_r": r,
            "best_r_held_out": np.array(r) - 0.1,
            "one_to_one_partner": np.where(np.isnan(r), -1, np.arange(n)),
            "one_to_one_r": np.array(r) - 0.05,
            "one_to_one_r_held_out": np.array(r) - 0.15,
            "trained": True,
        }
    )


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_last_panel_has_the_one_to_one_scores_on_its_diagonal() -> None:
    pair = pair_of(6, 6)
    found, matching = correlation(pair), match_one_to_one(pair)
    drawn = np.asarray(correlation_panels(found, matching).axes[3].images[0].get_array())
    np.testing.assert_array_equal(np.diagonal(drawn), matching.score)
    assert np.diagonal(drawn).mean() > np.diagonal(found.between).mean() + 0.3


def test_all_four_panels_share_one_scale_from_the_lowest_correlation_to_1() -> None:
    pair = pair_of(6, 6)
    found = correlation(pair)
    panels = correlation_panels(found, match_one_to_one(pair)).axes[:4]
    lowest = min(matrix.min() for matrix in (found.within_a, found.within_b, found.between))
    assert {panel.images[0].get_clim() for panel in panels} == {(lowest, 1)}


def test_dead_units_are_masked_in_the_panels_and_sides_may_differ_in_size() -> None:
    pair = pair_of(5, 7, dead=True)
    found = correlation(pair)
    panels = correlation_panels(found, match_one_to_one(pair)).axes[:4]
    drawn: list[Any] = [panel.images[0].get_array() for panel in panels]
    shapes = [matrix.shape for matrix in drawn]
    assert shapes == [(5, 5), (7, 7), (5, 7), (5, 5)]
    assert np.ma.getmaskarray(drawn[2])[1].all()


def test_of_many_units_every_nth_is_drawn() -> None:
    pair = pair_of(900, 450)
    found = correlation(pair)
    assert drawn_step(found) == 3
    drawn = correlation_panels(found, match_one_to_one(pair)).axes[2].images[0].get_array()
    np.testing.assert_array_equal(drawn, found.between[::3, ::3])


def test_best_and_worst_pairs_are_ranked_and_never_the_same() -> None:
    r = [0.2, np.nan, 0.9, 0.4, 0.7]
    best, worst = ranked_ends(matches_of(r), 8)
    assert best["unit_a"].tolist() == [2, 4]
    assert worst["unit_a"].tolist() == [3, 0]


def test_best_and_worst_pairs_show_the_tiles_of_their_units() -> None:
    tiles = np.zeros((5, 9, 4, 6, 3), dtype=np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None, None]
    figure = best_and_worst(matches_of([0.2, np.nan, 0.9, 0.4, 0.7]), tiles_a=tiles, tiles_b=tiles)
    shown = [int(np.asarray(image.get_array()).min()) for image in figure.axes[0].images]
    assert shown == [2, 2, 4, 4, 3, 3, 0, 0]
    assert {".90", ".70", ".40", ".20", "2 best", "2 worst"} <= set(texts(figure))


def test_without_pictures_the_numbers_of_the_units_are_drawn() -> None:
    figure = best_and_worst(matches_of([0.2, 0.9]))
    assert not figure.axes[0].images
    assert [text for text in texts(figure) if text.isdigit()] == ["1", "1", "0", "0"]


@pytest.mark.parametrize(
    ("r", "expected"), [([0.3], ["1 best", "a", "b"]), ([np.nan], ["No unit has a partner."])]
)
def test_few_units_are_no_problem(r: list[float], expected: list[str]) -> None:
    assert set(expected) <= set(texts(best_and_worst(matches_of(r))))


def test_match_curves_fall_and_keep_each_unit_in_one_place() -> None:
    panel = match_curves(matches_of([0.2, np.nan, 0.9, -0.3])).axes[0]
    curves = {str(line.get_label()): np.asarray(line.get_ydata()) for line in panel.get_lines()[1:]}
    np.testing.assert_allclose(curves["semi-matching"], [0.9, 0.2, -0.3])
    np.testing.assert_allclose(curves["semi-matching, held out"], [0.8, 0.1, -0.4])
    np.testing.assert_allclose(curves["one-to-one matching"], [0.85, 0.15, -0.35])
    assert panel.get_ylim()[0] < -0.4


def test_match_curves_of_a_layer_of_dead_units_are_empty() -> None:
    panel = match_curves(matches_of([np.nan, np.nan])).axes[0]
    assert all(len(np.asarray(line.get_ydata())) == 0 for line in panel.get_lines()[1:])


@pytest.mark.parametrize("n_layers", [1, 2, 5, 30])
def test_any_number_of_layers_gets_a_panel_each_within_the_page(n_layers: int) -> None:
    names = [f"features.block{i}.a_rather_long_name.relu" for i in range(n_layers)]
    figure = match_curves(pd.concat([matches_of([0.9, 0.1, 0.4], layer=name) for name in names]))
    length = 24 if n_layers < 3 else 20
    assert [axes.get_title(loc="left") for axes in figure.axes] == [shorten(name, length) for name in names]
    assert figure.get_figwidth() <= PAGE_INCHES + 1e-9


def test_layer_means_draws_the_summary(run_folder: Path) -> None:
    run = load_run(run_folder)
    summary = layer_summary(run.matches, run.units)
    means, alone = layer_means(summary).axes
    drawn = [np.asarray(line.get_ydata()) for line in means.get_lines()]
    columns = ["best", "best_held_out", "best_untrained"]
    columns += [name.replace("best", "one_to_one") for name in columns]
    for values, column in zip(drawn, columns, strict=True):
        np.testing.assert_array_equal(values, summary[column])
    np.testing.assert_array_equal(np.asarray(alone.get_lines()[0].get_ydata()), summary["alone"])


def test_without_untrained_nets_there_is_no_chance_level(make_run: Callable[..., Path]) -> None:
    run = load_run(make_run(untrained=(), nets=("x", "y"), pictures=False))
    means, alone = layer_means(layer_summary(run.matches, run.units)).axes
    assert (len(means.get_lines()), len(alone.get_lines())) == (4, 1)


def units_of(means: dict[str, list[float]], dead: int = 0) -> pd.DataFrame:
    n = len(next(iter(means.values())))
    parts = [pd.DataFrame({"net": net, "layer": "conv", "mean": mean}) for net, mean in means.items()]
    return pd.concat([part.assign(dead=np.arange(n) >= n - dead) for part in parts])


def test_mean_activations_fall_and_leave_dead_units_out() -> None:
    panel = sorted_means(units_of({"x": [2.0, 30.0, 0.0], "y": [1.0, 4.0, 0.0]}, dead=1)).axes[0]
    curves = [np.asarray(line.get_ydata()).tolist() for line in panel.get_lines()]
    assert curves == [[30.0, 2.0], [4.0, 1.0]]
    assert panel.get_yscale() == "log"


@pytest.mark.parametrize("means", [[1.0, 9.0], [-1.0, 90.0], [0.0, 5.0]])
def test_the_axis_is_linear_where_means_are_close_or_not_positive(means: list[float]) -> None:
    assert sorted_means(units_of({"x": means, "y": means})).axes[0].get_yscale() == "linear"


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(mpl.rcParams)
    match_curves(matches_of([0.2, 0.9]))
    assert dict(mpl.rcParams) == before
