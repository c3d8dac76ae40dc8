"""One progress bar for all long work: shown on a terminal, silent everywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@dataclass(frozen=True)
class Bar:
    """A running progress bar."""

    progress: Progress
    task: TaskID

    def advance(self, n: int = 1, *, note: str = "") -> None:
        """Count `n` more steps done, and show `note` (a loss, say) beside the bar."""
        self.progress.update(self.task, advance=n, note=note)


@contextmanager
def bar(description: str, *, total: int | None, done: int = 0) -> Iterator[Bar]:
    """Show a bar on standard error for as long as the block runs; quiet where that is not a terminal.

    Args:
        description: what is being done.
        total: number of steps, or None where it is not known.
        done: steps that were done before (by a run that is now resumed).
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        yield Bar(progress, progress.add_task(description, total=total, completed=done, note=""))
