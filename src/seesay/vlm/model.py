"""A vision-language model cut in three: encode up to a block, encode on from it, say what is seen.

Cutting it at the steered block lets every feature share one pass over the empty image up to there.
"""

import copy
import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from inspect import signature
from typing import Any, TypeVar, final

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from seesay.errors import NotEnoughMemory, UnreadablePrompt
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm.answers import Answer, Chooser, seed_of
from seesay.vlm.batches import fitting
from seesay.vlm.blocks import count_blocks, device_of, weights_at_hand
from seesay.vlm.encoded import Encoded
from seesay.vlm.encoder import Encoder
from seesay.vlm.families import vlm_family
from seesay.vlm.generation import Asked, Choosing, Said, generate
from seesay.vlm.parallel import gathered
from seesay.vlm.prompts import Prompts
from seesay.vlm.tokens import ImageTokens, pack, unpack
from seesay.vlm.turns import TokenNames, write_turn

GREEDY = Decoding()

Watch = Callable[[Sequence[str]], None]
"""Is told the words of all answers as far as they are said; whatever it raises ends the answers."""

Result = TypeVar("Result")


@final
class VLM:
    """A vision-language model and the prompts it is asked.

    Attributes:
        model: the plain model.
        encoder: its vision encoder, which tells where patches lie and draws heatmaps.
        prompts: what it is asked.

    Args:
        model: a loaded vision-language model of a family in `seesay.vlm.families`.
        image_processor: the checkpoint's.
        tokenizer: the checkpoint's, with a chat template.
        prompts: what it is asked.

    Raises:
        UnreadableModel: a family that is not known, or an encoder whose blocks cannot be found.
    """

    def __init__(self, model: PreTrainedModel, image_processor: Any, tokenizer: Any, prompts: Prompts) -> None:
        # transformers types models and processors by what all of them share, which is next to nothing.
        self.model: Any = model
        self._tokenizer = tokenizer
        self._family = vlm_family(model.config.model_type)
        self._takes = frozenset(signature(type(model).forward).parameters)
        # A checkpoint's own settings would fill in whatever a call leaves open: penalties, forbidden words, beams.
        self.model.generation_config = _ends_of(model)
        self._names = TokenNames(model.config, tokenizer)
        self.prompts = prompts
        self.encoder = tower_of(model, image_processor)

    def asked(self, name: str, text: str) -> "VLM":
        """The same model, which is asked something else under the name of a prompt.

        Args:
            name: of the prompt, `steering` for example.
            text: that takes its place.
        """
        other = copy.copy(self)
        other.prompts = self.prompts.instead(name, text)
        return other

    def __repr__(self) -> str:
        return f"VLM({self.model.config.model_type}, {self.encoder!r})"

    def encode_to(self, images: Sequence[Image.Image], layer: int, *, batch_size: int = 8) -> Encoded:
        """Encode images up to and including a block; see [seesay.vlm.encoder.Encoder.encode_to][]."""
        return self.encoder.encode_to(images, layer, batch_size=batch_size)

    def encode(self, images: Sequence[Image.Image], *, batch_size: int = 8) -> list[ImageTokens]:
        """Encode images all the way to the language model, with nothing steered.

        Args:
            images: at least one, of any size and mode.
            batch_size: images per pass; halved when memory runs out.

        Returns:
            What the language model reads of each image.

        Raises:
            UnreadableImage: an image that cannot be turned into RGB.
            NotEnoughMemory: a single image does not fit.
        """
        passes = self.encoder.run(images, batch_size=batch_size)
        return [tokens for output, geometries in passes for tokens in unpack(output, geometries)]

    def encode_from(self, encoded: Encoded, *, batch_size: int | None = None, coarse: int = 1) -> list[ImageTokens]:
        """Carry residuals from a block on to the language model.

        Args:
            encoded: as `encode_to` gives it, with any residual stream: `encoded.with_residual(steered)`.
            batch_size: residuals per pass, halved when memory runs out; None takes all at once, and leaves it to the
                caller to take fewer if torch runs out of memory.
            coarse: patches a side that go through the remaining blocks as one, for speed; see
                [seesay.vlm.encoder.Encoder.run_from][].

        Returns:
            What the language model reads of each image.

        Raises:
            InvalidSetting: an encoder or a grid that cannot be coarsened.
            LayerNotFound: a block after the last one that the language model reads.
            NotEnoughMemory: with a batch size, if a single one does not fit.
        """

        def run(rows: Sequence[int]) -> list[ImageTokens]:
            part = encoded[rows[0] : rows[-1] + 1]
            return unpack(self.encoder.run_from(part, coarse=coarse), part.geometries)

        return _in_batches(range(len(encoded)), batch_size, run)

    @torch.no_grad()
    def say(
        self,
        prompt: str | Sequence[str],
        rows: Sequence[Sequence[ImageTokens]],
        decoding: Decoding = GREEDY,
        *,
        keys: Sequence[int] | None = None,
        batch_size: int | None = None,
        watch: Watch | None = None,
    ) -> list[Answer]:
        """Ask the language model a question about each row of images.

        Greedy means greedy: of the checkpoint's own generation settings only the tokens that end an answer count.

        Args:
            prompt: text of the user's turn, which follows the images: one for all, or one for each row.
            rows: the images of each turn, none or several, as `encode_from` or `encode` gives them.
            decoding: how the words are chosen.
            keys: one for each row, such as its feature id: what is drawn depends on the key and on `decoding.seed`
                alone, whatever else is asked at the same time. By default the rows' numbers.
            batch_size: rows that are answered at a time: whoever has finished makes room for the next. Halved when
                memory runs out; None takes all at once, and leaves it to the caller to take fewer.
            watch: listens while answers are being said.

        Returns:
            The answers: all samples of the first row, then those of the second.

        Raises:
            ValueError: another number of keys, or of prompts, than of rows.
            UnreadablePrompt: a prompt that holds one of the model's own tokens for an image.
            UnreadableModel: a chat template that cannot be filled in, or does not put the images in.
            NotEnoughMemory: with a batch size, if a single row does not fit.
        """
        keys = range(len(rows)) if keys is None else keys
        if len(keys) != len(rows):
            raise ValueError(f"{len(keys)} keys for {len(rows)} rows")
        if not rows:
            return []
        n = decoding.n_samples
        seeds = [seed_of(decoding.seed, key, sample) for key in keys for sample in range(n)]
        asked = self.asking_all(prompt, rows, Chooser(decoding, seeds, self.end_ids), n_samples=n)

        def spelt(said: Sequence[Said]) -> list[str]:
            return self.decode([each.token_ids for each in said])

        said = generate(self.model, asked, batch_size, lambda said: watch(spelt(said)) if watch else None)
        texts = spelt(said)
        return [Answer(text, each.mean_log_probability) for text, each in zip(texts, said, strict=True)]

    def asking_all(
        self,
        prompt: str | Sequence[str],
        rows: Sequence[Sequence[ImageTokens]],
        choosing: Choosing,
        *,
        n_samples: int = 1,
        start: str = "",
    ) -> Asked:
        """What [seesay.vlm.generation.generate][] takes.

        Args:
            prompt: as for `say`.
            rows: the same.
            choosing: chooses the tokens.
            n_samples: answers to each row.
            start: words that each answer has begun with already.
        """
        prompts = _for_each(prompt, rows)

        def inputs_of(numbers: Sequence[int]) -> dict[str, Any]:
            shown = [rows[number] for number in numbers]
            return self._inputs([prompts[number] for number in numbers], shown, start) | self._images_of(shown)

        return Asked(len(rows), n_samples, inputs_of, choosing)

    @torch.no_grad()
    def next_word(
        self, prompt: str | Sequence[str], rows: Sequence[Sequence[ImageTokens]], start: str = ""
    ) -> Float[Tensor, "row vocabulary"]:
        """Tell how probable every token is at the beginning of an answer.

        Args:
            prompt: text of the user's turn, which follows the images: one for all, or one for each row.
            rows: the images of each turn, as for `say`.
            start: words that the answer has begun with already.

        Returns:
            Natural log-probabilities.

        Raises:
            ValueError: another number of prompts than of rows.
            UnreadablePrompt: a prompt that holds one of the model's own tokens for an image.
            UnreadableModel: a chat template that cannot be filled in, or does not put the images in.
        """
        asked = self._inputs(prompt, rows, start) | self._images_of(rows)
        found = self.model.generate(
            **asked, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        return found.logits[0].float().log_softmax(-1)

    def asking(self, name: str, phrase: str) -> str:
        """A prompt about a phrase, which may be anyone's.

        What the model reads as one of its own special tokens, such as one that stands for an image or ends a turn, is
        left out of the phrase: it could not be asked, or would answer something else.

        Args:
            name: of a prompt with `{phrase}` in it.
            phrase: to be put there, as one line.

        Raises:
            UnreadablePrompt: there is none of that name, or it has no place for a phrase.
        """
        return self.prompts.about(name, _without(phrase, self._special_tokens))

    @property
    def embeddings(self) -> Float[Tensor, "vocabulary d_lm"]:
        """What the language model reads of each token of its vocabulary."""
        return gathered(self.model.get_input_embeddings().weight)

    def words(self, token_ids: Sequence[int]) -> list[str]:
        """Each token's own letters, without blanks around them; empty for the model's special tokens."""
        return [text.strip() for text in self.decode([[each] for each in token_ids])]

    def plain_inputs(self, prompt: str, rows: Sequence[Sequence[Image.Image]]) -> dict[str, Any]:
        """Build what the plain model takes for a question about images, in one pass: text and pixels.

        For comparisons, and for whatever is done with the model by itself: `model.generate(**inputs)`.

        Args:
            prompt: text of the user's turn, which follows the images.
            rows: the images of each turn, at least one in all.
        """
        flat = [image for row in rows for image in row]
        tokens = iter(self.encode(flat, batch_size=len(flat)))
        text = self._inputs(prompt, [[next(tokens) for _ in row] for row in rows])
        return {**text, **self.encoder.pictures(flat)}

    def reading(self) -> dict[str, Any]:
        """All that shapes its words besides weights and prompts, as plain data of any size.

        The tokens it reads and ends with, its chat template, its settings, and what it makes of a picture.
        """
        names = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "distributed_config")
        settings = {name: value for name, value in self.model.config.to_dict().items() if name not in names}
        noise = blank_image("noise", self.encoder.image_size)
        return {
            "vocabulary": sorted(self._tokenizer.get_vocab().items()),
            "chat_template": self._family.chat_template or self._tokenizer.chat_template,
            "settings": settings,
            "ends": self.end_ids,
            "picture": {
                name: hashlib.sha256(value.cpu().double().numpy().tobytes()).hexdigest()
                for name, value in self.encoder.pictures([noise]).items()
            },
        }

    @property
    def reads_prompt_both_ways(self) -> bool:
        """Whether each word of a question is read with those that follow it in mind, too."""
        return self._family.reads_prompt_both_ways

    def tokenize(self, text: str) -> list[int]:
        """Turn words into tokens, as they stand in an answer: nothing is put before or after them."""
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, token_ids: Int[Tensor, "answer token"] | Sequence[Sequence[int]]) -> list[str]:
        """Turn tokens into words, special tokens left out.

        Args:
            token_ids: as the plain model generates them, or as many of each answer as it has.
        """
        return self._tokenizer.batch_decode(token_ids, skip_special_tokens=True)

    def _images_of(self, rows: Sequence[Sequence[ImageTokens]]) -> dict[str, Any]:
        """The images as `generate` takes them, which rewrites what it is given: made anew for each call."""
        images = [image for row in rows for image in row]
        return {"mm_encoder_outputs": {"image": pack(images, stacked=self._family.stacks_tokens)}} if images else {}

    def _inputs(
        self, prompt: str | Sequence[str], rows: Sequence[Sequence[ImageTokens]], start: str = ""
    ) -> dict[str, Any]:
        """Tokenise one turn per row, the shorter ones padded on the left, without the images themselves."""
        texts = [self._written(asked, row) + start for asked, row in zip(_for_each(prompt, rows), rows, strict=True)]
        different = list(dict.fromkeys(texts))
        # As transformers' processors do: some chat templates write the first token, some leave it to the tokenizer.
        begun = self._family.chat_template is not None or different[0].startswith(self._tokenizer.bos_token or "\0")
        tokenized = self._tokenizer(
            different, padding=True, padding_side="left", add_special_tokens=not begun, return_tensors="pt"
        )
        place = device_of(self.model)
        place_of = {text: number for number, text in enumerate(different)}
        rows_of_texts = torch.tensor([place_of[text] for text in texts])
        ids = tokenized["input_ids"][rows_of_texts].to(place)
        is_image = (ids == self.model.config.image_token_id).long()
        of_types = torch.zeros_like(ids) if self._family.reads_prompt_both_ways else is_image
        grids = [[1, *image.grid] for row in rows for image in row]
        offered = {
            "input_ids": ids,
            "attention_mask": tokenized["attention_mask"][rows_of_texts].to(place),
            "token_type_ids": of_types,
            "mm_token_type_ids": is_image,
            "image_grid_thw": torch.tensor(grids, device=place) if grids else None,
        }
        return {name: value for name, value in offered.items() if name in self._takes and value is not None}

    @cached_property
    def _special_tokens(self) -> list[str]:
        added = [str(each) for each in self._tokenizer.added_tokens_decoder.values() if each.special]
        of_images = {self._names.image, self._family.write_image(self._names, 1, (64, 64)).placeholder}
        return sorted(each for each in {*self._tokenizer.all_special_tokens, *added, *of_images} if each.strip())

    def _written(self, prompt: str, images: Sequence[ImageTokens]) -> str:
        written = [self._family.write_image(self._names, len(image.tokens), image.grid) for image in images]
        for token in {self._names.image, *(image.placeholder for image in written)}:
            if token in prompt:
                raise UnreadablePrompt(
                    f"the prompt {prompt!r} holds {token}", expected="words alone: images come first"
                )
        return write_turn(self._tokenizer, prompt, written)

    @property
    def end_ids(self) -> list[int]:
        """The tokens that end an answer."""
        end = self.model.generation_config.eos_token_id
        return [token for token in (end if isinstance(end, list) else [end]) if token is not None]


def tower_of(model: Any, image_processor: Any) -> Encoder:
    """Make an encoder of a vision-language model's tower.

    Args:
        model: a loaded vision-language model of a family in `seesay.vlm.families`.
        image_processor: the checkpoint's.

    Raises:
        UnreadableModel: a family that is not known, or an encoder whose blocks cannot be found.
    """
    family = vlm_family(model.config.model_type)
    family.adjust(model.config)
    base = model.base_model

    def run(**pictures: Tensor) -> Any:
        with weights_at_hand(base):
            return base.get_image_features(**pictures, return_dict=True)

    return Encoder(
        run,
        signature(base.get_image_features).parameters,
        model.get_submodule(family.tower),
        config=model.config.vision_config,
        model_config=model.config,
        image_processor=image_processor,
        family=family.encoder,
        layers_read=_layers_read(model.config),
    )


def leave_tower(model: Any) -> None:
    """Let go of a vision-language model's language model: what is left can be looked through, but says nothing.

    Args:
        model: as for `tower_of`; it is changed.
    """
    family = vlm_family(model.config.model_type)
    kept = {path.split(".")[1] for path in (family.tower, family.bridge) if path}
    for name, _ in list(model.base_model.named_children()):
        if name not in kept:
            setattr(model.base_model, name, None)
    for name, child in list(model.named_children()):
        if child is not model.base_model:
            setattr(model, name, None)


def _ends_of(model: Any) -> GenerationConfig:
    """Which tokens begin, end and pad a model's answers, and nothing else of its generation settings."""
    own, text = model.generation_config, model.config.get_text_config()
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    found = {name: getattr(own, name, None) for name in names}
    return GenerationConfig(**{name: getattr(text, name, None) if id is None else id for name, id in found.items()})


def _without(phrase: str, tokens: Collection[str]) -> str:
    """A phrase without some tokens; what is left of one may make another one, so that it is looked at again."""
    while found := next((token for token in tokens if token in phrase), None):
        phrase = phrase.replace(found, " ")
    return phrase


def _for_each(prompt: str | Sequence[str], rows: Sequence[object]) -> Sequence[str]:
    """One prompt for each row."""
    prompts = [prompt] * len(rows) if isinstance(prompt, str) else prompt
    if len(prompts) != len(rows):
        raise ValueError(f"{len(prompts)} prompts for {len(rows)} rows")
    return prompts


def _in_batches(
    numbers: Sequence[int], batch_size: int | None, run: Callable[[Sequence[int]], list[Result]]
) -> list[Result]:
    """All results in order; nothing for nothing."""
    if batch_size is None:
        return run(numbers) if numbers else []
    parts = fitting(
        numbers,
        batch_size,
        run,
        lambda number: NotEnoughMemory(
            f"row {number} alone does not fit into memory", expected="room for one", remedy="use a smaller model"
        ),
    )
    return [result for part in parts for result in part]


def _layers_read(config: Any) -> Collection[int]:
    """The blocks whose output the language model reads.

    A configuration may name one or several of the tower's hidden states, of which the first is the embedding.
    """
    vision = config.vision_config
    n_blocks = count_blocks(vision)
    named = getattr(config, "vision_feature_layer", None)
    states = [-1] if named is None else [named] if isinstance(named, int) else named
    blocks = {n_blocks + state if state < 0 else state - 1 for state in states}
    return {block for block in blocks if block >= 0} | set(getattr(vision, "deepstack_visual_indexes", None) or [])
