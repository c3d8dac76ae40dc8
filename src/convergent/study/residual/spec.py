"""What a study of the inside of nets may say: layers that share a basis, and what is added to them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ..families import FamiliesStudy, FamilySpec
from ..spec import PlainName, TokensSpec, ViewSpec


class StreamFamily(FamilySpec):
    """Nets of one architecture, each looked at along its depth.

    Attributes:
        layers: the stream, names or globs: residual sums, from the input up. In a net without shortcuts, the
            outputs of its blocks.
        branches: names or globs of what is added to the stream, or nothing.
    """

    branches: list[str] = Field(default_factory=list)


def _default_view(known: Mapping[str, Any]) -> ViewSpec:
    """Of maps, 2 x 2 places: where a map is half as large as the one before, these see the same of the input."""
    tokens = isinstance(known.get("data"), TokensSpec)
    return ViewSpec(units="tokens") if tokens else ViewSpec(locations="grid=2")


class ResidualStudy(FamiliesStudy):
    """Inside one net: at what depth does a unit stay itself, and what do layers have in common?

    Attributes:
        families: the first is the residual one that is asked about; the others are controls, such as plain nets
            of equal depth.
        view: all layers of a net are paired, so they need the same places: 2 x 2 of each map, or all tokens.
        rotations: of the basis, one for all layers of a stage, which tell whether single units matter.
    """

    kind: Literal["residual"] = "residual"
    families: Annotated[dict[PlainName, StreamFamily], Field(min_length=1)]  # type: ignore[assignment]
    view: ViewSpec = Field(default_factory=_default_view)
    rotations: Annotated[int, Field(ge=1, le=100)] = 5

    @property
    def chosen_layers(self) -> Mapping[str, Sequence[str]]:
        """The stream and the branches of its family, for each net."""
        return {net: self._chosen(family) for net, family in self.family_of.items()}

    @property
    def residual(self) -> str:
        """The family that is asked about."""
        return next(iter(self.families))

    def _chosen(self, family: str) -> Sequence[str]:
        own = self.families[family]
        return [*own.layers, *own.branches]
