"""A study of causes: every experiment cut into parts, each of which is done once."""

import glob
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ...batch import Batch, Inputs
from ...errors import StudyError
from ...experiments import answer, costs
from ...extraction import Lockstep
from ...files import replacing
from ...progress import bar
from ...statistics import BlockedPlan, Moments, MomentsPlan
from ...units import LayerUnits
from ..inputs import inputs_of
from ..kept import kept
from ..source import source_of
from ..subjects import Subject
from . import put_in, taken_out
from .claims import claims_tables
from .combined import combining_parts, distilling_parts
from .means import means_tables
from .merged import Movable, merging_parts, movable, zipping_parts
from .parts import Part, joined
from .put_in import transplant_parts
from .spec import CauseStudy
from .subject import Family, in_batches, require_apart, require_labels
from .taken_out import ablation_parts
from .unit_sets import units_table

_TABLES: Mapping[str, Sequence[str]] = {
    "ablation": taken_out.TABLES,
    "transplant": put_in.TABLES,
    "merging": ("merging",),
    "zipping": ("zipped",),
    "combining": ("combining",),
    "distilling": ("combining",),
}
_log = logging.getLogger("convergent")
Subjects = Mapping[str, Subject]


def carry_out(study: CauseStudy, source: Lockstep, subjects: Subjects, inputs: Inputs, folder: Path) -> None:
    """Statistics and tables, each left in the run folder and not made twice.

    Args:
        study: what to do.
        source: all nets on the inputs that are scored.
        subjects: the nets.
        inputs: the inputs that are scored.
        folder: the run folder.

    Raises:
        StudyError: if inputs have no labels or are fitted on and scored, or a layer has too few living units.
    """
    to_fit_on = inputs_of(study.fit)
    require_apart(inputs, to_fit_on)
    data, fit = (in_batches(one, size=study.batch_size) for one in (inputs, to_fit_on))
    require_labels(data, "data")
    require_labels(fit, "fit")
    families = [_family(study, name, source, subjects, to_fit_on, data, fit, folder) for name in study.families]
    parts = [part for family in families for part in _parts(study, family, subjects, to_fit_on, folder)]
    found = []
    with bar("Running the nets again", total=len(parts)) as progress:
        for part in parts:
            found.append(part.done(folder / "parts"))
            progress.advance(note=" ".join((part.experiment, *part.names)))
    tables = {name: pd.DataFrame() for experiment in study.experiments for name in _TABLES[experiment]}
    tables |= {
        "units": pd.concat([family.units.assign(family=family.name) for family in families]),
        **joined(found),
    }
    tables["nets"] = pd.concat([_nets_table(family) for family in families], ignore_index=True)
    tables |= {**means_tables(tables), **claims_tables(tables, list(study.families))}
    for name, table in tables.items():
        with replacing(folder / "tables" / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)


def check(study: CauseStudy, layers: Sequence[LayerUnits]) -> None:
    """Make sure that the nets of a family have layers of equal names and widths.

    Raises:
        StudyError: if they do not.
    """
    for family in study.families:
        widths = {
            net: {units.ref.layer: units.n_units for units in layers if units.ref.net == net}
            for net in study.nets_of(family)
        }
        first, *others = widths
        for other in others:
            if widths[other] != widths[first]:
                differing = sorted({name for name, _ in widths[first].items() ^ widths[other].items()})
                raise StudyError(
                    f"Cannot compare the nets of {family!r} unit by unit. '{first}' and '{other}' differ in the "
                    f"layers {', '.join(differing)}. Give nets of one architecture to a family."
                )


def _family(
    study: CauseStudy,
    name: str,
    source: Lockstep,
    subjects: Subjects,
    to_fit_on: Inputs,
    data: Sequence[Batch],
    fit: Sequence[Batch],
    folder: Path,
) -> Family:
    """What is known of a family's nets before anything is done to them."""
    own = {net: subjects[net] for net in study.nets_of(name)}
    statistic, nets = f"moments_{name}", {net: subject.net for net, subject in own.items()}
    plans = {statistic: BlockedPlan(MomentsPlan(), study.blocks)}
    moments = kept(plans, source_of(study, own, to_fit_on), folder / "statistics", name=statistic)[statistic]
    layers = dict.fromkeys(units.ref.layer for units in source.layers if units.ref.net in own)
    return Family(
        name,
        nets,
        tuple(layers),
        {net: answer(one, data) for net, one in nets.items()},
        {net: costs(one, data[0]) for net, one in nets.items()},
        moments,
        units_table(moments, share=study.share),
        data,
        fit,
    )


def _parts(
    study: CauseStudy, family: Family, subjects: Subjects, to_fit_on: Inputs, folder: Path
) -> Iterator[Part]:
    """The parts of all experiments on a family that were asked for and can be made."""
    makers: dict[str, Callable[[], Iterator[Part]]] = {
        "ablation": lambda: ablation_parts(study, family),
        "transplant": lambda: transplant_parts(study, family),
        "combining": lambda: combining_parts(study, family),
        "distilling": lambda: _distilling_parts(study, family, folder),
    }
    for name, parts in makers.items():
        if name in study.experiments:
            yield from parts()
    if {"merging", "zipping"} & set(study.experiments) and (found := movable(family)) is not None:
        moments = _moments_to_merge(study, family, found, subjects, to_fit_on, folder)
        for name, several in (("merging", merging_parts), ("zipping", zipping_parts)):
            if name in study.experiments:
                yield from several(study, family, found, moments)


def _distilling_parts(study: CauseStudy, family: Family, folder: Path) -> Iterator[Part]:
    if study.families[family.name].train is None:
        _log.warning(
            "Nets of %s are not distilled: they were not trained here, so that no recipe is known.", family.name
        )
        return
    yield from distilling_parts(study, family, study.nets_folder or folder / "nets")


def _moments_to_merge(
    study: CauseStudy, family: Family, found: Movable, subjects: Subjects, to_fit_on: Inputs, folder: Path
) -> Moments:
    """Of the pairs of nets that are merged, at the layers at which they are matched."""
    own = {net: subjects[net] for net in family.nets}
    layers = {net: [glob.escape(layer) for layer in found.layers] for net in own}
    pairs = [
        (f"{a}/{layer}", f"{b}/{layer}")
        for a, b in study.unordered_pairs_of(family.name)
        for layer in found.layers
    ]
    name = f"merging_{family.name}"
    source = source_of(study, own, to_fit_on, layers=layers)
    moments: Moments = kept({name: MomentsPlan(pairs)}, source, folder / "statistics", name=name)[name]
    return moments


def _nets_table(family: Family) -> pd.DataFrame:
    """One row a net: family, net, accuracy, loss, n_parameters, n_multiply_adds."""
    rows = [
        {
            "family": family.name,
            "net": net,
            "accuracy": said.accuracy,
            "loss": said.loss,
            "n_parameters": family.costs[net].n_parameters,
            "n_multiply_adds": family.costs[net].n_multiply_adds,
        }
        for net, said in family.answers.items()
    ]
    return pd.DataFrame(rows)
