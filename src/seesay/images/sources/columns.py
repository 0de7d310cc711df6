"""Which of a dataset's columns has the images."""

from collections.abc import Mapping
from typing import Any

from seesay.errors import UnreadableImages

_USUAL = "image"


def find_column(features: Mapping[str, Any] | None, column: str | None, name: str) -> str:
    """Find the column of images.

    Args:
        features: the dataset's columns and their types; None if it does not tell.
        column: the wanted one; None takes the only one of images, or the one called `image`.
        name: the dataset's, for messages.

    Raises:
        UnreadableImages: no such column or none of images, or several and none is chosen.
    """
    features = features or {}
    if column is not None:
        if column not in features:
            raise UnreadableImages(f"{name} has no column {column!r}", expected=" or ".join(features) or "columns")
        if not _holds_images(features[column]) and not _is_bytes(features[column]):
            raise UnreadableImages(f"column {column!r} of {name} has no images", expected=_offer(features))
        return column
    found = [key for key, feature in features.items() if _holds_images(feature)]
    found = found or [key for key, feature in features.items() if _is_bytes(feature)]
    if len(found) == 1 or _USUAL in found:
        return found[0] if len(found) == 1 else _USUAL
    if found:
        raise UnreadableImages(
            f"{name} has several columns of images, and none is chosen",
            expected=" or ".join(found),
            remedy="name one by --column (column=)",
        )
    raise UnreadableImages(f"no column of {name} has images", expected="one of images, or of their files' bytes")


def undecoded(rows: Any, column: str | None) -> Any:
    """A dataset whose images come as the bytes of their files.

    Args:
        rows: a `datasets.Dataset` or `datasets.IterableDataset`.
        column: the one of images.
    """
    import datasets

    is_decoded = isinstance(rows.features[column], datasets.Image)
    return rows.cast_column(column, datasets.Image(decode=False)) if is_decoded else rows


def _holds_images(feature: Any) -> bool:
    """Images as such, or what a table that was not written by `datasets` has in their place."""
    import datasets

    if isinstance(feature, datasets.Image):
        return True
    return isinstance(feature, dict) and "bytes" in feature and _is_bytes(feature["bytes"])


def _is_bytes(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def _offer(features: Mapping[str, Any]) -> str:
    return " or ".join(key for key, feature in features.items() if _holds_images(feature) or _is_bytes(feature)) or (
        "a column of images"
    )
