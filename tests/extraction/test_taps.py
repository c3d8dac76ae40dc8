"""Taps on hostile nets, and that they leave no trace."""

from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convergent._typing import Tensor
from convergent.errors import NetError, UnknownNameError
from convergent.extraction.taps import detached, explaining, tapping
from convergent.extraction.views import View


def copied(_name: str, output: Tensor) -> Tensor:
    return output.clone()


class Shared(nn.Module):
    """One activation module used twice, as many published nets do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.act, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.b(self.act(self.a(x))))


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class Many(nn.Module):
    """Gives tuples, dicts, and what is no activation at all."""

    class Inner(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor], None]:
            return x + 1, {"hidden": x + 2, "ids": torch.arange(3)}, None

    class Named(nn.Module):
        def forward(self, x: Tensor) -> Pair:
            return Pair(x, 2 * x)

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.named = self.Inner(), self.Named()

    def forward(self, x: Tensor) -> OrderedDict[str, object]:
        return OrderedDict(logits=self.inner(x)[0], rest=self.named(x))


def test_in_place_relu_does_not_rewrite_what_was_kept() -> None:
    net = nn.Sequential(nn.Linear(4, 50), nn.ReLU(inplace=True))
    x = torch.randn(8, 4)
    with tapping(net, ["0", "1"], keep=lambda _, out: detached(View().apply(out).values, out)) as kept:
        net(x)
    linear = net[0]
    assert isinstance(linear, nn.Linear)
    expected = F.linear(x, linear.weight, linear.bias)[..., None]
    assert torch.equal(kept["0"], expected)
    assert torch.equal(kept["1"], expected.clamp(min=0))
    assert not torch.equal(kept["0"], kept["1"])


def test_detached_copies_only_shared_memory_and_keeps_its_order() -> None:
    output = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    view = View().apply(output).values
    safe = detached(view, output)
    assert safe.data_ptr() != output.data_ptr()
    assert safe.stride() == view.stride()
    apart = view + 1
    assert detached(apart, output) is apart


def test_shared_module_is_named_by_call() -> None:
    net, x = Shared(), torch.randn(3, 4)
    with tapping(net, ["act#1", "act#2", "output", "a"], keep=copied) as kept:
        for _ in range(2):  # calls are counted anew in every forward
            result = net(x)
    assert torch.equal(kept["act#1"], net.a(x).relu())
    assert torch.equal(kept["act#2"], result)
    assert torch.equal(kept["output"], result)


def test_parts_of_tuples_and_dicts() -> None:
    net, x = Many(), torch.randn(3, 4)
    names = ["inner:0", "inner:1:hidden", "named:1", "output:logits", "output:rest:0", "inner#1:0"]
    with tapping(net, names, keep=copied) as kept:
        net(x)
    for name, expected in zip(names, [x + 1, x + 2, 2 * x, x + 1, x, x + 1], strict=True):
        assert torch.equal(kept[name], expected)


@pytest.mark.parametrize(
    ("net", "name", "match"),
    [
        (Shared(), "act", r"'act' gives 2 outputs.*'act#1', 'act#2'"),
        (Shared(), "act#3", r"'act#1', 'act#2'"),
        (Shared(), "unused", "did not run in this forward"),
        (Many(), "named", "'named' gives 2 outputs.*'named:0', 'named:1'"),
        (Many(), "inner:1:ids", "'inner:0', 'inner:1:hidden'"),
    ],
)
def test_a_name_must_mean_one_output(net: nn.Module, name: str, match: str) -> None:
    with pytest.raises(NetError, match=match), tapping(net, [name], keep=copied):
        net(torch.randn(3, 4))


def test_unknown_module() -> None:
    with (
        pytest.raises(UnknownNameError, match=r"Cannot tap layer 'atc'.*'act'"),
        tapping(Shared(), ["atc"], keep=copied),
    ):
        pass


class Crashing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError(f"no such thing as {tuple(x.shape)}")


@pytest.mark.parametrize("crash", [False, True])
def test_everything_is_as_it_was(crash: bool) -> None:
    """Also after an exception in the middle of a forward."""
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.BatchNorm1d(4), Crashing() if crash else nn.ReLU())
    net[2].eval()  # one part was frozen while the rest trains
    heard: list[str] = []
    net[0].register_forward_hook(lambda *_: heard.append("user"))
    before = [(m.training, list(m._forward_hooks), list(m._forward_pre_hooks)) for m in net.modules()]
    weights = {k: v.clone() for k, v in net.state_dict().items()}

    def read() -> None:
        with tapping(net, ["0", "3"], keep=copied):
            assert not any(m.training for m in net.modules())
            assert not torch.is_grad_enabled()
            net(torch.randn(3, 4))

    if crash:
        with pytest.raises(ValueError, match="no such thing"):
            read()
    else:
        read()
    assert heard == ["user"]
    assert torch.is_grad_enabled()
    assert before == [(m.training, list(m._forward_hooks), list(m._forward_pre_hooks)) for m in net.modules()]
    assert all(torch.equal(weights[k], v) for k, v in net.state_dict().items())


def test_a_failing_keep_leaves_no_hook() -> None:
    net = nn.Linear(2, 2)

    def fail(_name: str, output: Tensor) -> Tensor:
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"), tapping(net, ["output"], keep=fail):
        net(torch.zeros(1, 2))
    assert not net._forward_hooks
    assert not net._forward_pre_hooks
    assert net.training


def test_flags_are_restored_without_calling_train_or_eval() -> None:
    class Counting(nn.Linear):
        def train(self, mode: bool = True) -> "Counting":
            raise AssertionError("side effects")

    net = Counting(2, 2)
    with tapping(net, ["output"], keep=copied) as kept:
        net(torch.zeros(1, 2))
    assert net.training
    assert kept["output"].shape == (1, 2)


def test_user_hooks_that_change_outputs_are_seen() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].register_forward_hook(lambda _m, _i, out: out * 0 + 7)
    with tapping(net, ["0"], keep=copied) as kept:
        net(torch.randn(1, 2))
    assert (kept["0"] == 7).all()


def test_autocast_is_off_while_keeping() -> None:
    net, seen = nn.Linear(4, 4), []

    def keep(_name: str, output: Tensor) -> Tensor:
        seen.append((output.dtype, torch.is_autocast_enabled("cpu"), (output.float() @ torch.eye(4)).dtype))
        return output.clone()

    with torch.autocast("cpu", dtype=torch.bfloat16), tapping(net, ["output"], keep=keep):
        net(torch.randn(2, 4))
        assert torch.is_autocast_enabled("cpu")
    assert seen == [(torch.bfloat16, False, torch.float32)]


def test_a_child_called_output_keeps_its_name() -> None:
    net = nn.Sequential(OrderedDict(body=nn.Linear(2, 3), output=nn.Linear(3, 4), head=nn.Linear(4, 5)))
    with tapping(net, ["output"], keep=copied) as kept:
        net(torch.randn(1, 2))
    assert kept["output"].shape == (1, 4)


def test_errors_of_a_net_are_explained() -> None:
    x = torch.zeros(2, 3)
    with (
        pytest.raises(NetError, match=r"Cannot run net 'a' on inputs of shape 2 x 3 .*RuntimeError"),
        explaining(x, net_name="a"),
    ):
        nn.Linear(4, 4)(x)
    with pytest.raises(NetError, match="full"), explaining(x):
        raise NetError("full")
