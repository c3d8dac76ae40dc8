"""What a net costs: its parameters, and the multiply-adds of one answer."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .._typing import Tensor
from ..batch import Batch
from ..extraction.lockstep import Call, call_on_tensor, fit_to
from ..extraction.taps import evaluating, explaining, tapping


@dataclass(frozen=True)
class Costs:
    """What one answer takes; two of them add up.

    Attributes:
        n_parameters: numbers that were learned, each once.
        n_multiply_adds: per input, in convolutions and matrix products (of attention too). Norms, activations,
            pooling and additions are left out, and so are recurrent layers.

    Example:
        >>> Costs(10, 100) + Costs(1, 2)
        Costs(n_parameters=11, n_multiply_adds=102)
    """

    n_parameters: int
    n_multiply_adds: int

    def __add__(self, other: "Costs") -> "Costs":
        return Costs(self.n_parameters + other.n_parameters, self.n_multiply_adds + other.n_multiply_adds)


def costs(
    net: nn.Module, example: Tensor | Batch, *, layer: str | None = None, call: Call = call_on_tensor
) -> Costs:
    """Count a net's parameters and multiply-adds, or those spent until a layer is known.

    Args:
        net: any module; it is left as it was.
        example: inputs it can eat, one or more.
        layer: count what runs until this layer's output is there; the whole net, where not given. Branches that
            run before it count, also where it does not need them.
        call: how the net eats a batch.

    Returns:
        Parameters, and multiply-adds per input.

    Raises:
        NetError: if the net cannot eat the example.
        UnknownNameError: if it has no such layer.

    Cost: one forward of the example.

    Example:
        >>> costs(nn.Linear(3, 8), torch.zeros(2, 3))
        Costs(n_parameters=32, n_multiply_adds=24)
    """
    batch = fit_to(net, example if isinstance(example, Batch) else Batch(np.arange(len(example)), example))
    begun: list[nn.Module] = []
    with ExitStack() as during, explaining(batch.tensor):
        counter = during.enter_context(_counting())
        if layer is None:
            during.enter_context(evaluating(net))
            with torch.no_grad():
                call(net, batch)
            return _costs(net.parameters(), counter, batch)
        during.enter_context(_listing(net, begun))
        until = during.enter_context(
            tapping(net, [layer], keep=lambda *_: _costs(_parameters(begun), counter, batch))
        )
        call(net, batch)
        return until[layer]


@contextmanager
def _counting() -> Iterator[FlopCounterMode]:
    """A counter of all products inside the block; fused attention, which it cannot see, is taken apart."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def _listing(net: nn.Module, begun: list[nn.Module]) -> Iterator[None]:
    """Write down every module when it begins to run."""
    handles = [m.register_forward_pre_hook(lambda module, _: begun.append(module)) for m in net.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _parameters(begun: list[nn.Module]) -> Iterator[nn.Parameter]:
    """Parameters of modules that ran: with those of children that a module uses without calling any of them."""
    called = set(begun)
    for module in called:
        yield from module.parameters(recurse=called.isdisjoint(module.children()))


def _costs(parameters: Iterable[nn.Parameter], counter: FlopCounterMode, batch: Batch) -> Costs:
    sizes = {id(one): one.numel() for one in parameters}
    return Costs(sum(sizes.values()), counter.get_total_flops() // 2 // len(batch.ids))
