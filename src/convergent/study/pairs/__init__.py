"""Pairs of nets, layers of equal name: which units are the same?"""

from .run import carry_out, check
from .spec import PairsStudy

__all__ = ["PairsStudy", "carry_out", "check"]
