"""Transformers of the Hugging Face hub, or of a local folder, by the library `transformers` (the extra `hub`)."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from ..batch import Batch
from ..errors import InvalidArgumentError, NetError

PREFIX = "hub:"
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "body": "AutoModel",
        "causal_lm": "AutoModelForCausalLM",
        "masked_lm": "AutoModelForMaskedLM",
        "sequence_classification": "AutoModelForSequenceClassification",
        "image_classification": "AutoModelForImageClassification",
    }
)


def load_transformer(
    name: str | Path,
    *,
    kind: str = "body",
    trained: bool = True,
    revision: str | None = None,
    local_files_only: bool = False,
    **config: object,
) -> nn.Module:
    """A transformer, with its trained weights or with random ones. It is in evaluation mode, in float32.

    `load_net("hub:NAME")` and `factory: hub:NAME` in a study are this function. Code that comes with a net on the
    hub is never run. Modules keep their names: the residual stream is what the blocks give out, `h.0`, `h.1`, ...
    in GPT-2, `layers.0`, ... in ViT; `list_layers` shows all.

    Args:
        name: on the hub, like `openai-community/gpt2`, which is fetched once into the cache of `transformers`; or
            a folder with `config.json` and weights, which is read without the network.
        kind: "body" (no head), "causal_lm", "masked_lm", "sequence_classification" or "image_classification".
        trained: False draws weights anew from torch's random state, as the configuration starts them.
        revision: commit, tag or branch on the hub; give a commit if the net must never change.
        local_files_only: take a name on the hub from the cache only.
        **config: settings of the configuration to change, such as `add_pooling_layer=False`.

    Returns:
        The net, which keeps no cache of keys and values.

    Raises:
        InvalidArgumentError: if there is no such kind.
        NetError: if `transformers` is not installed, the net cannot be read, or the checkpoint lacks some of its
            weights.

    Example:
        >>> load_transformer("openai-community/gpt2").h[0]  # doctest: +SKIP
        GPT2Block(...)
    """
    if kind not in KINDS:
        raise InvalidArgumentError(
            f"Asked for a transformer of kind {kind!r}. There are {', '.join(map(repr, KINDS))}. "
            "Choose one of these."
        )
    source = _source(name)
    library = _transformers(source)
    places = {"revision": revision, "local_files_only": local_files_only or Path(source).is_dir()}
    try:
        with _quiet_off_terminals(library.utils.logging):
            net, missing = _read(library, source, kind, trained=trained, places=places, config=config)
    except Exception as error:  # whatever `transformers`, the hub and safetensors raise; they share no base class
        raise NetError(
            f"Cannot load the transformer '{source}' as {kind!r}. The library 'transformers' says "
            f"{type(error).__name__}: {error}. Check the name or folder, the kind, and the connection to the hub."
        ) from error
    if missing:
        raise NetError(
            f"Cannot load the transformer '{source}' as {kind!r}. Its checkpoint lacks {len(missing)} tensors "
            f"of the net, {', '.join(missing[:3])} among them, and random ones would pass for trained. "
            "Choose the kind that was saved, or leave the part out (for a pooler, add_pooling_layer=False)."
        )
    return net.eval()


def call_with_mask(net: nn.Module, batch: Batch) -> object:
    """Run a transformer on tokens and tell it which of them are padding: `Lockstep(..., call=call_with_mask)`.

    Args:
        net: takes `attention_mask`, as those of `transformers` do.
        batch: tokens, and where they are real. Without a mask all are.
    """
    return net(batch.tensor) if batch.mask is None else net(batch.tensor, attention_mask=batch.mask.long())


def _read(
    library: Any,
    source: str,
    kind: str,
    *,
    trained: bool,
    places: Mapping[str, object],
    config: Mapping[str, object],
) -> tuple[nn.Module, list[str]]:
    """The net, and the names of tensors that its checkpoint does not hold."""
    architecture = getattr(library, KINDS[kind])
    settings = library.AutoConfig.from_pretrained(source, trust_remote_code=False, **places)
    options = {key: value for key, value in config.items() if not hasattr(settings, key)}
    settings.update({key: value for key, value in config.items() if key not in options} | {"use_cache": False})
    if not trained:
        return architecture.from_config(settings, trust_remote_code=False, **options), []
    net, info = architecture.from_pretrained(
        source,
        config=settings,
        trust_remote_code=False,
        use_safetensors=True,
        dtype="float32",
        output_loading_info=True,
        **places,
        **options,
    )
    return net, sorted(info["missing_keys"])


@contextmanager
def _quiet_off_terminals(logging: Any) -> Iterator[None]:
    """The progress bars of `transformers` are drawn in log files too."""
    silence = not sys.stderr.isatty() and logging.is_progress_bar_enabled()
    if silence:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if silence:
            logging.enable_progress_bar()


def _source(name: str | Path) -> str:
    """A folder as such, or a name of the hub."""
    if Path(name).is_dir():
        return str(name)
    text = str(name)
    if isinstance(name, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise NetError(
            f"Cannot load a transformer from the folder '{text}'. There is no such folder. Check the path, or "
            "give a name on the hub, like 'openai-community/gpt2'."
        )
    return text


def _transformers(source: str) -> Any:
    """The library, imported when it is needed."""
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise NetError(
            f"Cannot load the transformer '{source}'. That needs the library 'transformers', which is not "
            "installed. Install it: pip install 'convergent[hub]'."
        ) from error
