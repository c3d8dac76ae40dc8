"""The page of a study of causes, from tables whose answer is known."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure

from convergent import write_report
from convergent.report.findings.cause_figures import curves, forest, recovered
from convergent.report.findings.cause_words import in_words, signed
from convergent.report.findings.merging_figures import against_costs, barriers

FAMILIES = ("alexnet", "inception")
LAYERS = ("relu3", "stage2.block1.branch.relu2", "relu7")
WAYS = ("ensemble", "readout of one", "with unique", "with matched", "with shared", "with random", "distilled")
Misplaced = Callable[[Figure], list[str]]


def rows(*keys: Sequence[object]) -> list[tuple[object, ...]]:
    """All combinations."""
    return [*pd.MultiIndex.from_product(keys)]


def with_ends(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Columns NAME with NAME_low and NAME_high around it."""
    for name, value in values.items():
        table[name] = value
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.01, table[name] + 0.01
    return table


def curves_means() -> pd.DataFrame:
    keys = rows(FAMILIES, LAYERS, ("unique", "shared", "random"), (0, 0.5, 1))
    table = pd.DataFrame(keys, columns=["family", "layer", "order", "share"])
    fall = table["share"] * table["order"].map({"unique": 0.2, "shared": 0.6, "random": 0.4})
    return with_ends(table, accuracy=0.9 - fall, loss=0.1 + fall)


def ablation_means() -> pd.DataFrame:
    table = pd.DataFrame(rows(FAMILIES, LAYERS, ("unique", "shared")), columns=["family", "layer", "set"])
    effect = np.where(table["set"] == "unique", 0.02, 0.3)
    table = table.assign(over="over nets", n_units=8.0, n_unique=20.0, mean_r=0.4, imbalance=0.1)
    return with_ends(
        table, loss_change=effect, loss_difference=-effect, accuracy_change=-effect, accuracy_difference=0
    )


def transplant_means() -> pd.DataFrame:
    kinds = {
        "intact": np.nan,
        "ablated": np.nan,
        "one-to-one": -0.6,
        "best partner": 0.5,
        "sparse": 0.7,
        "ridge": 0.9,
    }
    table = pd.DataFrame(rows(FAMILIES, LAYERS, list(kinds)), columns=["family", "layer", "units_are"])
    table["same_choice"] = 0.9
    return with_ends(table, loss_recovered=table["units_are"].map(kinds), accuracy_change=0)


def merging_means() -> pd.DataFrame:
    table = pd.DataFrame(
        rows(FAMILIES, (False, True), (False, True), (0, 0.5, 1)),
        columns=["family", "matched", "mended", "weight"],
    )
    between = (table["weight"] == 0.5) * (2.0 - table["matched"] - 0.9 * table["mended"])
    return with_ends(table, loss=0.05 + between, accuracy=0.95 - 0.4 * between, barrier=2.0)


def combining_means(families: Sequence[str] = FAMILIES) -> pd.DataFrame:
    table = pd.DataFrame(rows(families, WAYS), columns=["family", "way"])
    gains = dict(zip(WAYS, (0.02, -0.01, 0.005, 0.006, 0.004, 0.005, 0.01), strict=True))
    table = table.assign(accuracy=0.9, loss=0.3, n_parameters=200.0, n_multiply_adds=200.0)
    table = with_ends(table, accuracy_gain=table["way"].map(gains), loss_saved=0.01, over_random_loss_saved=0)
    alone = table["way"].isin(["readout of one", "distilled"])
    return table.assign(n_multiply_adds=np.where(alone, 100.0, 200.0))


def zipped_means() -> pd.DataFrame:
    table = pd.DataFrame(rows(FAMILIES, (1.0, 1.5, 2.0)), columns=["family", "width"])
    table = table.assign(accuracy=0.9, loss=0.3, n_parameters=150.0, n_multiply_adds=100 * table["width"] ** 2)
    return with_ends(table, accuracy_gain=-0.05 / table["width"])


def claims() -> pd.DataFrame:
    found = {
        "less": ("Unique units matter less.", 0.2, 0.1, 0.3, "holds"),
        "help": ("Unique units help.", 0.02, 0.01, 0.03, "holds"),
        "shared_more": ("Shared units matter more.", 0.28, 0.2, 0.4, "holds"),
        "carried": ("Unique units carry more.", 0.0, -0.1, 0.1, "cannot tell"),
        "matching": ("Matching helps.", -0.1, -0.3, 0.1, "cannot tell"),
        "mending": ("Mending helps.", 1.5, 1.2, 1.8, "holds"),
        "ensemble": ("Two are better.", 0.02, 0.01, 0.03, "holds"),
        "unique_worth": ("Unique ones are worth more.", -0.01, -0.02, -0.005, "fails"),
        "distilled": ("Taught nets are better.", 0.01, -0.01, 0.03, "cannot tell"),
    }
    columns = ["claim", "estimate", "low", "high", "verdict"]
    table = pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("key").reset_index()
    return table.assign(statistic="a number, over nets")


@pytest.mark.parametrize(
    "figure",
    [
        lambda: curves(curves_means(), "accuracy"),
        lambda: curves(curves_means(), "loss"),
        lambda: curves(curves_means().query("family == 'alexnet' and layer == 'relu3'"), "loss"),
        lambda: forest(ablation_means()),
        lambda: recovered(transplant_means()),
        lambda: barriers(merging_means()),
        lambda: barriers(merging_means().query("family == 'alexnet'")),
        lambda: against_costs(times(combining_means()), times(zipped_means())),
        lambda: against_costs(times(combining_means(["alexnet"])), pd.DataFrame()),
    ],
)
def test_words_of_figures_stay_inside_and_apart(figure: Callable[[], Figure], misplaced: Misplaced) -> None:
    assert misplaced(figure()) == []


def times(means: pd.DataFrame) -> pd.DataFrame:
    return means.assign(times_multiply_adds=means["n_multiply_adds"] / 100)


def test_curves_are_those_of_the_table() -> None:
    panel = curves(curves_means(), "accuracy").axes[0]
    ends = {line.get_color(): float(np.asarray(line.get_ydata())[-1]) for line in panel.lines}
    assert sorted(round(end, 2) for end in ends.values()) == [0.3, 0.5, 0.7]


def test_images_that_mislead_are_drawn_at_the_bottom() -> None:
    panel = recovered(transplant_means()).axes[0]
    assert min(patch.get_height() for patch in panel.patches) == -0.25  # type: ignore[attr-defined]
    assert panel.get_ylim()[0] == -0.25


def test_ways_of_equal_cost_stand_beside_each_other() -> None:
    panel = against_costs(times(combining_means()), pd.DataFrame()).axes[0]
    x = [float(np.asarray(container.lines[0].get_xdata())[0]) for container in panel.containers]  # type: ignore[attr-defined]
    assert len({round(one, 3) for one in x}) == len(WAYS)
    assert sum(abs(one - 2) < 0.2 for one in x) == len(WAYS) - 2


def test_the_answer_says_what_the_claims_say() -> None:
    told = " ".join(in_words(claims(), claims()))
    assert "The units that the other nets have least of help" in told
    assert "They matter less than random units like them (by \N{MINUS SIGN}.200 nats)" in told
    assert "The most shared units matter more than these (by +.280 nats)" in told
    assert "Matching alone cannot be told to lower the barrier between two nets (it changes by +.100 nats)" in told
    assert "Two nets together answer better than the better one (+2.0 points)" in told
    assert "the units that a net lacks are worth less than random ones" in told
    assert "One partner" not in told  # that was not asked


def test_numbers_read_with_their_sign() -> None:
    assert [signed(x) for x in (0.0, -0.0001, 12.345)] == [".000", ".000", "+12.35"]
    assert signed(0.31, digits=1) == "+0.3"
    assert signed(0.5, plus=False) == ".500"


def write_run(folder: Path, *, experiments: Sequence[str]) -> Path:
    """A run folder of these tables."""
    study = {"kind": "cause", "share": 0.125, "n_sets": 9, "experiments": list(experiments)}
    (folder / "study.yaml").write_text(yaml.safe_dump(study | {"families": {name: {} for name in FAMILIES}}))
    nets = {
        "alexnet1": {
            "weights": "00",
            "factory": "f",
            "trained": True,
            "seed": 1,
            "accuracy": 0.9,
            "n_parameters": 5,
        }
    }
    versions = dict.fromkeys(("convergent", "torch", "python", "numpy", "platform", "created", "data"), "1")
    (folder / "provenance.json").write_text(json.dumps(versions | {"n_inputs": 5, "blocks": 2, "nets": nets}))
    by_family = pd.concat([claims().assign(family=family) for family in FAMILIES])
    carried = pd.DataFrame(
        rows(FAMILIES, LAYERS, ("unique", "shared"), ("loss",)), columns=["family", "layer", "set", "of"]
    )
    groups = pd.DataFrame(
        rows(FAMILIES, LAYERS, ("unique", "shared", "random", "all")), columns=["family", "layer", "group"]
    )
    by_class = pd.DataFrame(
        rows(FAMILIES, LAYERS, ("unique", "shared"), (0, 1)), columns=["family", "layer", "set", "label"]
    )
    replaced = pd.DataFrame(
        rows(FAMILIES, ("relu7",), ("unique",), ("mean", "zero")), columns=["family", "layer", "set", "replace_by"]
    )
    tables = {
        "claims": claims(),
        "claims_by_family": by_family,
        "ablation_means": ablation_means(),
        "curves_means": curves_means(),
        "replaced_means": replaced.assign(loss_change=0.05),
        "carried_means": with_ends(carried, difference=0.1, carried=0.02, carried_by_matched=0.01),
        "by_class_means": by_class.assign(loss_change=0.1 * by_class["label"], matched_loss_change=0.0),
        "transplant_means": transplant_means(),
        "disagreement_means": groups.assign(to_b=0.25, lost=0.01, margin_change=0.3),
        "merging": pd.DataFrame({"max_change": [2e-15]}),
        "merging_means": merging_means(),
        "zipped": zipped_means(),
        "zipped_means": zipped_means(),
        "combining": combining_means(),
        "combining_means": combining_means(),
        "nets": pd.DataFrame({"family": FAMILIES, "n_parameters": 100, "n_multiply_adds": 100}),
    }
    (folder / "tables").mkdir()
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"{name}.parquet", index=False)
    return folder


ALL = ("ablation", "transplant", "merging", "zipping", "combining", "distilling")


def test_the_page_holds_every_section(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path, experiments=ALL)).read_text()
    for title in ("Units taken out", "More and more units", "What a match carries", "Between two nets"):
        assert f">{title}</h2>" in page
    said = (tmp_path / "findings.md").read_text()
    assert (
        "With half of a layer's units gone, nets still answer 80 % correctly if the most unique went first" in said
    )
    assert "+.050 by their means, +.050 by zero" in said
    assert "the loss added scatters over classes by .071 without most unique units" in said
    assert "| alexnet | relu3 | unique | 8 | .40 | +.020 | +.010 to +.030 | \N{MINUS SIGN}.020 |" in said
    assert "images of all units turn the first net's choice into the second's in 25 % of the cases" in said
    assert "Most is gained by both nets' scores: +2.0 points at 2.0 times the multiply-adds of one net" in said
    assert "| unique units help | +.020 holds | +.020 holds |" in said
    assert sorted(path.stem for path in (tmp_path / "figures").glob("*.png")) == [
        f"figure{i}" for i in range(1, 7)
    ]


def test_what_was_not_asked_is_not_told(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path, experiments=["transplant"])).read_text()
    assert ">What a match carries</h2>" in page
    for title in ("Units taken out", "Between two nets", "Two nets combined", "Shared units merged"):
        assert title not in page


def test_experiments_that_could_not_be_made_have_no_section(tmp_path: Path) -> None:
    run = write_run(tmp_path, experiments=["merging", "zipping", "combining"])
    for name in ("merging", "zipped", "combining"):
        pd.DataFrame().to_parquet(run / "tables" / f"{name}.parquet")
    page = write_report(run).read_text()
    assert ">Family by family</h2>" in page
    assert "Between two nets" not in page
    assert "Two nets combined" not in page


def test_families_that_cannot_be_moved_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path, experiments=["merging"])
    merging_means().query("family == 'alexnet'").to_parquet(run / "tables/merging_means.parquet")
    assert "Units of inception cannot be permuted; the log says why." in write_report(run).read_text()
