"""Where an encoder's patches lie: in its sequence of positions, and in the image that it was shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from seesay.images.grid import Box, Grid, Size, cells


@final
@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the patches of one image lie.

    Args:
        image_size: of the image before any resizing.
        grid: how many rows and columns of patches.
        position_of_patch: where each patch, row by row from the top left, stands in the encoder's sequence.
        is_patch: which positions are patches: CLS, registers and padding are not. A model that sees a picture twice
            (LLaVA-NeXT: whole, and as its one tile) has more patches than the grid, which is the first sight's.
        box: the part of the image that the grid covers: less than all of it where the model crops, more where it
            pads.
    """

    image_size: Size
    grid: Grid
    position_of_patch: Int[Tensor, " patch"]
    is_patch: Bool[Tensor, " position"]
    box: Box

    @property
    def n_positions(self) -> int:
        """Length of the encoder's sequence for this image."""
        return len(self.is_patch)

    @property
    def n_own(self) -> int:
        """How many of these positions are the image's own: what pads a sequence stands at its end."""
        return int(self.is_patch.nonzero().max()) + 1

    def raster(self, values: Float[Tensor, "*lead position"]) -> Float[Tensor, "*lead row column"]:
        """Lay values per position out as the grid of patches that they belong to.

        Args:
            values: one per position of the encoder's sequence; those past this image's own (padding of a batch) are
                ignored.
        """
        return values[..., self.position_of_patch.to(values.device)].unflatten(-1, self.grid)

    def heatmap_to_image(self, activations: Float[Tensor, " position"]) -> Float[Tensor, "height width"]:
        """Spread activations over the pixels of the image, each patch over its own, with no smoothing.

        Args:
            activations: one per position of the encoder's sequence.

        Returns:
            One value per pixel; 0 where the model does not look.
        """
        width, height = self.image_size
        left, top, right, bottom = self.box
        rows, in_rows = map(torch.from_numpy, cells(height, top, bottom, self.grid[0]))
        columns, in_columns = map(torch.from_numpy, cells(width, left, right, self.grid[1]))
        pixels = self.raster(activations)[rows.to(activations.device)][:, columns.to(activations.device)]
        seen = in_rows[:, None] & in_columns[None]
        return pixels.where(seen.to(activations.device), 0)


# The order of patches within one sight of a picture: raster number of the patch at each position.

Order = Callable[[Grid, Any], Tensor]


def row_by_row(grid: Grid, _vision: Any) -> Int[Tensor, " patch"]:
    """Patches stand as they are read: row by row."""
    return torch.arange(grid[0] * grid[1])


def by_merged_squares(grid: Grid, vision: Any) -> Int[Tensor, " patch"]:
    """The patches that are later merged into one token stand together (Qwen3-VL)."""
    return _merged_squares(grid, vision.spatial_merge_size).flatten()


def by_windows(grid: Grid, vision: Any) -> Int[Tensor, " patch"]:
    """The merged squares stand window by window, so that attention within windows is local (Qwen2.5-VL)."""
    grid_thw = torch.tensor([[1, *grid]])
    window_index, _ = get_vision_window_index(
        grid_thw, vision.spatial_merge_size, vision.window_size, vision.patch_size
    )
    return _merged_squares(grid, vision.spatial_merge_size)[window_index].flatten()


def _merged_squares(grid: Grid, side: int) -> Int[Tensor, "square patch"]:
    rows, columns = grid
    patches = torch.arange(rows * columns).reshape(rows // side, side, columns // side, side)
    return patches.permute(0, 2, 1, 3).reshape(-1, side * side)


# The grid of each picture, read off what the image processor made of it.

GridOf = Callable[[Mapping[str, Tensor], Any], list[Grid]]


def of_pixels(pictures: Mapping[str, Tensor], vision: Any) -> list[Grid]:
    """All pictures are of one size, that of their pixels."""
    pixels, patch = pictures["pixel_values"], side(vision.patch_size)
    return [(pixels.shape[-2] // patch, pixels.shape[-1] // patch)] * len(pixels)


def of_grid_thw(pictures: Mapping[str, Tensor], _vision: Any) -> list[Grid]:
    """Qwen's processors write the grid down, with time before it."""
    return [(rows, columns) for _, rows, columns in pictures["image_grid_thw"].tolist()]


def of_image_sizes(pictures: Mapping[str, Tensor], vision: Any) -> list[Grid]:
    """Pixtral's processor writes down the height and width of each picture within the padded pixels."""
    patch = side(vision.patch_size)
    return [(height // patch, width // patch) for height, width in pictures["image_sizes"].tolist()]


def of_spatial_shapes(pictures: Mapping[str, Tensor], _vision: Any) -> list[Grid]:
    """SigLIP 2's processor writes the grid down."""
    return [(rows, columns) for rows, columns in pictures["spatial_shapes"].tolist()]


def of_position_ids(pictures: Mapping[str, Tensor], _vision: Any) -> list[Grid]:
    """Gemma 4's processor gives each patch its column and row, and -1 to padding."""
    largest = pictures["image_position_ids"].amax(1) + 1
    return [(rows, columns) for columns, rows in largest.tolist()]


def side(patch_size: int | Sequence[int]) -> int:
    """The side of a square that some configurations give twice (InternVL)."""
    return patch_size if isinstance(patch_size, int) else patch_size[0]


# The part of an image that the grid covers, by what the image processor does to it.

BoxOf = Callable[[Any, Size], Box]


def whole(_image_processor: Any, size: Size) -> Box:
    """The image is stretched, or resized keeping its shape: nothing is lost."""
    return 0.0, 0.0, float(size[0]), float(size[1])


def padded_to_square(_image_processor: Any, size: Size) -> Box:
    """The image is put into the middle of a square."""
    width, height = size
    longest = max(size)
    left, top = -((longest - width) // 2), -((longest - height) // 2)
    return float(left), float(top), float(left + longest), float(top + longest)


def cropped(image_processor: Any, size: Size) -> Box:
    """The image is resized by its shortest side and its centre is cut out; so CLIP, DINOv2 and LLaVA 1.5 do.

    What processors leave out (`do_resize`, `do_center_crop`, `do_pad`) is left out here, too.
    """
    if getattr(image_processor, "do_pad", False):
        return padded_to_square(image_processor, size)
    if not getattr(image_processor, "do_center_crop", False):
        return whole(image_processor, size)
    resized = _resized(image_processor, size)
    crop = image_processor.crop_size
    (left, right), (top, bottom) = (
        ((before := (new - cut) // 2) * old / new, (before + cut) * old / new)
        for new, old, cut in zip(resized, size, (crop["width"], crop["height"]), strict=True)
    )
    return left, top, right, bottom


def _resized(image_processor: Any, size: Size) -> Size:
    if not image_processor.do_resize:
        return size
    edges = image_processor.size
    if edges.get("shortest_edge") is None:
        return edges["width"], edges["height"]
    shortest, wanted = min(size), edges["shortest_edge"]
    width, height = (wanted if each == shortest else int(wanted * each / shortest) for each in size)
    return width, height
