"""A recipe: every choice that decides the weights of a trained net."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import InvalidArgumentError
from ..files import sha256


@dataclass(frozen=True)
class Recipe:
    """All that decides a net's weights. The defaults are the demo's; docs/nets.md says how they were found.

    Attributes:
        seed: decides initial weights, order of the data and dropout.
        net: name of the net in the zoo, or `package.module:factory`.
        kwargs: arguments of the factory; they must survive JSON.
        data: name of the training data.
        n_steps: updates of the weights.
        batch_size: inputs per step.
        learning_rate: the highest; it rises linearly over the warm-up and falls to 0 along half a cosine.
        warmup: share of the steps in which it rises.
        weight_decay: AdamW's, on weights but not on biases.
        beta1: AdamW's memory of the gradient.
        beta2: AdamW's memory of its square.
        clip: the gradient's norm is cut to this.
        n_threads: threads that compute; here because they decide the order of floating-point sums.

    Example:
        >>> Recipe(seed=1).fingerprint == Recipe(seed=2).fingerprint
        False
    """

    seed: int = 0
    net: str = "alexnet_small"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    data: str = "photo-digits"
    n_steps: int = 600
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup: float = 0.15
    weight_decay: float = 0.5
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 1.0
    n_threads: int = 1

    def __post_init__(self) -> None:
        wrong = [name for name in ("n_steps", "batch_size", "n_threads") if getattr(self, name) < 1]
        wrong += [name for name in ("learning_rate", "clip") if not getattr(self, name) > 0]
        wrong += ["warmup"] if not 0 < self.warmup < 1 else []
        wrong += ["seed"] if not 0 <= self.seed < 2**31 else []
        if wrong:
            found = ", ".join(f"{name}={getattr(self, name)}" for name in wrong)
            raise InvalidArgumentError(
                f"A recipe was asked for with {found}. Counts, learning rate and clip must be above 0, warmup "
                "between 0 and 1, the seed from 0 to 2**31 - 1. Correct these."
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the recipe as JSON."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode())

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        done = (step + 1) / self.n_steps
        if done < self.warmup:
            return self.learning_rate * done / self.warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))
