"""Changed outputs of layers: seen by all that lies above, gone afterwards, in every kind of output."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from convergent.errors import NetError, UnknownNameError
from convergent.extraction.rewriting import copy_to_write, rewriting, with_parts
from convergent.extraction.taps import tapping
from convergent.extraction.views import View

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
Pair = namedtuple("Pair", "first second")


@dataclass
class Answer:
    hidden: torch.Tensor
    rest: tuple[torch.Tensor, ...]


def hooks(net: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def test_what_is_changed_is_what_later_layers_see_and_an_in_place_relu_does_not_undo_it() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))
    intact = net(X)
    seen = tapping(net, ["1"], keep=lambda _, output: output.clone())
    with rewriting(net, {"0": lambda output: output + 1}), seen as kept:
        changed = net(X)
    torch.testing.assert_close(kept["1"], (net[0](X) + 1).relu())
    torch.testing.assert_close(changed, net[2](kept["1"]))
    torch.testing.assert_close(net(X), intact)
    assert hooks(net) == 0


def test_blocks_inside_each_other_add_up() -> None:
    net = nn.Linear(3, 2)
    with rewriting(net, {"output": lambda y: y + 1}):
        with rewriting(net, {"output": lambda y: y * 2}):
            torch.testing.assert_close(net(X), (net.forward(X) + 1) * 2)
        torch.testing.assert_close(net(X), net.forward(X) + 1)


def test_the_net_is_restored_after_an_exception() -> None:
    net = nn.Linear(3, 2).train()
    with pytest.raises(ZeroDivisionError), rewriting(net, {"output": lambda y: y * (1 // 0)}):
        net(X)
    assert hooks(net) == 0
    assert net.training


def test_one_call_of_a_module_that_is_called_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.relu(x) - 1)

    net = Twice()
    with rewriting(net, {"relu#1": torch.zeros_like}):
        assert not net(X).any()
    with (
        rewriting(net, {"relu": torch.zeros_like}),
        pytest.raises(NetError, match=r"'relu' gives 2 outputs.*Choose one"),
    ):
        net(X)


@pytest.mark.parametrize(
    ("output", "part", "read"),
    [
        ((X, X), ":1", lambda found: found[1]),
        ([X, X], ":1", lambda found: found[1]),
        (Pair(X, X), ":0", lambda found: found.first),
        ({"a": X, "b": {"c": X}}, ":b:c", lambda found: found["b"]["c"]),
        (Answer(X, (X, X)), ":rest:1", lambda found: found.rest[1]),
    ],
)
def test_parts_of_outputs(output: object, part: str, read: Callable[[object], torch.Tensor]) -> None:
    changed = with_parts(output, {part: torch.zeros_like})
    assert type(changed) is type(output)
    assert not read(changed).any()
    assert read(output) is X
    assert with_parts(3, {"": torch.zeros_like}) == 3


@pytest.mark.parametrize(
    ("output", "units"),
    [
        (torch.randn(2, 3, 4, 5), "auto"),
        (torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), "auto"),
        (torch.randn(2, 4, 5, 3).permute(0, 3, 2, 1), "channels"),
        (torch.randn(5, 3, 2, 4).permute(2, 1, 3, 0), "neurons"),
        (torch.randn(2, 6, 3), "auto"),
        (torch.randn(1, 3).expand(2, 3), "auto"),
    ],
)
def test_what_is_written_is_in_the_copy_in_any_order_of_memory(output: torch.Tensor, units: str) -> None:
    before = output.clone()
    view = View(units)
    changed, seen = copy_to_write(output, view)
    seen[:, 1] = 7
    wanted = view.arrange(output)[0].clone()
    wanted[:, 1] = 7
    torch.testing.assert_close(view.arrange(changed)[0], wanted)
    torch.testing.assert_close(output, before)


def test_wrong_names_are_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(UnknownNameError, match=r"Cannot tap layer 'conv'"), rewriting(net, {"conv": torch.relu}):
        pass
