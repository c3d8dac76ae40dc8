"""One pass over the inputs: a source of activations and several plans become statistics."""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ._typing import Tensor
from .batch import ActivationBatch, Reduction
from .errors import DataError, FileFormatError, MismatchError, NotEnoughMemoryError
from .files import replacing, why_unreadable
from .progress import bar
from .results import Fingerprint
from .statistics import save
from .statistics.base import Accumulator, Plan, Reducing, under
from .statistics.files import checksum
from .units import LayerUnits

_HEADER = "convergent-checkpoint"
_log = logging.getLogger("convergent")


@runtime_checkable
class Source(Protocol):
    """Where activations come from; `extraction.Lockstep` is one."""

    @property
    def layers(self) -> tuple[LayerUnits, ...]:
        """The layers every batch has."""

    @property
    def n_inputs(self) -> int | None:
        """How many inputs there are, or None where nobody knows."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Nets, data and view."""

    def calibration(self, reduction: Reduction | None = None) -> ActivationBatch:
        """Batch 0, which should be typical; a pass that begins there counts it and does not run it again."""

    def batches(self, start: int = 0, reduction: Reduction | None = None) -> Iterator[ActivationBatch]:
        """All batches from number `start` on, always the same; layers reduced where that is asked for."""


def collect(
    source: Source,
    plans: Mapping[str, Plan],
    *,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 120.0,
    into: str | Path | None = None,
) -> dict[str, Any]:
    """Run the nets once over all inputs and accumulate every plan's statistic.

    The memory needed is logged before the first batch (`logging.basicConfig(level="INFO")` shows it), and refused
    where it does not fit.
    With a `checkpoint`, the state is written there every `checkpoint_seconds` and on Ctrl-C; a later call with the
    same source and plans continues from it and ends in the same bits. The file is removed at the end; with `into`,
    not before every statistic is on disk, so that a full disk costs no second pass.

    Args:
        source: yields batches.
        plans: name -> plan.
        checkpoint: where an unfinished pass is kept; None keeps none.
        checkpoint_seconds: time between two checkpoints.
        into: folder where every statistic is saved as NAME.safetensors; None saves none.

    Returns:
        Name -> statistic (`Blocked` where the plan is).

    Raises:
        NotEnoughMemoryError: with the number of bytes.
        DataError: if there are no inputs.
        MismatchError: if the checkpoint is of another source or other plans.
        FileFormatError: if the checkpoint cannot be read.
        StorageError: if a checkpoint or a statistic cannot be written.

    Example:
        >>> from convergent import Lockstep, MomentsPlan, PhotoDigits, load_net
        >>> nets = {name: load_net("alexnet_small") for name in "ab"}
        >>> source = Lockstep(nets, PhotoDigits.probe(100), layers=["relu1"])
        >>> collect(source, {"moments": MomentsPlan()})["moments"].n_inputs
        100
    """
    layers = source.layers
    _announce(sum(plan.n_bytes(layers) for plan in plans.values()), len(plans))
    reduction = _common_reduction(plans)
    calibration = source.calibration(reduction)
    accumulators = {name: plan.start(layers, calibration) for name, plan in plans.items()}
    work = _Work(
        accumulators, _identity(source, plans, calibration), None if checkpoint is None else Path(checkpoint)
    )
    work.resume()
    start = work.n_batches
    batches = source.batches(start, reduction) if start else _after([calibration], source.batches(1, reduction))
    del calibration
    _run(batches, work, source.n_inputs, checkpoint_seconds)
    if work.n_inputs == 0:
        raise DataError("Asked for statistics of a source. It gave no inputs. Give at least one.")
    return _finish(source, work, None if into is None else Path(into))


def _after(first: list[ActivationBatch], rest: Iterator[ActivationBatch]) -> Iterator[ActivationBatch]:
    """What the list holds is let go as it is given."""
    yield first.pop()
    yield from rest


def _common_reduction(plans: Mapping[str, Plan]) -> Reduction | None:
    """What all plans make of a layer; None where any of them wants the activations, or another reduction."""
    wanted = {plan.reduction if isinstance(plan, Reducing) else None for plan in plans.values()}
    return wanted.pop() if len(wanted) == 1 else None


def _finish(source: Source, work: "_Work", into: Path | None) -> dict[str, Any]:
    """The statistics; what was summed stays on disk until they are."""
    if into is not None:
        work.save()
    finished = {name: accumulator.finish(source.fingerprint) for name, accumulator in work.accumulators.items()}
    if into is not None:
        for name, statistic in finished.items():
            save(statistic, into / f"{name}.safetensors")
    if work.checkpoint is not None:
        work.checkpoint.unlink(missing_ok=True)
    return finished


def _run(batches: Iterator[ActivationBatch], work: "_Work", n_inputs: int | None, seconds: float) -> None:
    written = time.monotonic()
    with (
        bar("Running the nets", total=n_inputs, done=work.n_inputs) as progress,
        _interrupt_between_batches() as interrupted,
    ):
        for batch in batches:
            work.take(batch)
            progress.advance(len(batch.ids))
            del batch  # the nets write the next one into its memory, which is faster than into fresh pages
            if work.checkpoint is not None and (interrupted.is_set() or time.monotonic() - written > seconds):
                work.save()
                written = time.monotonic()
            if interrupted.is_set():
                raise KeyboardInterrupt


@dataclass
class _Work:
    """Accumulators in the middle of a pass."""

    accumulators: Mapping[str, Accumulator]
    identity: str
    checkpoint: Path | None
    n_batches: int = 0
    n_inputs: int = 0

    def take(self, batch: ActivationBatch) -> None:
        for accumulator in self.accumulators.values():
            accumulator.update(batch)
        self.n_batches += 1
        self.n_inputs += len(batch.ids)

    def save(self) -> None:
        state = {
            f"{name}/{key}": value.cpu().contiguous()
            for name, accumulator in self.accumulators.items()
            for key, value in accumulator.state().items()
        }
        header = json.dumps({"identity": self.identity, "n_batches": self.n_batches, "n_inputs": self.n_inputs})
        if self.checkpoint is not None:
            with replacing(self.checkpoint) as temporary:
                save_file(state, temporary, metadata={_HEADER: header, "sha256": _checksum(header, state)})

    def resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        header, state = _read_checkpoint(self.checkpoint)
        if header["identity"] != self.identity:
            raise MismatchError(
                f"Cannot continue the pass kept in '{self.checkpoint}'. It is of other nets, data, layers, plans "
                f"or batches, with {header['n_inputs']} inputs done. Delete it to start over."
            )
        self.n_batches, self.n_inputs = header["n_batches"], header["n_inputs"]
        for name, accumulator in self.accumulators.items():
            accumulator.restore(under(f"{name}/", state))


def _read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        if _checksum(metadata[_HEADER], state) != metadata["sha256"]:
            raise ValueError("its content does not match its checksum")
        return json.loads(metadata[_HEADER]), state
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        reason = why_unreadable(path, error) if isinstance(error, OSError) else error
        raise FileFormatError(
            f"Cannot continue from '{path}': it is damaged, truncated or not a checkpoint of a pass ({reason}). "
            "Remove it to start over, or name another file."
        ) from error


def _checksum(text: str, state: Mapping[str, Tensor]) -> str:
    return checksum(text, {name: value.numpy() for name, value in state.items()})


def _identity(source: Source, plans: Mapping[str, Plan], calibration: ActivationBatch) -> str:
    """What must be equal for a pass to be continued."""
    said = {
        "plans": {name: repr(plan) for name, plan in plans.items()},
        "layers": [str(layer) for layer in source.layers],
        "fingerprint": asdict(source.fingerprint),
        "batch": len(calibration.ids),  # done batches are counted, so batches must stay the same
    }
    return json.dumps(said, sort_keys=True)


def _announce(n_bytes: int, n_plans: int) -> None:
    available = available_memory()
    _log.info("%d statistics need %s; %s are free.", n_plans, _size(n_bytes), _size(available))
    if n_bytes > available:
        raise NotEnoughMemoryError(
            f"The statistics asked for need {_size(n_bytes)}. This machine has {_size(available)} free. "
            "Keep fewer pairs of layers, fewer blocks, or fewer layers a pass."
        )


def available_memory() -> int:
    """Bytes this process may still use: the kernel's estimate, or the control group's limit where it is lower."""
    kernel = _number_in("/proc/meminfo", "MemAvailable:")
    free = kernel * 1024 if kernel else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = _number_in("/sys/fs/cgroup/memory.max"), _number_in("/sys/fs/cgroup/memory.current")
    return min(free, limit - used) if limit else free


def _number_in(path: str, label: str = "") -> int:
    """The first number behind a label in a file of the system; 0 where there is none."""
    try:
        words: Sequence[str] = Path(path).read_text().split()
    except OSError:
        return 0
    at = words.index(label) + 1 if label in words else 0
    return int(words[at]) if at < len(words) and words[at].isdigit() else 0


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:,.2f} GiB"


@contextmanager
def _interrupt_between_batches() -> Iterator[threading.Event]:
    """Turn Ctrl-C into an event, so that sums are never left half updated; a second Ctrl-C stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(signal_number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
