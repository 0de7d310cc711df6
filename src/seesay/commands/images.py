"""How a command's images are read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

if TYPE_CHECKING:
    from seesay.images.sources import ImageSource


@dataclass(frozen=True)
class ImageOptions:
    """Of the images, where they are a dataset on the hub or in Parquet files."""

    split: Annotated[str | None, arg(metavar="NAME")] = None
    """The dataset's part, such as train."""

    column: Annotated[str | None, arg(metavar="NAME")] = None
    """The column with the images; found by itself if there is one."""

    streaming: bool = False
    """Read a dataset from the hub as it is needed, without downloading it first."""

    def open(self, name: str) -> "ImageSource":
        """Open the images that a flag names.

        Args:
            name: as on the command line.

        Raises:
            UnreadableImages: if there are none.
        """
        from seesay.commands.names import resolve_images

        return resolve_images(name, split=self.split, column=self.column, streaming=self.streaming)
