"""Which layers a family has, how deep each lies, and how the families compare in size."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import nn

from ...units import LayerUnits
from ..subjects import Subject
from .spec import DepthStudy


def places_table(study: DepthStudy, layers: Sequence[LayerUnits]) -> pd.DataFrame:
    """One row a layer of a family: family, layer, position (from 0), depth (0 first, 1 last), n_units.

    Args:
        study: names the families.
        layers: of all nets, from the input up.
    """
    rows = []
    for family in study.families:
        first = study.nets_of(family)[0]
        own = [layer for layer in layers if layer.ref.net == first]
        depths = np.linspace(0, 1, len(own)) if len(own) > 1 else np.array([0.5])
        rows += [
            (family, layer.ref.layer, k, depth, layer.n_units)
            for k, (layer, depth) in enumerate(zip(own, depths.tolist(), strict=True))
        ]
    return pd.DataFrame(rows, columns=["family", "layer", "position", "depth", "n_units"])


def families_table(study: DepthStudy, places: pd.DataFrame, subjects: Mapping[str, Subject]) -> pd.DataFrame:
    """One row a family: how deep, how large and how good its nets are.

    Columns: family, n_nets, n_layers (those chosen), n_weight_layers (linear and convolutional modules, which is
    how deep the net is), n_parameters, accuracy (mean over nets trained here; NaN where none was).

    Args:
        study: names the families.
        places: what `places_table` gives.
        subjects: the nets.
    """
    rows = []
    for family in study.families:
        nets = [subjects[name] for name in study.nets_of(family)]
        known = [net.accuracy for net in nets if net.accuracy is not None]
        rows.append(
            {
                "family": family,
                "n_nets": len(nets),
                "n_layers": int((places["family"] == family).sum()),
                "n_weight_layers": _n_weight_layers(nets[0].net),
                "n_parameters": sum(parameter.numel() for parameter in nets[0].net.parameters()),
                "accuracy": np.mean(known) if known else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _n_weight_layers(net: nn.Module) -> int:
    """Modules with a weight matrix or kernel of their own."""
    weights = [getattr(module, "weight", None) for module in net.modules()]
    return sum(isinstance(weight, nn.Parameter) and weight.ndim > 1 for weight in weights)
