"""The command line: `convergent demo | run | report | reproduce | layers | train | selftest`.

Exit codes: 0 done, 1 failed with a message (`--debug` adds the traceback), 2 the command was not understood,
130 stopped by Ctrl-C.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from . import __version__
from .data import PhotoDigitsTraining
from .errors import ConvergentError, InvalidArgumentError
from .extraction import list_layers
from .nets import ZOO, Recipe, load_net
from .nets import train as train_net
from .report import reproduce_matrices, reproduce_run, write_report
from .selftest import run_selftest
from .study import Study, demo_study, load_study, run_study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_out, _err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
_debug = False

Out = Annotated[Path | None, typer.Option("--out", help="The run folder; runs/NAME where not given.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")]


def main() -> None:
    """Run the command line and exit with its code."""
    sys.path.insert(0, str(Path.cwd()))  # so that package.module:factory finds what lies here
    try:
        app(standalone_mode=True)
    except ConvergentError as error:
        if _debug:
            traceback.print_exc()
        _err.print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False)
        sys.exit(1)


def _version(asked: bool | None) -> None:
    if asked:
        typer.echo(f"convergent {__version__}")
        raise typer.Exit


@app.callback(epilog="Start with: [bold]convergent demo[/]")
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Do different neural networks learn the same representations, and does the difference matter?"""
    global _debug
    _debug = debug
    handler = RichHandler(console=_err, show_path=False, show_time=False, show_level=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("convergent").setLevel(logging.INFO)


@app.command(epilog="Example: [bold]convergent demo --out runs/first[/]")
def demo(out: Out = None, resume: Resume = False) -> None:
    """Train four nets from different seeds, match their units, and show it on a page."""
    _carry_out(demo_study(), out, resume=resume)


@app.command(epilog="Example: [bold]convergent run studies/mine.yaml --resume[/]")
def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")],
    out: Out = None,
    resume: Resume = False,
) -> None:
    """Carry out a study of your own."""
    sys.path.append(str(study.resolve().parent))  # and what lies beside the study
    _carry_out(load_study(study), out, resume=resume)


@app.command(epilog="Example: [bold]convergent report runs/demo[/]")
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]) -> None:
    """Draw the figures and the page of a run again."""
    _out.print(f"The report is {write_report(run, n_processes=torch.get_num_threads())}")


class Paper(StrEnum):
    """Papers whose numbers are known."""

    li2016 = "li2016"


@app.command(
    epilog="Examples: [bold]convergent reproduce li2016[/] | [bold]convergent reproduce li2016 --run runs/mine[/]"
)
def reproduce(
    paper: Annotated[Paper, typer.Argument(help="Li et al., Convergent Learning, ICLR 2016.")],
    run: Annotated[Path | None, typer.Option("--run", help="A run folder; the demo's where not given.")] = None,
    matrices: Annotated[
        Path | None,
        typer.Option("--matrices", help="The paper's own conv1 correlations, .npz, in place of a run."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the results of --matrices go.")] = Path(
        "runs/li2016-matrices"
    ),
) -> None:
    """Set published numbers beside ours, and put the claims of a paper to the test."""
    if matrices is not None:
        _out.print(f"The numbers are in {reproduce_matrices(matrices, out)}")
        return
    if run is None:
        run = Path("runs/demo")
        _carry_out(demo_study(), run, resume=True)
    _out.print(f"The numbers are in {reproduce_run(run)}")


@app.command(
    epilog="Examples: [bold]convergent layers alexnet_small[/] | [bold]convergent layers "
    "torchvision.models:vgg16 --input-shape 3,224,224[/]"
)
def layers(
    net: Annotated[str, typer.Argument(metavar="NET", help="A zoo net, or package.module:factory.")],
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="Shape of one input, as 3,32,32.")
    ] = None,
) -> None:
    """List the layers of a net that can be compared."""
    loaded, shape = load_net(net), _shape(input_shape, net)
    table = Table("layer", "type", "output", "units", "locations", title=f"{net} on {_times(shape)}")
    for info in list_layers(loaded, torch.zeros(2, *shape), net_name=net):
        table.add_row(info.name, info.type, _times(info.shape), f"{info.n_units:,}", _times(info.grid) or "-")
    _out.print(table)


@app.command(epilog="Example: [bold]convergent train alexnet_small net1.safetensors --seed 1[/]")
def train(
    net: Annotated[str, typer.Argument(metavar="NET", help="A zoo net, or package.module:factory.")],
    path: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="Where the net is written.")],
    seed: Annotated[int, typer.Option(help="Decides initial weights and order of the data.")] = 0,
    n_steps: Annotated[int, typer.Option("--steps", help="Updates of the weights.")] = Recipe.n_steps,
    batch_size: Annotated[int, typer.Option(help="Inputs a step.")] = Recipe.batch_size,
    learning_rate: Annotated[float, typer.Option(help="The highest learning rate.")] = Recipe.learning_rate,
) -> None:
    """Train a net on photo-digits; a training that was stopped goes on."""
    recipe = Recipe(seed=seed, net=net, n_steps=n_steps, batch_size=batch_size, learning_rate=learning_rate)
    with _stoppable("run the same command"):
        trained = train_net(recipe, path, data=PhotoDigitsTraining.load())
    _out.print(f"{trained.path}: {trained.accuracy:.1%} correct on held-out digits")


@app.command(epilog="Example: [bold]convergent selftest[/]")
def selftest() -> None:
    """Ask questions whose answers are known; the exit code is 0 where every answer is right."""
    logging.getLogger("convergent").setLevel(logging.WARNING)  # what a pass needs of memory is beside the point
    table, checks = Table("case", "asked", "expected", "got", "", title="self test"), list(run_selftest())
    for check in checks:
        told = (check.case, check.asked, check.expected, check.got)
        table.add_row(*map(_escaped, told), "[green]pass[/]" if check.passed else "[bold red]FAIL[/]")
    _out.print(table)
    n_passed = sum(check.passed for check in checks)
    _out.print(f"{n_passed} of {len(checks)} passed", highlight=False)
    if n_passed < len(checks):
        raise typer.Exit(1)


def _carry_out(study: Study, out: Path | None, *, resume: bool) -> None:
    with _stoppable("run the same command with --resume"):
        folder = run_study(study, out or Path("runs") / study.name, resume=resume)
        _out.print(f"The report is {write_report(folder, n_processes=torch.get_num_threads())}")


@contextmanager
def _stoppable(go_on: str) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        _err.print(f"Stopped. What was done is kept; {go_on} to go on.")
        raise typer.Exit(130) from None


def _shape(text: str | None, net: str) -> tuple[int, ...]:
    if text is None and net in ZOO:
        return ZOO[net].input_shape
    numbers = [] if text is None else text.replace("x", ",").split(",")
    found = "None was given." if text is None else f"Found --input-shape {text}."
    if not numbers or not all(number.strip().isdigit() and int(number) > 0 for number in numbers):
        raise InvalidArgumentError(
            f"Cannot list the layers of '{net}' without the shape of one input. {found} "
            "Give it as channels,height,width: --input-shape 3,224,224."
        )
    return tuple(int(number) for number in numbers)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _escaped(text: str) -> str:
    """Text in which rich finds no markup."""
    return text.replace("[", r"\[")
