"""Transformers read from folders that the test writes; padding that counts nowhere; streams. Never the network."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convergent import stream_along
from convergent.batch import Batch
from convergent.data import TokenInputs
from convergent.errors import InvalidArgumentError, NetError
from convergent.extraction import Lockstep, View, list_layers
from convergent.nets import call_with_mask, hash_weights, load_net, load_transformer
from convergent.passes import collect
from convergent.statistics import Moments, MomentsPlan

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

TOKENS = {"vocab_size": 30, "bos_token_id": 0, "eos_token_id": 0}
SIZES = {"hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
CONFIGS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2Config(n_layer=3, n_embd=12, n_head=2, n_positions=16, **TOKENS),
    "bert": lambda: transformers.BertConfig(**SIZES, vocab_size=30, max_position_embeddings=16),
    "vit": lambda: transformers.ViTConfig(**SIZES, image_size=8, patch_size=4),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny nets with random weights, saved as the hub holds them."""
    found = {}
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        found[name] = tmp_path_factory.mktemp(name)
        transformers.AutoModel.from_config(config()).save_pretrained(found[name])
    return found


def blocks(net: torch.nn.Module, example: torch.Tensor, *, name: str) -> list[str]:
    """The residual stream: what the blocks give out."""
    return [one.name for one in list_layers(net, example) if one.type == name]


def test_a_folder_is_a_net(folders: dict[str, Path]) -> None:
    net = load_net(f"hub:{folders['gpt2']}")
    assert not net.training
    assert hash_weights(net) == hash_weights(load_transformer(folders["gpt2"]))
    again = transformers.AutoModel.from_pretrained(folders["gpt2"]).eval()
    tokens = torch.arange(8)[None]
    torch.testing.assert_close(net(tokens).last_hidden_state, again(tokens).last_hidden_state)
    assert blocks(net, tokens.repeat(2, 1), name="GPT2Block") == ["h.0", "h.1", "h.2"]


def test_untrained_weights_follow_the_random_state(folders: dict[str, Path]) -> None:
    def drawn(seed: int) -> str:
        torch.manual_seed(seed)
        return hash_weights(load_net(f"hub:{folders['gpt2']}", kwargs={"trained": False}))

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1) != hash_weights(load_transformer(folders["gpt2"]))


def test_no_bars_are_drawn_in_log_files(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    load_transformer(folders["gpt2"])
    assert capsys.readouterr().err == ""
    assert transformers.utils.logging.is_progress_bar_enabled()


def test_settings_may_be_changed(folders: dict[str, Path]) -> None:
    net = load_transformer(folders["bert"], add_pooling_layer=False, hidden_dropout_prob=0.5)
    assert not any(name.startswith("pooler") for name, _ in net.named_parameters())
    config: Any = net.config
    assert config.hidden_dropout_prob == 0.5


def stream(net: torch.nn.Module, tokens: torch.Tensor, mask: torch.Tensor | None, layers: list[str]) -> Moments:
    inputs: Any = [Batch(np.arange(len(tokens)), tokens, mask=mask)]
    if mask is not None:
        inputs = TokenInputs(np.arange(len(tokens)), tokens, mask)
    source = Lockstep(
        {"net": net}, inputs, layers=layers, view=View(units="tokens"), call=call_with_mask, batch_size=8
    )
    found = collect(source, {"moments": MomentsPlan(pairs="all")})["moments"]
    assert isinstance(found, Moments)
    return found


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_padding_changes_no_statistic(folders: dict[str, Path], name: str) -> None:
    net = load_transformer(folders[name])
    lengths = torch.tensor([7, 1, 4, 2, 7, 5])
    tokens = torch.randint(1, 30, (6, 16), generator=torch.Generator().manual_seed(0))
    layers = blocks(net, tokens, name={"gpt2": "GPT2Block", "bert": "BertLayer"}[name])
    assert len(layers) == 3
    found = {}
    for length in (7, 16):
        cut = tokens[:, :length]
        found[length] = stream(net, cut, torch.arange(length) < lengths[:, None], layers)
    alone = [stream(net, tokens[i : i + 1, : lengths[i]], None, layers) for i in range(6)]
    n = int(lengths.sum())
    for ref in found[7].sums:
        assert found[7].n_samples[ref] == found[16].n_samples[ref] == n
        mean = sum(one.mean(ref) * one.n_samples[ref] for one in alone) / n
        np.testing.assert_allclose(found[7].mean(ref), mean, atol=1e-5)
    for pair in found[7].products:
        short, long = (found[length].pair(*pair) for length in (7, 16))
        np.testing.assert_allclose(short.cov_ab, long.cov_ab, atol=1e-5)


def test_a_batch_of_only_padding_counts_nothing(folders: dict[str, Path]) -> None:
    net = load_transformer(folders["gpt2"])
    tokens = torch.randint(1, 30, (6, 5), generator=torch.Generator().manual_seed(1))
    real = torch.ones(6, 5, dtype=torch.bool)
    mask = real.clone()
    mask[2:4] = False  # the second batch of two
    batches = [Batch(np.arange(k, k + 2), tokens[k : k + 2], mask=mask[k : k + 2]) for k in (0, 2, 4)]
    view = View(units="tokens")

    def collected(loader: list[Batch]) -> Moments:
        source = Lockstep({"net": net}, loader, layers=["h.?"], view=view, call=call_with_mask)
        found = collect(source, {"moments": MomentsPlan(pairs="all")})["moments"]
        assert isinstance(found, Moments)
        return found

    some, rest = collected(batches), collected([batches[0], batches[2]])
    (a, b), *_ = some.products
    assert some.n_samples == rest.n_samples
    np.testing.assert_allclose(some.pair(a, b).cov_ab, rest.pair(a, b).cov_ab, atol=1e-6)
    nothing = collected([batches[1]])
    assert nothing.n_samples[a] == 0
    with pytest.raises(InvalidArgumentError, match=r"They hold no samples"):
        nothing.pair(a, b)


def test_the_stream_of_a_language_net_is_followed(folders: dict[str, Path]) -> None:
    net = load_transformer(folders["gpt2"])
    tokens = torch.randint(1, 30, (40, 10), generator=torch.Generator().manual_seed(2))
    moments = stream(net, tokens, torch.ones(40, 10, dtype=torch.bool), ["h.0", "h.1", "h.2"])
    found = stream_along(moments, ["net/h.0", "net/h.1", "net/h.2"])
    assert (found.share == 1).all()  # untrained blocks add little
    assert (found.self_r > 0.9).all()
    assert np.isnan(found.half_life).all()


def test_the_stream_of_an_image_net_is_followed(folders: dict[str, Path]) -> None:
    net = load_net(f"hub:{folders['vit']}", kwargs={"add_pooling_layer": False})
    images = torch.randn(30, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    layers = blocks(net, images, name="ViTLayer")
    assert len(layers) == 3
    source = Lockstep({"net": net}, [images[:10], images[10:]], layers=layers)
    moments = collect(source, {"moments": MomentsPlan(pairs="all", norms=True)})["moments"]
    assert isinstance(moments, Moments)
    found = stream_along(moments, [f"net/{layer}" for layer in layers])
    assert (found.share > 0.5).all()
    assert found.estimator == "debiased"


def test_what_cannot_be_loaded(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("./no_such_folder", "/no/such/folder", "a/b/c", tmp_path / "gone"):
        with pytest.raises(NetError, match=r"There is no such folder.*'openai-community/gpt2'"):
            load_transformer(name)
    with pytest.raises(InvalidArgumentError, match=r"kind 'head'. There are 'body', 'causal_lm'.*Choose"):
        load_transformer(folders["gpt2"], kind="head")
    with pytest.raises(NetError, match=r"(?s)'convergent/no-such-net' as 'body'.*OSError.*Check the name"):
        load_net("hub:convergent/no-such-net", kwargs={"local_files_only": True})
    with pytest.raises(NetError, match=r"lacks \d tensors of the net, .*\(?classifier.*Choose the kind that was"):
        load_transformer(folders["bert"], kind="sequence_classification")
    with pytest.raises(NetError, match=r"(?s)as 'image_classification'.*ValueError"):
        load_transformer(folders["gpt2"], kind="image_classification")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(NetError, match=r"(?s)OSError.*model.safetensors"):
        load_transformer(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NetError, match=r"needs the library 'transformers'.*pip install 'convergent\[hub\]'"):
        load_transformer(folders["gpt2"])


def test_no_code_of_a_folder_is_run(tmp_path: Path) -> None:
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(NetError, match=r"(?s)Cannot load the transformer.*"):
        load_transformer(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_net_is_told_of_padding_only_where_there_is_some() -> None:
    told: list[dict[str, Any]] = []

    class Listener(torch.nn.Module):
        def forward(self, tokens: torch.Tensor, **rest: Any) -> torch.Tensor:
            told.append(rest)
            return tokens

    tokens = torch.ones(2, 3, dtype=torch.int64)
    call_with_mask(Listener(), Batch(np.arange(2), tokens))
    call_with_mask(Listener(), Batch(np.arange(2), tokens, mask=tokens > 1))
    assert told[0] == {}
    assert told[1]["attention_mask"].tolist() == [[0, 0, 0]] * 2
