"""Layer-wise debiased CKA of two small ResNets: time and error beside pytorch-cka and torch_cka.

Two ResNet-20-like nets, 10 layers each, 2,048 random 32 x 32 images in batches of 128, features flattened, the
minibatch definition (Nguyen, Raghu & Kornblith 2021). The floor is a forward of both nets. Every answer is first
compared with the uncentred formula in float64 on the features of the same nets. torch_cka runs on 256 images, and
its time is scaled. The exact value over all images as one batch stands beside.

    python benchmarks/bench_cka.py            # pip install pytorch-cka torch-cka to see them too
    python benchmarks/bench_cka.py --rounds 9
    python benchmarks/bench_cka.py --offset 3  # images + 3: raw float32 products get worse
"""

import argparse
import importlib
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from convergent import Lockstep, collect
from convergent.statistics import InputSamplePlan, MinibatchHsicPlan

Nets = dict[str, nn.Module]
LAYERS = ["stem", *(f"blocks.{i}" for i in range(9))]
N_IMAGES, N_FEW, BATCH = 2048, 256, 128


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        stride = 1 if n_in == n_out else 2
        self.path = nn.Sequential(
            *(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)),
            *(nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)),
        )
        narrower = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        self.shortcut = nn.Identity() if stride == 1 else narrower
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, rectified."""
        return self.relu(self.path(x) + self.shortcut(x))


class SmallResNet(nn.Module):
    """ResNet-20 for 32 x 32 images."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in itertools.pairwise(widths)))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Ten scores."""
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


def loader(images: Tensor) -> DataLoader[Any]:
    """Batches of images, in order."""
    return DataLoader(TensorDataset(images), batch_size=BATCH)


def ours(nets: Nets, images: Tensor) -> np.ndarray:
    """All of it: tapping, checks, one pass, CKA."""
    return collect(Lockstep(nets, loader(images), layers=LAYERS), {"hsic": MinibatchHsicPlan()})["hsic"].cka()


def ours_exact(nets: Nets, images: Tensor) -> np.ndarray:
    """All images as one batch."""
    plan = InputSamplePlan(k=len(images))
    return collect(Lockstep(nets, loader(images), layers=LAYERS), {"sample": plan})["sample"].hsic().cka()


def forward_only(nets: Nets, images: Tensor) -> None:
    """The floor: both nets, nothing kept."""
    with torch.no_grad():
        for (x,) in loader(images):
            for net in nets.values():
                net(x)


def pytorch_cka(nets: Nets, images: Tensor) -> np.ndarray:
    """The package `pytorch-cka`."""
    compute_cka = importlib.import_module("cka").compute_cka
    return np.asarray(compute_cka(*nets.values(), loader(images), layers=LAYERS, progress=False)[0])


def torch_cka(nets: Nets, images: Tensor) -> np.ndarray:
    """The package `torch_cka`, as shipped: gradients on."""
    package = importlib.import_module("torch_cka")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compared = package.CKA(*nets.values(), *nets, LAYERS, LAYERS)
        compared.compare(loader(images))
    for net in nets.values():  # it leaves its hooks behind
        for module in net.modules():
            module._forward_hooks.clear()
    return np.asarray(compared.hsic_matrix.detach())


def truth(nets: Nets, images: Tensor, batch: int = BATCH) -> np.ndarray:
    """The definition in float64, feature by feature, without centring."""
    sums = np.zeros((20, 20))
    batches = [[x for net in nets.values() for x in _features(net, part)] for (part,) in loader(images)]
    whole = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    del batches
    for start in range(0, len(images), batch):
        sums += _hsic(torch.stack([_without_diagonal(x[start : start + batch].double()) for x in whole]))
    scale = np.sqrt(np.diagonal(sums))
    return sums / np.outer(scale, scale)


def _features(net: Any, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        found = [net.stem(x)]
        for block in net.blocks:
            found.append(block(found[-1]))
    return [value.flatten(1) for value in found]


def _without_diagonal(x: Tensor) -> Tensor:
    gram = x @ x.T
    return gram - torch.diag(gram.diagonal())


def _hsic(kernels: Tensor) -> np.ndarray:
    n, sums, flat = kernels.shape[1], kernels.sum(2), kernels.flatten(1)
    rest = torch.outer(sums.sum(1), sums.sum(1)) / ((n - 1) * (n - 2)) - 2 / (n - 2) * sums @ sums.T
    return ((flat @ flat.T + rest) / (n * (n - 3))).numpy()


def installed(name: str) -> bool:
    """Whether a package to compare with is there."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{name} is skipped: {error}")
        return False
    return True


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(rounds: int, offset: float) -> None:
    """Print time and error, each time the median over rounds in which all are run in turn."""
    nets: Nets = {name: SmallResNet(seed).eval() for seed, name in enumerate("ab")}
    images = torch.randn(N_IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(2)) + offset
    few = images[:N_FEW]
    expected, expected_few = truth(nets, images), truth(nets, few)
    works: dict[str, tuple[Callable[[], Any], float, np.ndarray | None]] = {
        "forward of both nets": (lambda: forward_only(nets, images), 1, None),
        "convergent": (lambda: ours(nets, images), 1, expected),
    }
    if installed("cka"):
        works["pytorch-cka"] = (lambda: pytorch_cka(nets, images), 1, expected)
    if installed("torch_cka"):
        works["torch_cka"] = (lambda: torch_cka(nets, few), N_IMAGES / N_FEW, expected_few)
    layers = Lockstep(nets, loader(few), layers=LAYERS).layers
    announced = InputSamplePlan(k=N_IMAGES).n_bytes(layers) + 4 * len(layers) * N_IMAGES**2
    print(f"exact: announced {announced / 2**30:.2f} GiB, Gram matrices included")
    works["convergent, exact"] = (lambda: ours_exact(nets, images), 1, truth(nets, images, N_IMAGES))
    errors = {name: error(work(), right) for name, (work, _, right) in works.items()}
    assert max(errors[name] for name in errors if name.startswith("convergent")) < 1e-6, errors
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, (work, scale, _) in works.items():
            seconds[name].append(scale * timed(work))
    report({name: statistics.median(taken) for name, taken in seconds.items()}, errors)


def error(found: np.ndarray | None, right: np.ndarray | None) -> float:
    """Largest difference; peers give the corner between nets only."""
    if found is None or right is None:
        return 0.0
    return float(np.abs(found - (right if len(found) == 20 else right[:10, 10:])).max())


def report(seconds: dict[str, float], errors: dict[str, float]) -> None:
    """A table."""
    floor = seconds["forward of both nets"]
    print(f"{'':22} seconds  minus forward  of convergent's  max error")
    for name, taken in seconds.items():
        print(
            f"{name:22} {taken:7.2f} {taken - floor:14.2f} {taken / seconds['convergent']:15.2f} "
            f"{errors[name]:10.0e}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--offset", type=float, default=0.0)
    asked = parser.parse_args()
    race(asked.rounds, asked.offset)
