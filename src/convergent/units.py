"""What is compared, and how it is written: `net/layer[index]`."""

from dataclasses import dataclass

from .errors import InvalidArgumentError


@dataclass(frozen=True, order=True)
class LayerRef:
    """One layer of one net, written `net/layer`.

    Example:
        >>> ref = LayerRef("a", "features.conv1")
        >>> str(ref), ref.unit(3)
        ('a/features.conv1', 'a/features.conv1[3]')
    """

    net: str
    layer: str

    def __post_init__(self) -> None:
        if not self.net or not self.layer or "/" in self.net:
            raise InvalidArgumentError(
                f"A layer is named net/layer. Found net {self.net!r} and layer {self.layer!r}. "
                "Give both, and keep '/' out of the name of the net."
            )

    def __str__(self) -> str:
        return f"{self.net}/{self.layer}"

    def unit(self, index: int) -> str:
        """The name of one unit: `net/layer[index]`."""
        return f"{self.net}/{self.layer}[{index}]"

    @classmethod
    def of(cls, layer: "str | LayerRef") -> "LayerRef":
        """A layer given by its name `net/layer`, or as it is."""
        return cls.parse(layer) if isinstance(layer, str) else layer

    @classmethod
    def parse(cls, text: str) -> "LayerRef":
        """Read `net/layer` back.

        Raises:
            InvalidArgumentError: if there is no '/' in it.
        """
        net, _, layer = text.partition("/")
        return cls(net, layer)


@dataclass(frozen=True)
class LayerUnits:
    """The units of one layer, and the places where each is sampled.

    Attributes:
        ref: which net and layer.
        n_units: how many units are compared.
        grid: shape of the layer's map of locations, `()` where a layer has one value per unit and input.
        n_samples_per_input: how many locations of each input the view keeps.
        sampling: the view's rule for choosing them ("all", "mean", "grid=13", "random=4"). Two layers of the
            same grid and sampling have the same samples, and only such layers can be paired.
    """

    ref: LayerRef
    n_units: int
    grid: tuple[int, ...]
    n_samples_per_input: int
    sampling: str

    @property
    def sample_space(self) -> tuple[object, ...]:
        """What two layers must share to be paired, unit by unit."""
        if self.n_samples_per_input == 1 and not self.sampling.startswith("random="):
            return ("whole input",)
        if self.sampling == "all" or self.sampling.startswith("random="):
            return (self.sampling, self.grid)
        return (self.sampling,)
