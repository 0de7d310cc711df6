"""Hugging Face datasets of a few images on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets

from tests.images.making import png


def rows_of(seeds: Sequence[int]) -> datasets.Dataset:
    """Rows of a name and an image, made from a seed."""
    return table({"name": [f"n{seed}" for seed in seeds], "image": [png(seed) for seed in seeds]})


def table(columns: Mapping[str, Sequence[object]], images: Sequence[str] = ("image",)) -> datasets.Dataset:
    """A dataset with some columns of encoded images, given as bytes or None."""
    held = {
        name: [value and {"bytes": value, "path": None} for value in values] if name in images else values
        for name, values in columns.items()
    }
    rows = datasets.Dataset.from_dict(held)
    for name in images:
        rows = rows.cast_column(name, datasets.Image())
    return rows


def write_parquet(folder: Path, **splits: datasets.Dataset) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        rows.to_parquet(str(folder / f"{name}-00000-of-00001.parquet"))
    return folder
