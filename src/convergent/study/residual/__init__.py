"""Inside one net: how long does a unit stay itself, and what do its layers have in common?"""

from .run import carry_out, check
from .spec import ResidualStudy

__all__ = ["ResidualStudy", "carry_out", "check"]
