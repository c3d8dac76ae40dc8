"""Only what lies above a layer is run again, and the answer is that of the whole net."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convergent.errors import NetError, UnknownNameError
from convergent.extraction.replaying import record, replay
from convergent.extraction.rewriting import Change, rewriting

N = 6


class Residual(nn.Module):
    """Shared in-place modules, functions between modules, a module called twice, a tuple, control flow."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block1, self.block2 = (
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), self.relu) for _ in range(2)
        )
        self.mixer = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.stem(x))
        for block in (self.block1, self.block2):
            x = self.relu(x + block(x)) if len(x) else x
        x = F.avg_pool2d(x, 2).flatten(2).transpose(1, 2)
        return self.head(self.mixer(x)[0][:, -1])


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


X = torch.randn(N, 3, 6, 6, generator=torch.Generator().manual_seed(1))
LAYERS = ["stem", "block1.0", "block1", "relu#3", "block2.1", "block2", "mixer:0", "head", "output"]


@pytest.mark.parametrize("layer", LAYERS)
def test_replayed_is_what_the_whole_net_gives(net: nn.Module, layer: str) -> None:
    changes: list[Change] = [torch.clone, torch.zeros_like, lambda y: 2 * y, lambda y: y + 1]
    with torch.no_grad():
        recording = record(net, layer, lambda: net(X), n_inputs=N)
        several = torch.cat([change(recording.activations) for change in changes])
        for _ in range(2):  # nothing that was recorded is spoilt
            found = replay(net, recording, several, lambda: net(X.repeat(4, 1, 1, 1)))
        assert isinstance(found, torch.Tensor)
        for change, one in zip(changes, found.view(4, N, 3), strict=True):
            with rewriting(net, {layer: change}):
                torch.testing.assert_close(one, net(X))
    assert all("forward" not in module.__dict__ for module in net.modules())


def noted(ran: list[str], name: str, forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def noting(*given: object) -> torch.Tensor:
        ran.append(name)
        return forward(*given)

    return noting


def test_nothing_below_the_layer_runs(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.no_grad():
        recording = record(net, "block2.1", lambda: net(X), n_inputs=N)
        ran: list[str] = []
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d):
                monkeypatch.setattr(module, "_conv_forward", noted(ran, name, module._conv_forward))
        replay(net, recording, recording.activations, lambda: net(X))
        assert ran == []
        net(X)
    assert ran == ["stem", "block1.0", "block2.0"]


def test_a_forward_of_ones_own_is_put_back_after_an_exception(net: nn.Module) -> None:
    stem = net.get_submodule("stem")
    own = stem.forward
    stem.__dict__["forward"] = own
    with pytest.raises(ZeroDivisionError):
        record(net, "stem", lambda: 1 // 0, n_inputs=N)
    assert stem.__dict__["forward"] is own
    assert "forward" not in net.get_submodule("head").__dict__


def test_names_that_mean_nothing_or_too_much_are_refused(net: nn.Module) -> None:
    with pytest.raises(UnknownNameError, match="Cannot tap layer 'stems'"):
        record(net, "stems", lambda: net(X), n_inputs=N)
    with pytest.raises(NetError, match=r"'relu' gives 5 outputs, and that names not one"):
        record(net, "relu", lambda: net(X), n_inputs=N)
    with pytest.raises(NetError, match=r"It did not run in this forward"):
        record(net, "block1", lambda: None, n_inputs=N)
