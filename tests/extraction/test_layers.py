"""Listing what can be tapped, and choosing from it."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convergent._typing import Tensor
from convergent.errors import InvalidArgumentError, NetError, UnknownNameError
from convergent.extraction.layers import LayerInfo, choose_layers, list_layers
from convergent.extraction.taps import tapping
from convergent.extraction.views import view


class Mixed(nn.Module):
    """Defined in another order than run; one module twice; a tuple; windows that are not inputs."""

    class Split(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, :2], x[:, 2:]

    class Windows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(-1, 2)

    def __init__(self) -> None:
        super().__init__()
        self.head, self.split, self.windows = nn.Linear(2, 5), self.Split(), self.Windows()
        self.conv, self.act, self.drop = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.act(self.act(self.conv(x)))
        self.windows(maps)
        return self.drop(self.head(self.split(maps)[0].mean((2, 3))))


def test_layers_are_listed_in_the_order_of_computation() -> None:
    net = Mixed()
    infos = list_layers(net, torch.randn(2, 3, 6, 6))
    assert [(i.name, i.shape) for i in infos] == [
        ("conv", (4, 4, 4)),
        ("act#1", (4, 4, 4)),
        ("act#2", (4, 4, 4)),
        ("split:0", (2, 4, 4)),
        ("split:1", (2, 4, 4)),
        ("head", (5,)),
        ("drop", (5,)),
        ("output", (5,)),
    ]
    assert infos[0] == LayerInfo("conv", "Conv2d", (4, 4, 4), 4, (4, 4))
    assert infos[-1].grid == ()
    assert net.training
    assert net.drop.training


def test_every_listed_name_can_be_tapped() -> None:
    net, x = Mixed(), torch.randn(2, 3, 6, 6)
    infos = list_layers(net, x)
    with tapping(net, [i.name for i in infos], keep=lambda _, out: tuple(out.shape[1:])) as kept:
        net(x)
    assert {i.name: i.shape for i in infos} == dict(kept)


def test_the_view_decides_what_a_unit_is() -> None:
    net, x = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6)
    assert list_layers(net, x, view=view("neurons"))[0].n_units == 64


def test_a_net_that_cannot_eat_the_example() -> None:
    with pytest.raises(NetError, match="Cannot run the net on inputs of shape 2 x 7"):
        list_layers(nn.Linear(4, 2), torch.zeros(2, 7))


@given(st.lists(st.sampled_from(["conv1", "conv2", "fc6", "fc7", "conv*", "fc?", "*1", "*"]), min_size=1))
def test_choice_keeps_the_order_of_the_net(patterns: list[str]) -> None:
    names = ["fc7", "conv1", "conv2", "fc6"]
    chosen = choose_layers(names, patterns)
    assert list(chosen) == [n for n in names if n in chosen]
    assert set(chosen) == set().union(*(choose_layers(names, [p]) for p in patterns))


def test_names_are_taken_literally_first() -> None:
    assert choose_layers(["a[0]", "a0"], ["a[0]"]) == ("a[0]",)
    assert choose_layers(["conv1", "fc"], "conv1") == ("conv1",)


def test_unknown_names_are_errors_with_the_nearest() -> None:
    names = ["conv1", "conv2", "fc8"]
    with pytest.raises(UnknownNameError, match=r"Cannot choose layer 'conv11' of net 'a'.*3 layers.*'conv1'"):
        choose_layers(names, ["fc8", "conv11"], net_name="a")
    with pytest.raises(UnknownNameError, match="Cannot choose layer 'pool\\*' of the net"):
        choose_layers(names, ["pool*"])
    with pytest.raises(UnknownNameError, match="several outputs: choose 'act#1', 'act#2'"):
        choose_layers(["act#1", "act#2"], ["act"])
    with pytest.raises(InvalidArgumentError, match="no name or glob was given"):
        choose_layers(names, [])


@dataclass
class Answer:
    """What some nets give: named parts, that are no mapping."""

    hidden: Tensor
    rest: tuple[Tensor, None]


class Answering(nn.Module):
    def forward(self, x: Tensor) -> Answer:
        return Answer(x + 1, (x[:, :2], None))


def test_parts_of_a_dataclass_are_listed_and_tapped() -> None:
    x = torch.randn(3, 4)
    assert [info.name for info in list_layers(Answering(), x)] == ["output:hidden", "output:rest:0"]
    with tapping(net := Answering(), ["output:hidden"], keep=lambda _, out: out.clone()) as kept:
        net(x)
    assert torch.equal(kept["output:hidden"], x + 1)
