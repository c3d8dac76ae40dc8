"""Training several nets at once, a process for each core: the same bits as one after the other."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from ..errors import ConvergentError, NetError
from ..progress import Bar, bar
from .recipe import Recipe
from .training import TrainedNet, TrainingData, train

Job = tuple[Path, Recipe]


def train_many(
    recipes: Mapping[str, Recipe], folder: str | Path, *, data: TrainingData, n_processes: int | None = None
) -> dict[str, TrainedNet]:
    """Train nets into `folder/NAME.safetensors`; those that are there already are not trained again.

    Each net has its own process, so a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        recipes: name of each net, and how to train it.
        folder: where their files go.
        data: where batches come from.
        n_processes: how many at once; as many as there are cores for, where not given. 1 starts no process.

    Raises:
        NetError: if a process dies.
        ConvergentError: whatever `train` raises.

    Cost:
        About a minute for four nets of the default recipe on two cores.
    """
    jobs = {name: (Path(folder) / f"{name}.safetensors", recipe) for name, recipe in recipes.items()}
    done = {name: train(job[1], job[0], data=data) for name, job in jobs.items() if job[0].exists()}
    missing = [jobs[name] for name in jobs if name not in done]
    widest = max((recipe.n_threads for _, recipe in missing), default=1)
    n = min(n_processes or max(1, torch.get_num_threads() // widest), len(missing))
    if n > 1:
        _train_apart(missing, data, n_processes=n)
    return {name: done.get(name) or train(recipe, path, data=data) for name, (path, recipe) in jobs.items()}


def _train_apart(jobs: Sequence[Job], data: TrainingData, *, n_processes: int) -> None:
    started = [_start() for _ in range(n_processes)]
    workers = [worker for worker, _ in started]
    try:
        for k, (_, pipe) in enumerate(started):
            _tell(pipe, (jobs[k::n_processes], data))
        with bar(f"Training {len(jobs)} nets", total=sum(recipe.n_steps for _, recipe in jobs)) as progress:
            _listen([pipe for _, pipe in started], progress)
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    finally:
        for worker in workers:
            worker.join()
    _check_exits(workers)


def _start() -> tuple[SpawnProcess, Connection]:
    context = get_context("spawn")  # a fork would inherit torch's threads, and hang
    here, there = context.Pipe()
    worker = context.Process(target=_work, args=(there,), daemon=True)
    worker.start()
    there.close()  # so that the worker's end is the only one, and its death is the end of the pipe
    return worker, here


def _tell(pipe: Connection, work: tuple[Sequence[Job], TrainingData]) -> None:
    """Hand over what to do; as arguments of the process, it would block where the worker dies at once."""
    with suppress(ConnectionError):  # it died already; its exit code says why
        pipe.send(work)


def _work(pipe: Connection) -> None:
    def advance(n: int = 1, *, note: str = "") -> None:
        pipe.send((n, note))

    doing = "the nets"
    try:
        jobs, data = pipe.recv()
        for path, recipe in jobs:
            doing = f"'{path.stem}'"
            train(recipe, path, data=data, advance=advance)
    except ConvergentError as error:
        pipe.send(error)
    except (KeyboardInterrupt, BrokenPipeError, EOFError):
        pass  # whoever asked is gone; the last checkpoint is on disk
    except Exception as error:  # data of a user's own may raise anything
        pipe.send(
            NetError(
                f"Cannot finish training {doing}. Its process met {type(error).__name__}: {error}. "
                "Mend the data or the net; n_processes=1 shows the whole traceback."
            )
        )


def _listen(pipes: Sequence[Connection], progress: Bar) -> None:
    open_pipes = list(pipes)
    while open_pipes:
        ready = wait(open_pipes)
        for pipe in [pipe for pipe in open_pipes if pipe in ready]:
            try:
                message = pipe.recv()
            except (EOFError, ConnectionError):
                open_pipes.remove(pipe)
                continue
            if isinstance(message, ConvergentError):
                raise message
            progress.advance(message[0], note=message[1])


def _check_exits(workers: Sequence[SpawnProcess]) -> None:
    codes = [worker.exitcode for worker in workers if worker.exitcode]
    if codes:
        raise NetError(
            f"Cannot finish training. {len(codes)} of {len(workers)} processes died, with exit codes {codes}. "
            "In a script, call this under if __name__ == '__main__':, or give n_processes=1; then run it again."
        )
