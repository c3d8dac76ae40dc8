"""Units taken out: planted useless and essential ones, all, none; many sets at once against one at a time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convergent import (
    Batch,
    Lockstep,
    MomentsPlan,
    View,
    ablate,
    ablation_curve,
    ablation_effect,
    answer,
    collect,
    unit_features,
)
from convergent.errors import DataError, InvalidArgumentError, MismatchError, NetError, UnknownNameError
from convergent.experiments.replacement import Replacement, replacement

G = torch.Generator().manual_seed(0)
X = torch.randn(40, 4, generator=G)
USELESS, DEAD, ESSENTIAL = 2, 4, 0


def planted() -> nn.Sequential:
    """Unit 2 is read by nothing, unit 4 never fires, class 0 hangs on unit 0 alone."""
    torch.manual_seed(0)
    below, above = nn.Linear(4, 6), nn.Linear(6, 3)
    with torch.no_grad():
        above.weight[:, USELESS] = 0
        below.weight[DEAD] = 0
        below.bias[DEAD] = -1
        above.weight[0] = torch.tensor([3.0, 0, 0, 0, 0, 0])
    return nn.Sequential(below, nn.ReLU(inplace=True), above).eval()


Y = planted()(X).argmax(dim=1)  # unequal classes
DATA = [(X[:25], Y[:25]), (X[25:], Y[25:])]


class Maps(nn.Module):
    """A net for pictures, whose head is not linear, with a residual sum and a layer that gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 5, 3, padding=1)
        self.conv2 = nn.Conv2d(5, 5, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.read = nn.GRU(5, 4, batch_first=True)
        self.head = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), nn.Hardtanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.relu(self.conv1(x))
        both = self.relu(first + self.conv2(first))
        return self.head(self.read(both.flatten(2).transpose(1, 2))[0][:, -1])


def maps() -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    torch.manual_seed(1)
    return Maps().eval(), [(torch.randn(n, 3, 4, 4), torch.randint(3, (n,))) for n in (16, 16, 7)]


def by_hand(net: nn.Sequential, units: list[int], values: torch.Tensor) -> np.ndarray:
    hidden = net[0](X).relu()
    hidden[:, units] = values[..., units]
    return F.cross_entropy(net[2](hidden), Y, reduction="none").detach().double().numpy()


def test_a_useless_unit_costs_nothing_and_an_essential_one_what_it_costs_by_hand() -> None:
    net = planted()
    found = ablation_effect(net, DATA, "1", {"useless": [USELESS], "dead": [DEAD], "essential": [ESSENTIAL]})
    np.testing.assert_allclose(found.loss_changes[:2], 0, atol=1e-6)
    means = net[0](X).relu().detach().mean(dim=0)
    np.testing.assert_allclose(found.losses[2], by_hand(net, [ESSENTIAL], means), atol=1e-5)
    assert found.loss_changes[2].mean() > 0.1
    table = found.table()
    assert table["n_units"].tolist() == [1, 1, 1]
    assert (table["loss_change_low"] <= table["loss_change"]).all()
    assert table["loss_change_low"][2] < table["loss_change"][2] < table["loss_change_high"][2]
    assert table["accuracy"][2] == found.correct[2].mean()
    assert found.replayed


def test_by_class_weighs_unequal_classes_apart() -> None:
    net = planted()
    found = ablation_effect(net, DATA, "1", [[ESSENTIAL], []])
    by_class = found.by_class()
    assert by_class["n_inputs"].tolist() == 2 * torch.bincount(Y).tolist()
    for place, label, change in by_class[["set", "label", "loss_change"]].to_numpy():
        of_class = found.loss_changes[int(place)][found.intact.labels == label]
        assert change == pytest.approx(of_class.mean(), abs=1e-12)


@pytest.mark.parametrize("by", ["mean", "zero", "resample"])
@pytest.mark.parametrize("layer", ["conv1", "relu#2", "read:0", "head.0", "output"])
def test_many_sets_at_once_are_one_set_at_a_time(by: str, layer: str) -> None:
    net, data = maps()
    n_units = {"conv1": 5, "relu#2": 5, "read:0": 4, "head.0": 8}.get(layer, 3)
    sets = {"none": [], "one": [1], "two": [0, 2], "all": range(n_units)}
    found = ablation_effect(net, data, layer, sets, replace_by=by)
    assert found.replayed
    for i, units in enumerate(sets.values()):
        with ablate(net, {layer: units}, replace_by=by, inputs=data):
            one = answer(net, data)
        np.testing.assert_allclose(found.losses[i], one.losses, atol=1e-5)
        np.testing.assert_array_equal(found.correct[i], one.correct)
    np.testing.assert_array_equal(found.losses[0], answer(net, data).losses)
    assert all("forward" not in module.__dict__ and not module._forward_hooks for module in net.modules())


def test_a_net_that_mixes_inputs_is_run_whole_for_every_set() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.hidden(x - x.mean(dim=0)).cumsum(dim=0))

    torch.manual_seed(0)
    net = Mixing()
    found = ablation_effect(net, DATA, "hidden", [[], [1], [0, 3]], replace_by="zero")
    assert not found.replayed
    for losses, units in zip(found.losses, [[], [1], [0, 3]], strict=True):
        with ablate(net, {"hidden": units}, replace_by="zero"):
            np.testing.assert_allclose(losses, answer(net, DATA).losses, atol=1e-6)


def test_a_net_that_refuses_other_batches_is_run_whole() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.hidden(x.view(20, 4)))

    found = ablation_effect(Fixed(), [(X[:20], Y[:20])], "hidden", [[0], [1]])
    assert not found.replayed


def test_inside_a_block_ablations_add_up() -> None:
    net = planted()
    zeros = torch.zeros(6)
    with ablate(net, {"1": [0]}, replace_by="zero"):
        with ablate(net, {"1": [3]}, replace_by="zero"):
            np.testing.assert_allclose(answer(net, DATA).losses, by_hand(net, [0, 3], zeros), atol=1e-5)
        inside = ablation_effect(net, DATA, "1", [[3]], replace_by="zero")
        np.testing.assert_allclose(inside.losses[0], by_hand(net, [0, 3], zeros), atol=1e-5)
    np.testing.assert_allclose(answer(net, DATA).losses, by_hand(net, [], zeros), atol=1e-5)


def test_inside_a_block_that_resamples_the_whole_net_is_run() -> None:
    net = planted()
    with ablate(net, {"1": [0, 1]}, replace_by="resample"):
        intact = answer(net, DATA).losses
        found = ablation_effect(net, DATA, "1", [[], []], replace_by="zero")
    assert not found.replayed
    np.testing.assert_allclose(found.losses, [intact, intact], atol=1e-6)


class Reader(nn.Module):
    """Reads tokens; padding is masked out of attention and of the mean."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.body(x, src_key_padding_mask=~mask).masked_fill(~mask[:, :, None], 0)
        return self.head(hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1))


def read(net: nn.Module, batch: Batch) -> object:
    return net(batch.tensor, batch.mask)


@pytest.mark.filterwarnings("ignore:Converting mask without torch.bool")
def test_tokens_with_padding() -> None:
    torch.manual_seed(0)
    net, mask = Reader().eval(), torch.arange(5) < torch.tensor([5, 2, 1, 3, 4, 5])[:, None]
    data = [Batch(np.arange(6), torch.randn(6, 5, 8), torch.arange(6) % 3, mask)]
    sets = [[], [0], [2, 5]]
    found = ablation_effect(net, data, "body.layers.0", sets, call=read)
    assert found.replayed
    for losses, units in zip(found.losses, sets, strict=True):
        with ablate(net, {"body.layers.0": units}, inputs=data, call=read):
            np.testing.assert_allclose(losses, answer(net, data, call=read).losses, atol=1e-5)


def test_means_of_nothing_but_padding_are_none() -> None:
    mask = torch.zeros(2, 3, dtype=torch.bool)
    data = [Batch(np.arange(2), torch.randn(2, 3, 4), torch.arange(2), mask)]
    with (
        pytest.raises(
            InvalidArgumentError, match=r"by their means\. Found shape \(4,\), or a number that is not finite"
        ),
        ablate(nn.Identity(), {"output": [0]}, inputs=data),
    ):
        pass


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_a_scripted_part_and_tied_weights() -> None:
    torch.manual_seed(0)
    shared = nn.Linear(4, 4)
    again = nn.Linear(4, 4)
    again.weight = shared.weight
    scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    net = nn.Sequential(scripted, shared, nn.ReLU(), again, nn.ReLU(), nn.Linear(4, 3))
    own = [set(module.__dict__) for module in net.modules()]
    found = ablation_effect(net, DATA, "2", [[], [1], [0, 3]])
    assert found.replayed
    for losses, units in zip(found.losses, [[], [1], [0, 3]], strict=True):
        with ablate(net, {"2": units}, inputs=DATA):
            np.testing.assert_allclose(losses, answer(net, DATA).losses, atol=1e-5)
    assert len(unit_features(net, DATA, "2")) == 4
    assert [set(module.__dict__) for module in net.modules()] == own


def test_several_layers_and_the_net_as_it_was_after_an_exception() -> None:
    net = planted().train()
    with ablate(net, {"0": [1], "1": [ESSENTIAL]}, replace_by="zero"):
        hidden = net[:2](X)
        assert not hidden[:, [ESSENTIAL, 1]].any()
    with pytest.raises(KeyError), ablate(net, {"0": [1], "1": [ESSENTIAL]}, replace_by="zero"):
        raise KeyError
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert net.training


def test_means_may_be_moments_an_array_or_computed() -> None:
    net = planted()
    moments = collect(Lockstep({"a": net}, DATA, layers=["1"]), {"moments": MomentsPlan()})["moments"]
    given = [{"means": moments}, {"means": {"1": moments.mean("a/1")}}, {"inputs": DATA}]
    losses = []
    for option in given:
        with ablate(net, {"1": [0, 1]}, **option):
            losses.append(answer(net, DATA).losses)
    np.testing.assert_allclose(losses[1], losses[0])
    np.testing.assert_allclose(losses[2], losses[0], atol=1e-6)
    with_moments = ablation_effect(net, DATA, "1", [[0, 1]], means=moments)
    np.testing.assert_allclose(with_moments.losses[0], losses[0], atol=1e-5)


def test_a_unit_of_a_map_is_replaced_at_all_locations_and_the_view_says_what_a_unit_is() -> None:
    output = torch.randn(3, 4, 2, 2)
    of_channel = replacement("conv", [1], by="zero", means=None, view=None)(output)
    assert not of_channel[:, 1].any()
    assert torch.equal(of_channel[:, [0, 2, 3]], output[:, [0, 2, 3]])
    of_neuron = replacement("conv", np.arange(16) == 5, by="zero", means=None, view=View("neurons"))(output)
    assert torch.equal(of_neuron.flatten(1) != output.flatten(1), (torch.arange(16) == 5).expand(3, 16))


def test_resampled_values_are_those_of_another_input_in_every_run() -> None:
    output = torch.arange(20.0).view(10, 2)

    def change(seed: int) -> Replacement:
        return replacement("fc", [1], by="resample", means=None, view=None, seed=seed)

    changed = change(0)(output)
    assert torch.equal(changed[:, 0], output[:, 0])
    assert sorted(changed[:, 1].tolist()) == output[:, 1].tolist()
    assert (changed[:, 1] != output[:, 1]).all()
    assert torch.equal(changed, change(0)(output))
    assert not torch.equal(changed, change(1)(output))


def test_a_curve_starts_intact_and_ends_with_all_units_taken_out() -> None:
    net = planted()
    curve = ablation_curve(net, DATA, "1", [USELESS, DEAD, 1, 3, 5, ESSENTIAL], sizes=[6, 0, 2])
    table = curve.table()
    assert table["n_units"].tolist() == [0, 2, 6]
    np.testing.assert_allclose(table["loss_change"][:2], 0, atol=1e-6)
    means = net[0](X).relu().detach().mean(dim=0)
    assert table["loss"][2] == pytest.approx(by_hand(net, list(range(6)), means).mean(), abs=1e-5)
    by_class = curve.by_class()
    assert len(by_class) == 9
    assert "set" not in by_class
    assert ablation_curve(net, DATA, "1", [], replace_by="zero").table()["n_units"].tolist() == [0]
    assert ablation_curve(net, DATA, "1", range(6)).sizes == (0, 1, 2, 3, 4, 5, 6)


def test_one_input_has_no_interval() -> None:
    table = ablation_effect(planted(), [(X[:1], Y[:1])], "1", [[0]], replace_by="zero").table()
    assert np.isfinite(table["loss_change"][0])
    assert np.isnan(table["loss_change_low"][0])


@pytest.mark.parametrize(
    ("run", "error", "told"),
    [
        (
            lambda net: ablation_effect(net, DATA, "1", [[6]]),
            UnknownNameError,
            r"Cannot replace unit 6 of layer '1'\. It has 6 units\. Choose from 0 to 5",
        ),
        (
            lambda net: ablation_effect(net, DATA, "relu", [[1]]),
            UnknownNameError,
            r"Cannot tap layer 'relu'",
        ),
        (
            lambda net: ablation_effect(net, DATA, "1", []),
            InvalidArgumentError,
            r"taking units out of layer '1'\. Found no sets of them\. Give at least one",
        ),
        (
            lambda net: ablation_effect(net, DATA, "1", [[1]], means={"1": np.zeros(5)}),
            MismatchError,
            r"Cannot put means into layer '1'\. There are 5 of them, and 6 units\. Give the means",
        ),
        (
            lambda net: ablation_effect(net, DATA, "1", [[1]], means={"0": np.zeros(6)}),
            InvalidArgumentError,
            r"units of layer '1' by their means\. Found none\. Give means= one a unit, or inputs=",
        ),
        (
            lambda net: ablation_effect(net, DATA, "1", [[1]], means={"1": np.full(6, np.nan)}),
            InvalidArgumentError,
            r"Found shape \(6,\), or a number that is not finite\. Give means=",
        ),
        (
            lambda net: ablation_effect(net, DATA, "1", [[1]], replace_by="median"),
            InvalidArgumentError,
            r"Cannot replace units by 'median'\. There are 'mean', 'zero' and 'resample'",
        ),
        (
            lambda net: ablation_effect(net, DATA, "1", [[-1]], replace_by="zero"),
            InvalidArgumentError,
            r"named by their indices\. Found array\(\[-1\]\)\. Give whole numbers from 0 up",
        ),
        (
            lambda net: ablation_effect(net, [(X[:1], Y[:1])], "1", [[1]], replace_by="resample"),
            DataError,
            r"values from other inputs\. Found a batch of 1\. Choose a batch_size",
        ),
        (
            lambda net: ablation_effect(net, [X], "1", [[1]]),
            DataError,
            r"Found no label, or several, of each",
        ),
        (
            lambda net: ablation_effect(net, [(X, Y + 1)], "1", [[1]]),
            NetError,
            r"which of 3 scores is right\. Found labels from 1 to 3",
        ),
        (
            lambda net: ablation_effect(nn.Sequential(net, nn.Unflatten(1, (3, 1))), DATA, "0.1", [[1]]),
            NetError,
            r"The net gives shape \(25, 3, 1\), not one score",
        ),
        (
            lambda net: ablation_effect(net, [], "1", [[1]]),
            DataError,
            r"Asked for the means of units\. Found no inputs\. Give at least one",
        ),
        (
            lambda net: ablation_curve(net, DATA, "1", [0, 1, 0]),
            InvalidArgumentError,
            r"in this order\. Found 3 units, 2 of them different.*Give each unit once",
        ),
        (
            lambda net: ablation_curve(net, DATA, "1", [0, 1], sizes=[3]),
            InvalidArgumentError,
            r"Found 2 units, 2 of them different, and sizes \[3\]",
        ),
    ],
)
def test_what_cannot_be_done_says_why(
    run: Callable[[nn.Module], object], error: type[Exception], told: str
) -> None:
    net = planted()
    with pytest.raises(error, match=told):
        run(net)
    assert all("forward" not in m.__dict__ and not m._forward_hooks for m in net.modules())


def test_moments_without_the_layer_are_refused() -> None:
    net = planted()
    moments = collect(Lockstep({"a": net, "b": net}, DATA, layers=["1"]), {"moments": MomentsPlan()})["moments"]
    with (
        pytest.raises(UnknownNameError, match=r"of layer '1' from these moments\. They have it 2 times among"),
        ablate(net, {"1": [0]}, means=moments),
    ):
        pass
