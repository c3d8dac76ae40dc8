"""Array annotations: `Float[Tensor, "inputs units"]`. Checked in tests, only read elsewhere.

Axis words, everywhere: inputs samples units units_a units_b locations layers blocks bins k.
"""

from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, Shaped, UInt8, UInt64
from numpy import ndarray as Array
from torch import Tensor

__all__ = [
    "Array",
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Int",
    "Int64",
    "Shaped",
    "Tensor",
    "UInt8",
    "UInt64",
]
