"""From nets and inputs to batches of viewed activations."""

from .layers import LayerInfo, choose_layers, list_layers
from .lockstep import Lockstep
from .receptive_field import ReceptiveField, Span, receptive_fields
from .taps import detached, tapping
from .views import View, view

__all__ = [
    "LayerInfo",
    "Lockstep",
    "ReceptiveField",
    "Span",
    "View",
    "choose_layers",
    "detached",
    "list_layers",
    "receptive_fields",
    "tapping",
    "view",
]
