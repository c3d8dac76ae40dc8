"""Several nets' answers taught to one net of the size of a single one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from .._typing import Float, Tensor
from ..batch import Batch
from ..errors import InvalidArgumentError, MismatchError
from ..extraction.lockstep import fit_to
from ..extraction.taps import evaluating, explaining
from ..files import sha256
from ..nets.loading import hash_weights
from ..nets.recipe import Recipe
from ..nets.training import Advance, TrainedNet, TrainingData, train


@dataclass(frozen=True, eq=False)
class Distillation:
    """The loss of a net that learns from teachers: share T^2 KL(teachers, net) + (1 - share) cross-entropy.

    Both distributions are softmax(scores / T), the teachers' of their mean scores. T^2 keeps gradients as large.

    Attributes:
        teachers: nets with the classes of the net that learns; left as they are.
        temperature: T, above 0.
        share: of what the teachers say, against the labels, in 0..1.

    Raises:
        InvalidArgumentError: if there are no teachers, or a number is out of its range.

    Reference: Hinton, Vinyals & Dean 2015.
    """

    teachers: Sequence[nn.Module] = field(repr=False)
    temperature: float | int = 2.0
    share: float | int = 0.9

    def __post_init__(self) -> None:
        if not self.teachers or not self.temperature > 0 or not 0 <= self.share <= 1:
            raise InvalidArgumentError(
                f"Cannot distil {len(self.teachers)} nets with temperature={self.temperature} and "
                f"share={self.share}. It takes a teacher, a temperature above 0 and a share from 0 to 1. "
                "Correct these."
            )

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the loss: the teachers' weights in their order, temperature and share."""
        parts = [*map(hash_weights, self.teachers), repr(float(self.temperature)), repr(float(self.share))]
        return sha256(" ".join(parts).encode())

    def __call__(
        self, scores: Float[Tensor, "inputs classes"], batch: Batch, labelled: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """The loss of a batch, from the net's scores and its loss on the labels."""
        wanted = self._soft_targets(batch, scores)
        own = nn.functional.log_softmax(scores / self.temperature, dim=1)
        taught = nn.functional.kl_div(own, wanted, reduction="batchmean", log_target=True) * self.temperature**2
        return self.share * taught + (1 - self.share) * labelled

    def _soft_targets(self, batch: Batch, scores: Tensor) -> Tensor:
        """Log-probabilities of the teachers together, at this temperature."""
        said = [_said(teacher, batch).to(scores) for teacher in self.teachers]
        odd = next((one for one in said if one.shape != scores.shape), None)
        if odd is not None:
            raise MismatchError(
                f"Cannot teach a net that answers with shape {tuple(scores.shape)}. A teacher answers with "
                f"{tuple(odd.shape)}. Take teachers and a net that tell the same classes apart."
            )
        return nn.functional.log_softmax(torch.stack(said).mean(dim=0) / self.temperature, dim=1)


def distil(
    recipe: Recipe,
    teachers: Sequence[nn.Module],
    path: str | Path,
    *,
    data: TrainingData,
    temperature: float | int = 2.0,
    share: float | int = 0.9,
    checkpoint_every: int = 50,
    advance: Advance | None = None,
) -> TrainedNet:
    """Train one net on what several say together, or take it from `path` where that was done before.

    Everything is as in `train`, but for the loss: see `Distillation`. The file knows its teachers, temperature
    and share, and one of others is refused. Compare with `train` of the same recipe: that is the same net, taught
    by labels alone.

    Args:
        recipe: what to train and how.
        teachers: what they say is the mean of their scores.
        path: the net's file, `.safetensors`.
        data: where batches come from.
        temperature: softens what teachers say; 1 leaves it as it is.
        share: of the loss that comes from the teachers, the rest comes from the labels.
        checkpoint_every: steps between checkpoints.
        advance: told of every step, in place of a progress bar.

    Returns:
        The net, in evaluation mode.

    Raises:
        InvalidArgumentError: if there are no teachers, or a number is out of its range.
        MismatchError: if a teacher has other classes, or the file is of other teachers.
        ConvergentError: whatever `train` raises.

    Cost: `train`, and one forward of every teacher a step.

    Reference: Hinton, Vinyals & Dean 2015.
    """
    objective = Distillation(tuple(teachers), temperature, share)
    return train(recipe, path, data=data, objective=objective, checkpoint_every=checkpoint_every, advance=advance)


def _said(teacher: nn.Module, batch: Batch) -> Tensor:
    fit = fit_to(teacher, batch)
    with explaining(fit.tensor), evaluating(teacher), torch.no_grad():
        return torch.as_tensor(teacher(fit.tensor))
