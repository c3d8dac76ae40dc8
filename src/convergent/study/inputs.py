"""What the data of a study are."""

from ..batch import Inputs
from ..data import HubImages, ImageFolder, PhotoDigits, text_file
from .spec import FolderSpec, HubSpec, PhotoDigitsSpec, TokensSpec


def inputs_of(data: PhotoDigitsSpec | FolderSpec | HubSpec | TokensSpec) -> Inputs:
    """The inputs that a study describes.

    Raises:
        DataError: if they cannot be read.
    """
    match data:
        case PhotoDigitsSpec(n=n, split=split):
            return PhotoDigits.first(split, n=n)
        case FolderSpec(root=root, size=size, mean=mean, std=std):
            return ImageFolder(root, size=size, mean=mean, std=std)
        case HubSpec():
            return _hub_images(data)
        case TokensSpec(path=path, tokenizer=tokenizer, length=length, n=n):
            return text_file(path, tokenizer=tokenizer, length=length, n=n)


def _hub_images(hub: HubSpec) -> HubImages:
    shared = hub.model_dump(include={"size", "image", "label", "mean", "std"})
    if hub.path is not None:
        return HubImages.read(hub.path, split=hub.split, **shared)
    return HubImages.load(str(hub.name), split=str(hub.split), config=hub.config, revision=hub.revision, **shared)
