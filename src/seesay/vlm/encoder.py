"""A vision encoder: images in, the residual stream after any of its blocks out, and on from there.

Shape suffixes: i image, p position, d d_model.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar, final

import einops
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from seesay.errors import InvalidSetting, LayerNotFound, NotEnoughMemory, UnreadableImage
from seesay.images.blank import blank_image
from seesay.images.decoding import in_colour
from seesay.images.grid import Grid, Size
from seesay.vlm.batches import fitting, is_out_of_memory
from seesay.vlm.blocks import Forward, capture, count_blocks, device_of, find_blocks, pass_through, replaced_forwards
from seesay.vlm.encoded import Encoded, Prepared, join
from seesay.vlm.families import EncoderFamily
from seesay.vlm.geometry import Geometry, side

Result = TypeVar("Result")

_N_WORKERS = 8


@final
class Encoder:
    """A vision encoder, alone or a vision-language model's, that can be cut at any block.

    Its own code does all the computing: blocks are listened to or stood in for, never copied. The stand-ins are
    process-wide, so one lock per encoder lets one thread at a time into it.

    Args:
        run: the model's own function from pictures to what comes after the encoder.
        takes: names of the pictures' parts that it takes.
        tower: the module that holds the blocks.
        config: the encoder's own configuration.
        model_config: that of the whole model; the same for a model that is nothing else.
        image_processor: the checkpoint's.
        family: facts about its kind.
        layers_read: the blocks whose output is read after the encoder; the last one if None.

    Raises:
        UnreadableModel: an encoder whose blocks cannot be found.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        takes: Collection[str],
        tower: nn.Module,
        *,
        config: Any,
        model_config: Any,
        image_processor: Any,
        family: EncoderFamily,
        layers_read: Collection[int] | None = None,
    ) -> None:
        self._run, self._takes = run, frozenset(takes)
        self.config, self._model_config = config, model_config
        self._image_processor = image_processor
        self._family = family
        self.tower = tower
        self.blocks = find_blocks(tower, count_blocks(config))
        self._layers_read = frozenset([self.n_blocks - 1] if layers_read is None else layers_read)
        self._lock = threading.RLock()
        self._geometries: dict[Size, Geometry] = {}

    def __repr__(self) -> str:
        return f"Encoder({self.config.model_type}, {self.n_blocks} blocks of width {self.d_model}, on {self.device})"

    @property
    def n_blocks(self) -> int:
        """How many blocks it has."""
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        """Width of its residual stream."""
        return self.config.hidden_size

    @property
    def last_layer_read(self) -> int:
        """The last block whose output is read by what comes after the encoder."""
        return max(self._layers_read)

    @property
    def image_size(self) -> int:
        """Side in pixels of the square image that fits it best."""
        patch = side(self.config.patch_size)
        if self._family.image_size is None:
            return side(self.config.image_size)
        unit = patch * getattr(self.config, "spatial_merge_size", getattr(self._model_config, "spatial_merge_size", 1))
        return max(1, round(self._family.image_size / unit)) * unit

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.tower)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of its weights."""
        return next(parameter.dtype for parameter in self.tower.parameters() if parameter.is_floating_point())

    @property
    def n_workers(self) -> int:
        """How many threads shall decode and prepare its images: none where they would take the encoder's own cores."""
        return 0 if self.device.type == "cpu" else _N_WORKERS

    def check_layer(self, layer: int, *, steered: bool = False) -> None:
        """Check that it has a block.

        Args:
            layer: the block, 0-based.
            steered: also check that what comes after the encoder can see that block.

        Raises:
            LayerNotFound: it has not, or nobody reads it.
        """
        if layer not in range(self.n_blocks):
            raise LayerNotFound(f"block {layer} of the vision encoder", expected=f"0 to {self.n_blocks - 1}")
        if steered and layer > self.last_layer_read:
            raise LayerNotFound(
                f"block {layer} of the vision encoder, of which the language model reads no block after "
                f"{self.last_layer_read}: steering it would change nothing",
                expected=f"0 to {self.last_layer_read}",
            )

    @torch.no_grad()
    def encode_to(self, images: Sequence[Image.Image], layer: int, *, batch_size: int = 8) -> Encoded:
        """Encode images up to and including a block.

        Args:
            images: at least one, of any size and mode: they are resized as the model's processor does.
            layer: the block, 0-based.
            batch_size: images per pass; halved when memory runs out.

        Raises:
            ValueError: no images at all.
            LayerNotFound: no such block.
            UnreadableImage: an image that cannot be turned into RGB, or that the image processor does not take.
            NotEnoughMemory: a single image does not fit.
        """
        self.check_layer(layer)
        if not images:
            raise ValueError("no images")
        return join(list(self._in_batches(images, batch_size, lambda batch: self._encode_to(batch, layer))))

    @torch.no_grad()
    def encode_nothing(self, layer: int) -> Encoded:
        """Encode no image at all up to and including a block: what enters the first block is zero everywhere.

        Not even positions are told. The picture in what is returned is a white one, which keeps the shapes.

        Args:
            layer: the block, 0-based.

        Raises:
            LayerNotFound: no such block.
        """
        self.check_layer(layer)

        def zeroed(_block: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            if inputs:
                return (torch.zeros_like(inputs[0]), *inputs[1:]), named
            return inputs, {**named, "hidden_states": torch.zeros_like(named["hidden_states"])}

        with self._lock:
            handle = self.blocks[0].register_forward_pre_hook(zeroed, with_kwargs=True)
            try:
                return self._encode_to([blank_image("white", self.image_size)], layer)
            finally:
                handle.remove()

    @torch.no_grad()
    def encode_prepared(self, prepared: Prepared, layer: int) -> Encoded:
        """Encode images that were prepared elsewhere, in one pass.

        Args:
            prepared: as `prepare` gives it.
            layer: the block, 0-based.

        Raises:
            LayerNotFound: no such block.
            NotEnoughMemory: they do not fit; prepare fewer at a time.
        """
        self.check_layer(layer)
        try:
            return self._encode_to(prepared, layer)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise NotEnoughMemory(
                f"{len(prepared.geometries)} images at once, and no memory left on {self.device}",
                expected="room for them",
                remedy="take fewer at a time, or another --device",
            ) from error

    @torch.no_grad()
    def run(self, images: Sequence[Image.Image], *, batch_size: int = 8) -> list[tuple[Any, tuple[Geometry, ...]]]:
        """Run all of it, and what comes after it, with nothing steered.

        Args:
            images: at least one.
            batch_size: images per pass; halved when memory runs out.

        Returns:
            For each pass, what the model's own function gives, and where its images' patches lie.

        Raises:
            UnreadableImage: an image that cannot be turned into RGB.
            NotEnoughMemory: a single image does not fit.
        """

        def run_batch(batch: Sequence[Image.Image]) -> tuple[Any, tuple[Geometry, ...]]:
            pictures, geometries = self._pictures(batch)
            with self._lock:
                return self._run(**pictures), geometries

        return list(self._in_batches(images, batch_size, run_batch))

    def run_from(self, encoded: Encoded, *, coarse: int = 1) -> Any:
        """Run the rest of it, and what comes after it, on residuals.

        The model's own function is run on the very same pictures: blocks before the given one pass them through, or
        hand out what they handed out before where that is read as well; the given one hands out the residuals.

        Args:
            encoded: as `encode_to` gives it, its residual changed at will.
            coarse: squares of so many patches a side go through the remaining blocks as one, the mean of theirs; each
                of them then gets what has become of it. An approximation, unless they are equal.

        Gradients are known of residuals that ask for them, which are then needed with `coarse` at 1.

        Raises:
            LayerNotFound: a block that what comes after the encoder cannot see.
            InvalidSetting: an encoder, or a grid of patches, that cannot be coarsened.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and encoded.residual.requires_grad):
            return self._run_from(encoded, coarse)

    def _run_from(self, encoded: Encoded, coarse: int) -> Any:
        self.check_layer(encoded.layer, steered=True)
        if coarse != 1:
            return self._run_coarsely(encoded, coarse)
        handed_out = {**encoded.taps, encoded.layer: encoded.residual.to(self.device, self.dtype)}
        # Padding exists only between pictures of a packed batch: taking it out gives their one sequence back.
        in_sequence = None if encoded.in_sequence.all() else encoded.in_sequence
        forwards: dict[nn.Module, Forward] = dict.fromkeys(self.blocks[: encoded.layer], pass_through)
        for layer, residual_ipd in handed_out.items():
            handed_out_now = residual_ipd if in_sequence is None else residual_ipd[in_sequence]
            forwards[self.blocks[layer]] = _hands_out(handed_out_now)
        with self._lock, replaced_forwards(forwards):
            return self._run(**encoded.pictures)

    def check_coarse(self, layer: int, grid: Grid, coarse: int) -> None:
        """Check that squares of patches can go through the blocks after one as single patches.

        Args:
            layer: the block.
            grid: rows and columns of patches.
            coarse: how many patches a side.

        Raises:
            InvalidSetting: they cannot.
        """
        if coarse != 1 and not self._family.coarsens:
            raise InvalidSetting(
                f"coarse {coarse} for a vision encoder of type {self.config.model_type}",
                expected="one whose blocks know nothing of where patches lie: SigLIP's in a vision-language model",
                remedy="leave it at 1",
            )
        if coarse < 1 or any(side % coarse for side in grid):
            divisors = [each for each in range(1, min(grid) + 1) if not any(side % each for side in grid)]
            raise InvalidSetting(
                f"coarse {coarse}, and {grid[0]} x {grid[1]} patches",
                expected=f"one of {', '.join(map(str, divisors))}",
            )
        if coarse != 1 and layer == self.last_layer_read:
            raise InvalidSetting(
                f"coarse {coarse} after block {layer}, the last one that is read: nothing is left to be faster",
                expected="1",
            )

    def _run_coarsely(self, encoded: Encoded, coarse: int) -> Any:
        """Run the rest of it on squares of patches."""
        (rows, columns), *others = {geometry.grid for geometry in encoded.geometries}
        assert not others, "images of several sizes"
        self.check_coarse(encoded.layer, (rows, columns), coarse)
        residual_ipd = encoded.residual.to(self.device, self.dtype)
        coarse_ipd = einops.reduce(
            residual_ipd,
            "i (r a c b) d -> i (r c) d",
            "mean",
            r=rows // coarse,
            a=coarse,
            c=columns // coarse,
            b=coarse,
        )
        last = self.blocks[self.last_layer_read]
        own = last.forward

        def spread(*inputs: Any, **named: Any) -> Tensor:
            found = own(*inputs, **named)
            return einops.repeat(
                found, "i (r c) d -> i (r a c b) d", r=rows // coarse, a=coarse, c=columns // coarse, b=coarse
            )

        forwards: dict[nn.Module, Forward] = dict.fromkeys(self.blocks[: encoded.layer], pass_through)
        forwards[self.blocks[encoded.layer]] = lambda *_inputs, **_named: coarse_ipd
        with self._lock, replaced_forwards(forwards | {last: spread}):
            return self._run(**encoded.pictures)

    def geometry(self, image_size: Size) -> Geometry:
        """Find out where the patches of an image lie; the answer is kept.

        Args:
            image_size: its width and height in pixels.

        Raises:
            UnreadableImage: a size that the image processor does not take.
        """
        if image_size not in self._geometries:
            (self._geometries[image_size],) = self.prepare([Image.new("RGB", image_size)]).geometries
        return self._geometries[image_size]

    def pictures(self, images: Sequence[Image.Image]) -> Mapping[str, Tensor]:
        """Process images into what the encoder is fed.

        Args:
            images: at least one.

        Raises:
            UnreadableImage: an image that cannot be turned into RGB, or that the image processor does not take.
        """
        return self._pictures(images)[0]

    def heatmap_to_image(
        self, activations: Float[Tensor, " position"], image_size: Size
    ) -> Float[Tensor, "height width"]:
        """Spread activations over the pixels of an image; see [seesay.vlm.geometry.Geometry.heatmap_to_image][].

        Args:
            activations: one per position of the residual stream that `encode_to` gives for an image of that size.
            image_size: its width and height in pixels.
        """
        return self.geometry(image_size).heatmap_to_image(activations)

    def _in_batches(
        self, images: Sequence[Image.Image], batch_size: int, run: Callable[[Sequence[Image.Image]], Result]
    ) -> Iterator[Result]:
        return fitting(
            images,
            batch_size,
            run,
            lambda image: NotEnoughMemory(
                f"one image of {image.width}x{image.height} pixels, and no memory left on {self.device}",
                expected="room for a single image",
                remedy="free some memory, or use another --device",
            ),
        )

    def _encode_to(self, images: Sequence[Image.Image] | Prepared, layer: int) -> Encoded:
        pictures, geometries = self._pictures(images)
        taps = sorted(tap for tap in self._layers_read if tap < layer)
        with self._lock:
            outputs = capture(self.blocks, [*taps, layer], lambda: self._run(**pictures))
        residuals = {each: self._per_image(output, geometries) for each, output in outputs.items()}
        return Encoded(residuals.pop(layer), layer, geometries, pictures, residuals)

    def _per_image(self, output: Tensor, geometries: Sequence[Geometry]) -> Float[Tensor, "image position d_model"]:
        lengths = [geometry.n_positions for geometry in geometries]
        if len(set(lengths)) == 1:
            return output.reshape(len(lengths), lengths[0], output.shape[-1])
        rows = output.reshape(-1, output.shape[-1]).split(lengths)
        return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)

    def _pictures(self, images: Sequence[Image.Image] | Prepared) -> tuple[Mapping[str, Tensor], tuple[Geometry, ...]]:
        """Process images if that is not done yet, and bring them to where they are encoded."""
        prepared = images if isinstance(images, Prepared) else self.prepare(images)
        return {name: self._placed(value) for name, value in prepared.pictures.items()}, prepared.geometries

    def prepare(self, images: Sequence[Image.Image]) -> Prepared:
        """Do what comes before the encoder: processing, on the CPU. It may be done by several threads at once.

        Args:
            images: at least one.

        Returns:
            What `encode_prepared` takes, in pinned memory if the encoder is on a CUDA device.

        Raises:
            UnreadableImage: an image that cannot be turned into RGB, or that the image processor does not take.
        """
        coloured = [in_colour(image, f"image {number}") for number, image in enumerate(images)]
        processed = self._processed(coloured)
        pictures = {name: torch.as_tensor(value) for name, value in processed.items() if name in self._takes}
        grids = self._family.grid(pictures, self.config)
        n_prefix = self._family.n_prefix + getattr(self.config, "num_register_tokens", 0)
        geometries: list[Geometry] = []
        for image, grid in zip(coloured, grids, strict=True):
            raster_of_position = self._family.order(grid, self.config)
            one_sight = torch.cat([torch.zeros(n_prefix, dtype=torch.bool), torch.ones_like(raster_of_position).bool()])
            is_patch = one_sight.repeat(self._family.n_sights)
            if not self._family.packed and pictures["pixel_values"].dim() == 3:  # patches, padded to one number
                is_patch = nn.functional.pad(is_patch, (0, pictures["pixel_values"].shape[1] - len(is_patch)))
            box = self._family.box(self._image_processor, image.size)
            geometries.append(Geometry(image.size, grid, raster_of_position.argsort() + n_prefix, is_patch, box))
        if self.device.type == "cuda":
            pictures = {name: value.pin_memory() for name, value in pictures.items()}
        return Prepared(pictures, tuple(geometries))

    def _processed(self, images: Sequence[Image.Image]) -> Mapping[str, Any]:
        try:
            return self._family.process(self._image_processor, images, self._model_config)
        except (ValueError, ZeroDivisionError, IndexError) as error:  # in which way depends on the processor
            if len(images) == 1:
                width, height = images[0].size
                raise UnreadableImage(
                    f"an image of {width}x{height} pixels: {error}",
                    expected="one that the model's image processor takes",
                    remedy="resize it, or leave it out",
                ) from error
        for image in images:  # which of them?
            self._processed([image])
        raise UnreadableImage("images that the model's image processor takes one by one, but not together")

    def _placed(self, value: Tensor) -> Tensor:
        dtype = self.dtype if value.is_floating_point() else value.dtype
        return value.to(self.device, dtype, non_blocking=value.is_pinned())


def _hands_out(residual: Tensor) -> Forward:
    def forward(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
        # What comes in has passed through from the embedding, in the layout that must go out.
        return residual.to(hidden_states.device).reshape(hidden_states.shape)

    return forward
