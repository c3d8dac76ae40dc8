"""What a study of convergence against depth and family may say."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..families import FamiliesStudy
from ..spec import fault


class DepthStudy(FamiliesStudy):
    """Do deeper nets agree less? Which family agrees most, and at which depth?

    Attributes:
        width: how many units of a layer are drawn on each side where layers of different widths are compared;
            layers with fewer living units are left out of that comparison.
        draws: how often they are drawn.
    """

    kind: Literal["depth"] = "depth"
    untrained: Annotated[int, Field(ge=0, le=100)] = 3
    width: Annotated[int, Field(ge=2)] = 32
    draws: Annotated[int, Field(ge=1, le=1000)] = 5

    @model_validator(mode="after")
    def _several_nets(self) -> "DepthStudy":
        for name, family in self.families.items():
            if len(family.nets(name)) < 2:
                raise fault("nets of a family are compared with each other; give at least two", "families", name)
        if self.untrained == 1:
            raise fault("untrained nets are compared with each other; give 0, or at least 2", "untrained")
        return self
