"""What is read of explanations that were made elsewhere, and how."""

from dataclasses import dataclass
from typing import Literal, final

from seesay.records import Control

Format = Literal["csv", "parquet", "folders"]
"""A table, or the authors' folders with a JSON file for each feature; see [seesay.importing.folders][]."""

LONGEST_TEXT, LONGEST_NAME = 2000, 200
"""Characters of an explanation, and of the name of whoever said it."""

MOST_ROWS = 10_000_000
"""Of all files together: ten samples of each feature of the largest selection."""


@final
@dataclass(frozen=True)
class Reading:
    """What is what in a table or folder.

    Args:
        name: of whoever says the words; None for what rows say of it, or else the file's or folder's own name.
        control: what took the place of the features, where rows do not say it.
        id_column: the column of features' numbers.
        text_column: the column of words.
        placeholder: a text that stands for no explanation; None for none, and in the authors' folders for theirs.
    """

    name: str | None = None
    control: Control | None = None
    id_column: str = "feature_id"
    text_column: str = "text"
    placeholder: str | None = None
