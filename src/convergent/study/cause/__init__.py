"""Families of nets run again: do the units that no other net has matter, and can the differences be combined?"""

from .run import carry_out, check
from .spec import CauseStudy

__all__ = ["CauseStudy", "carry_out", "check"]
