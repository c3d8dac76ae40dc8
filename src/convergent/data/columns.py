"""Which columns of a table hold images and classes, by what `datasets` says of their types."""

from collections.abc import Mapping
from typing import Any

from ..errors import DataError, UnknownNameError, nearest

# Names that a column of classes may have where the file does not declare one.
_LABELS = ("label", "labels")


def image_column(features: Mapping[str, Any], chosen: str | None, *, source: str) -> str:
    """The column of images: the chosen one, or the only one that is declared as images or has their form.

    Args:
        features: what each column holds, as `datasets` says it.
        chosen: a column named by the user.
        source: what is read, for errors.

    Raises:
        DataError: if no column or several could be meant, or the chosen one holds no encoded images.
        UnknownNameError: if the chosen one does not exist.
    """
    found = [name for name, feature in features.items() if _holds_images(feature)]
    if chosen is not None:
        _check_exists(features, chosen, source=source)
        if not (_holds_images(features[chosen]) or getattr(features[chosen], "dtype", None) == "binary"):
            raise DataError(
                f"Cannot take images from the column '{chosen}' of '{source}'. It holds {features[chosen]}. "
                "Name a column of encoded images with image."
            )
        return chosen
    if len(found) != 1:
        raise DataError(
            f"Cannot find the images of '{source}'. {len(found)} of its columns hold images; there are "
            f"{', '.join(features)}. Name one with image."
        )
    return found[0]


def label_column(features: Mapping[str, Any], chosen: str | None, *, source: str) -> str | None:
    """The column of classes: the chosen one, the only one declared as such, or whole numbers called `label`.

    Args:
        features: what each column holds, as `datasets` says it.
        chosen: a column named by the user.
        source: what is read, for errors.

    Returns:
        Its name; None where there is none.

    Raises:
        DataError: if several could be meant, or the chosen one does not hold whole numbers.
        UnknownNameError: if the chosen one does not exist.
    """
    if chosen is not None:
        _check_exists(features, chosen, source=source)
        if not _holds_classes(features[chosen]):
            raise DataError(
                f"Cannot take labels from the column '{chosen}' of '{source}'. It holds {features[chosen]}. "
                "Name a column of whole numbers with label."
            )
        return chosen
    found = [name for name, feature in features.items() if _kind(feature) == "ClassLabel"]
    found = found or [name for name in _LABELS if name in features and _holds_classes(features[name])]
    if len(found) > 1:
        raise DataError(
            f"Cannot find the labels of '{source}'. {len(found)} columns hold classes: {', '.join(found)}. "
            "Name one with label."
        )
    return found[0] if found else None


def _check_exists(features: Mapping[str, Any], column: str, *, source: str) -> None:
    if column not in features:
        raise UnknownNameError(
            f"Cannot find the column '{column}' of '{source}'. There is none of that name. "
            f"{nearest(column, features)}"
        )


def _kind(feature: Any) -> str:
    return type(feature).__name__


def is_declared_image(feature: Any) -> bool:
    """Whether `datasets` itself knows the column as images, and would decode them."""
    return _kind(feature) == "Image"


def _holds_images(feature: Any) -> bool:
    """Whether a column is declared as images, or has their form: bytes and a path."""
    return is_declared_image(feature) or (isinstance(feature, dict) and {"bytes", "path"} <= set(feature))


def _holds_classes(feature: Any) -> bool:
    return _kind(feature) == "ClassLabel" or "int" in str(getattr(feature, "dtype", ""))
