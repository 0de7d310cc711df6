"""What the language model gets to see of each case: rows of image tokens, steered where the method steers.

Shape suffixes: r row (a case, or an image of one), p position, d d_model, k active features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from seesay.errors import MismatchedEncoder, NotEnoughMemory
from seesay.exemplars.exemplar import Exemplar
from seesay.explainers.adapter import Adapter
from seesay.explainers.cases import Case, directions
from seesay.explainers.config import IMAGES_AT_ONCE, SEVERAL, Empty, Setting
from seesay.explainers.gallery import Gallery
from seesay.explainers.sharing import Seen, Shared
from seesay.images.blank import blank_image
from seesay.images.grid import Grid, Size
from seesay.sae import SAE, Codes
from seesay.steering import intervene
from seesay.vlm import VLM, ImageTokens
from seesay.vlm.batches import fitting, is_out_of_memory
from seesay.vlm.encoded import Encoded, join

_DISC = 0.5
"""Radius, in halves of the image."""

_SHARED_BYTES = 1 << 30
"""Of pictures that are kept for other features: on the encoder's device, as it made them."""


@runtime_checkable
class Sight(Protocol):
    """Shows cases to the language model."""

    def see(self, cases: Sequence[Case]) -> list[list[ImageTokens]]:
        """The images of each case, as the language model reads them."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Ground:
    """What features are pushed on where no exemplars are shown, if not on an empty image alone.

    Args:
        image: one's own; None for the empty image of the setting.
        along: features that are pushed along with each of those in question, and how hard in the setting's unit.
    """

    image: Image.Image | None = None
    along: tuple[tuple[int, float], ...] = ()


NO_OTHER = Ground()
"""The empty image of the setting, and nothing along."""


@final
class EmptySight:
    """An empty image, or one's own, the same for all, with each feature pushed on it.

    It was encoded once up to the block; each case costs what comes after.

    Args:
        vlm: who sees.
        sae: whose features.
        blank: the image, up to the block to steer.
        setting: how to push.
        along: what is added along with each feature; None for nothing.
        images_at_once: that are encoded in one pass, halved when memory runs out.
        adapter: by which directions are heard better; None for the directions as they are.
    """

    def __init__(
        self,
        vlm: VLM,
        sae: SAE,
        blank: Encoded,
        setting: Setting,
        along: Float[Tensor, " d_model"] | None = None,
        images_at_once: int = IMAGES_AT_ONCE,
        adapter: Adapter | None = None,
    ) -> None:
        self._vlm, self._sae, self._blank, self._setting, self._along = vlm, sae, blank, setting, along
        self._at_once, self._adapter = images_at_once, adapter
        self._scale_p = sae.activation_scale(self._blank.residual)[0]
        self._positions = _chosen(blank, setting)

    @cached_property
    def _codes(self) -> Codes:
        return self._sae.encode(self._blank.residual)

    def see(self, cases: Sequence[Case]) -> list[list[ImageTokens]]:
        """One image for each case.

        Raises:
            NotEnoughMemory: a single one does not fit.
        """
        passes = list(fitting(cases, self._at_once, self._see, lambda _case: _too_large()))
        self._at_once = _fitted(passes, self._at_once)
        return [[image] for images in passes for image in images]

    def _see(self, cases: Sequence[Case]) -> list[ImageTokens]:
        residual = self._blank.residual
        if cases[0].direction is None:
            steered = residual.expand(len(cases), *residual.shape[1:])
        else:
            mode = self._setting.push
            steered = intervene(
                residual,
                directions(cases).to(residual.device),
                torch.tensor([case.coefficient for case in cases], device=residual.device),
                mode,
                positions=self._positions,
                scale=self._scale_p[None],
                activations=_activations(self._codes, cases).to(residual.device) if mode == "clamp" else None,
            )
            steered = self._adapted(self._with_others(steered))
        return self._vlm.encode_from(self._blank.with_residual(steered), coarse=self._setting.coarse)

    def _adapted(self, steered: Float[Tensor, "row position d_model"]) -> Float[Tensor, "row position d_model"]:
        """What was pushed, by as much as the adapter says, and its bias beside it."""
        if self._adapter is None:
            return steered
        residual, scale, bias = self._blank.residual, self._adapter.scale, self._adapter.bias
        pushed_rpd = scale.to(steered) * (steered - residual) + bias.to(steered) * self._scale_p[:, None].to(steered)
        return residual + (pushed_rpd if self._positions is None else pushed_rpd * self._positions[:, :, None])

    def _with_others(self, steered: Float[Tensor, "row position d_model"]) -> Float[Tensor, "row position d_model"]:
        if self._along is None:
            return steered
        along = self._along.to(steered.device).expand(len(steered), -1)
        once = torch.ones(len(steered), device=steered.device)
        return intervene(steered, along, once, positions=self._positions, scale=self._scale_p[None])


@final
class Beside:
    """Several sights in one turn, the images of the first before those of the second.

    Args:
        sights: at least one.
    """

    def __init__(self, sights: Sequence[Sight]) -> None:
        self._sights = sights

    def see(self, cases: Sequence[Case]) -> list[list[ImageTokens]]:
        """As many images for each case as all sights show together.

        Raises:
            NotEnoughMemory: a single one does not fit.
        """
        rows = zip(*(sight.see(cases) for sight in self._sights), strict=True)
        return [[image for images in row for image in images] for row in rows]


@final
class ExemplarSight:
    """The exemplars of each case, with its feature pushed where they are active if the method steers.

    Pictures that are shown as they are look the same to every feature: what was encoded of them is kept for others.

    Args:
        vlm: who sees.
        sae: whose features; None if nothing is steered.
        layer: the block to steer; None if nothing is.
        setting: how exemplars are shown.
        gallery: has the pictures.
        images_at_once: that are encoded in one pass, halved when memory runs out.
    """

    def __init__(
        self,
        vlm: VLM,
        sae: SAE | None,
        layer: int | None,
        setting: Setting,
        gallery: Gallery,
        images_at_once: int = IMAGES_AT_ONCE,
    ) -> None:
        self._vlm, self._sae, self._layer = vlm, sae, layer
        self._setting, self._gallery, self._at_once = setting, gallery, images_at_once
        self._looked_at, self._encoded = Shared[ImageTokens](_SHARED_BYTES), Shared[Encoded](_SHARED_BYTES)

    def see(self, cases: Sequence[Case]) -> list[list[ImageTokens]]:
        """As many images for each case as it has exemplars.

        Raises:
            NotEnoughMemory: a single one does not fit.
        """
        shown = [(case, exemplar) for case in cases for exemplar in case.exemplars]
        passes = list(fitting(shown, self._at_once, self._see, lambda _shown: _too_large()))
        self._at_once = _fitted(passes, self._at_once)
        tokens = iter([image for images in passes for image in images])
        return [[next(tokens) for _ in case.exemplars] for case in cases]

    def _see(self, shown: Sequence[tuple[Case, Exemplar]]) -> list[ImageTokens]:
        try:
            return self._see_at_once(shown)
        except (RuntimeError, MemoryError, NotEnoughMemory) as error:
            if is_out_of_memory(error):  # what is kept for others may be what there is no room for
                self._looked_at.clear()
                self._encoded.clear()
            raise

    @torch.no_grad()
    def _see_at_once(self, shown: Sequence[tuple[Case, Exemplar]]) -> list[ImageTokens]:
        exemplars = [exemplar for _case, exemplar in shown]
        if self._sae is None or self._layer is None:
            return self._once_each(self._looked_at, exemplars, self._look_at)
        drawn_on, encoded = self._up_to_block(exemplars)
        if shown[0][0].direction is not None:
            encoded = encoded.with_residual(self._steered(encoded, shown, drawn_on))
        return self._vlm.encode_from(encoded)

    def _once_each(
        self, shared: Shared[Seen], exemplars: Sequence[Exemplar], encode: Callable[[Sequence[Exemplar]], list[Seen]]
    ) -> list[Seen]:
        """What is encoded of pictures that look the same to every feature, without doing it again."""
        if self._setting.overlay != "plain":
            return encode(exemplars)
        image_ids = [exemplar.image.image_id for exemplar in exemplars]
        return shared.of(image_ids, lambda rows: encode([exemplars[row] for row in rows]))

    def _look_at(self, exemplars: Sequence[Exemplar]) -> list[ImageTokens]:
        pictures = [self._drawn(exemplar)[1] for exemplar in exemplars]
        seen = self._vlm.encode(pictures, batch_size=len(pictures))
        return [each.apart() for each in seen] if self._setting.overlay == "plain" else seen

    def _up_to_block(self, exemplars: Sequence[Exemplar]) -> tuple[list[Size], Encoded]:
        """The sizes of the pictures that exemplars were drawn on, and what was drawn, encoded up to the block."""
        if self._setting.overlay == "plain":
            encoded = join(self._once_each(self._encoded, exemplars, lambda some: self._encode(some)[1].apart()))
            return [geometry.image_size for geometry in encoded.geometries], encoded
        return self._encode(exemplars)

    def _encode(self, exemplars: Sequence[Exemplar]) -> tuple[list[Size], Encoded]:
        assert self._layer is not None
        drawn = [self._drawn(exemplar) for exemplar in exemplars]
        pictures = [picture for _size, picture in drawn]
        encoded = self._vlm.encode_to(pictures, self._layer, batch_size=len(pictures))
        return [size for size, _picture in drawn], encoded

    def _steered(
        self, encoded: Encoded, shown: Sequence[tuple[Case, Exemplar]], sizes: Sequence[Size]
    ) -> Float[Tensor, "row position d_model"]:
        assert self._sae is not None
        residual, cases = encoded.residual, [case for case, _exemplar in shown]
        mode = self._setting.push
        return intervene(
            residual,
            directions(cases).to(residual.device),
            torch.tensor([case.coefficient for case in cases], device=residual.device),
            mode,
            positions=self._active(encoded, [exemplar for _case, exemplar in shown], sizes),
            scale=self._sae.activation_scale(residual),
            activations=_activations(self._sae.encode(residual), cases).to(residual.device)
            if mode == "clamp"
            else None,
        )

    def _active(
        self, encoded: Encoded, exemplars: Sequence[Exemplar], sizes: Sequence[Size]
    ) -> Bool[Tensor, "row position"]:
        """The positions of the patches on which each exemplar's feature is active, by its unmasked heatmap."""
        active_rp = torch.zeros(encoded.residual.shape[:2], dtype=torch.bool)
        for row, (exemplar, size, geometry) in enumerate(zip(exemplars, sizes, encoded.geometries, strict=True)):
            active = exemplar.active_in(self._setting.overlay, size, geometry.grid, geometry.box)
            active_rp[row, geometry.position_of_patch] = torch.from_numpy(active.reshape(-1))
        return active_rp.to(encoded.residual.device)

    def _drawn(self, exemplar: Exemplar) -> tuple[Size, Image.Image]:
        """The size of the picture that an exemplar was drawn on, and how it is shown."""
        setting, image = self._setting, exemplar.image
        picture = self._gallery.picture(image)
        # A thumbnail may be divided into other patches than the image was, where these depend on the size.
        # That matters where patches are pushed; who only looks may divide it as it likes.
        if self._sae is not None and self._grid_of(picture) != image.grid:
            picture = picture.resize(image.size, Image.Resampling.BICUBIC)
        if self._sae is not None and self._grid_of(picture) != image.grid:
            rows, columns = self._grid_of(picture)
            raise MismatchedEncoder(
                f"the explainer divides an image into {rows} x {columns} patches",
                expected=f"{image.grid[0]} x {image.grid[1]}, as when it was collected",
                remedy="choose an explainer with the subject's image processor",
            )
        return picture.size, exemplar.drawn(setting.overlay, picture, self._vlm.prompts.mask_fill)

    def _grid_of(self, picture: Image.Image) -> Grid:
        return self._vlm.encoder.geometry(picture.size).grid


def encoded_empty(vlm: VLM, layer: int, empty: Empty, seed: int, gallery: Gallery) -> Encoded:
    """An empty image, up to a block; of several the first.

    Args:
        vlm: who sees.
        layer: the block.
        empty: which.
        seed: of a noise image.
        gallery: has the mean image.

    Raises:
        InvalidSetting: the mean image is asked for and there are no images.
    """
    if empty == "zeros":
        return vlm.encoder.encode_nothing(layer)
    size = vlm.encoder.image_size
    if empty == "mean":
        return vlm.encode_to([gallery.mean_image(size)], layer)
    return vlm.encode_to([blank_image(SEVERAL[0] if empty == "several" else empty, size, seed)], layer)


def _chosen(blank: Encoded, setting: Setting) -> Bool[Tensor, "image position"] | None:
    """The positions at which an empty image is steered; None for all."""
    if setting.positions == "all":
        return None
    if setting.positions == "patches":
        return blank.is_patch
    (geometry,) = blank.geometries
    rows, columns = geometry.grid
    if setting.positions == "disc":
        # centres of patches, from -1 to 1
        y, x = ((2 * torch.arange(n) + 1) / n - 1 for n in (rows, columns))
        is_chosen = (y[:, None].square() + x.square() <= _DISC**2).flatten()
    else:
        order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(setting.seed))
        is_chosen = order < rows * columns / 2
    found = torch.zeros(1, blank.residual.shape[1], dtype=torch.bool)
    found[0, torch.as_tensor(geometry.position_of_patch)] = is_chosen
    return found.to(blank.residual.device)


def _activations(codes: Codes, cases: Sequence[Case]) -> Float[Tensor, "row position"]:
    """How active each case's feature is by now."""
    wanted_r = torch.tensor([case.activating for case in cases], device=codes.feature_ids.device)
    is_wanted_rpk = codes.feature_ids == wanted_r[:, None, None]
    return (codes.values * is_wanted_rpk).sum(-1)


def _fitted(passes: Sequence[Sequence[ImageTokens]], at_once: int) -> int:
    """How many images to begin with the next time: fewer if memory ran out with as many."""
    most = max(map(len, passes), default=0)
    return most if len(passes) > 1 and most < at_once else at_once


def _too_large() -> NotEnoughMemory:
    return NotEnoughMemory("a single image does not fit into memory", expected="room for one")
