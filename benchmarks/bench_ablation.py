"""Many sets of units taken out: how many times faster than one set at a time?

One set at a time is a forward of the whole net for each set, under `ablate`. `ablation_effect` runs the net once
and then only what lies above the layer. The ideal is the share of the forward that lies above the layer, measured
by a forward of that part alone. That both give the same losses is checked first.

    python benchmarks/bench_ablation.py                     # alexnet_small, 20 sets, 512 inputs
    python benchmarks/bench_ablation.py --sets 100 --inputs 2048 --batch 256
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import nn

from convergent import ablate, ablation_effect, alexnet_small, answer

Data = list[tuple[torch.Tensor, torch.Tensor]]


def seconds(run: Callable[[], object], rounds: int) -> float:
    """The median of several rounds, after one that is not counted."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def one_at_a_time(net: nn.Module, data: Data, layer: str, sets: list[np.ndarray]) -> np.ndarray:
    """Losses of every set, a forward of the whole net each."""
    losses = []
    for units in sets:
        with ablate(net, {layer: units}, replace_by="zero"):
            losses.append(answer(net, data).losses)
    return np.stack(losses)


def measured(net: nn.Sequential, data: Data, layer: str, n_sets: int, rounds: int) -> tuple[float, float, float]:
    """Seconds one set at a time and together, and the largest speed-up there can be."""
    modules = dict(net.named_children())
    at = list(modules).index(layer) + 1
    n_units, rng = len(net.get_parameter(f"{layer}.weight")), np.random.default_rng(0)
    sets = [rng.choice(n_units, n_units // 4, replace=False) for _ in range(n_sets)]
    found = ablation_effect(net, data, layer, sets, replace_by="zero")
    assert found.replayed
    np.testing.assert_allclose(found.losses, one_at_a_time(net, data, layer, sets), atol=1e-5)
    slow = seconds(lambda: one_at_a_time(net, data, layer, sets), rounds)
    fast = seconds(lambda: ablation_effect(net, data, layer, sets, replace_by="zero"), rounds)
    with torch.no_grad():
        x = data[0][0]
        hidden = net[:at](x)
        part = seconds(lambda: net[at:](hidden.clone()), 3 * rounds)
        whole = seconds(lambda: net(x), 3 * rounds)
    return slow, fast, n_sets * whole / (whole + n_sets * part)


def main() -> None:
    """Read the command line and print a row a layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", default=["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"])
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--inputs", type=int, default=512)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.manual_seed(0)
    net = alexnet_small().eval()
    x, y = torch.randn(given.inputs, 3, 32, 32), torch.randint(10, (given.inputs,))
    data = list(zip(torch.split(x, given.batch), torch.split(y, given.batch), strict=True))
    print(f"{given.sets} sets, {given.inputs} inputs, batches of {given.batch}, {torch.get_num_threads()} threads")
    print(f"{'layer':8}{'one at a time':>15}{'together':>12}{'speed-up':>10}{'ideal':>8}{'of ideal':>10}")
    for layer in given.layers:
        slow, fast, ideal = measured(net, data, layer, given.sets, given.rounds)
        gain = slow / fast
        print(f"{layer:8}{slow:13.2f} s{fast:10.2f} s{gain:9.1f}x{ideal:7.1f}x{gain / ideal:9.0%}")


if __name__ == "__main__":
    main()
