"""Inputs with stable ids: digits on photographs, which come with the library, folders, the hub, and tokens."""

from .folders import ImageFolder
from .hub import HubImages
from .photo_digits import PhotoDigits, PhotoDigitsTraining
from .subset import Subset
from .texts import text_file
from .tokens import TokenInputs, tokenised
from .training_set import ImageTraining

__all__ = [
    "HubImages",
    "ImageFolder",
    "ImageTraining",
    "PhotoDigits",
    "PhotoDigitsTraining",
    "Subset",
    "TokenInputs",
    "text_file",
    "tokenised",
]
