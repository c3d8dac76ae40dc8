"""Permutation groups: what many kinds of nets tie, what they fix and why, and that permuting changes nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convergent import PermutationGroups, load_net, permutation_groups
from convergent.errors import InvalidArgumentError, MismatchError, NetError, UnknownNameError
from convergent.nets import ZOO

MAPS = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
WORDS = torch.randint(11, (3, 4), generator=torch.Generator().manual_seed(2))


class Net(nn.Module):
    """Modules by name, and a forward that is given."""

    def __init__(self, forward: Callable[..., Tensor], **modules: nn.Module | Tensor) -> None:
        super().__init__()
        self.run = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> object:
        return self.run(self, x)


def conv(units_in: int, units: int, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(units_in, units, 3, padding=1, **more)


def residual(n: Any, x: Tensor) -> Tensor:
    x = n.stem(x)
    x += n.one(n.bn(x).relu_())
    return n.head(torch.add(x, F.relu(n.two(x))).mean((2, 3)))


def branches(n: Any, x: Tensor) -> Tensor:
    both = torch.cat([n.one(x), F.max_pool2d(n.two(x), 3, 1, 1), x[:, :1]], dim=1)
    return n.head(F.adaptive_avg_pool2d(n.bn(both), 1).flatten(1))


def dense_and_whole(n: Any, x: Tensor) -> Tensor:
    return n.head((torch.cat([n.one(x), n.two(x)], 1) + n.whole(x)).amax(dim=(2, 3)))


def flattened(n: Any, x: Tensor) -> Tensor:
    maps = n.one(x)
    return n.head(maps.view(len(x), -1)) + n.again(maps.permute(0, 2, 3, 1).reshape(len(x), -1))


def depthwise(n: Any, x: Tensor) -> Tensor:
    return n.head(n.point(n.twice(n.deep(n.stem(x)))).mean([-2, -1]))


def squeezed(n: Any, x: Tensor) -> Tensor:
    maps = n.stem(x)
    gate = torch.sigmoid(n.up(F.relu(n.down(maps.mean((2, 3))))))
    return n.head((maps * gate[:, :, None, None] * n.scale.view(1, -1, 1, 1)).flatten(2).transpose(1, 2).sum(1))


def gated(n: Any, x: Tensor) -> Tensor:
    a, b = n.stem(x).chunk(2, dim=-1)
    return n.head(F.gelu(a) * b)


def widened(n: Any, x: Tensor) -> Tensor:
    short = n.stem(x)
    return n.head((F.pad(short[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + n.down(short)).mean((2, 3)))


def attends(n: Any, x: Tensor) -> Tensor:
    x = n.words(x) + n.places.weight[: x.shape[1]]
    normed = n.norm1(x)
    q, k, v = (t.view(*t.shape[:2], 2, 4).transpose(1, 2) for t in n.qkv(normed).split(8, dim=-1))
    seen = (q @ k.transpose(-2, -1) / 2).masked_fill(n.mask[: x.shape[1], : x.shape[1]], -1e9).softmax(-1) @ v
    x = x + n.out(seen.transpose(1, 2).reshape(x.shape))
    x = x + n.shrink(F.gelu(n.grow(n.norm2(x))))
    return F.linear(n.norm3(x), n.words.weight)


def one_head(n: Any, x: Tensor) -> Tensor:
    x = n.words(x)
    seen = F.scaled_dot_product_attention(n.q(x), n.k(x), n.v(x))
    return n.head(seen[:, -1])


def fused(n: Any, x: Tensor) -> Tensor:
    q, k, v = n.qkv(n.words(x)).chunk(3, -1)
    return n.head(F.scaled_dot_product_attention(q, k, v)[:, 0])


def shared(n: Any, x: Tensor) -> Tensor:
    return n.head(n.twice(torch.tanh(n.twice(n.stem(x)))))


def many_heads(n: Any, x: Tensor) -> Tensor:
    x = n.words(x)
    return n.head(n.block(x)[:, 0] + n.attention(x, x, x)[0].mean(1))


def lettered(n: Any, x: Tensor) -> Tensor:
    return torch.einsum("bi,oi->bo", n.stem(x), n.table)


def unflattened(n: Any, x: Tensor) -> Tensor:
    maps = n.up(F.interpolate(n.one(x).flatten(1).unflatten(1, (6, 8, 8)), scale_factor=2.0))
    return n.head(maps.max(dim=-1)[0].std(-1))


def transformer() -> Net:
    return Net(
        attends,
        words=nn.Embedding(11, 8),
        places=nn.Embedding(6, 8),
        mask=nn.Buffer(torch.ones(6, 6, dtype=torch.bool).triu(1)),
        qkv=nn.Linear(8, 24),
        out=nn.Linear(8, 8),
        grow=nn.Linear(8, 12),
        shrink=nn.Linear(12, 8),
        **{f"norm{i}": nn.LayerNorm(8) for i in (1, 2, 3)},
    )


def heads() -> Net:
    block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    separate = nn.MultiheadAttention(8, 2, batch_first=True)
    return Net(many_heads, words=nn.Embedding(11, 8), block=block, attention=separate, head=nn.Linear(8, 2))


linear = nn.Linear
NETS: dict[str, tuple[Callable[[], nn.Module], Tensor, dict[str, int]]] = {
    "residual": (
        lambda: Net(
            residual, stem=conv(3, 6), bn=nn.BatchNorm2d(6), one=conv(6, 6), two=conv(6, 6), head=linear(6, 2)
        ),
        MAPS,
        {"stem": 6},
    ),
    "branches": (
        lambda: Net(branches, one=conv(3, 4), two=conv(3, 5), bn=nn.BatchNorm2d(10), head=linear(10, 2)),
        MAPS,
        {"one": 4, "two": 5},
    ),
    "concatenation added to a whole": (
        lambda: Net(dense_and_whole, one=conv(3, 4), two=conv(3, 5), whole=conv(3, 9), head=linear(9, 2)),
        MAPS,
        {"one": 4, "two": 5},
    ),
    "flattened in both orders": (
        lambda: Net(flattened, one=conv(3, 4), head=linear(256, 2), again=linear(256, 2)),
        MAPS,
        {"one": 4},
    ),
    "depthwise": (
        lambda: Net(
            depthwise,
            stem=conv(3, 4),
            deep=conv(4, 4, groups=4),
            twice=conv(4, 8, groups=4),
            point=conv(8, 6),
            head=linear(6, 2),
        ),
        MAPS,
        {"stem": 4, "point": 6},
    ),
    "squeeze and excite": (
        lambda: Net(
            squeezed,
            stem=conv(3, 6),
            down=linear(6, 3),
            up=linear(3, 6),
            scale=nn.Parameter(torch.rand(6)),
            head=linear(6, 2),
        ),
        MAPS,
        {"stem": 6, "down": 3},
    ),
    "gated": (lambda: Net(gated, stem=linear(5, 12), head=linear(6, 2)), ROWS, {"stem.weight[0]": 6}),
    "padded shortcut": (
        lambda: Net(widened, stem=conv(3, 4), down=conv(4, 8, stride=2), head=linear(8, 2)),
        MAPS,
        {"stem": 4},
    ),
    "transformer": (transformer, WORDS, {"words": 8, "grow": 12}),
    "one head": (
        lambda: Net(
            one_head,
            words=nn.Embedding(11, 8),
            q=linear(8, 6),
            k=linear(8, 6),
            v=linear(8, 7),
            head=linear(7, 2),
        ),
        WORDS,
        {"words": 8, "q": 6, "v": 7},
    ),
    "one head, fused": (
        lambda: Net(fused, words=nn.Embedding(11, 8), qkv=linear(8, 18), head=linear(6, 2)),
        WORDS,
        {"words": 8, "qkv.weight[0]": 6, "qkv.weight[0]+12": 6},
    ),
    "shared module": (
        lambda: Net(shared, stem=linear(5, 6), twice=linear(6, 6), head=linear(6, 2)),
        ROWS,
        {"stem": 6},
    ),
    "multi-head attention": (heads, WORDS, {"words": 8, "block.linear1": 12}),
    "einsum": (lambda: Net(lettered, stem=linear(5, 6), table=nn.Parameter(torch.randn(2, 6))), ROWS, {"stem": 6}),
    "there and back": (
        lambda: Net(unflattened, one=conv(3, 6), up=nn.ConvTranspose2d(6, 5, 3), head=linear(5, 2)),
        MAPS,
        {"one": 6, "up": 5},
    ),
    "norms": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.GroupNorm(1, 6),
            nn.PReLU(6),
            nn.InstanceNorm2d(6, affine=True),
            nn.Conv2d(6, 4, 3),
            nn.GroupNorm(2, 4),
            nn.Flatten(),
            nn.Linear(64, 7),
            nn.LayerNorm(7),
            nn.Softmax(-1),
            nn.RMSNorm(7),
            nn.Linear(7, 2, bias=False),
        ),
        MAPS,
        {"0": 6, "7": 7},
    ),
    "one dimension": (
        lambda: nn.Sequential(
            nn.Conv1d(8, 6, 3), nn.BatchNorm1d(6), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(18, 5), nn.Linear(5, 2)
        ),
        MAPS[:, 0],
        {"0": 6, "4": 5},
    ),
}


@pytest.mark.parametrize("kind", NETS)
def test_groups_are_those_of_the_architecture(kind: str) -> None:
    torch.manual_seed(0)
    make, example, expected = NETS[kind]
    net = make()
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = permutation_groups(net, example)
    assert {group.name: group.size for group in found.free} == expected
    assert found.max_change < 1e-12
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("name", [name for name, net in ZOO.items() if net.input_shape == (3, 32, 32)])
def test_nets_of_the_zoo_compute_the_same_when_permuted(name: str) -> None:
    torch.manual_seed(0)
    net, x = load_net(name), torch.randn(4, 3, 32, 32)
    found = permutation_groups(net, x[:2])
    rng = np.random.default_rng(0)
    moved = found.permuted(net, {group.name: rng.permutation(group.size) for group in found.free})
    with torch.no_grad():
        before, after = net(x), moved(x)
    assert (before - after).abs().max() <= 1e-5 * before.abs().max()
    assert [group.name for group in found.groups if group.fixed == "they are outputs of the net"] != []
    assert len(found.free) >= 5


def test_response_normalisation_fixes_the_units_it_mixes() -> None:
    found = permutation_groups(load_net("alexnet_small"), torch.randn(2, 3, 32, 32))
    assert [group.name for group in found.free] == ["conv3", "conv4", "conv5", "fc6", "fc7"]
    assert found.of("relu1").fixed == "local_response_norm in 'norm1' mixes each unit with its neighbours"
    assert found.of("conv2").fixed == "local_response_norm in 'norm2' mixes each unit with its neighbours"
    table = found.table().set_index("name")
    assert table.loc["conv5", "members"] == "conv5.weight[0] conv5.bias[0] fc6.weight[1] x4"
    assert table.loc["conv5", "layers"] == "conv5 relu5 pool5"


def test_what_is_not_alike_says_why_it_is_fixed() -> None:
    torch.manual_seed(0)
    grouped = nn.Sequential(conv(3, 4), conv(4, 6, groups=2), nn.GroupNorm(3, 6), nn.Flatten(), linear(384, 2))
    found = permutation_groups(grouped, MAPS)
    assert not found.free
    assert found.of("0").fixed == found.of("1").fixed == "conv2d in '1' sorts them into 2 groups"
    turned = nn.Sequential(nn.ConvTranspose2d(4, 4, 3, groups=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = permutation_groups(nn.Sequential(conv(3, 4), turned), MAPS)
    assert found.of("0").fixed == "conv_transpose2d in '1.0' sorts them into 2 groups"
    added = Net(lambda n, x: n.head(n.one(x) + x), one=linear(5, 5), head=linear(5, 2))
    assert (
        permutation_groups(added, ROWS)
        .of("one")
        .fixed.startswith("add in 'output' joins them to values that stay")
    )
    picked = Net(lambda n, x: n.head(n.one(x)[:, [0, 2]]), one=linear(5, 4), head=linear(2, 2))
    found = permutation_groups(picked, ROWS)
    assert found.of("one").fixed == "getitem in 'output' picks them by number"
    written = Net(write, one=linear(5, 4), head=linear(4, 2))
    assert (
        permutation_groups(written, ROWS).of("one").fixed == "setitem in 'output' writes into a part of a tensor"
    )
    ranked = Net(lambda n, x: n.head(n.one(x).cumsum(-1)), one=linear(5, 4), head=linear(4, 2))
    assert permutation_groups(ranked, ROWS).of("one").fixed == "cumsum in 'output' tells places in them"


def write(n: Any, x: Tensor) -> Tensor:
    kept = torch.zeros(len(x), 4)
    kept[:, :] = n.one(x)
    return n.head(kept)


STEPS: dict[str, tuple[Callable[[Any, Tensor], Tensor], bool]] = {
    "larger of two": (lambda n, h: n.head(torch.max(h, -h)), True),
    "largest of all": (lambda n, h: n.head(h / h.max()), True),
    "largest along units": (lambda n, h: n.head(h - h.max(dim=1, keepdim=True)[0]), False),
    "norm along units": (lambda n, h: n.head(h / torch.linalg.vector_norm(h, dim=1, keepdim=True)), True),
    "norm by method": (lambda n, h: n.head(h / h.norm(2, 1, keepdim=True)), True),
    "spread of all": (lambda n, h: n.head(h / h.std(False)), True),
    "vector on the right": (lambda n, h: (h @ n.head.weight[0])[:, None] + n.head(h), True),
    "vector on the left": (lambda n, h: n.head(h) + torch.ones(len(h)).to(h) @ h @ n.head.weight.T, True),
    "matrix on the left": (lambda n, h: n.head(h) + (n.head.weight @ h.mT).T, True),
    "stack of matrices": (
        lambda n, h: n.head(h) + torch.bmm(h[:, None], n.head.weight.mT.expand(3, 4, 2))[:, 0],
        True,
    ),
    "stacked": (lambda n, h: n.head(torch.stack([h, 2 * h], dim=1).sum(1)), True),
    "unbound": (lambda n, h: n.head(sum(torch.stack([h, -3 * h]).unbind(0))), True),
    "selected": (lambda n, h: n.head(torch.stack([h, -3 * h]).select(0, 1)), True),
    "narrowed whole": (lambda n, h: n.head(h.narrow(1, 0, 4)), True),
    "moved about": (lambda n, h: n.head(h[:, :, None].movedim(1, 2)[:, 0].T.swapaxes(0, 1)), True),
    "expanded": (lambda n, h: n.head(h[:, None].expand(-1, 3, -1).mean(1)), True),
    "every other": (lambda n, h: n.head(torch.cat([h[:, ::2], h[:, ::2]], 1)), False),
    "one unit": (lambda n, h: n.head(h) * h[:, 0:1] * h[..., 1, None], False),
    "masked": (lambda n, h: n.head(torch.where(h > 0, h, torch.zeros_like(h)).masked_fill(h > 2, 2.0)), True),
    "reflected": (lambda n, h: n.head(F.pad(h[:, None], (1, 1), mode="reflect")[:, 0, 1:-1]), False),
    "locations padded": (lambda n, h: n.head(F.pad(h[:, :, None], (1, 1)).sum(-1)), True),
    "ranked": (lambda n, h: n.head(h) + h.argmax(1)[:, None], False),
    "a buffer made whole": (lambda n, h: n.head(h) + (h.new_ones(len(h), 4) * h).sum(1, keepdim=True), False),
    "letters left out": (lambda n, h: n.head(h) + torch.einsum("...i,...i->...", h, h)[:, None], False),
    "empty": (lambda n, h: n.head(torch.cat([h, h[:0].reshape(0, 4)], 0)), False),
    "three axes merged": (lambda n, h: n.head(h) + h[None, :, None].flatten(1, 3).sum(1, keepdim=True), True),
}


@pytest.mark.parametrize("kind", STEPS)
def test_functions_tie_keep_or_fix_what_they_are_given(kind: str) -> None:
    """The proof says whether what is free may be; here is what should be."""
    torch.manual_seed(0)
    forward, moves = STEPS[kind]
    net = Net(lambda n, x: forward(n, n.one(x)), one=linear(5, 4), head=linear(4, 2))
    found = permutation_groups(net, ROWS)
    assert bool(found.free) is moves, found.table()
    assert found.max_change < 1e-12


def test_layers_of_several_groups_are_not_taken_for_one() -> None:
    torch.manual_seed(0)
    make, example, _ = NETS["branches"]
    found = permutation_groups(make(), example)
    with pytest.raises(
        UnknownNameError, match=r"group of layer 'bn'\. None of 3 groups has a layer of that name whose"
    ):
        found.of("bn")
    with pytest.raises(UnknownNameError, match="Nearest: 'one'"):
        found.of("ones")
    assert [member.start for member in found.of("two").members if member.parameter == "head.weight"] == [4]


def test_permuted_puts_unit_p_of_i_in_place_i() -> None:
    torch.manual_seed(0)
    net: Any = nn.Sequential(linear(5, 4), nn.ReLU(), linear(4, 2))
    order = np.array([2, 0, 3, 1])
    moved: Any = permutation_groups(net, ROWS).permuted(net, {"1": order})
    torch.testing.assert_close(moved[0](ROWS), net[0](ROWS)[:, order])
    torch.testing.assert_close(moved(ROWS), net(ROWS))


def test_what_cannot_be_permuted_is_refused() -> None:
    net = nn.Sequential(linear(5, 4), nn.ReLU(), linear(4, 2))
    found = permutation_groups(net, ROWS)
    with pytest.raises(
        InvalidArgumentError, match=r"units of '2'\. It is fixed: they are outputs of the net\. Give one"
    ):
        found.permuted(net, {"2": np.arange(2)})
    with pytest.raises(InvalidArgumentError, match=r"'1'\. It is of the group '0', which was named before"):
        found.permuted(net, {"0": np.arange(4), "1": np.arange(4)})
    with pytest.raises(InvalidArgumentError, match=r"'0'\. It has 4 units, and that is no order of them"):
        found.permuted(net, {"0": np.array([0, 0, 1, 2])})
    with pytest.raises(
        MismatchError, match=r"0\.weight\[0\], which has 4 units of group '0'\. Found shape \(3, 5\)"
    ):
        found.permuted(nn.Sequential(linear(5, 3)), {"0": np.arange(4)})
    with pytest.raises(
        MismatchError, match=r"Found none of that name in this net\. Give a net of the architecture"
    ):
        found.permuted(linear(5, 3), {"0": np.arange(4)})


def test_a_change_of_the_outputs_names_the_group() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(linear(5, 6), nn.ReLU(), linear(6, 4), nn.ReLU(), linear(4, 2))
    found = permutation_groups(net, ROWS)
    assert found.check(net, ROWS, seed=3) < 1e-12
    other = nn.Sequential(*list(net)[:3], Shift(), net[4])
    with pytest.raises(NetError, match=r"changes its outputs by .* That comes from '2'\. Look in their layers"):
        found.check(other, ROWS)


class Shift(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + torch.arange(4).to(x))


def test_noise_shows_what_an_untrained_norm_hides() -> None:
    """All scales are 1, so a permutation that forgets them changes nothing until they differ."""
    torch.manual_seed(0)
    net = nn.Sequential(linear(5, 4), nn.BatchNorm1d(4), linear(4, 2))
    found = permutation_groups(net, ROWS)
    forgetful = PermutationGroups(
        tuple(
            type(group)(
                group.name, group.size, tuple(m for m in group.members if m.parameter != "1.weight"), (), ""
            )
            for group in found.free
        ),
        0.0,
    )
    with pytest.raises(NetError, match="Permuting the units of this net"):
        forgetful.check(net, ROWS)


def test_unknown_functions_are_refused_or_fix_what_they_are_given() -> None:
    def sorts(n: Any, x: Tensor) -> Tensor:
        return n.head(torch.cdist(n.one(x), x[:, :4]) + n.two(x))

    net = Net(sorts, one=linear(5, 4), two=linear(5, 3), head=linear(3, 2))
    with pytest.raises(
        NetError, match=r"units of 'output' through 'cdist'\. It is not known .* Give unknown='fix'"
    ):
        permutation_groups(net, ROWS)
    found = permutation_groups(net, ROWS, unknown="fix")
    assert found.of("one").fixed == "cdist in 'output' is a function of unknown effect"


@pytest.mark.parametrize(
    "decide",
    [
        lambda n, x: n.head(n.one(x)) if x.sum() > 0 else n.head(-n.one(x)),
        lambda n, x: n.head(n.one(x)) * n.one(x).max().item(),
        lambda n, x: n.head(n.one(x)[:, : int(x[0, 0].round().abs())].sum(1, keepdim=True).expand(-1, 4)),
    ],
)
def test_a_net_that_decides_by_its_inputs_is_refused(decide: Callable[..., Tensor]) -> None:
    net = Net(decide, one=linear(5, 4), head=linear(4, 2))
    with pytest.raises(
        NetError, match=r"Cannot trace 'output'\. It reads the values of a tensor that depends on the"
    ):
        permutation_groups(net, ROWS)


def test_decisions_by_shape_or_by_a_weight_are_no_obstacle() -> None:
    def by_shape(n: Any, x: Tensor) -> Tensor:
        x = n.one(x) if x.ndim == 2 and len(x) > 1 and n.one.weight.sum() != 0 else x
        return n.head(x)

    assert len(permutation_groups(Net(by_shape, one=linear(5, 4), head=linear(4, 2)), ROWS).free) == 1


def test_what_hides_from_tracing_does_not_pass_the_proof() -> None:
    torch.manual_seed(0)
    mapped = Net(lambda n, x: n.head(torch.vmap(torch.relu)(n.one(x))), one=linear(5, 4), head=linear(4, 2))
    with pytest.raises(NetError, match=r"That comes from 'one'\. .* functions that hide \(vmap, scripts\)"):
        permutation_groups(mapped, ROWS)


def test_recurrent_nets_are_refused_by_name() -> None:
    recurrent = Net(lambda n, x: n.head(n.cell(n.words(x))[0][:, -1]), words=nn.Embedding(11, 8),
                    cell=nn.GRU(8, 6, batch_first=True), head=linear(6, 2))  # fmt: skip
    with pytest.raises(NetError, match="Cannot follow the units of 'cell' through 'gru'"):
        permutation_groups(recurrent, WORDS)
    assert permutation_groups(recurrent, WORDS, unknown="fix").of("words").fixed.startswith("gru in 'cell'")


def test_nets_that_cannot_run_are_refused() -> None:
    with pytest.raises(NetError, match="Cannot run the net on inputs of shape 3 x 5"):
        permutation_groups(linear(4, 2), ROWS)


def test_transformers_of_the_hub() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    gpt = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_embd=16, n_layer=2, n_head=2, vocab_size=30, n_positions=12, bos_token_id=0, eos_token_id=0
        )
    )
    found = permutation_groups(gpt, torch.randint(30, (2, 7)))
    assert {group.name: group.size for group in found.free} == {
        "transformer.wte": 16,
        "transformer.h.0.mlp.c_fc": 64,
        "transformer.h.1.mlp.c_fc": 64,
    }
    assert found.max_change < 1e-12
    assert {"transformer.wpe.weight", "transformer.h.1.attn.c_attn.weight"} <= {
        member.parameter for member in found.of("transformer.h.0").members
    }
    vit = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            image_size=16,
            patch_size=8,
            num_labels=3,
        )
    )
    found = permutation_groups(vit, torch.randn(2, 3, 16, 16))
    assert [group.size for group in found.free] == [16, 24, 24]
    assert found.max_change < 1e-12
