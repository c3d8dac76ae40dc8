"""The correctness race: the same float32 features to convergent and its peers, each beside the truth in float64.

Linear debiased CKA, of batches (Nguyen, Raghu & Kornblith 2021) and of all inputs at once, by pytorch-cka and
torch_cka; the angular Procrustes, CCA and permutation distances by netrep. What Python does not find is skipped.
CKA packages take nets and loaders: theirs, and ours, have a layer that gives the planted features as they are. The
truth is of those float32 features, by formulas of its own in float64: U-centred Gram matrices, QR, products.

Every tool answers every case in a process of its own, after a small case. Memory is how much that process grew
(ru_maxrss) in its first answer, without what libraries take once; time is the median of three more answers.

    python benchmarks/race.py            # pip install pytorch-cka torch-cka to see them too
    PYTHONPATH=folder/of/netrep OMP_NUM_THREADS=1 python benchmarks/race.py
"""

import contextlib
import ctypes
import importlib
import io
import multiprocessing
import resource
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import bench_shapes  # type: ignore[import-not-found]  # beside this script, and in no package
import numpy as np
import torch
from bench_cka import installed, timed  # type: ignore[import-not-found]
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, TensorDataset

from convergent import Lockstep, MinibatchHsicPlan, MomentsPlan, PairMoments, collect, linear_cka

N_INPUTS, N_UNITS, BATCH = 1024, 64, 128
RATIOS = (1, 3, 10, 30, 300)
TOLERANCE = 1e-6
SMALL, ROUNDS = 16, 3
RELEASES = {"cka": "pytorch-cka", "torch_cka": "torch-cka", "netrep": "netrep"}
LAYERS = ["layer"]


@dataclass(frozen=True)
class Features:
    """Two layers on the same inputs, float32, and how a loader gives them."""

    x: np.ndarray
    y: np.ndarray
    shuffled: bool = False

    def loader(self, batch: int = BATCH) -> DataLoader[Any]:
        """Batches of both layers side by side; shuffled, in the order that shuffle=True makes of a seed."""
        data = TensorDataset(torch.from_numpy(np.hstack([self.x, self.y])))
        seeded = torch.Generator().manual_seed(0)
        sampler = RandomSampler(data, generator=seeded) if self.shuffled else SequentialSampler(data)
        return DataLoader(data, batch_size=batch, sampler=sampler)

    def first(self, n: int) -> "Features":
        """The first inputs alone."""
        return replace(self, x=self.x[:n], y=self.y[:n])


class Half(nn.Module):
    """A net whose layer gives half of its input as it is."""

    def __init__(self, part: slice) -> None:
        super().__init__()
        self.part, self.layer = part, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        return self.layer(x[:, self.part])


def nets(features: Features) -> dict[str, nn.Module]:
    """Net a gives x, net b gives y."""
    width = features.x.shape[1]
    return {"a": Half(slice(width)), "b": Half(slice(width, None))}


# What is raced: features -> one number, by question and tool.

Work = Callable[[Features], float]


def moments(features: Features, *, norms: bool = False) -> PairMoments:
    """Ours: one pass over the loader."""
    source = Lockstep(nets(features), features.loader(), layers=LAYERS)
    pair: PairMoments = collect(source, {"m": MomentsPlan(norms=norms)})["m"].pair("a/layer", "b/layer")
    return pair


def ours_in_batches(features: Features) -> float:
    """CKA of batches."""
    source = Lockstep(nets(features), features.loader(), layers=LAYERS)
    return float(collect(source, {"hsic": MinibatchHsicPlan()})["hsic"].cka()[0, 1])


def pytorch_cka(features: Features) -> float:
    """CKA of batches by `compute_cka`."""
    compute_cka = importlib.import_module("cka").compute_cka
    loader = features.loader()
    return float(compute_cka(*nets(features).values(), loader, layers=LAYERS, device="cpu", progress=False)[0])


def pytorch_cka_of_all(features: Features) -> float:
    """CKA of all inputs by `cka_from_features`."""
    of_features = importlib.import_module("cka").cka_from_features
    return float(of_features(torch.from_numpy(features.x), torch.from_numpy(features.y)))


def torch_cka(features: Features, batch: int = BATCH) -> float:
    """CKA of batches."""
    compared = importlib.import_module("torch_cka").CKA(*nets(features).values(), "a", "b", LAYERS, LAYERS)
    compared.compare(features.loader(batch))
    return float(compared.hsic_matrix)


def of_moments(distance: Callable[[PairMoments], float]) -> Work:
    """A distance of ours."""
    return lambda features: distance(moments(features))


def of_arrays(distance: Callable[[np.ndarray, np.ndarray], float]) -> Work:
    """A distance of netrep's."""
    return lambda features: float(distance(features.x, features.y))


def questions() -> dict[str, dict[str, Work]]:
    """Who answers what; the peers that are installed."""
    asked: dict[str, dict[str, Work]] = {
        "CKA, batches": {"convergent": ours_in_batches},
        "CKA, all inputs": {"convergent": lambda features: linear_cka(moments(features, norms=True))},
        "CKA, biased": {"convergent": lambda features: linear_cka(moments(features), estimator="biased")},
    }
    if installed("cka"):
        asked["CKA, batches"]["pytorch-cka"] = pytorch_cka
        asked["CKA, all inputs"]["pytorch-cka"] = pytorch_cka_of_all
    if installed("torch_cka"):
        asked["CKA, batches"]["torch_cka"] = torch_cka
        asked["CKA, all inputs"]["torch_cka"] = lambda features: torch_cka(features, len(features.x))
    theirs = bench_shapes.by_netrep()
    for name, distance in bench_shapes.OURS.items():
        asked[name] = {"convergent": of_moments(distance)}
        if name in theirs:
            asked[name]["netrep"] = of_arrays(theirs[name])
    return asked


# The truth, in float64.


def centred(values: np.ndarray) -> np.ndarray:
    """About the mean."""
    wide = values.astype(np.float64)
    return wide - wide.mean(axis=0)


def u_centred(values: np.ndarray) -> np.ndarray:
    """Gram matrix without its diagonal, whose rows and columns then have mean zero (Szekely & Rizzo 2014)."""
    gram, n = centred(values) @ centred(values).T, len(values)
    np.fill_diagonal(gram, 0)
    rows = gram.sum(axis=0) / (n - 2)
    gram += gram.sum() / ((n - 1) * (n - 2)) - rows - rows[:, None]
    np.fill_diagonal(gram, 0)
    return gram


def cka_of(batches: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The ratio of sums over batches of four inputs and more; NaN where a layer does not vary."""
    sums = np.zeros(3)
    for x, y in batches:
        if len(x) > 3:
            k, l = u_centred(x), u_centred(y)  # noqa: E741
            sums += np.array([(k * l).sum(), (k * k).sum(), (l * l).sum()]) / (len(x) * (len(x) - 3))
    varies = all((np.ptp(values, axis=0) > 0).any() for pair in batches for values in pair)
    return float(sums[0] / np.sqrt(sums[1] * sums[2])) if varies else float("nan")


def true_cka(features: Features, batch: int) -> float:
    """Debiased, of what one loader gives."""
    width = features.x.shape[1]
    batches = [part.numpy() for (part,) in features.loader(batch)]
    return cka_of([(part[:, :width], part[:, width:]) for part in batches])


def true_biased(features: Features) -> float:
    """|X'Y|^2 over |X'X| |Y'Y|."""
    x, y = centred(features.x), centred(features.y)
    ab, aa, bb = (np.linalg.norm(one.T @ other) for one, other in ((x, y), (x, x), (y, y)))
    return float(ab**2 / (aa * bb))


def true_procrustes(features: Features) -> float:
    """From the singular values of X'Y."""
    x, y = centred(features.x), centred(features.y)
    return angle(np.linalg.norm(x.T @ y, "nuc") / (np.linalg.norm(x) * np.linalg.norm(y)))


def true_cca(features: Features) -> float:
    """From the mean canonical correlation."""
    q, r = (np.linalg.qr(centred(values))[0] for values in (features.x, features.y))
    return angle(np.linalg.norm(q.T @ r, "nuc") / q.shape[1])


def true_permutation(features: Features) -> float:
    """From the best assignment of X'Y."""
    x, y = centred(features.x), centred(features.y)
    products = x.T @ y
    best = products[linear_sum_assignment(products, maximize=True)].sum()
    return angle(best / (np.linalg.norm(x) * np.linalg.norm(y)))


def angle(similarity: np.floating[Any]) -> float:
    """Radians."""
    return float(np.arccos(similarity))


TRUTH: dict[str, Work] = {
    "CKA, batches": lambda features: true_cka(features, BATCH),
    "CKA, all inputs": lambda features: true_cka(features, len(features.x)),
    "CKA, biased": true_biased,
    "Procrustes": true_procrustes,
    "CCA": true_cca,
    "permutation": true_permutation,
}


# Cases.


def planted(ratio: float, *, n: int = N_INPUTS) -> Features:
    """Layers that share half of their directions; every unit has standard deviation 1 and this mean."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(n, N_UNITS // 2))
    mixed = [shared @ rng.normal(size=(N_UNITS // 2, N_UNITS)) / 6 + rng.normal(size=(n, N_UNITS)) for _ in "xy"]
    x, y = (((one - one.mean(axis=0)) / one.std(axis=0) + ratio).astype(np.float32) for one in mixed)
    return Features(x, y)


def with_constant(features: Features, units: slice) -> Features:
    """Some units of the first layer give 100 on every input."""
    x = features.x.copy()
    x[:, units] = 100
    return replace(features, x=x)


def cases() -> Iterator[tuple[str, Features, list[str]]]:
    """Name, features, and what is asked."""
    cka = ["CKA, batches", "CKA, all inputs"]
    for ratio in RATIOS:
        yield f"mean/std {ratio}", planted(ratio), cka
    noise = np.random.default_rng(0).normal(size=(2, 1000, 1024)).astype(np.float32)
    yield "noise, 1024 units", Features(*noise), [*cka, "CKA, biased"]
    yield "shuffling loader", replace(planted(1), shuffled=True), cka[:1]
    yield "a constant unit", with_constant(planted(1), slice(1)), cka
    yield "a constant layer", with_constant(planted(1), slice(None)), cka
    yield "last batch of 3", planted(1, n=N_INPUTS + 3), cka[:1]
    for ratio in RATIOS:
        yield f"mean/std {ratio}", planted(ratio), list(bench_shapes.OURS)


# The race.


class Answer(NamedTuple):
    """What a tool gave: a number, or its error's first sentence."""

    value: float | None
    said: str
    milliseconds: float
    mebibytes: float


def answer(work: Work, features: Features) -> tuple[float | None, str]:
    """A number; or None and the error."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return work(features), ""
    except Exception as error:  # whatever a peer raises is its answer
        sentence = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        return None, f"{type(error).__name__}: {sentence}."


def grown() -> float:
    """The most MiB that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def give_back_memory() -> None:
    """Freed memory returns to the system, or a child would use it unseen; glibc alone keeps it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def in_child(work: Work, features: Features, to_parent: Connection) -> None:
    """A small case, the answer with its memory, and the time of more answers."""
    answer(work, features.first(SMALL))
    before = grown()
    value, said = answer(work, features)
    memory = grown() - before
    seconds = statistics.median(timed(lambda: answer(work, features)) for _ in range(ROUNDS))
    to_parent.send(Answer(value, said, 1e3 * seconds, memory))


def ask(work: Work, features: Features) -> Answer:
    """In a process of its own, which starts with all imports done."""
    give_back_memory()
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=in_child, args=(work, features, there))
    child.start()
    there.close()
    given: Answer = here.recv()
    child.join()
    return given


def check(given: Answer, truth: float, features: Features) -> None:
    """Ours is right; is NaN where there is no truth; and is refused where the loader shuffles."""
    assert (given.value is None) == features.shuffled, given
    if given.value is not None:
        assert np.isnan(given.value) == np.isnan(truth), (given, truth)
        assert np.isnan(truth) or abs(given.value - truth) <= TOLERANCE, (given, truth)


def row(names: tuple[str, str, str], given: Answer, truth: float) -> str:
    """A line of the table."""
    known = given.value is not None and not np.isnan(given.value - truth)
    value = "none" if given.value is None else f"{given.value:.7f}"
    error = f"{abs(given.value - truth):.0e}" if known and given.value is not None else "-"
    numbers = f"{value:>11} {truth:11.7f} {error:>6} {given.milliseconds:8.1f} {given.mebibytes:6.1f}"
    return f"{names[0]:17} {names[1]:15} {names[2]:11} {numbers}  {given.said}".rstrip()


def releases() -> None:
    """Print which release of each peer is raced, or where it lies."""
    for module, name in RELEASES.items():
        with contextlib.suppress(ImportError):
            found = importlib.import_module(module)
            try:
                print(f"{name} {version(name)}")
            except PackageNotFoundError:
                print(f"{name} is no installed release, but lies in {next(iter(found.__path__))}")


def main() -> None:
    """Print a row for every case, question and tool; then check ours."""
    asked = questions()
    releases()
    columns = f"{'value':>11} {'truth':>11} {'error':>6} {'ms':>8} {'MiB':>6}"
    print(f"{'case':17} {'asked':15} {'tool':11} {columns}")
    ours: list[tuple[Answer, float, Features]] = []
    for case, features, wanted in cases():
        for question in wanted:
            truth = TRUTH[question](features)
            for tool, work in asked[question].items():
                given = ask(work, features)
                print(row((case, question, tool), given, truth), flush=True)
                if tool == "convergent":
                    ours.append((given, truth, features))
    for one in ours:
        check(*one)
    print(f"All {len(ours)} answers of convergent are right to {TOLERANCE:g}, or say that there is none.")


if __name__ == "__main__":
    main()
