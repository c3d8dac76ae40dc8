"""What the figures of few-to-one maps show is what they were given, and all of it is inside the figure."""

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from convergent.report.alts_groups import contributor_counts, contributors, penalties, sparse_map
from convergent.report.penalty_chart import penalty_chart
from convergent.report.sheets import pooled
from convergent.report.sparse_figures import (
    VERDICTS,
    Target,
    contributor_histogram,
    contributor_sheet,
    label_of,
    map_panels,
)
from convergent.report.style import COLUMN_INCHES, PAGE_INCHES

Misplaced = Callable[[Figure], list[str]]
LONG = "features.denseblock1.denselayer16.a_rather_long_name.relu"
VALUES = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def paths_of(
    n_layers: int, *, values: tuple[float, ...] = VALUES, solvers: tuple[str, ...] = ("exact", "paper")
) -> pd.DataFrame:
    rows = [
        {
            "layer": f"{LONG}{i}" if i % 2 else f"conv{i}",
            "solver": solver,
            "penalty": value,
            "loss": 0.1 + 0.3 * value**0.3 + 0.01 * i,
            "n_contributors": 90 / (1 + 1000 * value) if value < 0.1 else 0.0,
        }
        for i in range(n_layers)
        for solver in solvers
        for value in values
    ]
    return pd.DataFrame(rows, columns=["layer", "solver", "penalty", "loss", "n_contributors"])


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def tiles(n: int) -> np.ndarray:
    return np.zeros((n, 9, 4, 6, 3), dtype=np.uint8) + np.arange(n, dtype=np.uint8)[:, None, None, None, None]


def test_texts_out_of_place_are_found(misplaced: Misplaced) -> None:
    figure = Figure(figsize=(2, 1))
    figure.text(0.9, 0.5, "too far right")
    figure.text(0.1, 0.1, "one")
    figure.text(0.1, 0.15, "another")
    assert misplaced(figure) == ["'too far right' sticks out", "'one' lies on 'another'"]


def test_losses_and_contributors_are_drawn_against_the_penalty() -> None:
    paths = paths_of(2)
    loss, contributor = penalty_chart(paths).axes
    first = paths[(paths["layer"] == "conv0") & (paths["solver"] == "exact")]
    x, y = loss.get_lines()[0].get_data()
    np.testing.assert_array_equal(np.asarray(x)[1:], first["penalty"][1:])
    np.testing.assert_array_equal(y, first["loss"])
    counts = np.asarray(contributor.get_lines()[0].get_ydata())
    np.testing.assert_array_equal(counts[:-1], first["n_contributors"][:-1])
    assert np.isnan(counts[-1])  # 0 has no place on a logarithmic axis
    assert loss.get_ylabel() == "loss ½ (1 \N{MINUS SIGN} mean R²)"
    assert contributor.get_ylabel() == "contributors per target"
    assert contributor.get_yscale() == loss.get_xscale() == "log"


def test_rows_may_come_in_any_order() -> None:
    shuffled = penalty_chart(paths_of(1).sample(frac=1, random_state=0)).axes[0].get_lines()[0]
    assert (np.diff(np.asarray(shuffled.get_xdata())) > 0).all()


def test_penalty_0_stands_left_of_a_break() -> None:
    panel = penalty_chart(paths_of(1)).axes[1]
    labels = {
        label.get_text(): place for place, label in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)
    }
    assert labels["0"] == min(np.asarray(panel.get_lines()[0].get_xdata()))
    assert labels["0"] <= 1e-5 / 4
    strokes = [line for line in panel.get_lines() if line.get_transform() == panel.get_xaxis_transform()]
    assert all(labels["0"] < x < 1e-5 for line in strokes for x in np.asarray(line.get_xdata()))
    assert len(strokes) == 2


def test_without_penalty_0_there_is_no_break() -> None:
    panel = penalty_chart(paths_of(1, values=(1e-3, 1e-2, 1e-1))).axes[1]
    assert "0" not in [label.get_text() for label in panel.get_xticklabels()]
    assert len(panel.get_lines()) == 2


def test_exact_is_solid_and_the_papers_is_dashed_in_the_same_colour() -> None:
    figure = penalty_chart(paths_of(3))
    lines = figure.axes[0].get_lines()[:6]
    assert [line.get_linestyle() for line in lines] == ["-", "--"] * 3
    assert [mpl.colors.to_hex(line.get_color()) for line in lines[::2]] == [
        mpl.colors.to_hex(line.get_color()) for line in lines[1::2]
    ]
    assert len({mpl.colors.to_hex(line.get_color()) for line in lines}) == 3
    shown = [text.get_text() for text in figure.legends[0].get_texts() if text.get_text()]
    assert shown[-2:] == ["exact optimum", "the paper's optimiser"]
    assert len(shown) == 5


@pytest.mark.parametrize("n_layers", [1, 5, 6, 16])
def test_any_number_of_layers_fits_the_page(n_layers: int, misplaced: Misplaced) -> None:
    figure = penalty_chart(paths_of(n_layers))
    many = n_layers > 5
    assert len(figure.axes) == (2 * n_layers if many else 2)
    assert figure.get_figwidth() == (PAGE_INCHES if many else COLUMN_INCHES)
    assert misplaced(figure) == []


def test_of_many_layers_each_has_its_panel_and_the_others_are_pale() -> None:
    paths = paths_of(7)
    panel = next(axes for axes in penalty_chart(paths).axes if axes.get_title(loc="left") == "conv4")
    strong = [line for line in panel.get_lines() if line.get_linewidth() == 1 and line.get_zorder() != 1][:2]
    own = paths[(paths["layer"] == "conv4") & (paths["solver"] == "exact")]
    np.testing.assert_array_equal(strong[0].get_ydata(), own["loss"])
    assert sum(line.get_zorder() == 1 for line in panel.get_lines()) == 6


@pytest.mark.parametrize(
    "paths",
    [
        paths_of(0),
        paths_of(1, values=(0.0,)),
        paths_of(1, values=(0.01,)),
        paths_of(2, solvers=("paper",)),
        paths_of(2).assign(loss=np.nan, n_contributors=np.nan),
        paths_of(1, values=(0.0, *np.geomspace(1e-9, 10, 60))),
    ],
    ids=["empty", "only 0", "one penalty", "only the paper", "NaN", "many decades"],
)
def test_odd_paths_are_drawn(paths: pd.DataFrame, misplaced: Misplaced) -> None:
    assert misplaced(penalty_chart(paths)) == []


def test_the_map_is_drawn_in_both_orders_about_0() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 4))
    order_a, order_b = np.array([2, 0, 1, 3]), np.array([4, 3, 0, 1])
    figure = map_panels(weights, order_a, order_b, a="x/conv", b="y/conv")
    natural, aligned, bar = figure.axes
    np.testing.assert_array_equal(natural.images[0].get_array(), weights)
    np.testing.assert_array_equal(aligned.images[0].get_array(), weights[order_b][:, order_a])
    low, high = natural.images[0].get_clim()
    assert low == -high == -np.abs(weights).max()
    assert aligned.images[0].get_clim() == (low, high)
    assert natural.get_xlabel() == "unit of x/conv, predicting"
    assert natural.get_ylabel() == "unit of y/conv, predicted"
    assert bar.get_ylabel() == "weight"


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3), (1000, 1000), (0, 0), (700, 900)])
def test_maps_of_any_shape_fit(shape: tuple[int, int], misplaced: Misplaced) -> None:
    weights = np.zeros(shape)
    weights[:1] = np.nan
    figure = map_panels(weights, np.arange(shape[1]), np.arange(shape[0]), a=f"net/{LONG}", b=f"net2/{LONG}")
    assert misplaced(figure) == []
    assert all(max(image.get_size()) <= 400 for axes in figure.axes[:2] for image in axes.images)


def test_blocks_keep_the_entry_farthest_from_0() -> None:
    weights = np.zeros((1000, 900))
    weights[17, 33], weights[800, 1] = -0.7, 0.2
    small = pooled(weights, 400)
    assert small.shape == (334, 300)
    assert small[5, 11] == -0.7
    assert small[266, 0] == 0.2
    assert np.count_nonzero(small) == 2


def test_a_block_of_nan_only_is_nan() -> None:
    weights = np.full((4, 4), np.nan)
    weights[0, 0] = 0.0
    assert np.isnan(pooled(weights, 2)).tolist() == [[False, True], [True, True]]
    assert pooled(np.zeros((0, 0)), 5).shape == (0, 0)


TARGETS = [
    Target(3, 0.81, [(1, 0.2), (0, -0.61), (4, 0.4)]),
    Target(0, float("nan"), []),
    Target(2, 0.5, [(i, 0.9 - i / 10) for i in range(9)]),
]


def test_contributors_stand_beside_their_target_strongest_first() -> None:
    figure = contributor_sheet(TARGETS[:1], tiles(9), 100 + tiles(9), a="net1", b="net2")
    shown = [int(np.asarray(image.get_array()).min()) for image in figure.axes[0].images]
    assert shown == [103, 0, 4, 1]
    found = texts(figure)
    assert [found.index(weight) for weight in ("\N{MINUS SIGN}.61", ".40", ".20")] == sorted(
        found.index(weight) for weight in ("\N{MINUS SIGN}.61", ".40", ".20")
    )
    assert {"unit of net2", "R² .81", "≈"} <= set(found)


def test_more_contributors_than_fit_are_counted(misplaced: Misplaced) -> None:
    figure = contributor_sheet(TARGETS, tiles(9), tiles(9), a=LONG, b=LONG)
    assert {"+3", "no unit", "R² \N{EN DASH}"} <= set(texts(figure))
    assert len(figure.axes[0].images) == (1 + 3) + 1 + (1 + 6)
    assert misplaced(figure) == []


def test_contributors_without_pictures_are_numbers(misplaced: Misplaced) -> None:
    figure = contributor_sheet(TARGETS[:1], None, None)
    assert not figure.axes[0].images
    assert {"3", "0", "4", "1"} <= set(texts(figure))
    assert misplaced(figure) == []


def test_no_target_is_told() -> None:
    assert texts(contributor_sheet([], None, None)) == ["No unit to predict."]


def targets_of(numbers: list[float], verdicts: list[str], layer: str = "conv") -> pd.DataFrame:
    return pd.DataFrame({"layer": layer, "n_contributors": numbers, "verdict": verdicts})


def heights(figure: Figure, panel: int = 0) -> dict[str, dict[str, int]]:
    """Targets by verdict and bar, where there are any."""
    axes = figure.axes[panel]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    bars = {str(bars.get_label()): [round(bar.get_height()) for bar in bars] for bars in axes.containers}
    return {v: {name: n for name, n in zip(labels, found, strict=True) if n} for v, found in bars.items()}


def test_targets_are_counted_by_number_and_verdict() -> None:
    numbers = [1, 1, 2, 4, 7, 5, 30, 500, np.nan, -1, 0]
    verdicts = ["local"] * 2 + ["few"] * 2 + ["distributed"] * 4 + ["unpredictable"] * 3
    figure = contributor_histogram(targets_of(numbers, verdicts))
    assert heights(figure) == {
        "local": {"1": 2},
        "few": {"2": 1, "4": 1},
        "distributed": {"5\N{EN DASH}8": 2, "17\N{EN DASH}32": 1, "129+": 1},
        "unpredictable": {"n/a": 2, "0": 1},
    }
    colours = [mpl.colors.to_hex(bars[0].get_facecolor()).upper() for bars in figure.axes[0].containers]
    assert colours == [colour.upper() for colour in VERDICTS.values()]


def test_bars_are_stacked_not_laid_on_each_other() -> None:
    figure = contributor_histogram(targets_of([2, 2, 2], ["few", "few", "unpredictable"]))
    few, grey = (figure.axes[0].containers[i][1] for i in (1, 3))
    assert (few.get_y(), few.get_height()) == (0, 2)
    assert (grey.get_y(), grey.get_height()) == (2, 1)


def test_dead_targets_are_not_counted() -> None:
    figure = contributor_histogram(targets_of([0, 1], ["dead", "local"]))
    assert heights(figure)["local"] == {"1": 1}
    assert sum(sum(found.values()) for found in heights(figure).values()) == 1


@pytest.mark.parametrize("n_layers", [0, 1, 3, 16])
def test_histograms_of_any_number_of_layers_fit(n_layers: int, misplaced: Misplaced) -> None:
    rng, verdicts = np.random.default_rng(0), list(VERDICTS)
    tables = [
        targets_of(list(rng.integers(-1, 300, 50).astype(float)), verdicts * 12 + verdicts[:2], f"{i}{LONG}")
        for i in range(n_layers)
    ]
    figure = contributor_histogram(pd.concat([targets_of([], []), *tables]))
    assert len(figure.axes) == n_layers
    assert misplaced(figure) == []


@pytest.mark.parametrize(
    ("number", "label"), [(4.0, "4"), (5.0, "5-8"), (8.0, "5-8"), (9.0, "9-16"), (129.0, "129+"), (np.nan, "n/a")]
)
def test_each_number_has_one_bar(number: float, label: str) -> None:
    assert label_of(number).replace("\N{EN DASH}", "-") == label


def test_what_is_drawn_is_told_in_words() -> None:
    told = penalties(paths_of(1, values=(0.0, 0.01)))
    assert "conv0 .10 with 90 at penalty 0, .18 with 8.18 at 0.01" in told
    weights = np.array([[0, -1.0], [0.5, np.nan]])
    assert "67 % of them are not 0, and of these 50 % are negative" in sparse_map(weights, a="x", b="y")
    assert "unit 3 (R² .81) by 1 (.20), 0 (\N{MINUS SIGN}.61), 4 (.40)" in contributors(TARGETS, a="x", b="y")
    assert "unit 0 (R² \N{EN DASH}) by none" in contributors(TARGETS, a="x", b="y")
    counted = contributor_counts(targets_of([1, 3, 3, 9], ["local", "few", "few", "distributed"]))
    assert "conv 25 % local, 50 % few, 25 % distributed, 0 % unpredictable" in counted
