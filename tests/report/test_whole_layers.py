"""The figures L, C and U, and what the page says of whole layers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from convergent.errors import StudyError
from convergent.measures.rungs import RUNGS
from convergent.report import layer_means, layer_summary, load_run
from convergent.report.alts_layers import ladder, matrices, universality
from convergent.report.content import page
from convergent.report.content_layers import (
    first_ladder,
    first_matrices,
    ladder_said,
    matrices_said,
    of_layers,
    universality_said,
)
from convergent.report.ladder_chart import RUNG_NAMES, ladder_chart, rungs_of
from convergent.report.layer_matrices import LayerMatrix, layer_matrices
from convergent.report.page import render
from convergent.report.style import BLUE, ORANGE, PAGE_INCHES, SKY
from convergent.report.universality_bars import found_by, universality_bars

Misplaced = Callable[[Figure], list[str]]
LONG = "features.denseblock.relu"


def lines(panel: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float) for line in panel.get_lines()}


def texts(panel: Axes) -> list[str]:
    return [text.get_text() for text in panel.texts]


def names(n: int) -> list[str]:
    return [f"{i}{LONG}" for i in range(n)]


@pytest.fixture(scope="module")
def whole(make_run: Callable[..., Path]) -> Path:
    return make_run(whole_layers=True, pictures=False)


def test_the_ladder_is_drawn_as_the_table_says(planted: SimpleNamespace) -> None:
    table = planted.ladder(["conv", "fc"])
    panel = ladder_chart(table).axes[1]
    of_layer = table[table["layer"] == "fc"]
    drawn = lines(panel)
    np.testing.assert_allclose(drawn["held out"][1:], of_layer["r2_held_out"][1:])
    np.testing.assert_allclose(drawn["all inputs"], of_layer["r2"])
    np.testing.assert_allclose(drawn["chance"], -0.02)
    whiskers: Any = panel.collections[0]
    np.testing.assert_allclose(whiskers.get_segments()[3][:, 1], of_layer[["r2_low", "r2_high"]].iloc[3])
    assert texts(panel) == ["50 %", "80 %"]
    assert [label.get_text() for label in panel.get_xticklabels()] == list(RUNG_NAMES.values())
    assert tuple(RUNG_NAMES) == RUNGS


@pytest.mark.parametrize("n_layers", [0, 1, 2, 5, 16])
def test_a_ladder_of_any_number_of_layers_fits(
    planted: SimpleNamespace, n_layers: int, misplaced: Misplaced
) -> None:
    empty = planted.ladder(["conv"]).iloc[:0]
    figure = ladder_chart(planted.ladder(names(n_layers)) if n_layers else empty)
    assert len(figure.axes) == n_layers
    assert figure.get_figwidth() <= PAGE_INCHES + 1e-9
    assert misplaced(figure) == []


def test_rungs_keep_their_order_and_unknown_ones_come_last(planted: SimpleNamespace) -> None:
    table = planted.ladder(["conv"]).iloc[::-1]
    table.loc[table["rung"] == "sparse", "rung"] = "few_to_one"
    assert rungs_of(table) == [rung for rung in RUNG_NAMES if rung != "sparse"] + ["few_to_one"]
    panel = ladder_chart(table).axes[0]
    assert panel.get_xticklabels()[-1].get_text() == "few to one"


def test_what_is_far_below_0_is_drawn_as_a_triangle_at_the_edge(planted: SimpleNamespace) -> None:
    table = planted.ladder(["conv"])
    table.loc[0, ["r2_held_out", "r2_low", "r2_high"]] = -7.0
    panel = ladder_chart(table).axes[0]
    assert np.isnan(lines(panel)["held out"][0])
    below = [line for line in panel.get_lines() if line.get_marker() == "v"]
    edges = [float(np.asarray(line.get_ydata(), dtype=float)[0]) for line in below]
    assert [edge for edge in edges if not np.isnan(edge)] == [-0.25]
    assert panel.get_ylim()[0] > -0.4


def test_a_ladder_without_numbers_is_drawn_without_marks(planted: SimpleNamespace, misplaced: Misplaced) -> None:
    table = planted.ladder(["conv"])
    table[["r2", "r2_held_out", "r2_low", "r2_high", "chance_r2", "share_of_linear"]] = np.nan
    figure = ladder_chart(table[table["rung"] != "ridge"])
    assert texts(figure.axes[0]) == []
    assert misplaced(figure) == []
    assert "an unknown part" in next(ladder_said(table))


def test_the_ladder_is_told_with_its_doubts(planted: SimpleNamespace) -> None:
    table = planted.ladder(["conv", "fc"])
    assert list(ladder_said(table)) == [
        "On held-out inputs, any linear map explains .80 (fc) to .90 (conv) of the variance; of that, a "
        "permutation of units explains 50\xa0%, and a rotation 80\xa0%."
    ]
    table.loc[table["layer"].eq("fc") & table["rung"].eq("permutation"), "r2_low"] = -0.1
    table.loc[table["rung"] == "orthogonal", "r2_held_out"] = 0.95
    _, chance, free = ladder_said(table)
    assert chance == "The permutation is not clear of chance in fc."
    assert free.startswith("In every layer, a rotation does better than any linear map")
    assert "conv \N{MINUS SIGN}.09, .45, .50, .54, .63, .95, .90; fc" in ladder(table)


def matrix(values: Sequence[Sequence[float]], *, a: str = "x", b: str = "y") -> LayerMatrix:
    found = np.array(values, dtype=float)
    return LayerMatrix(a, b, [f"l{i}" for i in range(len(found))], [f"l{j}" for j in range(found.shape[1])], found)


def test_a_matrix_is_that_of_the_table_in_its_order(planted: SimpleNamespace) -> None:
    table = planted.layer_matrix(["late", "early", "mid"], ["x", "y"])
    found = LayerMatrix.of(table, "x", "y")
    assert found is not None
    assert found.layers_a == found.layers_b == ["late", "early", "mid"]
    np.testing.assert_allclose(found.values[0], [0.9, 0.675, 0.45])
    assert LayerMatrix.of(table, "x", "z") is None


def test_the_largest_of_each_row_has_a_frame_between_nets_only() -> None:
    found = matrix([[0.2, 0.9], [np.nan, 0.4], [np.nan, np.nan]])
    assert found.partners == [1, 1, None]
    panel, own = layer_matrices([found, matrix([[1, 0.5], [0.5, 1]], b="x")]).axes[:2]
    frames: list[Any] = list(panel.patches)
    assert [(round(frame.get_x() + 0.46), round(frame.get_y() + 0.46)) for frame in frames] == [(1, 0), (1, 1)]
    assert list(own.patches) == []
    assert texts(own) == ["1", ".50", ".50", "1"]
    assert panel.images[0].get_clim() == own.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("n_layers", [1, 2, 8, 16, 40])
@pytest.mark.parametrize("n_matrices", [1, 3])
def test_matrices_of_any_size_fit(
    planted: SimpleNamespace, n_layers: int, n_matrices: int, misplaced: Misplaced
) -> None:
    table = planted.layer_matrix(names(n_layers), ["first_net", "second_net"])
    pairs = [("first_net", "first_net"), ("first_net", "second_net"), ("second_net", "first_net")][:n_matrices]
    figure = layer_matrices([one for a, b in pairs if (one := LayerMatrix.of(table, a, b))])
    assert figure.get_figwidth() <= PAGE_INCHES + 1e-9
    assert misplaced(figure) == []
    assert bool(texts(figure.axes[0])) == (n_layers <= 8 // n_matrices)


def test_matrices_of_other_architectures_name_the_rows_of_each(misplaced: Misplaced) -> None:
    other = LayerMatrix("u", "v", ["a", "b", "c"], ["d"], np.array([[0.1], [0.2], [np.nan]]))
    figure = layer_matrices([matrix([[1.0, 0.3], [0.3, 1.0]]), other])
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["a", "b", "c"]
    assert misplaced(figure) == []
    assert list(matrices_said([other])) == []


def test_layers_that_are_most_like_another_are_named() -> None:
    found = matrix([[0.9, 0.2], [0.7, 0.6]])
    assert list(matrices_said([matrix([[1.0]], b="x"), found])) == [
        "Of 2 layers of x, 1 is most like the layer of the same name in y, at a CKA of "
        ".60 (l1) to .90 (l0); "
        "l1 is most like l0 (.70, itself .60)."
    ]
    assert "x with itself; x with y: l0 l0 .90, l1 l0 .70" in matrices([matrix([[1.0]], b="x"), found])


def test_units_are_counted_by_all_some_and_one(planted: SimpleNamespace) -> None:
    counts = found_by(planted.universality(["conv"], n_nets=4))
    assert counts[["all", "some", "alone", "dead"]].to_numpy().tolist() == [[20, 8, 4, 2]]
    assert counts[["all_rotated", "some_rotated"]].to_numpy() == pytest.approx(np.array([[6, 8 + 28 / 3]]))
    two = found_by(planted.universality(["conv"], n_nets=2))
    assert two[["all", "some", "alone"]].to_numpy().tolist() == [[20, 0, 4]]


def test_bars_are_shares_of_the_units_and_the_rotated_ones_lie_beneath(planted: SimpleNamespace) -> None:
    panel = universality_bars(planted.universality(["conv"], n_nets=3)).axes[0]
    bars: list[Any] = list(panel.patches)
    widths = {(to_hex(bar.get_facecolor()).upper(), bar.get_height() > 0.3): bar.get_width() for bar in bars}
    assert widths[BLUE, True] == pytest.approx(20 / 30)
    assert widths[SKY, True] == widths[ORANGE, True] == pytest.approx(4 / 30)
    assert widths[BLUE, False] == pytest.approx(6 / 30)
    assert texts(panel) == ["20", "4", "4", "2"]


@pytest.mark.parametrize("n_layers", [0, 1, 16])
def test_bars_of_any_number_of_layers_fit(planted: SimpleNamespace, n_layers: int, misplaced: Misplaced) -> None:
    table = planted.universality(names(max(1, n_layers)))
    figure = universality_bars(table if n_layers else table.iloc[:0])
    assert misplaced(figure) == []


def test_units_that_all_nets_have_are_told_beside_the_rotated_basis(planted: SimpleNamespace) -> None:
    table = planted.universality(["conv", "fc"])
    assert list(universality_said(found_by(table))) == [
        "Of the living units, 71\xa0% are found in all 3 nets; of as many rotated directions, 21\xa0%."
    ]
    plain = table.assign(rotated=table["rotated"].where(table["layer"] == "conv", table["n_units"]))
    assert list(universality_said(found_by(plain)))[1].startswith("In fc, rotated directions are found")
    alone = list(universality_said(found_by(table.assign(rotated=np.nan))))
    assert alone == ["Of the living units, 71\xa0% are found in all 3 nets."]
    assert "conv 20, 4, 4, 2 (rotated 6, 11, 11)" in universality(table)
    assert universality_bars(table.assign(rotated=np.nan)).axes


def test_chance_intervals_and_significance_are_means_over_living_units(whole: Path) -> None:
    run = load_run(whole)
    summary = layer_summary(run.matches, run.units)
    assert summary["best_chance"].tolist() == pytest.approx([0.12] * 2)
    assert summary["one_to_one_margin"].tolist() == pytest.approx([0.02] * 2)
    first = run.compared[run.compared["layer"] == "features.0"]
    assert summary.loc["features.0", "best_significant"] == pytest.approx((first["best_r"] > 0.3).mean())
    drawn = [line for line in layer_means(summary).axes[0].get_lines() if line.get_label() == "chance"]
    assert [np.asarray(line.get_ydata())[0] for line in drawn] == pytest.approx([0.12, 0.06])


def test_a_table_without_them_leaves_the_page_as_it_was(run_folder: Path) -> None:
    told = page(load_run(run_folder))
    assert not told["has_chance"]
    assert not told["has_margin"]
    assert not told["has_significant"]
    empty = of_layers(load_run(run_folder))
    assert not any(empty.values())


def test_untrained_nets_and_measures_are_told_apart(whole: Path) -> None:
    told = of_layers(load_run(whole))
    assert not told["has_dimension"]
    assert told["measures"] == ["CKA, debiased", "SVCCA", "Angular distance"]
    assert told["similarity"][0]["values"][1] == {"value": ".80", "chance": ".10"}
    assert told["similarity_untrained"][0]["values"][0] == {"value": ".20", "chance": ".00"}
    assert [one.title for one in first_matrices(load_run(whole))] == ["", "", "untrained nets"]


def test_the_effective_dimension_is_no_similarity(make_run: Callable[..., Path], planted: SimpleNamespace) -> None:
    folder = make_run(layers={"fc": 5}, pictures=False, untrained=(), nets=("x", "y"))
    table = planted.similarity(["fc", "late"], ["x", "y"])
    table.loc[table["measure"] == "svcca", ["measure", "value"]] = ("effective_dimension", 12.34)
    table.iloc[:-2].to_parquet(folder / "tables/similarity.parquet")
    told = of_layers(load_run(folder))
    assert told["measures"] == ["CKA, debiased", "Angular distance"]
    assert [row["dimension"] for row in told["similarity"]] == ["12.3", "\N{EN DASH}"]
    assert told["similarity"][1]["values"][1]["value"] == "\N{EN DASH}"
    assert "Effective dimension" in render(load_run(folder), [])


def test_a_ladder_of_another_pair_is_not_shown(make_run: Callable[..., Path], planted: SimpleNamespace) -> None:
    folder = make_run(layers={"fc": 5}, pictures=False, untrained=(), whole_layers=True)
    planted.ladder(["fc"], a="net2", b="net3").to_parquet(folder / "tables/ladder.parquet")
    planted.layer_matrix(["fc"], ["net2"]).to_parquet(folder / "tables/layer_matrix.parquet")
    run = load_run(folder)
    assert first_ladder(run) is None
    assert first_matrices(run) == []
    html = render(run, [])
    assert 'id="ladder"' not in html
    assert '<h2 id="similarity">Layers as wholes</h2>' in html


def test_a_ladder_without_its_columns_is_an_error(make_run: Callable[..., Path]) -> None:
    folder = make_run(layers={"fc": 5}, pictures=False)
    pd.DataFrame({"layer": ["fc"]}).to_parquet(folder / "tables/ladder.parquet")
    with pytest.raises(StudyError, match=r"'tables/ladder.parquet' lacks the columns net_a, net_b, rung"):
        load_run(folder)
