"""Running a study: named steps, each of which leaves its result in the run folder and is not done twice."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from . import cause, depth, pairs, residual
from .inputs import inputs_of
from .ownership import check_folder, claim
from .provenance import write_provenance
from .source import source_of
from .spec import Study
from .subjects import build, train

_KINDS: Mapping[str, ModuleType] = {"pairs": pairs, "cause": cause, "depth": depth, "residual": residual}


def run_study(study: Study, folder: str | Path, *, resume: bool = False) -> Path:
    """Carry a study out: nets, statistics, tables; everything but the pictures for people.

    Stopped at any moment, by Ctrl-C or by a power cut, it goes on with `resume=True` where it was and ends with
    the same tables, bit for bit where it has as many threads.

    Args:
        study: what to do.
        folder: the run folder.
        resume: go on with a run that is already in the folder.

    Returns:
        The run folder.

    Raises:
        StudyError: if the folder holds a run and `resume` is not given, or the run of another study.
        ConvergentError: whatever its steps raise.

    Example:
        >>> from convergent import demo_study
        >>> run_study(demo_study(), "runs/demo", resume=True)  # doctest: +SKIP
        PosixPath('runs/demo')
    """
    folder = Path(folder)
    check_folder(folder, study, resume=resume)
    subjects, inputs = build(study), inputs_of(study.data)
    kind = _KINDS[study.kind]
    # Layers and inputs that do not fit are refused before anything is trained.
    kind.check(study, source_of(study, subjects, inputs).layers)
    claim(folder, study)
    subjects = train(study, subjects, study.nets_folder or folder / "nets")
    source = source_of(study, subjects, inputs)
    kind.carry_out(study, source, subjects, inputs, folder)
    write_provenance(study, source, subjects, inputs, folder)
    return folder
