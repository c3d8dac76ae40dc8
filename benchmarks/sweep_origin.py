"""Which units should be shifted before they are multiplied? Those with |mean| > threshold x std: which threshold?

Prints the worst error of a correlation. Each family is 16 units with a common part: 131,072 samples in float32,
calibrated on the first batch. The truth is float64 of the same numbers.

    python benchmarks/sweep_origin.py
"""

from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch

from convergent.batch import ActivationBatch, Activations
from convergent.measures import correlation
from convergent.results import Fingerprint
from convergent.statistics import MomentsPlan, PairMoments, accumulate
from convergent.units import LayerRef, LayerUnits

THRESHOLDS = (0.5, 1, 2, 4, 8, 16)
N_BATCHES, N_INPUTS, N_UNITS, N_LOCATIONS = 32, 64, 16, 64


def families() -> Iterator[tuple[str, torch.Tensor]]:
    """Name and activations, batches x inputs x units x locations."""
    generator = torch.Generator().manual_seed(0)
    shape = (N_BATCHES, N_INPUTS, N_UNITS, N_LOCATIONS)
    common = torch.randn(N_BATCHES, N_INPUTS, 1, N_LOCATIONS, generator=generator)
    z = (common + torch.randn(shape, generator=generator)) / 2**0.5
    time = torch.linspace(0, 1, N_BATCHES)[:, None, None, None]
    for ratio in (0.3, 1.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e4):
        yield f"gaussian, mean/std {ratio:g}", z + ratio
    for bias in (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0):
        yield f"ReLU(z {bias:+g}), {float((z + bias <= 0).float().mean()):.1%} zeros", (z + bias).relu()
    for bias in (0.0, 0.5, 1.0, 1.5):
        yield f"0 or 1.1, {float((z + bias <= 0).float().mean()):.0%} zeros", torch.where(z + bias > 0, 1.1, 0.0)
    yield "drift of the mean 0 .. 20 std", z + 20 * time
    yield "drift of the mean 100 .. 120 std", z + 100 + 20 * time
    yield "drift of the mean 5 .. 0 std, ReLU", (z + 5 * (1 - time)).relu()


def worst_error(values: torch.Tensor, threshold: float, truth: np.ndarray) -> float:
    """Largest error of a correlation, the origin set by this threshold."""
    ref = LayerRef("net", "layer")
    layer = LayerUnits(ref, N_UNITS, (N_LOCATIONS,), N_LOCATIONS, "all")
    batches = [ActivationBatch(np.arange(N_INPUTS), {ref: Activations(batch)}) for batch in values]
    with mock.patch.object(accumulate, "_SHIFT_RATIO", threshold):
        accumulator = MomentsPlan().start([layer], batches[0])
    for batch in batches:
        accumulator.update(batch)
    found = correlation(accumulator.finish(Fingerprint()).pair(ref, ref)).between
    return float(np.abs(found - truth).max())


def main() -> None:
    """Print the table."""
    torch.set_num_threads(2)
    print("| units | " + " | ".join(f"{threshold:g}" for threshold in THRESHOLDS) + " |")
    print("|---" * (len(THRESHOLDS) + 1) + "|")
    for name, values in families():
        samples = values.transpose(2, 3).reshape(-1, N_UNITS)
        truth = correlation(PairMoments.from_samples(samples, samples)).between
        errors = [worst_error(values, threshold, truth) for threshold in THRESHOLDS]
        print(f"| {name} | " + " | ".join(f"{error:.0e}" for error in errors) + " |", flush=True)


if __name__ == "__main__":
    main()
