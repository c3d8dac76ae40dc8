"""Nets by name, checkpoints of all kinds, and what is said when they do not fit."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from convergent.errors import NetError, UnknownNameError
from convergent.nets import ZOO, alexnet_small, hash_weights, load_net, load_weights, read_weights

FACTORIES = """
from torch import nn
def tiny(width=2): return nn.Linear(3, width)
def broken(): raise KeyError("weights")
def number(): return 7
thing = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_nets_of_a_test.py").write_text(FACTORIES)
    (tmp_path / "own_bad_module_of_a_test.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return alexnet_small().state_dict()


@pytest.mark.parametrize("name", ["alexnet_small"])
def test_a_net_of_the_zoo(name: str) -> None:
    net = load_net(name, kwargs={"n_classes": 4})
    assert not net.training
    assert net(torch.zeros(1, *ZOO[name].input_shape)).shape == (1, 4)


@pytest.mark.usefixtures("own")
def test_a_net_of_ones_own() -> None:
    net = load_net("own_nets_of_a_test:tiny", kwargs={"width": 5})
    assert isinstance(net, nn.Linear)
    assert net.out_features == 5
    assert isinstance(load_net("torch.nn:Identity"), nn.Identity)


def test_an_unknown_net_of_the_zoo() -> None:
    with pytest.raises(UnknownNameError, match=r"no net 'alexnet' in the zoo. Nearest: 'alexnet_small'.*factory"):
        load_net("alexnet")


@pytest.mark.usefixtures("own")
def test_what_can_go_wrong_with_a_factory() -> None:
    for name, message in {
        "no_such_package_here:f": r"import 'no_such_package_here'.*ModuleNotFoundError.*PYTHONPATH",
        "own_bad_module_of_a_test:f": r"import 'own_bad_module_of_a_test'.*ZeroDivisionError.*Install",
        "own_nets_of_a_test:broken": r"Cannot build.*raised KeyError: 'weights'. Correct",
        "own_nets_of_a_test:number": r"It returned an object of type int, not a torch.nn.Module. Name",
    }.items():
        with pytest.raises(NetError, match=message):
            load_net(name)
    with pytest.raises(NetError, match=r"with arguments {'depth': 3}.*TypeError.*depth"):
        load_net("own_nets_of_a_test:tiny", kwargs={"depth": 3})
    for name in ("tinny", "thing"):
        with pytest.raises(UnknownNameError, match=rf"no function or class '{name}'.*Nearest: 'tiny'"):
            load_net(f"own_nets_of_a_test:{name}")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_kind_of_checkpoint(
    tmp_path: Path, weights: dict[str, Tensor], suffix: str, nest: str | None, prefix: str
) -> None:
    path = tmp_path / f"net{suffix}"
    named = {prefix + key: value for key, value in weights.items()}
    if suffix == ".safetensors":
        save_file(named, path)
    else:
        torch.save({nest: named, "epoch": 3} if nest else named, path)
    net = load_net("alexnet_small", checkpoint=path)
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())


def test_a_prefix_on_some_keys_only_is_kept(tmp_path: Path) -> None:
    save_file({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert set(read_weights(tmp_path / "x.safetensors")) == {"module.a", "b"}


def test_weights_that_do_not_fit(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    del weights["conv3.bias"]
    weights["conv9.bias"] = torch.zeros(3)
    weights["fc8.bias"] = torch.zeros(1000)
    save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(NetError) as caught:
        load_net("alexnet_small", checkpoint=tmp_path / "x.safetensors")
    assert "x.safetensors' do not fit the net Sequential" in str(caught.value)
    assert "1 missing: conv3.bias; 1 unexpected: conv9.bias" in str(caught.value)
    assert "1 of another shape: fc8.bias (1000,) for (10,)" in str(caught.value)
    assert "factory arguments" in str(caught.value)


def test_weights_that_do_not_fit_change_nothing(weights: dict[str, Tensor]) -> None:
    net = alexnet_small()
    before = hash_weights(net)
    del weights["fc8.bias"]
    with pytest.raises(NetError, match=r"1 missing: fc8\.bias\. Give"):
        load_weights(net, weights, source="memory")
    assert hash_weights(net) == before


def test_many_faults_are_counted_and_the_first_shown() -> None:
    with pytest.raises(NetError, match=r"16 missing: conv1.weight, .*, conv3.bias, ... \(10 more\)"):
        load_weights(alexnet_small(), {}, source="nothing")


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"weights from '.*gone.pt'. There is no such file. Check"):
        load_net("alexnet_small", checkpoint=tmp_path / "gone.pt")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_checkpoint_cut_short(tmp_path: Path, weights: dict[str, Tensor], suffix: str, share: float) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(NetError, match=r"bytes\). It is damaged, cut short, or holds more.*Fetch it again"):
        load_net("alexnet_small", checkpoint=path)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Evil(tmp_path / "ran")}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(NetError, match=r"holds more than tensors.*state_dict\(\) alone") as caught:
            load_net("alexnet_small", checkpoint=tmp_path / name)
        assert "weights_only" not in str(caught.value)
        assert str(caught.value).isprintable()
    assert not (tmp_path / "ran").exists()


def test_a_file_without_a_state_dict(tmp_path: Path) -> None:
    for content, told in [({"epoch": 3}, "a dictionary with the keys epoch"), ([1], "an object of type list")]:
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(NetError, match=rf"It holds {told}, not tensors by name. Save"):
            read_weights(tmp_path / "x.pt")


def test_the_hash_tells_weights_names_shapes_and_types_apart() -> None:
    def made(build: type[nn.Module], dtype: torch.dtype, value: float, shape: tuple[int, int]) -> str:
        net = build(*shape).to(dtype)
        nn.init.constant_(net.get_parameter("weight"), value)
        nn.init.constant_(net.get_parameter("bias"), value)
        return hash_weights(net)

    first = made(nn.Linear, torch.float32, 0.0, (2, 4))
    assert first == made(nn.Linear, torch.float32, 0.0, (2, 4))
    others = [
        made(nn.Linear, torch.float32, 1.0, (2, 4)),
        made(nn.Linear, torch.bfloat16, 0.0, (2, 4)),
        made(nn.Linear, torch.float16, 0.0, (2, 4)),
        made(nn.Linear, torch.float32, 0.0, (4, 4)),
        hash_weights(nn.BatchNorm2d(3)),  # has a scalar buffer
    ]
    assert len({first, *others}) == 6


class Extra(nn.Linear):
    """Has state that is no tensor."""

    def __init__(self, extra: object) -> None:
        super().__init__(1, 1)
        nn.init.ones_(self.weight)
        nn.init.ones_(self.bias)
        self.extra = extra

    def get_extra_state(self) -> object:
        return self.extra


def test_the_hash_covers_extra_state() -> None:
    states = [{"v": 1}, {"v": 2}, {"w": 1}, [torch.ones(2), "x"], [torch.zeros(2), "x"], None, b"v"]
    hashes = [hash_weights(Extra(state)) for state in states]
    assert hashes == [hash_weights(Extra(state)) for state in states]
    assert len(set(hashes)) == len(states)


def test_the_hash_ignores_the_memory_format() -> None:
    net = alexnet_small()
    before = hash_weights(net)
    assert hash_weights(net.to(memory_format=torch.channels_last)) == before  # type: ignore[call-overload]
