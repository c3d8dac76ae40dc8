"""Statistics of a run: read where they are there already, else accumulated in one pass."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import StudyError
from ..extraction import Lockstep
from ..passes import collect
from ..statistics import (
    Blocked,
    BlockedPlan,
    Histograms,
    HistogramsPlan,
    MinibatchHsic,
    MinibatchHsicPlan,
    Moments,
    MomentsPlan,
    Quantiles,
    QuantilesPlan,
    TopInputs,
    TopInputsPlan,
    ZerosPlan,
    load,
)
from ..statistics.base import Plan, Statistic

_KINDS: Mapping[type[Plan], type[Any]] = {
    MomentsPlan: Moments,
    ZerosPlan: Moments,
    TopInputsPlan: TopInputs,
    QuantilesPlan: Quantiles,
    HistogramsPlan: Histograms,
    MinibatchHsicPlan: MinibatchHsic,
}


def kept(plans: Mapping[str, Plan], source: Lockstep, folder: Path, *, name: str) -> dict[str, Any]:
    """The statistic of every plan, `NAME.safetensors` in a folder.

    Args:
        plans: name -> plan.
        source: the nets on all inputs.
        folder: where the statistics are.
        name: of the pass, whose checkpoint lies in the folder while it runs.

    Raises:
        StudyError: if what is there is of other weights, inputs or layers.
    """
    files = {plan: folder / f"{plan}.safetensors" for plan in plans}
    if not all(file.exists() for file in files.values()):
        return collect(source, plans, checkpoint=folder / f"{name}.pass.safetensors", into=folder)
    found = {plan: load(file) for plan, file in files.items()}
    for plan, statistic in found.items():
        _check_kind(statistic, plans[plan], files[plan])
        _check_same_nets(statistic, source, files[plan])
    return found


def _check_kind(found: Statistic | Blocked[Any], plan: Plan, file: Path) -> None:
    one = found.blocks[0] if isinstance(found, Blocked) else found
    of_one = plan.plan if isinstance(plan, BlockedPlan) else plan
    if isinstance(plan, BlockedPlan) != isinstance(found, Blocked) or type(one) is not _KINDS[type(of_one)]:
        raise StudyError(
            f"Cannot go on with '{file}'. It holds another statistic than {type(of_one).__name__} makes. "
            f"Remove the folder '{file.parent}' to compute them again."
        )


def _check_same_nets(found: Statistic | Blocked[Any], source: Lockstep, file: Path) -> None:
    part = found.blocks[0] if isinstance(found, Blocked) else found
    now = source.fingerprint
    was = part.fingerprint
    same = (was.weights, was.data, was.passes) == (now.weights, now.data, now.passes)
    if not same or not set(part.layers) <= set(source.layers):
        raise StudyError(
            f"Cannot go on with '{file}'. It comes from other weights, inputs or layers than there are now. "
            f"Remove the folder '{file.parent}' to compute them again."
        )
