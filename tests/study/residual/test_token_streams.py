"""The residual stream of a small transformer on texts of unequal lengths; folders relative to the study file."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from convergent import ResidualStudy, View, load_study, run_study
from convergent.errors import StudyError
from convergent.extraction.taps import tapping
from convergent.nets import load_transformer
from convergent.study.spec import TokensSpec

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["<pad>", *(f"w{i}" for i in range(29))]
STUDY = """\
kind: residual
name: tokens
data: {kind: tokens, path: texts.txt, tokenizer: ./tok, length: 9}
families:
  gpt:
    factory: "hub:./gpt"
    layers: ["h.?"]
    branches: ["h.?.mlp"]
    seeds: [0]
untrained: 2
blocks: 3
batch_size: 16
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Net, tokenizer, texts and study beside each other, and a finished run."""
    folder = tmp_path_factory.mktemp("tokens") / "project"
    folder.mkdir()
    torch.manual_seed(5)
    config = transformers.GPT2Config(
        n_layer=3, n_embd=12, n_head=2, n_positions=16, vocab_size=30, bos_token_id=0, eos_token_id=0
    )
    net = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for block in net.h:
            block.mlp.c_proj.weight.mul_(40)  # untrained branches are faint
    net.save_pretrained(folder / "gpt")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<pad>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(folder / "tok")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[1:], size=rng.integers(1, 13))) for _ in range(60)]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n\n")
    (folder / "tokens.yaml").write_text(STUDY)
    run_study(load_study(folder / "tokens.yaml"), folder / "run")
    return folder


def read(path: Path) -> Any:
    return pd.read_parquet(path)


def test_paths_of_texts_tokenizer_and_net_are_relative_to_the_file(folder: Path) -> None:
    study = load_study(folder / "tokens.yaml")
    assert isinstance(study, ResidualStudy)
    assert isinstance(study.data, TokensSpec)
    assert (study.data.path, study.data.tokenizer) == (folder / "texts.txt", folder / "tok")
    assert study.families["gpt"].factory == f"hub:{folder / 'gpt'}"
    assert study.view.view() == View(units="tokens")
    assert study.data.model_copy(update={"tokenizer": "some/name"}).tokenizer == "some/name"


def test_padding_is_in_no_number(folder: Path) -> None:
    rows = read(folder / "run/tables/stream.parquet").set_index(["net", "a", "b"])
    net = load_transformer(folder / "gpt")
    parts: dict[str, list[np.ndarray]] = {f"h.{k}": [] for k in range(3)}
    for text in (folder / "texts.txt").read_text().split("\n")[:60]:
        tokens = torch.tensor([[WORDS.index(word) for word in text.split()][:9]])
        keep = lambda _, output: View(units="tokens").apply(output)  # noqa: E731
        with torch.no_grad(), tapping(net, list(parts), keep=keep) as kept:
            net(tokens)
        for name, own in parts.items():
            own.append(kept[name].values[0].T.double().numpy())
    maps = {name: np.concatenate(own) for name, own in parts.items()}
    numbers = read(folder / "run/tables/numbers.parquet").set_index(["net", "left_out"])
    assert numbers.loc[("gpt0", -1), "n_samples"] == len(maps["h.0"])
    for a, b in (("h.0", "h.1"), ("h.1", "h.2"), ("h.0", "h.2")):
        between = np.corrcoef(maps[a], maps[b], rowvar=False)[:12, 12:]
        found = rows.loc[("gpt0", a, b)]
        assert found["self_r"] == pytest.approx(np.diagonal(between).mean(), abs=1e-4)
        assert found["share"] == pytest.approx((between.argmax(axis=1) == np.arange(12)).mean())


def test_untrained_transformers_are_drawn_anew_and_add_little(folder: Path) -> None:
    lags = read(folder / "run/tables/family_lags.parquet").set_index(["trained", "lag"])
    assert lags.loc[(False, 1), "share"] == 1
    assert lags.loc[(False, 1), "self_r"] > 0.9 > lags.loc[(True, 1), "self_r"]
    lives = read(folder / "run/tables/family_half_lives.parquet").set_index("trained")
    assert lives.loc[False, "more_than"] == 2
    claims = read(folder / "run/tables/claims.parquet")
    assert not claims["claim"].str.contains("boundaries").any()  # one width throughout
    assert claims["statistic"].str.contains("over inputs").all()


def test_a_project_may_be_moved(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "moved")
    (tmp_path / "moved/run/tables/claims.parquet").unlink()
    run = run_study(load_study(tmp_path / "moved/tokens.yaml"), tmp_path / "moved/run", resume=True)
    pd.testing.assert_frame_equal(
        pd.read_parquet(run / "tables/claims.parquet"), pd.read_parquet(folder / "run/tables/claims.parquet")
    )


def test_other_texts_are_another_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    texts = (tmp_path / "other/texts.txt").read_text()
    (tmp_path / "other/texts.txt").write_text(texts.replace("w1 ", "w2 "))
    with pytest.raises(StudyError, match=r"It comes from other weights, inputs or layers"):
        run_study(load_study(tmp_path / "other/tokens.yaml"), tmp_path / "other/run", resume=True)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("tokenizer: ./tok, ", "", r"line 3, data.tokenizer: this key is missing"),
        ("length: 9", "length: 0", r"line 3, data.length: .*greater than or equal to 1; found 0"),
        ("length: 9", "lengths: 9", r"line 3, data.lengths: there is no such key. Nearest: 'length'"),
        ("path: texts.txt, ", "", r"line 3, data.path: this key is missing"),
        ("branches:", "branch:", r"line 8, families.gpt.branch: there is no such key. Nearest: 'branches'"),
        ("untrained: 2", "rotations: 0", r"line 10, rotations: .*greater than or equal to 1; found 0"),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in STUDY
    (tmp_path / "tokens.yaml").write_text(STUDY.replace(old, new))
    with pytest.raises(StudyError, match=told):
        load_study(tmp_path / "tokens.yaml")
