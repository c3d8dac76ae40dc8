"""A pass: stopped at any moment and resumed it ends in the same bits; what cannot be continued says so."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent import passes
from convergent.batch import ActivationBatch, Activations, Reduction
from convergent.errors import DataError, FileFormatError, MismatchError, NotEnoughMemoryError, StorageError
from convergent.passes import Source, available_memory, collect
from convergent.results import Fingerprint
from convergent.statistics import (
    Blocked,
    BlockedPlan,
    InputSamplePlan,
    MinibatchHsicPlan,
    MomentsPlan,
    TopInputsPlan,
    ZerosPlan,
    load,
)
from convergent.statistics.base import Plan
from convergent.units import LayerRef, LayerUnits

REFS = (LayerRef("a", "conv"), LayerRef("b", "conv"))
N_BATCHES = 7
FINGERPRINT = Fingerprint({"a": "1", "b": "2"}, "made", "all")
PLANS: dict[str, Plan] = {
    "moments": MomentsPlan(buffer_samples=20),
    "blocked": BlockedPlan(MomentsPlan(buffer_samples=20), 3),
    "top": TopInputsPlan(2),
    "blocked top": BlockedPlan(TopInputsPlan(2), 4),
    "zeros": ZerosPlan(),
    "blocked zeros": BlockedPlan(ZerosPlan(), 2),
    "rolled": MomentsPlan(buffer_samples=20, norms=True, n_rolls=3),
    "blocked rolled": BlockedPlan(MomentsPlan(buffer_samples=20, n_rolls=2), 3),
    "sample": InputSamplePlan(4),
    "hsic": MinibatchHsicPlan(),
}


def nothing() -> None:
    """What happens before most batches."""


@dataclass(frozen=True)
class Made:
    """A source of made-up activations; something may happen before batch number `at`, from 1 on."""

    n_batches: int = N_BATCHES
    size: int = 5
    fingerprint: Fingerprint = FINGERPRINT
    at: int = -1
    happens: Callable[[], object] = nothing

    @property
    def layers(self) -> tuple[LayerUnits, ...]:
        return tuple(LayerUnits(ref, 3, (2, 2), 4, "all") for ref in REFS)

    @property
    def n_inputs(self) -> int | None:
        return self.n_batches * self.size

    def calibration(self, reduction: Reduction | None = None) -> ActivationBatch:
        assert self.n_batches
        assert reduction is None
        return self._batch(0)

    def batches(self, start: int = 0, reduction: Reduction | None = None) -> Iterator[ActivationBatch]:
        for number in range(start, self.n_batches):
            if number == self.at:
                self.happens()
            yield self._batch(number)

    def _batch(self, number: int) -> ActivationBatch:
        generator = torch.Generator().manual_seed(number)
        maps = {ref: torch.randn(self.size, 3, 4, generator=generator) + 3 for ref in REFS}
        ids = np.arange(self.size) + 100 * number
        return ActivationBatch(ids, {ref: Activations(v.relu()) for ref, v in maps.items()})


def bits(statistics: dict[str, Any]) -> dict[str, bytes]:
    """Every array and count of some statistics."""
    found = {}
    for name, statistic in statistics.items():
        for i, part in enumerate(statistic.blocks if isinstance(statistic, Blocked) else (statistic,)):
            found[f"{name}/{i}"] = repr(part.header()).encode()
            found |= {f"{name}/{i}/{key}": array.tobytes() for key, array in part.arrays().items()}
    return found


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, bytes]:
    return bits(collect(Made(), PLANS))


def crash() -> None:
    raise RuntimeError("the power went")


def press_control_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_protocol_is_kept() -> None:
    assert isinstance(Made(), Source)


@settings(max_examples=8)
@given(stops=st.lists(st.integers(1, N_BATCHES - 1), min_size=1, max_size=3, unique=True))
def test_stopped_at_any_batch_and_resumed_the_bits_are_the_same(
    stops: list[int], undisturbed: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkpoint = tmp_path_factory.mktemp("pass") / "checkpoint.safetensors"
    for k in sorted(stops):
        with pytest.raises(RuntimeError, match="the power went"):
            collect(Made(at=k, happens=crash), PLANS, checkpoint=checkpoint, checkpoint_seconds=-1.0)
        assert checkpoint.exists()
    assert bits(collect(Made(), PLANS, checkpoint=checkpoint)) == undisturbed
    assert not list(checkpoint.parent.iterdir())


@settings(max_examples=7)
@given(k=st.integers(1, N_BATCHES - 1))
def test_control_c_ends_the_batch_writes_a_checkpoint_and_stops(
    k: int, undisturbed: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkpoint = tmp_path_factory.mktemp("pass") / "checkpoint.safetensors"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        collect(Made(at=k, happens=press_control_c), PLANS, checkpoint=checkpoint)
    assert signal.getsignal(signal.SIGINT) is before
    # The batch that was on its way is in the checkpoint: resuming starts behind it.
    resumed = collect(Made(at=k, happens=crash), PLANS, checkpoint=checkpoint)
    assert bits(resumed) == undisturbed
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_control_c_stops_at_once() -> None:
    def twice() -> None:
        press_control_c()
        with pytest.raises(KeyboardInterrupt):
            press_control_c()
        crash()

    with pytest.raises(RuntimeError, match="the power went"):
        collect(Made(at=2, happens=twice), PLANS)


def test_control_c_without_checkpoint_just_stops() -> None:
    with pytest.raises(KeyboardInterrupt):
        collect(Made(at=2, happens=press_control_c), {"zeros": ZerosPlan()})


def test_the_handler_is_restored_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="the power went"):
        collect(Made(at=2, happens=crash), PLANS)
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_can_collect(undisturbed: dict[str, bytes]) -> None:
    found: list[dict[str, bytes]] = []
    thread = threading.Thread(target=lambda: found.append(bits(collect(Made(), PLANS))))
    thread.start()
    thread.join()
    assert found == [undisturbed]


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(RuntimeError, match="the power went"):
        collect(Made(at=3, happens=crash), PLANS, checkpoint=checkpoint, checkpoint_seconds=-1.0)
    return checkpoint


@pytest.mark.parametrize(
    ("source", "plans"),
    [
        (replace(Made(), fingerprint=Fingerprint({"a": "1", "b": "3"}, "made", "all")), PLANS),
        (replace(Made(), fingerprint=Fingerprint({"a": "1", "b": "2"}, "other", "all")), PLANS),
        (replace(Made(), size=4), PLANS),
        (Made(), PLANS | {"top": TopInputsPlan(3)}),
        (Made(), {"moments": PLANS["moments"]}),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(source: Made, plans: dict[str, Plan], stopped: Path) -> None:
    before = stopped.read_bytes()
    with pytest.raises(
        MismatchError, match=r"Cannot continue the pass kept in '.*'\. It is of other .* 15 inputs done"
    ):
        collect(source, plans, checkpoint=stopped)
    assert stopped.read_bytes() == before


@pytest.mark.parametrize("length", [0, 5, 300, -1])
def test_a_truncated_checkpoint_is_refused(length: int, stopped: Path) -> None:
    stopped.write_bytes(stopped.read_bytes()[:length])
    with pytest.raises(FileFormatError, match="it is damaged, truncated or not a checkpoint of a pass"):
        collect(Made(), PLANS, checkpoint=stopped)


def test_one_wrong_bit_in_a_checkpoint_is_seen(stopped: Path) -> None:
    content = bytearray(stopped.read_bytes())
    content[-100] ^= 1
    stopped.write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"damaged, .* \(its content does not match its checksum\)"):
        collect(Made(), PLANS, checkpoint=stopped)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"Cannot continue from .* \(It is a folder, not a file\)"):
        collect(Made(at=0, happens=crash), PLANS, checkpoint=tmp_path)


def test_the_pass_is_kept_until_every_statistic_is_written(
    tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {name: plan for name, plan in PLANS.items() if name != "blocked zeros"}
    checkpoint, folder = tmp_path / "pass.safetensors", tmp_path / "out"
    folder.write_text("in the way")
    with pytest.raises(StorageError, match="is a file, not a folder"):
        collect(Made(), kinds, checkpoint=checkpoint, into=folder)
    folder.unlink()
    found = collect(Made(at=0, happens=crash), kinds, checkpoint=checkpoint, into=folder)
    assert not checkpoint.exists()
    saved = {name: load(folder / f"{name}.safetensors") for name in kinds}
    assert (
        bits(saved) == bits(found) == {k: v for k, v in undisturbed.items() if not k.startswith("blocked zeros")}
    )


def test_no_inputs() -> None:
    with pytest.raises(
        DataError, match=r"Asked for statistics of a source\. It gave no inputs\. Give at least one"
    ):
        collect(Made(n_batches=1, size=0), PLANS)


@dataclass(frozen=True)
class Counted(Made):
    """Writes down which batches are asked for."""

    asked: list[int] = field(default_factory=list)

    def _batch(self, number: int) -> ActivationBatch:
        self.asked.append(number)
        return super()._batch(number)


def test_every_batch_is_run_once(tmp_path: Path) -> None:
    source = Counted()
    collect(source, PLANS)
    assert source.asked == list(range(N_BATCHES))
    stopped, checkpoint = Counted(at=3, happens=crash), tmp_path / "pass.safetensors"
    with pytest.raises(RuntimeError, match="the power went"):
        collect(stopped, PLANS, checkpoint=checkpoint, checkpoint_seconds=-1.0)
    assert stopped.asked == [0, 1, 2]
    resumed = Counted()
    collect(resumed, PLANS, checkpoint=checkpoint)
    assert resumed.asked == [0, *range(3, N_BATCHES)]  # statistics start from the first batch again


def test_memory_is_announced_and_refused_where_it_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needed = sum(plan.n_bytes(Made().layers) for plan in PLANS.values())
    monkeypatch.setattr(passes, "available_memory", lambda: needed)
    with caplog.at_level(logging.INFO, logger="convergent"):
        collect(Made(), PLANS)
    assert f"{len(PLANS)} statistics need 0.0 MiB; 0.0 MiB are free." in caplog.text
    monkeypatch.setattr(passes, "available_memory", lambda: needed - 1)
    with pytest.raises(
        NotEnoughMemoryError, match=r"need 0\.0 MiB\. This machine has 0\.0 MiB free\. Keep fewer pairs"
    ):
        collect(Made(at=0, happens=crash), PLANS)


def test_sizes_are_written_in_units_one_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "available_memory", lambda: 3 * 2**30)
    with pytest.raises(NotEnoughMemoryError, match=r"need \d+\.\d\d GiB\. This machine has 3\.00 GiB free"):
        collect(Made(), {"top": TopInputsPlan(10**8)})


def test_free_memory_is_the_lower_of_machine_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"MemAvailable:": 2000, "/sys/fs/cgroup/memory.max": 10**6, "/sys/fs/cgroup/memory.current": 4 * 10**5}
    monkeypatch.setattr(passes, "_number_in", lambda path, label="": said.get(label or path, 0))
    assert available_memory() == 600_000
    said["/sys/fs/cgroup/memory.max"] = 0  # no limit
    assert available_memory() == 2000 * 1024
    said["MemAvailable:"] = 0  # not Linux
    assert available_memory() > 2**20


def test_this_machine_has_memory() -> None:
    assert 2**20 < available_memory() < 2**50
