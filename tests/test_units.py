import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.errors import InvalidArgumentError, nearest
from convergent.units import LayerRef, LayerUnits

nets = st.text(min_size=1).filter(lambda name: "/" not in name)


@given(nets, st.text(min_size=1), st.integers(0, 10**6))
def test_names_are_read_back(net: str, layer: str, index: int) -> None:
    ref = LayerRef(net, layer)
    assert LayerRef.parse(str(ref)) == ref == LayerRef.of(ref) == LayerRef.of(str(ref))
    assert ref.unit(index) == f"{net}/{layer}[{index}]"


@pytest.mark.parametrize(("net", "layer"), [("", "x"), ("a", ""), ("a/b", "x")])
def test_half_a_name_is_refused(net: str, layer: str) -> None:
    with pytest.raises(
        InvalidArgumentError, match=rf"A layer is named net/layer\. Found net '{net}' and layer '{layer}'"
    ):
        LayerRef(net, layer)


def test_a_name_without_slash_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="Found net 'conv1' and layer ''"):
        LayerRef.parse("conv1")


def space(grid: tuple[int, ...], n: int, sampling: str) -> tuple[object, ...]:
    return LayerUnits(LayerRef("a", "x"), 5, grid, n, sampling).sample_space


def test_what_can_be_paired() -> None:
    whole_input = space((), 1, "all")
    assert space((55, 55), 1, "mean") == space((13, 13), 1, "mean") == space((1, 1), 1, "all") == whole_input
    assert space((55, 55), 169, "grid=13") == space((27, 27), 169, "grid=13")
    assert space((27, 27), 4, "random=4") != space((13, 13), 4, "random=4")
    assert space((27, 27), 1, "random=1") != whole_input
    assert space((13, 13), 169, "all") != space((27, 27), 729, "all")


def test_nearest_names() -> None:
    assert nearest("x", []) == "There are none."
    assert nearest("zzz", [f"c{i}" for i in range(13)]).endswith("'c11', ...")
    assert nearest("zzz", ["c"]) == "Known: 'c'."
