"""From nets and inputs to batches of viewed activations."""

from .filters import around_grey, first_convolution, first_filters
from .layers import LayerInfo, choose_layers, list_layers
from .lockstep import Lockstep
from .projection import project
from .receptive_field import ReceptiveField, Span, receptive_fields
from .taps import detached, tapping
from .views import View, view

__all__ = [
    "LayerInfo",
    "Lockstep",
    "ReceptiveField",
    "Span",
    "View",
    "around_grey",
    "choose_layers",
    "detached",
    "first_convolution",
    "first_filters",
    "list_layers",
    "project",
    "receptive_fields",
    "tapping",
    "view",
]
