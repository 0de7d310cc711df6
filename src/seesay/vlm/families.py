"""What differs between families of models, as two tables: vision encoders, and the language models behind them.

A family is looked up by its configuration's `model_type`, never by its name or class. docs/families.md tells how to add
one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from seesay.errors import UnreadableModel
from seesay.vlm import geometry
from seesay.vlm.geometry import BoxOf, GridOf, Order
from seesay.vlm.turns import ImageWriter, between, idefics, only_tokens, pixtral_rows

Options = Mapping[str, object]
Process = Callable[[Any, Sequence[Image.Image], Any], Mapping[str, Tensor]]
"""Image processor, images and the model's configuration, to what the model's encoder is fed."""


def one_by_one(options: Callable[[Any], Options] = lambda _config: {}) -> Process:
    """Process each image as the only one of its sample, with options that keep it one picture (no tiles, no crops).

    Args:
        options: of the image processor, from the model's configuration.
    """

    def process(image_processor: Any, images: Sequence[Image.Image], config: Any) -> Mapping[str, Tensor]:
        return image_processor([[image] for image in images], return_tensors="pt", **options(config))

    return process


def as_one_of_several(image_processor: Any, images: Sequence[Image.Image], _config: Any) -> Mapping[str, Tensor]:
    """Process images as LLaVA-OneVision does where a sample has several: one row each, instead of tiles as well."""
    several = list(images) if len(images) > 1 else [images[0], images[0]]
    processed = image_processor([several], return_tensors="pt")
    pictures = {name: processed[name][: len(images)] for name in ("pixel_values", "image_sizes")}
    # The model only asks whether a sample has more than one image, once for every image.
    return {**pictures, "batch_num_images": torch.full((len(images),), 2)}


@dataclass(frozen=True)
class EncoderFamily:
    """The facts about a vision encoder that cannot be read off a checkpoint.

    Args:
        process: how images become what the encoder is fed.
        grid: how many rows and columns of patches each of them then has.
        order: in which order the patches of a picture stand.
        box: which part of an image the grid covers.
        n_prefix: how many positions come before the patches, registers not counted: 1 if there is a CLS token.
        n_sights: how often a picture is seen (LLaVA-NeXT: whole and as a tile), one after the other.
        packed: whether the pictures of a batch stand one after the other in a single sequence, each of its own length.
        image_size: side of an empty image where the configuration names none, before it is fitted to the patches.
        image_processor: class that stands in for an image processor that needs torchvision.
        coarsens: whether blocks know nothing of where patches lie, nor of how many there are, so that fewer and larger
            ones can go through them; the tokens they make are those of patches alone.
    """

    process: Process = one_by_one()
    grid: GridOf = geometry.of_pixels
    order: Order = geometry.row_by_row
    box: BoxOf = geometry.whole
    n_prefix: int = 0
    n_sights: int = 1
    packed: bool = False
    image_size: int | None = None
    image_processor: str | None = None
    coarsens: bool = False


@dataclass(frozen=True)
class VLMFamily:
    """The facts about a vision-language model that cannot be read off a checkpoint.

    Args:
        tower: path of the vision tower inside the model.
        bridge: path of what carries the tower's output to the language model; None if the tower does that itself.
        encoder: facts about the tower.
        write_image: how an image stands in a turn.
        stacks_tokens: whether the model wants the tokens of several pictures as one tensor, not as a list.
        reads_prompt_both_ways: whether the whole prompt attends to itself, not only the images (PaliGemma).
        chat_template: for a family whose checkpoints have none.
        adjust: changes to the model's configuration that keep an image one picture.
        tokenizer_options: of `from_pretrained`.
    """

    tower: str
    bridge: str | None
    encoder: EncoderFamily
    write_image: ImageWriter = only_tokens
    stacks_tokens: bool = False
    reads_prompt_both_ways: bool = False
    chat_template: str | None = None
    adjust: Callable[[Any], None] = lambda _config: None
    tokenizer_options: Options = field(default_factory=dict[str, object])


TOWER, BRIDGE = "model.vision_tower", "model.multi_modal_projector"

_PALIGEMMA_TURN = (
    "{% for message in messages %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% endif %}{% endfor %}"
    "{{ bos_token }}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "\n{% endfor %}"
)


def _one_pinpoint(config: Any) -> list[list[int]]:
    side = config.vision_config.image_size
    return [[side, side]]


def _see_one_tile(config: Any) -> None:
    config.image_grid_pinpoints = _one_pinpoint(config)


def _process_pixtral(image_processor: Any, images: Sequence[Image.Image], config: Any) -> Mapping[str, Tensor]:
    side = config.vision_config.patch_size * config.spatial_merge_size
    # The model cannot split a picture of one token from the next.
    large = [image.resize((max(image.width, 2 * side), max(image.height, side))) for image in images]
    return one_by_one(lambda _config: {"patch_size": {"height": side, "width": side}})(image_processor, large, config)


_UNSPLIT = EncoderFamily(one_by_one(lambda _config: {"do_image_splitting": False}))

VLMS: Mapping[str, VLMFamily] = {
    "gemma3": VLMFamily(
        TOWER,
        BRIDGE,
        EncoderFamily(one_by_one(lambda _config: {"do_pan_and_scan": False}), coarsens=True),
        write_image=between(
            lambda names: names.of_config("boi_token_index"), lambda names: names.of_config("eoi_token_index"), "\n\n"
        ),
        stacks_tokens=True,
    ),
    "gemma4": VLMFamily(
        TOWER,
        "model.embed_vision",
        EncoderFamily(grid=geometry.of_position_ids, image_size=448),
        write_image=between(
            lambda names: names.of_config("boi_token_id"), lambda names: names.of_config("eoi_token_id")
        ),
    ),
    "idefics3": VLMFamily("model.vision_model", "model.connector", _UNSPLIT, write_image=idefics, stacks_tokens=True),
    "internvl": VLMFamily(
        TOWER,
        BRIDGE,
        EncoderFamily(one_by_one(lambda _config: {"crop_to_patches": False}), n_prefix=1),
        write_image=between(
            lambda names: names.of_tokenizer("start_image_token", "<img>"),
            lambda names: names.of_tokenizer("end_image_token", "</img>"),
        ),
        stacks_tokens=True,
    ),
    "llava": VLMFamily(TOWER, BRIDGE, EncoderFamily(box=geometry.cropped, n_prefix=1)),
    "llava_next": VLMFamily(
        TOWER,
        BRIDGE,
        EncoderFamily(
            one_by_one(lambda config: {"image_grid_pinpoints": _one_pinpoint(config)}), n_prefix=1, n_sights=2
        ),
        adjust=_see_one_tile,
    ),
    "llava_onevision": VLMFamily(
        TOWER, BRIDGE, EncoderFamily(as_one_of_several, box=geometry.padded_to_square, coarsens=True)
    ),
    "mistral3": VLMFamily(
        TOWER,
        BRIDGE,
        EncoderFamily(
            _process_pixtral,
            grid=geometry.of_image_sizes,
            packed=True,
            image_size=448,
        ),
        write_image=pixtral_rows,
        # Mistral's own tokenizer does not take images in a chat template; the converted one needs its rule mended.
        tokenizer_options={"mistral_format": False, "fix_mistral_regex": True},
    ),
    "paligemma": VLMFamily(
        TOWER,
        BRIDGE,
        EncoderFamily(coarsens=True),
        stacks_tokens=True,
        reads_prompt_both_ways=True,
        chat_template=_PALIGEMMA_TURN,
    ),
    "qwen2_5_vl": VLMFamily(
        "model.visual",
        None,
        EncoderFamily(grid=geometry.of_grid_thw, order=geometry.by_windows, packed=True, image_size=448),
    ),
    "qwen3_vl": VLMFamily(
        "model.visual",
        None,
        EncoderFamily(grid=geometry.of_grid_thw, order=geometry.by_merged_squares, packed=True, image_size=448),
    ),
    "smolvlm": VLMFamily("model.vision_model", "model.connector", _UNSPLIT, write_image=idefics, stacks_tokens=True),
}

_CLIP = EncoderFamily(box=geometry.cropped, n_prefix=1)
_SIGLIP = EncoderFamily()
_SIGLIP2 = EncoderFamily(grid=geometry.of_spatial_shapes, image_size=256)

ENCODERS: Mapping[str, EncoderFamily] = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "dinov2": _CLIP,
    "dinov2_with_registers": _CLIP,
    "dinov3_vit": EncoderFamily(n_prefix=1, image_processor="ViTImageProcessor"),
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": _SIGLIP2,
    "siglip2_vision_model": _SIGLIP2,
    "vit": EncoderFamily(n_prefix=1),
}


def vlm_family(model_type: str) -> VLMFamily:
    """Look up a family of vision-language models.

    Args:
        model_type: `config.model_type` of the checkpoint.

    Raises:
        UnreadableModel: a family that is not in the table.
    """
    if model_type not in VLMS:
        remedy = "choose such a model"
        if model_type in ENCODERS:
            remedy = "a vision encoder has no words: give a vision-language model as explainer"
        elif model_type == "internvl_chat":
            remedy = "take the checkpoint whose name ends in -hf"
        raise UnreadableModel(
            f"a model of type {model_type!r}",
            expected=f"a vision-language model of type {', '.join(sorted(VLMS))}",
            remedy=remedy,
        )
    return VLMS[model_type]


def encoder_family(model_type: str) -> EncoderFamily:
    """Look up a family of vision encoders.

    Args:
        model_type: `config.model_type` of the checkpoint.

    Raises:
        UnreadableModel: a family that is not in the table.
    """
    if model_type not in ENCODERS:
        raise UnreadableModel(
            f"a model of type {model_type!r}",
            expected=f"a vision encoder of type {', '.join(sorted(ENCODERS))}, or a vision-language model of type "
            f"{', '.join(sorted(VLMS))}",
            remedy="choose such a model",
        )
    return ENCODERS[model_type]
