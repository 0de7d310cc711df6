"""How a question about images is written down for a language model: the turn's text, with its image tokens.

transformers' processors do the same, but cannot be built without torchvision where a family also takes videos, and
look at pictures to count tokens that are known here already. A contract test holds every family's text against its
processor's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from jinja2 import TemplateError

from seesay.errors import UnreadableModel
from seesay.images.grid import Grid


@final
@dataclass(frozen=True)
class TokenNames:
    """The special tokens that a model and its tokenizer name.

    Args:
        config: the model's configuration.
        tokenizer: its tokenizer.
    """

    config: Any
    tokenizer: Any

    @property
    def image(self) -> str:
        """The token that stands for one image token."""
        return self.tokenizer.convert_ids_to_tokens(self.config.image_token_id)

    def of_config(self, name: str) -> str:
        """A token whose id the configuration holds.

        Args:
            name: of the id, `boi_token_id` for example.
        """
        return self.tokenizer.convert_ids_to_tokens(getattr(self.config, name))

    def of_tokenizer(self, name: str, default: str) -> str:
        """A token that newer tokenizers name.

        Args:
            name: of the token.
            default: what it is where it has no name.
        """
        return getattr(self.tokenizer, name, None) or default


@final
@dataclass(frozen=True)
class WrittenImage:
    """How one image stands in a turn.

    Args:
        placeholder: what the chat template puts in its place.
        text: what is to stand there.
    """

    placeholder: str
    text: str


ImageWriter = Callable[[TokenNames, int, Grid], WrittenImage]
"""Names, the number of image tokens and the grid of patches, to how the image is written."""


def only_tokens(names: TokenNames, n_tokens: int, _grid: Grid) -> WrittenImage:
    """Nothing but the image tokens, or what the chat template itself puts around them."""
    return WrittenImage(names.image, names.image * n_tokens)


def between(begin: Callable[[TokenNames], str], end: Callable[[TokenNames], str], around: str = "") -> ImageWriter:
    """Between a token of begin and one of end.

    Args:
        begin: finds the first.
        end: finds the last.
        around: text on both sides, which takes the place of the begin token alone (Gemma 3).
    """

    def write(names: TokenNames, n_tokens: int, _grid: Grid) -> WrittenImage:
        placeholder = begin(names) if around else names.image
        return WrittenImage(placeholder, f"{around}{begin(names)}{names.image * n_tokens}{end(names)}{around}")

    return write


def idefics(names: TokenNames, n_tokens: int, _grid: Grid) -> WrittenImage:
    """As an image that was not split (Idefics 3, SmolVLM)."""
    fake = "<fake_token_around_image>"
    return WrittenImage(names.image, f"{fake}<global-img>{names.image * n_tokens}{fake}")


def pixtral_rows(names: TokenNames, n_tokens: int, grid: Grid) -> WrittenImage:
    """Row by row, with a token between rows (Mistral 3)."""
    n_rows = grid[0] // names.config.spatial_merge_size
    row = names.image * (n_tokens // n_rows)
    return WrittenImage(names.image, "[IMG_BREAK]".join([row] * n_rows) + "[IMG_END]")


def write_turn(tokenizer: Any, prompt: str, images: Sequence[WrittenImage]) -> str:
    """Write a user's turn, images first, and the beginning of the model's.

    Args:
        tokenizer: has the chat template.
        prompt: what is asked.
        images: in order.

    Raises:
        UnreadableModel: the chat template cannot be filled in, or does not put the images in.
    """
    content = [{"type": "image"}] * len(images) + [{"type": "text", "text": prompt}]
    try:
        text: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise UnreadableModel(
            f"a chat template that cannot be filled in: {error}", expected="one for images and words in one turn"
        ) from error
    if not images:
        return text
    placeholder = images[0].placeholder
    first, *rest = text.split(placeholder)
    if len(rest) != len(images):
        raise UnreadableModel(
            f"a chat template that writes {len(images)} images with {len(rest)} {placeholder}",
            expected="one for each",
            remedy="update the checkpoint's chat template",
        )
    return first + "".join(image.text + after for image, after in zip(images, rest, strict=True))
