"""The nets of a study on its inputs."""

from collections.abc import Mapping, Sequence

from ..batch import Inputs
from ..extraction import Lockstep, View
from ..nets import call_with_mask
from .spec import Study
from .subjects import Subject


def source_of(
    study: Study,
    subjects: Mapping[str, Subject],
    inputs: Inputs,
    *,
    layers: Mapping[str, Sequence[str]] | None = None,
    view: View | None = None,
) -> Lockstep:
    """The nets in lockstep.

    Args:
        study: says how they are looked at.
        subjects: which nets.
        inputs: what they are run on.
        layers: names or globs for each net; those the study chooses where not given.
        view: of the activations; the study's where not given.

    Raises:
        ConvergentError: if layers and inputs do not fit the nets.
    """
    chosen = study.chosen_layers if layers is None else layers
    return Lockstep(
        {name: subject.net for name, subject in subjects.items()},
        inputs,
        layers={name: chosen[name] for name in subjects},
        view=study.view.view() if view is None else view,
        batch_size=study.batch_size,
        call=call_with_mask,  # without a mask, which only texts have, it runs a net the plain way
        weights={name: subject.weights for name, subject in subjects.items()},
    )
