"""A run folder as a study leaves it, made of planted units: what two nets share is known."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from convergent.batch import block_of
from convergent.measures import held_out_scores, match_best, match_one_to_one
from convergent.statistics import Blocked, Moments, save
from convergent.units import LayerRef, LayerUnits

MakeRun = Callable[..., Path]
N_INPUTS = 600
K = 9
TILE = 12


def activations(*, n_units: int, layer: int, net: int, trained: bool, dead: int) -> np.ndarray:
    """Rectified units; unit i shares less with the other nets the larger i, and the deeper the layer."""
    shared = np.random.default_rng(100 + layer).normal(size=(N_INPUTS, n_units))
    own = np.random.default_rng(1000 * (net + 1) + layer).normal(size=(N_INPUTS, n_units))
    strength = np.linspace(0.99, 0.1, n_units) ** (1 + 0.4 * layer) * (1 if trained else 0.2)
    values = np.maximum(0, strength * shared + np.sqrt(1 - strength**2) * own + 0.3) * np.geomspace(
        8, 0.2, n_units
    )
    if dead:
        values[:, -dead:] = 0
    return np.asarray(values[:, shuffle(n_units, net)])


def shuffle(n_units: int, net: int) -> np.ndarray:
    """The order of the units of a net: entry i says which planted unit its unit i is."""
    return np.random.default_rng(net).permutation(n_units)


def moments(
    samples: Mapping[LayerRef, np.ndarray], pairs: Sequence[tuple[LayerRef, LayerRef]]
) -> Blocked[Moments]:
    units = tuple(LayerUnits(ref, x.shape[1], (), 1, "mean") for ref, x in samples.items())
    blocks = block_of(np.arange(N_INPUTS), 4)

    def of(chosen: np.ndarray) -> Moments:
        part = {ref: x[chosen] for ref, x in samples.items()}
        return Moments(
            layers=units,
            n_inputs=int(chosen.sum()),
            n_samples=dict.fromkeys(part, int(chosen.sum())),
            origin={ref: np.zeros(x.shape[1]) for ref, x in part.items()},
            sums={ref: x.sum(0) for ref, x in part.items()},
            products={(a, b): part[a].T @ part[b] for a, b in pairs},
        )

    return Blocked(tuple(of(blocks == i) for i in range(4)))


def matches(statistic: Blocked[Moments], a: LayerRef, b: LayerRef, *, trained: bool) -> pd.DataFrame:
    total = statistic.total.pair(a, b)
    folds = [(rest.pair(a, b), block.pair(a, b)) for rest, block in statistic.folds()]
    columns: dict[str, object] = {
        "layer": a.layer,
        "net_a": a.net,
        "unit_a": np.arange(len(total.mean_a)),
        "net_b": b.net,
    }
    for name, match in (("best", match_best), ("one_to_one", match_one_to_one)):
        found = match(total)
        columns[f"{name}_partner"] = found.partner
        columns[f"{name}_r"] = found.score
        columns[f"{name}_r_held_out"] = held_out_scores(folds, match)
    return pd.DataFrame(columns | {"trained": trained})


def sheet(n_units: int, net: int, rng: np.random.Generator, tile: int) -> Image.Image:
    """Gratings whose angle and colour tell the planted unit, under coloured noise."""
    y, x = np.mgrid[:tile, :tile]
    rows = []
    for unit in shuffle(n_units, net):
        angle, colour = np.pi * unit / n_units, np.random.default_rng(unit).uniform(40, 127, 3)
        for_unit = []
        for _ in range(K):
            wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 1.3 + rng.uniform(0, 6))
            noisy = 127 + wave[..., None] * colour + rng.normal(0, 20, (tile, tile, 3))
            for_unit.append(np.clip(noisy, 0, 255).astype(np.uint8))
        rows.append(np.concatenate(for_unit, axis=1))
    return Image.fromarray(np.concatenate(rows))


def write_run(
    path: Path,
    *,
    layers: Mapping[str, int],
    nets: Sequence[str] = ("net1", "net2", "net3"),
    untrained: Sequence[str] = ("random1", "random2"),
    pictures: bool = True,
    dead: int = 1,
    tile: int = TILE,
    whole_layers: bool = False,
) -> Path:
    """Write what the report reads of a run folder."""
    names = [*nets, *untrained]
    samples = {
        LayerRef(net, layer): activations(
            n_units=n_units, layer=i, net=j, trained=net in nets, dead=dead if i == 0 else 0
        )
        for j, net in enumerate(names)
        for i, (layer, n_units) in enumerate(layers.items())
    }
    ordered = [(a, b, group is nets) for group in (nets, untrained) for a, b in permutations(group, 2)]
    once = [(LayerRef(a, layer), LayerRef(b, layer)) for layer in layers for a, b, _ in ordered if a < b]
    statistic = moments(samples, [(ref, ref) for ref in samples] + once)
    (path / "tables").mkdir(parents=True)
    save(statistic, path / "statistics" / "moments.safetensors")
    pd.concat(
        [
            matches(statistic, LayerRef(a, layer), LayerRef(b, layer), trained=trained)
            for layer in layers
            for a, b, trained in ordered
        ]
    ).to_parquet(path / "tables" / "matches.parquet", index=False)
    pd.concat(
        [
            pd.DataFrame(
                {
                    "net": ref.net,
                    "layer": ref.layer,
                    "index": np.arange(x.shape[1]),
                    "mean": x.mean(0),
                    "std": x.std(0),
                    "zeros": (x == 0).mean(0),
                    "dead": x.std(0) == 0,
                    "trained": ref.net in nets,
                }
            )
            for ref, x in samples.items()
        ]
    ).to_parquet(path / "tables" / "units.parquet", index=False)
    if whole_layers:
        write_whole_layers(path, list(layers), nets, untrained)
    (path / "study.yaml").write_text("name: planted units\nseed: 0\nnets: <several>\n", encoding="utf-8")
    (path / "provenance.json").write_text(json.dumps(provenance(nets, untrained)), encoding="utf-8")
    if pictures:
        write_crops(path / "crops", layers, nets, tile)
    return path


RUNGS = ("identity", "permutation", "soft_matching", "partial_soft_matching", "sparse", "orthogonal", "ridge")


def ladder_table(layers: Sequence[str], *, a: str = "net1", b: str = "net2") -> pd.DataFrame:
    """Any linear map explains .9 of the first layer, .1 less of each further one; a permutation half of that."""
    share = dict(zip(RUNGS, (-0.1, 0.5, 0.55, 0.6, 0.7, 0.8, 1.0), strict=True))
    rows = [
        {
            "layer": layer,
            "net_a": a,
            "net_b": b,
            "rung": rung,
            "share_of_linear": share[rung],
            "r2_held_out": (r2 := share[rung] * max(0.1, 0.9 - 0.1 * i)),
            "r2": r2 + 0.04,
            "r2_low": r2 - 0.03,
            "r2_high": r2 + 0.03,
            "chance_r2": -0.02,
        }
        for i, layer in enumerate(layers)
        for rung in RUNGS
    ]
    return pd.DataFrame(rows)


def layer_matrix_table(
    layers: Sequence[str], nets: Sequence[str], *, untrained: Sequence[str] = ()
) -> pd.DataFrame:
    """1 - .25 for each layer between them, .9 of that between nets, .3 between untrained ones."""
    rows = [
        {
            "net_a": a,
            "layer_a": one,
            "net_b": b,
            "layer_b": other,
            "cka": (1 - 0.25 * abs(i - j)) * (1 if a == b else 0.9 if a in nets and b in nets else 0.3),
        }
        for a in (*nets, *untrained)
        for b in (*nets, *untrained)
        for i, one in enumerate(layers)
        for j, other in enumerate(layers)
    ]
    return pd.DataFrame(rows)


def universality_table(layers: Sequence[str], *, n_nets: int = 3) -> pd.DataFrame:
    """20 units in all nets, 4 in each smaller number of nets, 2 dead; rotated: 6 in all."""
    rows = [
        {
            "layer": layer,
            "n_nets": n,
            "n_dead": 2,
            "n_units": 20 if n == n_nets else 4,
            "rotated": 6.0 if n == n_nets else 4 + 14 / (n_nets - 1),
        }
        for layer in layers
        for n in range(1, n_nets + 1)
    ]
    return pd.DataFrame(rows)


def similarity_table(layers: Sequence[str], nets: Sequence[str], *, untrained: Sequence[str] = ()) -> pd.DataFrame:
    """.8 between nets and .2 between untrained ones by every measure; chance .1, that of the debiased one 0."""
    rows = [
        {
            "layer": layer,
            "net_a": a,
            "net_b": b,
            "trained": group is nets,
            "measure": measure,
            "value": 0.8 if group is nets else 0.2,
            "chance": 0.0 if measure == "cka_debiased" else 0.1,
        }
        for layer in layers
        for group in (nets, untrained)
        for a, b in combinations(group, 2)
        for measure in ("cka_debiased", "svcca", "angular_distance")
    ]
    return pd.DataFrame(rows)


def with_chance(matches: pd.DataFrame) -> pd.DataFrame:
    """The matches with intervals of r +- .02, chance at .12 and .06, and q below .05 where r is above .3."""
    found = matches.copy()
    for matching, chance in (("best", 0.12), ("one_to_one", 0.06)):
        r = found[f"{matching}_r"]
        found[f"{matching}_r_low"], found[f"{matching}_r_high"] = r - 0.02, r + 0.02
        found[f"{matching}_q"] = np.where(r.isna(), np.nan, np.where(r > 0.3, 0.01, 0.5))
        found[f"{matching}_chance"] = np.where(r.isna(), np.nan, chance)
    return found


def write_whole_layers(path: Path, layers: Sequence[str], nets: Sequence[str], untrained: Sequence[str]) -> None:
    """The tables about whole layers, and chance levels of the matches."""
    written = {
        "ladder": ladder_table(layers, a=nets[0], b=nets[1]),
        "layer_matrix": layer_matrix_table(layers, nets, untrained=untrained),
        "universality": universality_table(layers, n_nets=len(nets)),
        "similarity": similarity_table(layers, nets, untrained=untrained),
        "matches": with_chance(pd.read_parquet(path / "tables/matches.parquet")),
    }
    for name, table in written.items():
        table.to_parquet(path / "tables" / f"{name}.parquet", index=False)


@pytest.fixture(scope="session")
def planted() -> SimpleNamespace:
    """Builders of the tables about whole layers."""
    return SimpleNamespace(
        ladder=ladder_table,
        layer_matrix=layer_matrix_table,
        universality=universality_table,
        similarity=similarity_table,
        with_chance=with_chance,
    )


def write_crops(folder: Path, layers: Mapping[str, int], nets: Sequence[str], tile: int) -> None:
    rng = np.random.default_rng(0)
    for j, net in enumerate(nets):
        (folder / net).mkdir(parents=True)
        for layer, n_units in layers.items():
            sheet(n_units, j, rng, tile).save(folder / net / f"{layer}.png")
    (folder / "index.json").write_text(json.dumps({"k": K}), encoding="utf-8")


def provenance(nets: Sequence[str], untrained: Sequence[str]) -> dict[str, object]:
    about = {
        net: {
            "weights": f"{i:064x}",
            "factory": "convergent.nets:alexnet_small",
            "trained": net in nets,
            "seed": i,
            "accuracy": 0.9 + i / 100 if net in nets else None,
            "n_parameters": 123456,
        }
        for i, net in enumerate([*nets, *untrained])
    }
    versions = {"convergent": "0.1.0", "torch": "2.6.0", "python": "3.11.4", "numpy": "2.0.0", "platform": "Linux"}
    return {
        **versions,
        "created": "2024-05-01T12:00:00",
        "data": "planted/600",
        "n_inputs": N_INPUTS,
        "blocks": 4,
        "nets": about,
    }


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Write a run folder; keywords as of `write_run`."""

    def make(**options: object) -> Path:
        options.setdefault("layers", {"relu1": 10, "features.0": 14})
        return write_run(tmp_path_factory.mktemp("runs") / "planted", **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def run_folder(make_run: MakeRun) -> Path:
    """A small run folder. Tests only read it."""
    return make_run()


def drawn_words(figure: Figure) -> list[Text]:
    """Every text that a figure shows; labels of ticks out of view and of hidden axes are none."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not axes.axison or not low - slack <= tick.get_loc() <= high + slack:
                    hidden |= {id(tick.label1), id(tick.label2)}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and id(text) not in hidden]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


@pytest.fixture(scope="session")
def misplaced() -> Callable[[Figure], list[str]]:
    """Tell the texts of a figure that stick out of it, or that lie on another text."""

    def told(figure: Figure) -> list[str]:
        boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_words(figure)]
        whole = figure.bbox
        out = [
            f"'{name}' sticks out"
            for name, box in boxes
            if box.x0 < whole.x0 - 1 or box.y0 < whole.y0 - 1 or box.x1 > whole.x1 + 1 or box.y1 > whole.y1 + 1
        ]
        lying = [
            f"'{name}' lies on '{other}'"
            for i, (name, box) in enumerate(boxes)
            for other, second in boxes[i + 1 :]
            if min(box.x1, second.x1) - max(box.x0, second.x0) > 1
            and min(box.y1, second.y1) - max(box.y0, second.y0) > 1
        ]
        return out + lying

    return told
