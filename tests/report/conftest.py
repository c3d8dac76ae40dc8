"""A run folder as a study leaves it, made of planted units: what two nets share is known."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path

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
    (path / "study.yaml").write_text("name: planted units\nseed: 0\nnets: <several>\n", encoding="utf-8")
    (path / "provenance.json").write_text(json.dumps(provenance(nets, untrained)), encoding="utf-8")
    if pictures:
        write_crops(path / "crops", layers, nets, tile)
    return path


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
