from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convergent._typing import Tensor
from convergent.errors import InvalidArgumentError, NetError, UnknownNameError
from convergent.extraction import project, view
from convergent.extraction.projection import _check_pairs
from convergent.nets import alexnet_small


def pairs(n: int, *, n_units: int, n_locations: int, channels: int = 3, size: int = 13) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(n)
    inputs = torch.randn(n, channels, size, size, generator=generator)
    units = torch.randint(n_units, (n,), generator=generator)
    return units, inputs, torch.randint(n_locations, (n,), generator=generator)


def small_net() -> nn.Sequential:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),  # 7 x 7
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),  # 4 x 4, windows overlap
        nn.LocalResponseNorm(3, alpha=0.5),
        nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 2 x 2
        nn.Flatten(),
        nn.Linear(20, 8),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(8, 4),
    )
    return net.train()


def unpooled(signal: Tensor, switches: Tensor, shape: torch.Size) -> Tensor:
    """Each value added where its maximum was, one by one."""
    image = torch.zeros(shape)
    for n, c, i, j in torch.cartesian_prod(*map(torch.arange, signal.shape)).tolist():
        image[n, c].view(-1)[switches[n, c, i, j]] += signal[n, c, i, j]
    return image


def reference(net: nn.Sequential, depth: int, unit: int, image: Tensor, location: int) -> Tensor:
    """A deconvnet written out step by step."""
    layers = list(net)[: depth + 1]
    value, given_to, switches = image[None], [], {}
    for i, layer in enumerate(layers):
        given_to.append(value)
        if isinstance(layer, nn.MaxPool2d):
            value, switches[i] = F.max_pool2d(
                value, layer.kernel_size, layer.stride, layer.padding, return_indices=True
            )
        elif not isinstance(layer, nn.Dropout):
            value = layer(value.clone())
    signal = torch.zeros_like(value)
    signal.view(1, value.shape[1], -1)[0, unit, location] = 1
    for i, layer in reversed(list(enumerate(layers))):
        if isinstance(layer, nn.Conv2d):
            assert isinstance(layer.padding, tuple)
            full = [
                (n - 1) * s - 2 * p + k
                for n, s, p, k in zip(
                    signal.shape[2:], layer.stride, layer.padding, layer.kernel_size, strict=True
                )
            ]
            rest = [n - m for n, m in zip(given_to[i].shape[2:], full, strict=True)]
            signal = F.conv_transpose2d(
                signal, layer.weight, stride=layer.stride, padding=layer.padding, output_padding=rest
            )
        elif isinstance(layer, nn.Linear):
            signal = signal @ layer.weight
        elif isinstance(layer, nn.ReLU):
            signal = signal.relu()
        elif isinstance(layer, nn.MaxPool2d):
            signal = unpooled(signal, switches[i], given_to[i].shape)
        elif isinstance(layer, nn.Flatten):
            signal = signal.reshape(given_to[i].shape)
    return signal[0]


@pytest.mark.parametrize(
    ("depth", "n_units", "n_locations"),
    [(0, 6, 49), (1, 6, 49), (2, 6, 16), (3, 6, 16), (5, 5, 16), (6, 5, 4), (8, 8, 1), (11, 4, 1)],
)
@torch.no_grad()
def test_a_deconvnet_is_the_one_written_out_step_by_step(depth: int, n_units: int, n_locations: int) -> None:
    net = small_net()
    units, inputs, locations = pairs(6, n_units=n_units, n_locations=n_locations)
    found = project(net, str(depth), units, inputs, locations)
    for one, unit, image, location in zip(found, units.tolist(), inputs, locations.tolist(), strict=True):
        expected = reference(net, depth, unit, image, location)
        assert expected.abs().max() > 0
        torch.testing.assert_close(one, expected, atol=1e-6, rtol=1e-5)


def test_pools_that_do_not_overlap_are_unpooled_as_torch_does() -> None:
    image = torch.randn(1, 2, 6, 6)
    value, switches = F.max_pool2d(image, 2, return_indices=True)
    found = project(nn.Sequential(nn.MaxPool2d(2)), "0", torch.tensor([1]), image, torch.tensor([4]))
    signal = torch.zeros_like(value)
    signal[0, 1, 1, 1] = 1
    torch.testing.assert_close(found, F.max_unpool2d(signal, switches, [2, 2]))


def test_a_rectifier_judges_the_signal_and_not_the_activation() -> None:
    """Where the gradient stops at a closed ReLU, the deconvnet goes on; where it goes on, the deconvnet stops."""
    lower, upper = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 1, bias=False)
    net = nn.Sequential(lower, nn.ReLU(), upper)
    with torch.no_grad():
        lower.weight[:, 0, 0, 0] = torch.tensor([1.0, -2.0])
        upper.weight[0, :, 0, 0] = torch.tensor([-3.0, 5.0])
    at = (torch.tensor([0]), torch.ones(1, 1, 1, 1), torch.tensor([0]))
    assert project(net, "2", *at).item() == -10  # through the second, though it was closed; not the first
    assert project(net, "2", *at, method="gradient_x_input").item() == -3


@pytest.mark.parametrize("method", ["deconvnet", "gradient_x_input"])
def test_a_linear_net_shows_its_filter(method: str) -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)
    units, inputs, _ = pairs(4, n_units=4, n_locations=1, size=5)
    shown = project(conv, "output", units, inputs, torch.full((4,), 12), method=method)
    expected = torch.zeros_like(inputs)
    expected[:, :, 1:4, 1:4] = conv.weight.detach()[units]
    torch.testing.assert_close(shown, expected if method == "deconvnet" else expected * inputs)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), depth=st.sampled_from([0, 1, 2, 4, 5]))
def test_gradient_times_input_adds_up_to_the_activation_without_biases(seed: int, depth: int) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3, bias=False),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 6, bias=False),
        nn.ReLU(),
    )
    inputs, units = torch.randn(3, 2, 6, 6), torch.randint(5, (3,))
    locations = torch.randint(4 if depth < 4 else 1, (3,))
    with torch.no_grad():
        value = net[: depth + 1](inputs)
    expected = value.flatten(2)[torch.arange(3), units, locations] if depth < 4 else value[torch.arange(3), units]
    shown = project(net, str(depth), units, inputs, locations, method="gradient_x_input")
    torch.testing.assert_close(shown.sum((1, 2, 3)), expected, atol=1e-5, rtol=1e-4)


def test_batch_normalisation_and_average_pools_are_transposed() -> None:
    norm = nn.BatchNorm2d(2)
    norm.running_var.fill_(3.0)  # type: ignore[union-attr]
    nn.init.constant_(norm.weight, 2.0)
    net = nn.Sequential(nn.ZeroPad2d(1), norm, nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1))
    shown = project(net, "3", torch.tensor([1]), torch.randn(1, 2, 4, 4), torch.tensor([0]))
    torch.testing.assert_close(shown[0, 1], torch.full((4, 4), 2 / (3 + norm.eps) ** 0.5 / 36))
    assert not shown[0, 0].any()


def test_no_location_means_the_mean_over_all() -> None:
    net = small_net()[:1]
    units, inputs, _ = pairs(2, n_units=6, n_locations=1, size=5)
    everywhere = [project(net, "0", units, inputs, torch.full((2,), i)) for i in range(9)]
    torch.testing.assert_close(project(net, "0", units, inputs, None), torch.stack(everywhere).mean(0))


def test_many_pairs_are_what_they_are_one_by_one() -> None:
    net = alexnet_small()
    units, inputs, locations = pairs(150, n_units=64, n_locations=16, size=32)
    together = project(net, "conv5", units, inputs, locations)
    alone = [project(net, "conv5", units[[i]], inputs[[i]], locations[[i]]) for i in (0, 75, 149)]
    torch.testing.assert_close(together[[0, 75, 149]], torch.cat(alone), atol=1e-6, rtol=1e-4)
    assert project(net, "conv5", units[:0], inputs[:0], locations[:0]).shape == (0, 3, 32, 32)


class Chained(nn.Module):
    """Plain, with a functional flatten, as in many published nets."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4 * 9, 5)

    def forward(self, images: Tensor) -> Tensor:
        images = self.act(self.conv(images))
        return self.act(self.fc(torch.flatten(images, 1)))


class Functional(Chained):
    def forward(self, images: Tensor) -> Tensor:
        return self.fc(F.relu(self.conv(images)).flatten(1))


class InPlace(Chained):
    def forward(self, images: Tensor) -> Tensor:
        seen = self.conv(images)
        F.relu_(seen)
        return self.fc(seen.flatten(1))


class Residual(Chained):
    def forward(self, images: Tensor) -> Tensor:
        seen = self.conv(images)
        return self.fc((seen + self.act(seen)).flatten(1))


class Unused(Chained):
    """The layer is on a branch that leads nowhere."""

    def forward(self, images: Tensor) -> Tensor:
        self.fc(self.conv(images).tanh().flatten(1))
        return images


def test_a_reshape_between_modules_and_a_module_called_twice_are_no_obstacle() -> None:
    net = Chained()
    plain = nn.Sequential(net.conv, nn.ReLU(), nn.Flatten(), net.fc, nn.ReLU())
    at = pairs(3, n_units=5, n_locations=1, size=5)
    torch.testing.assert_close(project(net, "act#2", *at), project(plain, "4", *at))
    torch.testing.assert_close(project(net, "output", *at), project(plain, "4", *at))
    with pytest.raises(NetError, match="gives 2 outputs"):
        project(net, "act", *at)


def wrapped(inner: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Identity(), nn.Sequential(inner))


@pytest.mark.parametrize(
    ("make", "layer", "said"),
    [
        (lambda: wrapped(Functional()), "1.0.fc", r"'1\.0' \(Functional\), which does 'Relu' by itself"),
        (lambda: wrapped(InPlace()), "1.0.fc", r"'1\.0' \(InPlace\), which does 'Relu' by itself"),
        (lambda: wrapped(Residual()), "1.0.fc", r"'1\.0' \(Residual\), which does 'Add' by itself"),
        (Unused, "fc", r"'output' \(Unused\), which does 'Tanh' by itself"),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()),
            "1",
            r"stands '1' \(GELU\), which has no deconvolution",
        ),
        (lambda: nn.Sequential(nn.Flatten(), nn.Softmax(1)), "1", r"stands '1' \(Softmax\)"),
        (
            lambda: nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)),
            "0",
            r"'0' \(BatchNorm2d\), which keeps no statistics",
        ),
    ],
)
def test_what_is_no_chain_is_refused_by_name(make: Callable[[], nn.Module], layer: str, said: str) -> None:
    net = make()
    at = pairs(2, n_units=3, n_locations=1, size=5)
    with pytest.raises(NetError, match=said):
        project(net, layer, *at)
    if "statistics" not in said:
        assert project(net, layer, *at, method="gradient_x_input").isfinite().all()
    assert all(not module._forward_hooks for module in net.modules())


def test_attention_is_refused_and_its_gradient_is_not() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(3, 1, batch_first=True)

        def forward(self, images: Tensor) -> Tensor:
            tokens = images.flatten(2).movedim(1, 2)
            return self.attend(tokens, tokens, tokens)[0]

    at = pairs(2, n_units=3, n_locations=9, size=3)
    with pytest.raises(NetError, match=r"'attend' \(MultiheadAttention\), which does"):
        project(Attending(), "output", *at)
    assert project(Attending(), "output", *at, method="gradient_x_input").abs().max() > 0


def test_what_a_hook_of_the_user_adds_is_seen() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net[0].register_forward_hook(lambda module, given, output: output * 2)
    at = pairs(2, n_units=4, n_locations=9, size=5)
    with pytest.raises(NetError, match=r"which does 'Mul' by itself"):
        project(net, "0", *at)
    assert len(net[0]._forward_hooks) == 1


def state_of(net: nn.Module) -> list[object]:
    flags = [
        (m.training, getattr(m, "inplace", None), len(m._forward_hooks), len(m._forward_pre_hooks))
        for m in net.modules()
    ]
    wants = [(id(p), p.requires_grad, p.grad is None, p._version) for p in net.parameters()]
    return [flags, wants, torch.is_grad_enabled(), torch.is_inference_mode_enabled()]


def mixed_net() -> nn.Sequential:
    net = small_net()
    net[4].eval()
    net[8].requires_grad_(False)
    return net


@pytest.mark.parametrize("context", [nullcontext, torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("method", ["deconvnet", "gradient_x_input"])
def test_the_net_is_left_as_it_was(context: Callable[[], nullcontext[None]], method: str) -> None:
    net = mixed_net()
    at = pairs(3, n_units=4, n_locations=1)
    plain = project(net, "11", *at, method=method)
    with context():
        before = state_of(net)
        shown = project(net, "11", *at, method=method)
        assert state_of(net) == before
    assert not shown.requires_grad
    torch.testing.assert_close(shown, plain, atol=0, rtol=0)


def test_nets_and_inputs_made_in_inference_mode_are_taken() -> None:
    plain, at = small_net(), pairs(3, n_units=4, n_locations=1)
    with torch.inference_mode():
        net, there = small_net(), tuple(t.clone() for t in at)
        assert next(net.parameters()).is_inference()
        shown = project(net, "11", *there)
    torch.testing.assert_close(shown, project(plain, "11", *at))
    torch.testing.assert_close(project(net, "11", *there), shown)


def test_the_net_is_left_as_it_was_after_an_exception() -> None:
    class Failing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise ValueError("no more")

    net = nn.Sequential(*list(mixed_net())[:3], Failing())
    before = state_of(net)
    with pytest.raises(NetError, match="ValueError: no more"):
        project(net, "3", *pairs(2, n_units=4, n_locations=1))
    assert state_of(net) == before
    units, _, locations = pairs(2, n_units=4, n_locations=1)
    with pytest.raises(NetError, match="Cannot run the net on inputs of shape 2 x 5"):
        project(net, "2", units, torch.zeros(2, 5, 13, 13), locations)
    assert state_of(net) == before


def test_inputs_are_left_as_they_were() -> None:
    class Centring(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.sub_(1)

    units, inputs, locations = pairs(2, n_units=4, n_locations=1)
    before = inputs.clone()
    shown = project(
        nn.Sequential(Centring(), nn.Conv2d(3, 4, 3)), "1", units, inputs, locations, method="gradient_x_input"
    )
    assert shown.abs().max() > 0
    assert torch.equal(inputs, before)


def test_other_precisions_and_autocast_do_not_matter() -> None:
    net, at = small_net(), pairs(3, n_units=4, n_locations=1)
    plain = project(net, "11", *at)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(project(net, "11", *at), plain, atol=0, rtol=0)
    double = project(net.double(), "11", *at)
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, plain, atol=1e-5, rtol=1e-4)


def test_units_are_those_of_the_view() -> None:
    net, inputs = nn.Sequential(nn.Conv2d(3, 4, 3)), torch.randn(1, 3, 5, 5)
    as_map = project(net, "0", torch.tensor([2]), inputs, torch.tensor([5]))
    as_neurons = project(net, "0", torch.tensor([2 * 9 + 5]), inputs, torch.tensor([0]), view=view("neurons"))
    assert torch.equal(as_map, as_neurons)


def test_wrong_arguments_are_errors() -> None:
    net, at = small_net(), pairs(3, n_units=4, n_locations=1)
    units, inputs, locations = at
    with pytest.raises(InvalidArgumentError, match="Known are 'deconvnet' and 'gradient_x_input'"):
        project(net, "11", *at, method="guided")
    with pytest.raises(InvalidArgumentError, match="Found 2 units, 3 inputs and 3 locations"):
        project(net, "11", units[:2], inputs, locations)
    with pytest.raises(InvalidArgumentError, match=r"units 0 to 4 of layer '11'\. It has 4 units"):
        project(net, "11", torch.tensor([0, 4, 1]), inputs, locations)
    with pytest.raises(InvalidArgumentError, match=r"locations -1 to 3 of layer '6'\. It has 4 locations"):
        project(net, "6", units, inputs, torch.tensor([0, -1, 3]))
    with pytest.raises(UnknownNameError, match="no such module"):
        project(net, "conv9", *at)
    with pytest.raises(NetError, match="does not depend on the image"):
        project(Constant(), "output", *at)


class Constant(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 5)


@pytest.mark.parametrize(
    ("units", "inputs", "told"),
    [
        (torch.tensor([0.0]), torch.zeros(1, 1, 5, 5), r"units are a tensor of whole numbers.*torch.float32"),
        (torch.tensor(0), torch.zeros(1, 1, 5, 5), r"Found shape \(\) of torch.int64"),
        (torch.tensor([0]), torch.zeros(1, 1, 5, 5, dtype=torch.uint8), r"inputs are a tensor of floats.*uint8"),
    ],
)
def test_what_cannot_be_projected_is_told_before_the_net_runs(units: Any, inputs: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        _check_pairs("deconvnet", inputs, units=units, locations=None)
