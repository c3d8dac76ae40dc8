"""Running nets again: with units taken out, put in, merged; what it does to their answers."""

from .evaluation import Answers, answer, over_inputs

__all__ = [
    "Answers",
    "answer",
    "over_inputs",
]
