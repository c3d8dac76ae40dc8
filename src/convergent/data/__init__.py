"""Inputs with stable ids: digits on photographs, which come with the library, and folders of images."""

from .folders import ImageFolder
from .photo_digits import PhotoDigits, PhotoDigitsTraining

__all__ = ["ImageFolder", "PhotoDigits", "PhotoDigitsTraining"]
