"""Float32 Gram matrices against float64, on streams made to spoil them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convergent import Lockstep, collect
from convergent.errors import NonFiniteError
from convergent.statistics import MinibatchHsicPlan
from convergent.statistics.minibatch_hsic import centred_gram, debiased_hsic

ATOL = 1e-6  # of CKA


def exact_cka(layers: list[torch.Tensor]) -> np.ndarray:
    """Kernels in float64 of features as they are, U-centred entry by entry (Szekely & Rizzo 2014)."""
    flat = []
    for x in layers:
        k, n = (x.double() @ x.double().T).fill_diagonal_(0), len(x)
        rows = k.sum(0) / (n - 2)
        flat.append((k - rows - rows[:, None] + rows.sum() / (n - 1)).fill_diagonal_(0).flatten())
    inner = torch.stack(flat) @ torch.stack(flat).T
    return np.asarray(inner / torch.outer(inner.diagonal(), inner.diagonal()).sqrt())


def found_cka(layers: list[torch.Tensor]) -> np.ndarray:
    hsic = debiased_hsic(torch.stack([centred_gram(x).double() for x in layers]))
    return np.asarray(hsic / torch.outer(hsic.diagonal(), hsic.diagonal()).sqrt())


def related(n: int, p: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shared = 0.7 * torch.randn(n, p, generator=generator)
    return [shared + torch.randn(n, p, generator=generator) for _ in range(2)]


def spoil(x: torch.Tensor, kind: str, by: float) -> torch.Tensor:
    """By `by` standard deviations of a feature, or by that share of an input's length."""
    n, whole = len(x), by * x.shape[1] ** 0.5
    if kind == "every feature's mean":
        return x + by
    if kind == "one constant feature":
        return torch.cat([torch.full((n, 1), whole), x[:, 1:]], 1)
    if kind == "one input":
        x[n // 2, 0] += whole
    elif kind == "three inputs, apart":
        x[:3, :3] += whole * torch.eye(3, min(3, x.shape[1]))
    elif kind == "three inputs, together":
        x[:3] += by
    elif kind == "half of the inputs":
        x[: n // 2] += by
    elif kind == "lengths of inputs":
        x *= torch.logspace(0, -np.log10(1 + by), n)[:, None]
    elif kind == "scales of features":
        x *= torch.logspace(0, np.log10(1 + by), x.shape[1])
    return x


KINDS = [
    *("every feature's mean", "one constant feature", "one input", "three inputs, apart"),
    *("three inputs, together", "half of the inputs", "lengths of inputs", "scales of features"),
]


@settings(max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=2, unique=True),
    by=st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.4, 2.0, 5.0, 30.0, 300.0]),
    n=st.sampled_from([8, 33, 128]),
    p=st.sampled_from([3, 64, 1023, 8192]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    rectified=st.booleans(),
)
def test_no_stream_loses_more_than_a_millionth(
    kinds: list[str], by: float, n: int, p: int, dtype: torch.dtype, rectified: bool
) -> None:
    layers = [x.relu() if rectified else x for x in related(n, p)]
    for kind in kinds:
        layers = [spoil(x, kind, by) for x in layers]
    layers = [x.clamp(-6e4, 6e4).to(dtype) for x in layers]
    np.testing.assert_allclose(found_cka(layers), exact_cka(layers), rtol=0, atol=ATOL)


@pytest.mark.parametrize("kind", ["every feature's mean", "one constant feature", "one input"])
def test_many_features(kind: str) -> None:
    """131,072 of them: products of single inputs are small beside the length of each."""
    layers = [spoil(x, kind, 1.0) for x in related(32, 2**17)]
    np.testing.assert_allclose(found_cka(layers), exact_cka(layers), rtol=0, atol=ATOL)


def test_float64_only_where_it_is_needed() -> None:
    near = related(128, 4096)[0]
    assert centred_gram(near).dtype == centred_gram(near + 100).dtype == torch.float32
    assert centred_gram(spoil(near, "one input", 300.0)).dtype == torch.float64
    assert centred_gram(torch.full((128, 4096), 5.1)).dtype == torch.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("n", "mean"), [(3, 0.0), (8, 0.0), (8, 1000.0)])
def test_what_is_not_finite_is_found_in_gram_matrices_too(value: float, n: int, mean: float) -> None:
    x = torch.randn(n, 50, generator=torch.Generator().manual_seed(0)) + mean
    x[2, 7] = value
    source = Lockstep({"a": nn.Identity()}, [x], layers=["output"])
    with pytest.raises(NonFiniteError, match=rf"'a/output\[7\]'. Its value on input 2 is {value}, and 1 of"):
        collect(source, {"hsic": MinibatchHsicPlan()})
