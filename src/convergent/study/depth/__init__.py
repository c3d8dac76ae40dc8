"""Families of nets along their depth: which converge more, and where?"""

from .run import carry_out, check
from .spec import DepthStudy

__all__ = ["DepthStudy", "carry_out", "check"]
