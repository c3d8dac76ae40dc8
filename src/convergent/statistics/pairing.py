"""Which pairs of layers are kept: `pairs="same-layer" | "all" | "none" | [(a, b), ...]`."""

from collections.abc import Sequence
from itertools import combinations

from ..errors import InvalidArgumentError, MismatchError, UnknownNameError, nearest
from ..units import LayerRef, LayerUnits

PairSpec = str | Sequence[tuple[str | LayerRef, str | LayerRef]]
Pair = tuple[LayerRef, LayerRef]


def resolve_pairs(spec: PairSpec, layers: Sequence[LayerUnits]) -> tuple[Pair, ...]:
    """The pairs asked for, in the order of `layers`, each layer's pair with itself included.

    Args:
        spec: "same-layer" pairs equal names across nets, "all" pairs every two layers, "none" pairs nothing;
            or a list of pairs written `("a/conv1", "b/conv1")`.
        layers: what there is.

    Raises:
        InvalidArgumentError: if `spec` is none of these.
        UnknownNameError: if a named layer is not there.
        MismatchError: if two layers do not have the same samples.
    """
    order = {layer.ref: position for position, layer in enumerate(layers)}
    wanted = {_ordered(pair, order) for pair in _wanted(spec, layers, order)}
    units = {layer.ref: layer for layer in layers}
    for a, b in wanted:
        check_pairable(units[a], units[b])
    return tuple(sorted(wanted, key=lambda pair: (order[pair[0]], order[pair[1]])))


def _wanted(spec: PairSpec, layers: Sequence[LayerUnits], order: dict[LayerRef, int]) -> list[Pair]:
    if isinstance(spec, str):
        refs = [layer.ref for layer in layers]
        if spec == "none":
            return []
        if spec not in ("same-layer", "all"):
            raise InvalidArgumentError(
                f"Pairs are 'same-layer', 'all', 'none' or a list of pairs. Found {spec!r}. Choose one of these."
            )
        between = [(a, b) for a, b in combinations(refs, 2) if spec == "all" or a.layer == b.layer]
        return between + [(ref, ref) for ref in refs]
    named = [(_find(a, order), _find(b, order)) for a, b in spec]
    return named + [(ref, ref) for pair in named for ref in pair]


def _find(name: str | LayerRef, order: dict[LayerRef, int]) -> LayerRef:
    ref = LayerRef.of(name)
    if ref not in order:
        known = [str(known) for known in order]
        raise UnknownNameError(
            f"No layer '{ref}' to pair. There are {len(known)} layers. {nearest(str(ref), known)}"
        )
    return ref


def _ordered(pair: Pair, order: dict[LayerRef, int]) -> Pair:
    a, b = sorted(pair, key=order.__getitem__)
    return a, b


def check_pairable(a: LayerUnits, b: LayerUnits) -> None:
    """Two layers can be paired only where they are sampled at the same places.

    Raises:
        MismatchError: with the two grids, and the views that would make them comparable.
    """
    if a.sample_space == b.sample_space:
        return
    common = min((min(layer.grid) for layer in (a, b) if layer.grid), default=1)
    raise MismatchError(
        f"Cannot pair '{a.ref}' ({_grid(a)}) with '{b.ref}' ({_grid(b)}): their samples differ. "
        f'Use view(locations="mean"), or view(grid={common}).'
    )


def _grid(layer: LayerUnits) -> str:
    size = " x ".join(str(n) for n in layer.grid) or "1"
    sampling = "" if layer.sampling == "all" else f", of which {layer.sampling}"
    return f"{size} locations per input{sampling}"
